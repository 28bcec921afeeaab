import { describe, expect, it } from 'vitest';
import { SlotList, SlotLists } from './slot-lists.ts';
import { seeded } from './testing.ts';
import { TimingWheel } from './wheel.ts';

/** The same by a plain map, in the order of ticks. */
class Model {
  readonly due = new Map<number, number>();
  readonly tickMs: number;

  constructor(tickMs: number) {
    this.tickMs = tickMs;
  }

  tickOf(slot: number): number {
    return Math.ceil((this.due.get(slot) as number) / this.tickMs);
  }

  dueAt(nowMs: number): Set<number> {
    const tick = Math.floor(nowMs / this.tickMs);
    return new Set([...this.due.keys()].filter((slot) => this.tickOf(slot) <= tick));
  }
}

/** Distances from the next millisecond to centuries, so that every level is used. */
function someDelay(random: () => number): number {
  return Math.floor(2 ** (random() * 44)) + (random() < 0.2 ? -50 : 0);
}

function walk(
  seed: number,
  steps: number,
  capacity: number,
  tickMs: number,
  jump: (random: () => number) => number,
): void {
  const random = seeded(seed);
  let now = 1.7e12 + Math.floor(random() * 1e9);
  const wheel = new TimingWheel({ tickMs, startMs: now, capacity: 8 });
  wheel.ensureCapacity(capacity);
  const model = new Model(tickMs);
  for (let step = 0; step < steps; step++) {
    const slot = Math.floor(random() * capacity);
    const dice = random();
    if (dice < 0.5) {
      const due = now + someDelay(random);
      wheel.reschedule(slot, due);
      model.due.set(slot, due);
      expect(wheel.dueOf(slot)).toBe(due);
    } else if (dice < 0.65) {
      expect(wheel.cancel(slot)).toBe(model.due.delete(slot));
    } else {
      const opened = Math.floor(now / tickMs);
      let last = opened;
      now += jump(random);
      const limit = random() < 0.3 ? Math.floor(random() * 4) : Infinity;
      const moves = random() < 0.3 ? Math.floor(random() * 40) : Infinity;
      const expected = model.dueAt(now);
      expect(expected.size === 0 || wheel.nextDueMs <= now).toBe(true);
      const take = (taken: number) => {
        const tick = model.tickOf(taken);
        if (tick > opened) expect(tick).toBeGreaterThanOrEqual(last);
        last = Math.max(last, tick);
        expect([wheel.has(taken), wheel.dueOf(taken)]).toEqual([false, model.due.get(taken)]);
        expect(expected.delete(taken)).toBe(true);
        model.due.delete(taken);
      };
      const fired = wheel.advance(now, take, limit, moves);
      expect(fired).toBeLessThanOrEqual(limit);
      if (fired < limit && (moves === Infinity || wheel.nextDueMs > now)) expect([...expected]).toEqual([]);
      if (fired < limit && moves === Infinity) expect(wheel.nextDueMs).toBeGreaterThan(now);
    }
    expect(wheel.size).toBe(model.due.size);
    if (step % 16 === 0) wheel.assertInvariants();
  }
}

describe('TimingWheel', () => {
  it('agrees with a plain map over random walks of small steps', () => {
    for (let seed = 1; seed <= 40; seed++) walk(seed, 400, 48, 10, (random) => Math.floor(random() * 40));
  });

  it('agrees with a plain map over random walks of any steps', () => {
    for (let seed = 100; seed <= 160; seed++) walk(seed, 400, 64, 10, (random) => Math.floor(2 ** (random() * 40)));
  });

  it('agrees with a plain map where up to thousands skip levels at once', () => {
    for (let seed = 200; seed < 208; seed++) {
      const random = seeded(seed);
      let now = 1.7e12 + Math.floor(random() * 1e9);
      const wheel = new TimingWheel({ tickMs: 1, startMs: now, capacity: 6_000 });
      const model = new Model(1);
      // Within two blocks of level 1 or of level 2: several buckets of more and of fewer slots than skip.
      const span = [128, 1_000, 8_192, 60_000][seed % 4] as number;
      for (let round = 0; round < 60; round++) {
        const count = Math.floor(2 ** (random() * 10));
        for (let at = 0; at < count; at++) {
          const slot = Math.floor(random() * 6_000);
          const due = now + 1 + Math.floor(random() * span);
          if (random() < 0.9) wheel.reschedule(slot, due);
          else wheel.cancel(slot);
          if (wheel.has(slot)) model.due.set(slot, due);
          else model.due.delete(slot);
        }
        now += Math.floor(random() * span * 0.2);
        const expected = model.dueAt(now);
        let last = 0;
        wheel.advance(now, (slot) => {
          const isInOrder = model.tickOf(slot) >= last;
          last = model.tickOf(slot);
          if (!isInOrder || !expected.delete(slot) || !model.due.delete(slot))
            throw new Error(`seed ${seed}: ${slot} is too early`);
        });
        expect([expected.size, wheel.size]).toEqual([0, model.due.size]);
        wheel.assertInvariants();
      }
    }
  });

  it('agrees with a plain map at other ticks', () => {
    for (const tickMs of [1, 3, 7, 1000]) walk(tickMs, 1500, 64, tickMs, (random) => Math.floor(2 ** (random() * 30)));
  });

  it('fires each of two thousand timers within its tick, in the order of ticks', () => {
    const random = seeded(7);
    const start = 1.8e12;
    const wheel = new TimingWheel({ tickMs: 10, startMs: start, capacity: 2000 });
    const due = Float64Array.from({ length: 2000 }, () => start + 1 + Math.floor(random() * 60_000));
    due.forEach((at, slot) => wheel.insert(slot, at));
    let last = 0;
    for (let now = start; now <= start + 60_010; now += 10)
      wheel.advance(now, (slot) => {
        const at = due[slot] as number;
        expect(now - at).toBeGreaterThanOrEqual(0);
        expect(now - at).toBeLessThan(10);
        expect(Math.ceil(at / 10)).toBeGreaterThanOrEqual(last);
        last = Math.ceil(at / 10);
      });
    expect(wheel.size).toBe(0);
  });

  it('fires in the order of ticks when it jumps', () => {
    const random = seeded(11);
    const wheel = new TimingWheel({ tickMs: 10, startMs: 0, capacity: 3000 });
    const due = Float64Array.from({ length: 3000 }, () => Math.floor(2 ** (random() * 40)));
    due.forEach((at, slot) => wheel.insert(slot, at));
    const order: number[] = [];
    expect(wheel.advance(2 ** 41, (slot) => order.push(Math.ceil((due[slot] as number) / 10)))).toBe(3000);
    expect(order).toEqual([...order].sort((a, b) => a - b));
  });

  it('is exhaustive around the boundaries of levels', () => {
    for (const boundary of [64, 128, 64 ** 2, 2 * 64 ** 2, 64 ** 3, 64 ** 5, 2 * 64 ** 5, 64 ** 6])
      for (let from = boundary - 3; from <= boundary + 1; from++)
        for (let due = boundary - 2; due <= boundary + 131; due++) {
          const wheel = new TimingWheel({ tickMs: 1, startMs: from, capacity: 1 });
          wheel.insert(0, due);
          wheel.assertInvariants();
          expect(wheel.nextDueMs).toBeLessThanOrEqual(Math.max(due, from));
          expect(wheel.advance(due - 1, () => undefined)).toBe(due <= from && due - 1 >= from ? 1 : 0);
          expect(wheel.advance(Math.max(due, from), () => undefined)).toBe(1);
        }
  });

  it('takes a tick with many due timers in slices, and goes on where it stopped', () => {
    const wheel = new TimingWheel({ tickMs: 10, startMs: 0, capacity: 1000 });
    for (let slot = 0; slot < 1000; slot++) wheel.insert(slot, 500_000);
    const order: number[] = [];
    const fired = [600, 600, 600].map((limit) => wheel.advance(500_000, (slot) => order.push(slot), limit));
    expect(fired).toEqual([600, 400, 0]);
    expect(new Set(order).size).toBe(1000);
  });

  it('lets the callback arm, cancel and queue', () => {
    const wheel = new TimingWheel({ tickMs: 10, startMs: 0, capacity: 4 });
    const backlog = new SlotList();
    // Of one tick, the last that was armed goes first.
    wheel.insert(1, 100);
    wheel.insert(0, 100);
    wheel.insert(2, 130);
    const seen: number[] = [];
    wheel.advance(200, (slot) => {
      seen.push(slot);
      if (seen.length === 1) {
        wheel.cancel(1);
        wheel.insert(0, 115);
        wheel.insert(3, 125);
      }
      if (slot === 2) wheel.lists.pushBack(backlog, slot);
      if (seen.length === 2) wheel.insert(0, 1_000);
    });
    expect(seen).toEqual([0, 0, 3, 2]);
    expect(wheel.print()).toBe(['tick 20, 1 armed', 'level 0, tick 100: 0'].join('\n'));
    expect([wheel.lists.shift(backlog), wheel.dueOf(2), backlog.size]).toEqual([2, 130, 0]);
  });

  it('does not fire early when the clock steps back', () => {
    const wheel = new TimingWheel({ tickMs: 10, startMs: 10_000, capacity: 2 });
    wheel.insert(0, 5_000);
    wheel.insert(1, 7_000);
    const fired: number[] = [];
    for (const now of [4_999, 6_000, 6_999]) wheel.advance(now, (slot) => fired.push(slot));
    expect(fired).toEqual([0]);
    expect(wheel.advance(10_001, () => undefined)).toBe(1);
  });

  it('empties a big far bucket bit by bit before its time', () => {
    const count = 20_000;
    const wheel = new TimingWheel({ tickMs: 10, startMs: 0, capacity: count });
    const random = seeded(3);
    // All in one block of level 3 (262,144 ticks), two blocks ahead.
    for (let slot = 0; slot < count; slot++) wheel.insert(slot, 10 * (2 * 64 ** 3 + Math.floor(random() * 64 ** 3)));
    const lines = () => wheel.print().split('\n');
    wheel.advance(10 * (64 ** 3 + 1), () => undefined);
    const heldAt = (tick: number) => {
      wheel.advance(10 * tick, () => undefined);
      return (
        lines()
          .find((line) => line.startsWith('level 3'))
          ?.split(' ').length ?? 0
      );
    };
    expect(heldAt(64 ** 3 * 1.25)).toBeLessThan(count * 0.8);
    for (let tick = 64 ** 3 * 1.25; tick < 64 ** 3 * 2; tick += 64) wheel.advance(10 * tick, () => undefined);
    // The last few go when the block begins.
    expect(heldAt(2 * 64 ** 3 - 1)).toBeLessThan(300);
    expect(wheel.size).toBe(count);
    wheel.assertInvariants();
  });

  it('moves a bounded number of timers a call, and goes on, where the clock leaps over big far buckets', () => {
    const count = 20_000;
    const random = seeded(5);
    const wheel = new TimingWheel({ tickMs: 1, startMs: 0, capacity: count });
    const block = 64 ** 3;
    for (let slot = 0; slot < count; slot++) wheel.insert(slot, 2 * block + Math.floor(random() * block));
    const nowMs = 2.5 * block;
    const fired: number[] = [];
    let calls = 0;
    for (; wheel.nextDueMs <= nowMs; calls++) {
      const before = fired.length;
      wheel.advance(nowMs, (slot) => fired.push(wheel.dueOf(slot)), 500, 1_000);
      expect(fired.length - before).toBeLessThanOrEqual(500);
      wheel.assertInvariants();
    }
    // 20,000 moves by 1,000 or a few more, and then 10,000 fires by 500.
    expect(calls).toBeGreaterThan(38);
    expect(calls).toBeLessThan(70);
    expect(fired.length + wheel.size).toBe(count);
    expect(fired).toEqual(fired.toSorted((one, other) => one - other));
  });

  it('fires what is due in the first tick of a big far bucket, where the clock leaps to it', () => {
    const wheel = new TimingWheel({ tickMs: 1, startMs: 0, capacity: 6_000 });
    const block = 64 ** 3;
    for (let slot = 0; slot < 6_000; slot++)
      wheel.insert(slot, block * (2 + Math.floor(slot / 1_000)) + (slot % 1_000));
    let fired = 0;
    wheel.advance(block * 7 + 999, () => fired++);
    expect(fired).toBe(6_000);
  });

  it('opens a block for which there is no room among the soonest', () => {
    const wheel = new TimingWheel({ tickMs: 1, startMs: 0, capacity: 2_300 });
    let [slot, fired, now] = [0, 0, 0];
    // As many as are few go to the soonest from each higher level, and stay there until their blocks end.
    for (let level = 6; level > 1; level--) {
      const span = 64 ** level;
      for (let more = 0; more < 256; more++) wheel.insert(slot++, now + 3 * span - 1);
      wheel.advance((now += 2 * span), () => fired++);
    }
    for (let more = 0; more < 1_000; more++) wheel.insert(slot++, now + 128 + (more % 64));
    wheel.advance(now + 128, () => fired++);
    wheel.assertInvariants();
    expect(fired).toBe(16);
    wheel.advance(3 * 64 ** 6, () => fired++);
    expect(fired).toBe(slot);
  });

  it('peeks at what is due in a span', () => {
    const wheel = new TimingWheel({ tickMs: 10, startMs: 0, capacity: 100 });
    const random = seeded(5);
    const due = Array.from({ length: 100 }, () => Math.floor(random() * 100_000));
    due.forEach((at, slot) => wheel.insert(slot, at));
    for (const [from, to] of [
      [0, 100_000],
      [500, 20_000],
      [19_995, 20_005],
      [-1, 0],
    ] as const) {
      const seen: number[] = [];
      wheel.peek(from, to, (slot) => seen.push(slot));
      const expected = due.flatMap((at, slot) => (at > from && at <= to ? [slot] : []));
      expect(seen.sort((a, b) => a - b)).toEqual(expected);
    }
  });

  it('refuses what it cannot hold', () => {
    const wheel = new TimingWheel({ tickMs: 10, startMs: 0, capacity: 2 });
    const backlog = new SlotList();
    wheel.insert(0, 50);
    expect(() => wheel.insert(0, 60)).toThrow('already');
    expect(() => wheel.insert(2, 60)).toThrow('capacity');
    for (const due of [NaN, -1, Infinity, 2 ** 49]) expect(() => wheel.insert(1, due)).toThrow(RangeError);
    expect(() => wheel.lists.pushBack(backlog, 0)).toThrow('already');
    expect(() => wheel.lists.remove(backlog, 0)).toThrow('not in this list');
    expect(wheel.cancel(1)).toBe(false);
    expect(wheel.dueOf(1)).toBeNaN();
    wheel.assertInvariants();
  });

  it('takes no more than 12 KB empty and 20.4 bytes an armed slot, and grows by an eighth at most, in place', () => {
    expect(new TimingWheel({ tickMs: 10, startMs: 0, capacity: 0 }).memoryBytes).toBeLessThan(12_000);
    const wheel = new TimingWheel({ tickMs: 10, startMs: 0, capacity: 80_000 });
    const { due, entries } = wheel.lists;
    for (let slot = 0; slot < 80_000; slot++) wheel.insert(slot, 5 + slot * 1_000);
    expect(wheel.memoryBytes).toBeLessThan(80_000 * 20.4 + 80_000);
    wheel.ensureCapacity(80_001);
    expect(wheel.capacity).toBe(88_192);
    expect(wheel.lists.due === due).toBe(true);
    expect(wheel.lists.entries.buffer.resizable && !entries.buffer.resizable).toBe(true);
    wheel.insert(88_191, 7);
    expect([wheel.dueOf(79_999), wheel.dueOf(88_190), wheel.lists.isFree(88_190), wheel.lists.isFree(88_191)]).toEqual([
      79_999_005,
      NaN,
      true,
      false,
    ]);
    wheel.assertInvariants();
  });

  it('puts few timers of a far bucket in order when its block begins, past the levels below', () => {
    const wheel = new TimingWheel({ tickMs: 1, startMs: 0, capacity: 200 });
    const start = 2 * 64 ** 3;
    for (let slot = 0; slot < 6; slot++) wheel.insert(slot, start + ((slot * 7) % 6) * 1_000);
    wheel.advance(start - 1, () => undefined);
    expect(wheel.print().split('\n')[1]).toMatch(/^level 3/);
    const fired: number[] = [];
    wheel.advance(start, (slot) => fired.push(slot));
    expect(fired).toEqual([0]);
    expect(wheel.print().split('\n')[1]).toBe(
      `soon: ${[1, 2, 3, 4, 5].map((slot) => `${slot} at ${start + slot * 1_000}`).join(', ')}`,
    );
    wheel.cancel(3);
    wheel.reschedule(5, start + 500);
    wheel.assertInvariants();
    wheel.advance(start + 2_500, (slot) => fired.push(slot), 2);
    expect([fired, wheel.nextDueMs]).toEqual([[0, 5, 1], start + 2_000]);
    wheel.advance(start + 10_000, (slot) => fired.push(slot));
    expect(fired).toEqual([0, 5, 1, 2, 4]);
  });
});

describe('SlotLists', () => {
  it('keeps order and takes out of the middle', () => {
    const lists = new SlotLists(8);
    const [a, b] = [new SlotList(), new SlotList()];
    for (const slot of [5, 1, 3]) lists.pushBack(a, slot);
    lists.pushBack(b, 2);
    lists.remove(a, 1);
    expect(() => lists.remove(b, 5)).toThrow('not in this list');
    lists.pushBack(a, 1);
    expect([lists.shift(a), lists.shift(a), lists.shift(a), lists.shift(a), a.size]).toEqual([5, 3, 1, -1, 0]);
    expect([lists.shift(b), lists.isFree(2)]).toEqual([2, true]);
  });

  it('agrees with arrays over random walks, and gives chunks back', () => {
    for (let seed = 1; seed <= 30; seed++) {
      const random = seeded(seed);
      const lists = new SlotLists(300);
      const pairs = [0, 1, 2].map(() => ({ list: new SlotList(), model: [] as number[] }));
      const pick = () => pairs[Math.floor(random() * 3)] as (typeof pairs)[number];
      for (let step = 0; step < 4_000; step++) {
        const { list, model } = pick();
        const growing = Math.sin(step / 300) > 0;
        const slot = Math.floor(random() * 300);
        if (random() < (growing ? 0.7 : 0.3)) {
          if (lists.isFree(slot)) {
            lists.pushBack(list, slot);
            model.push(slot);
          }
        } else if (random() < 0.5) {
          expect(lists.shift(list)).toBe(model.shift() ?? -1);
        } else if (model.length > 0) {
          const [taken] = model.splice(Math.floor(random() * model.length), 1);
          lists.remove(list, taken as number);
        }
        expect([list.head, list.size]).toEqual([model[0] ?? -1, model.length]);
        if (step % 50 === 0) for (const pair of pairs) expect([...lists.slots(pair.list)]).toEqual(pair.model);
      }
      // 300 slots, each alone in a chunk at worst, and three chunks that are not full.
      expect(lists.memoryBytes).toBeLessThan(300 * 16 + 303 * 128 * 1.125);
      for (const { list, model } of pairs) while (model.length > 0) expect(lists.shift(list)).toBe(model.shift());
      const before = lists.memoryBytes;
      for (let slot = 0; slot < 30; slot++) lists.pushBack((pairs[0] as (typeof pairs)[number]).list, slot);
      expect(lists.memoryBytes).toBe(before);
    }
  });

  it('does not grow while slots come and go behind one that stays', () => {
    const lists = new SlotLists(3);
    const list = new SlotList();
    lists.pushBack(list, 0);
    for (let round = 0; round < 1_000; round++) {
      lists.pushBack(list, 1);
      lists.pushBack(list, 2);
      lists.remove(list, 1);
      lists.remove(list, 2);
    }
    expect([...lists.slots(list)]).toEqual([0]);
    expect(lists.memoryBytes).toBeLessThan(3 * 16 + 6 * 128);
  });
});
