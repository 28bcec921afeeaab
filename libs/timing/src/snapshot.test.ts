import { crc32 } from 'node:zlib';

import { describe, expect, it } from 'vitest';

import { SlotList } from './slot-lists.ts';
import { SnapshotError, type TimerSnapshot } from './snapshot.ts';
import { seeded } from './testing.ts';
import { TimerTable } from './timer-table.ts';

type Id = readonly [number, number, number, number];

function someId(random: () => number): Id {
  return [0, 0, 0, 0].map(() => Math.floor(random() * 2 ** 32)) as unknown as Id;
}

function emptyTable(): TimerTable {
  return new TimerTable({ tickMs: 1, startMs: 0 });
}

function filled(timers: number, seed = 1) {
  const random = seeded(seed);
  const table = new TimerTable({ tickMs: 1, startMs: 1.8e12 });
  const ids: Id[] = [];
  for (let at = 0; at < timers; at++) {
    const id = someId(random);
    ids.push(id);
    const slot = table.addWords(...id);
    table.state[slot] = 1;
    table.setAt(slot, 1.8e12 + at);
    table.wheel.insert(slot, 1.8e12 + Math.floor(random() * 3e10));
  }
  return { table, ids };
}

function loadedFrom(snapshot: TimerSnapshot): TimerTable {
  const table = emptyTable();
  table.load(snapshot);
  table.assertInvariants();
  return table;
}

function bytesOf(snapshot: TimerSnapshot): number[][] {
  return snapshot.map((buffer) => [...new Uint8Array(buffer)]);
}

/** With the words of a column changed as its checksum says, as a wrong program would write it. */
function forged(snapshot: TimerSnapshot, column: number, change: (words: Uint32Array) => void): TimerSnapshot {
  const [header, buffer] = [snapshot[0] as ArrayBuffer, snapshot[column + 1] as ArrayBuffer];
  change(new Uint32Array(buffer));
  const words = new Uint32Array(header);
  words[3 + column * 2 + 1] = crc32(new Uint8Array(buffer));
  words[words.length - 1] = crc32(new Uint8Array(header, 0, header.byteLength - 4));
  return snapshot;
}

/** What loading it throws: code and message. */
function refusal(snapshot: TimerSnapshot, table = emptyTable()): string {
  try {
    table.load(snapshot);
  } catch (error) {
    if (error instanceof SnapshotError) return `${error.code}, ${error.message}`;
    throw error;
  }
  return 'loaded';
}

describe('a snapshot', () => {
  it('has everything but the lists of callers', () => {
    const { table, ids } = filled(2_000);
    const [cancelled, removed, queued] = [0, 1, 2].map((at) => table.findWords(...(ids[at] as Id))) as [
      number,
      number,
      number,
    ];
    for (const slot of [cancelled, removed, queued]) table.wheel.cancel(slot);
    table.remove(removed);
    table.wheel.lists.pushBack(new SlotList(), queued);
    table.set(cancelled, 4, true);
    const loaded = loadedFrom(table.encode());
    expect(bytesOf(loadedFrom(loaded.encode()).encode())).toEqual(bytesOf(loaded.encode()));
    expect(loaded.wheel.size).toBe(table.wheel.size);
    expect(loaded.wheel.lists.isFree(queued)).toBe(true);
    const columns = (one: TimerTable) =>
      ids.map((id) => {
        const slot = one.findWords(...id);
        return slot < 0
          ? 'gone'
          : [slot, one.wheel.dueOf(slot), one.wheel.has(slot), one.atOf(slot), one.flags[slot], one.state[slot]];
      });
    expect(columns(loaded)).toEqual(columns(table));
    expect([loaded.addWords(9, 9, 9, 9), loaded.addWords(8, 8, 8, 8)]).toEqual([removed, 2_000]);
    expect(() => loaded.load(table.encode())).toThrow('not empty');
  });

  it('of an empty table is one', () => {
    const table = loadedFrom(emptyTable().encode());
    expect(table.size).toBe(0);
    expect(table.addWords(1, 2, 3, 4)).toBe(0);
  });

  it('becomes the table, which grows in the same memory, and nobody else can write to it', () => {
    const { table } = filled(9_000);
    const snapshot = table.encode();
    const ids = new Uint32Array(snapshot[2] as ArrayBuffer);
    const loaded = loadedFrom(snapshot);
    expect(snapshot.slice(1).every((buffer) => buffer.detached)).toBe(true);
    expect(ids.length).toBe(0);
    expect(refusal(snapshot)).toBe('truncated, snapshot of timers: column 0 has 0 bytes of 12');
    const memory = [loaded.ids.buffer, loaded.wheel.lists.due.buffer, loaded.wheel.lists.entries.buffer];
    const random = seeded(5);
    for (let more = 0; more < 2_000; more++) {
      const slot = loaded.addWords(...someId(random));
      loaded.state[slot] = 1;
      loaded.wheel.insert(slot, 1.8e12 + Math.floor(random() * 3e10));
    }
    loaded.assertInvariants();
    expect([loaded.ids.buffer, loaded.wheel.lists.due.buffer, loaded.wheel.lists.entries.buffer]).toEqual(memory);
    expect(table.size).toBe(9_000);
  });

  it('may be made of buffers that cannot grow', () => {
    const loaded = loadedFrom(
      filled(9_000)
        .table.encode()
        .map((buffer) => buffer.transferToFixedLength()),
    );
    for (let more = 0; more < 200; more++) {
      const slot = loaded.addWords(more, more, more, more);
      loaded.state[slot] = 1;
    }
    loaded.assertInvariants();
    expect(loaded.size).toBe(9_200);
  });
});

describe('a snapshot in the memory of an earlier one', () => {
  it('is the same, and takes memory only where that does not fit', () => {
    const [small, big] = [filled(9_000).table, filled(9_100, 2).table];
    const first = small.encode();
    const second = big.encode(first);
    expect(second.filter((buffer, at) => buffer !== first[at] && buffer.resizable)).toEqual([]);
    expect(bytesOf(second)).toEqual(bytesOf(big.encode()));
    const third = filled(100, 3).table.encode(second);
    expect(third[2] === second[2]).toBe(false);
    expect(loadedFrom(small.encode(third)).size).toBe(9_000);
    expect(small.encode(third).some((buffer) => buffer.detached)).toBe(false);
  });
});

describe('a snapshot that cannot be loaded', () => {
  const { table } = filled(2_000);
  table.wheel.advance(1.8e12 + 1.2e9, () => undefined);

  it('is refused where any of its bytes has changed', () => {
    const random = seeded(4);
    for (let at = 0; at < table.encode().length; at++) {
      const snapshot = table.encode();
      const bytes = new Uint8Array(snapshot[at] as ArrayBuffer);
      if (bytes.length === 0) continue;
      const changed = Math.floor(random() * bytes.length);
      bytes[changed] = (bytes[changed] as number) ^ (1 << Math.floor(random() * 8));
      expect(refusal(snapshot)).toMatch(/^(damaged|version), .* the (checksum|header) |version/);
    }
  });

  it('is refused where something is missing', () => {
    const shorter = (snapshot: TimerSnapshot, column: number): TimerSnapshot =>
      snapshot.map((buffer, at) => (at === column + 1 ? buffer.slice(0, -4) : buffer));
    expect(refusal([])).toBe('truncated, snapshot of timers: a header of 0 bytes');
    expect(refusal(table.encode().slice(0, -1))).toBe('truncated, snapshot of timers: 77 columns of 78');
    expect(refusal(shorter(table.encode(), 1))).toBe(
      'truncated, snapshot of timers: column 1 has 31996 bytes of 32000',
    );
    expect(refusal(shorter(table.encode(), -1))).toMatch('damaged, snapshot of timers: the checksum of the header');
  });

  it('is left alone where it is of another version, and refused for another resolution', () => {
    const snapshot = table.encode();
    new Uint32Array(snapshot[0] as ArrayBuffer)[1] = 3;
    expect(refusal(snapshot)).toBe('version, snapshot of timers: version 3, this program reads version 2');
    expect(snapshot.some((buffer) => buffer.detached)).toBe(false);
    expect(refusal(table.encode(), new TimerTable({ tickMs: 5, startMs: 0 }))).toMatch(/^resolution, .*ticks of 1 ms/);
  });

  it('is refused where it names what is not there, though its checksums are right', () => {
    const [tableWords, records, chunks, ends, counts, segment] = [0, 7, 8, 9, 10, 14];
    const cases: readonly (readonly [number, (words: Uint32Array) => void, RegExp])[] = [
      [tableWords, (words) => (words[0] = 2_001), /ids has 32000 bytes instead of 32016/],
      [tableWords, (words) => (words[0] = 2 ** 24), /2000 timers in 16777216 slots/],
      [tableWords, (words) => (words[1] = 1_990), /the index holds 2000 slots instead of 1990/],
      [records, (words) => (words[2] = 0xfff_fff0), /slot 0 waits at 268435440/],
      [chunks, (words) => words.fill(9_999, 2, 32), /bucket \d+ holds slot 9999 of 2000/],
      [chunks, (words) => (words[0] = 5), /bucket \d+ ends at|holds/],
      [ends, (words) => words.fill(70), /bucket 0 ends at 70/],
      [counts, (words) => (words[400] = 3), /bucket 400 holds 0 slots instead of 3|bucket 400 holds \d+/],
      [segment, (words) => (words[words.indexOf(0xffff_ffff)] = 77), /segment 0 of the index holds/],
      [segment, (words) => words.fill(0xff_ffff, 0, 1), /segment 0 of the index names slot 16777215 of 2000|holds/],
    ];
    for (const [column, change, message] of cases)
      expect(refusal(forged(table.encode(), column, change))).toMatch(message);
  });
});

describe('a table that was loaded', () => {
  it('fires as the one that was encoded, wherever that one stood', () => {
    const random = seeded(3);
    const startMs = 1.8e12;
    const table = new TimerTable({ tickMs: 1, startMs });
    const distances = [1, 100, 5_000, 300_000, 2e7, 2e9];
    const dueMs = (nowMs: number): number => nowMs + Math.floor(random() * (distances[Math.floor(random() * 6)] ?? 1));
    for (let timer = 0; timer < 3_000; timer++) {
      const slot = table.addWords(...someId(random));
      table.state[slot] = 1;
      table.wheel.insert(slot, dueMs(startMs));
    }
    let nowMs = startMs;
    for (let round = 0; round < 60; round++) {
      nowMs += Math.floor(random() * (distances[round % 6] ?? 1));
      const fired: number[] = [];
      table.wheel.advance(nowMs, (slot) => fired.push(slot), 200);
      for (const slot of fired) table.wheel.insert(slot, dueMs(nowMs));
      const [here, there] = [table, loadedFrom(table.encode())].map(({ wheel }) => {
        const slots: number[] = [];
        // The limit is reached in some rounds: what is due then waits in the due list.
        wheel.advance(nowMs + 2_000, (slot) => slots.push(slot), 50);
        return slots;
      });
      expect(there).toEqual(here);
      for (const slot of here ?? []) table.wheel.insert(slot, dueMs(nowMs + 2_000));
      nowMs += 2_000;
    }
  });
});
