import { describe, expect, it } from 'vitest';
import { SoonTimers } from './soon-timers.ts';
import { seeded } from './testing.ts';

describe('SoonTimers', () => {
  it('agrees with a sorted array, whatever blocks begin and however many timers they bring', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const random = seeded(seed);
      const soon = new SoonTimers();
      const tickOf = new Map<number, number>();
      const take = (slot: number) => {
        if (!tickOf.delete(slot)) throw new Error(`seed ${seed}: slot ${slot} is not here`);
      };
      let now = 64 ** 4 * 100_000;
      let slots = 0;
      for (let round = 0; round < 60; round++) {
        // The next block of some level begins; what is before it has fired.
        const level = 1 + Math.floor(random() * 4);
        const span = 64 ** level;
        now = (Math.floor(now / span) + 1) * span;
        while (soon.first < now) {
          const first = soon.first;
          const slot = soon.pop();
          if (tickOf.get(slot) !== first) throw new Error(`seed ${seed}: slot ${slot} is not of tick ${first}`);
          take(slot);
        }
        expect([...tickOf.values()].filter((tick) => tick < now)).toEqual([]);
        const from = soon.size;
        const count = Math.min(soon.room, Math.floor(2 ** (random() * 11)));
        soon.reserve(count);
        for (let at = 0; at < count; at++) {
          const tick = now + Math.floor(random() * (random() < 0.1 ? 3 : span));
          tickOf.set(slots, tick);
          soon.append(slots++, tick);
        }
        soon.settle(from, level);
        for (const [slot, tick] of tickOf) {
          if (random() > 0.05) continue;
          soon.remove(slot, tick);
          take(slot);
        }
        expect(soon.size).toBe(tickOf.size);
        soon.assertInvariants((slot) => tickOf.get(slot) as number);
      }
    }
  });
});
