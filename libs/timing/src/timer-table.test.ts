import { describe, expect, it } from 'vitest';
import { IdIndex } from './id-index.ts';
import { seeded } from './testing.ts';
import { TimerTable } from './timer-table.ts';
import { SlotList } from './slot-lists.ts';

const WAITING = 1;

function someId(random: () => number): [number, number, number, number] {
  return [0, 0, 0, 0].map(() => Math.floor(random() * 2 ** 32)) as [number, number, number, number];
}

function hex(words: readonly number[]): string {
  return words.map((word) => word.toString(16).padStart(8, '0')).join('');
}

function filled(timers: number, seed = 1) {
  const random = seeded(seed);
  const table = new TimerTable({ tickMs: 1, startMs: 1.8e12 });
  const ids: [number, number, number, number][] = [];
  for (let at = 0; at < timers; at++) {
    const id = someId(random);
    ids.push(id);
    const slot = table.addWords(...id);
    table.state[slot] = WAITING;
    table.setAt(slot, 1.8e12 + at);
    table.wheel.insert(slot, 1.8e12 + Math.floor(random() * 3e10));
  }
  return { table, ids };
}

describe('TimerTable', () => {
  it('finds what was added, by text and by words, and gives freed slots again', () => {
    const random = seeded(1);
    const table = new TimerTable({ tickMs: 1, startMs: 0 });
    const ids = Array.from({ length: 700 }, () => someId(random));
    const model = new Map<number, number>();
    for (let step = 0; step < 20_000; step++) {
      const at = Math.floor(random() * ids.length);
      const id = ids[at] as (typeof ids)[number];
      const slot = model.get(at) ?? -1;
      expect([table.find(hex(id)), table.findWords(...id)]).toEqual([slot, slot]);
      if (slot < 0) {
        const added = table.add(hex(id));
        table.state[added] = WAITING;
        model.set(at, added);
        expect(table.idOf(added)).toBe(hex(id));
      } else {
        table.remove(slot);
        model.delete(at);
      }
      if (step % 500 === 0) table.assertInvariants();
    }
    expect(new Set(model.values()).size).toBe(table.size);
    expect(table.used).toBeLessThanOrEqual(ids.length);
  });

  it('keeps a slot that is armed or queued', () => {
    const table = new TimerTable({ tickMs: 1, startMs: 0 });
    const slot = table.addWords(1, 2, 3, 4);
    table.wheel.insert(slot, 100);
    expect(() => table.remove(slot)).toThrow('still in a list');
    table.wheel.cancel(slot);
    table.wheel.lists.pushBack(new SlotList(), slot);
    expect(() => table.remove(slot)).toThrow('still in a list');
  });

  it('takes at most 48 bytes a timer, however many there are', () => {
    // From 64 thousand on, an eighth of what is there is more than the step.
    const { table } = filled(66_000);
    const random = seeded(9);
    let worst = 0;
    for (let timers = 66_000; timers < 200_000; timers++) {
      table.addWords(...someId(random));
      if (timers % 64 === 0 && timers > 180_000) worst = Math.max(worst, table.memoryBytes / timers);
    }
    expect(worst).toBeLessThan(48.7);
    expect(worst).toBeGreaterThan(44);
  });

  it('encodes and loads whole', () => {
    const { table, ids } = filled(2_000);
    const [cancelled, removed, queued] = [0, 1, 2].map((at) => table.findWords(...(ids[at] as (typeof ids)[number])));
    table.wheel.cancel(cancelled as number);
    table.wheel.cancel(removed as number);
    table.remove(removed as number);
    table.wheel.cancel(queued as number);
    table.wheel.lists.pushBack(new SlotList(), queued as number);
    table.set(cancelled as number, 4, true);
    const bytes = table.encode();
    const loaded = new TimerTable({ tickMs: 1, startMs: 1.8e12 });
    loaded.load(bytes);
    loaded.assertInvariants();
    expect(Buffer.compare(reloaded(loaded).encode(), loaded.encode())).toBe(0);
    expect(loaded.wheel.size).toBe(table.wheel.size);
    expect(loaded.wheel.lists.isFree(queued as number)).toBe(true);
    const columns = (one: TimerTable) =>
      ids.map((id) => {
        const slot = one.findWords(...id);
        return slot < 0
          ? 'gone'
          : [slot, one.wheel.dueOf(slot), one.wheel.has(slot), one.atOf(slot), one.flags[slot], one.state[slot]];
      });
    expect(columns(loaded)).toEqual(columns(table));
    expect([loaded.addWords(9, 9, 9, 9), loaded.addWords(8, 8, 8, 8)]).toEqual([removed, 2_000]);
    expect([...loaded.encode().subarray(0, 4)]).toEqual([...bytes.subarray(0, 4)]);
    expect(() => loaded.load(bytes)).toThrow('not empty');
    const empty = () => new TimerTable({ tickMs: 1, startMs: 0 });
    for (const broken of [
      bytes.slice(0, 10),
      bytes.slice(0, -1),
      bytes.map((byte, at) => (at === 0 ? byte + 1 : byte)),
    ])
      expect(() => empty().load(broken)).toThrow('not a whole snapshot');
  });
});

describe('TimerTable, encoded into memory that was used before', () => {
  it('gives the same bytes, and takes memory only where there is not enough', () => {
    const [small, big] = [filled(2_000).table, filled(2_100, 2).table];
    const first = small.encode();
    const second = big.encode(first);
    expect(second.buffer === first.buffer).toBe(true);
    expect(Buffer.compare(second, big.encode())).toBe(0);
    const third = filled(4_000, 3).table.encode(second);
    expect(third.buffer === second.buffer).toBe(false);
    expect(Buffer.compare(small.encode(third), small.encode())).toBe(0);
    expect(() => new TimerTable({ tickMs: 1, startMs: 0 }).load(small.encode(third))).not.toThrow();
  });
});

function reloaded(table: TimerTable): TimerTable {
  const loaded = new TimerTable({ tickMs: 1, startMs: 0 });
  loaded.load(table.encode());
  loaded.assertInvariants();
  return loaded;
}

describe('TimerTable, loaded', () => {
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
      const [here, there] = [table, reloaded(table)].map(({ wheel }) => {
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

describe('IdIndex', () => {
  it('is right over every sequence of additions and removals of ids whose homes are the first and last places', () => {
    // Of one segment (low bits 0) of 16 places: home 15 twice, home 0 twice, home 1.
    const words = [0xf800_0000, 0xf000_0040, 0x0000_0040, 0x0000_0080, 0x1000_0000];
    const ids = new Uint32Array(words.flatMap((word, slot) => [slot, 0, 7, word]));
    const length = 7;
    const index = new IdIndex({ ids });
    for (let number = 0; number < words.length ** length; number++) {
      const present = new Set<number>();
      for (let rest = number, step = 0; step < length; step++, rest = Math.floor(rest / words.length)) {
        const slot = rest % words.length;
        if (present.delete(slot)) index.remove(slot);
        else {
          index.add(slot);
          present.add(slot);
        }
      }
      for (const [slot, word] of words.entries())
        if (index.find(slot, 0, 7, word) !== (present.has(slot) ? slot : -1))
          throw new Error(`sequence ${number}, slot ${slot}`);
      for (const slot of present) index.remove(slot);
      if (index.longestRun() !== 0) throw new Error(`sequence ${number} leaves something behind`);
    }
    expect(index.assertInvariants().size).toBe(0);
  });

  it('spreads random ids: runs stay short, and growth comes in small parts', () => {
    const random = seeded(2);
    const ids = new Uint32Array(60_000 * 4).map(() => Math.floor(random() * 2 ** 32));
    const index = new IdIndex({ ids });
    let longest = 0;
    for (let slot = 0; slot < 60_000; slot++) {
      index.add(slot);
      if (slot % 5_000 === 0) longest = Math.max(longest, index.longestRun());
    }
    expect(longest).toBeLessThan(250);
    expect(index.memoryBytes / 60_000).toBeLessThan(7.2);
    expect(index.assertInvariants().size).toBe(60_000);
  });
});
