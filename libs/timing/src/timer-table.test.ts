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

  it('makes room at once for as many as are said, before and between them, and takes more all the same', () => {
    const table = new TimerTable({ tickMs: 1, startMs: 0 });
    const random = seeded(2);
    const slots = new Map<string, number>();
    const add = (timers: number): void => {
      for (let at = 0; at < timers; at++) {
        const id = someId(random);
        const slot = table.addWords(...id);
        table.state[slot] = WAITING;
        slots.set(hex(id), slot);
      }
    };
    add(100);
    table.reserve(5_000);
    const { capacity, memoryBytes } = table;
    expect(capacity).toBe(5_000);
    add(4_900);
    expect([table.capacity, table.memoryBytes / memoryBytes < 1.02]).toEqual([capacity, true]);
    table.reserve(4_000);
    add(1_000);
    expect([...slots].filter(([id, slot]) => table.find(id) !== slot)).toEqual([]);
    table.assertInvariants();
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
