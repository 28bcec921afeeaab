import { describe, expect, it } from 'vitest';
import { TimingWheel } from './wheel.ts';

type Step = (world: World) => void;

/** A wheel of two slots next to an array that is sorted by due time; ticks are milliseconds. */
class World {
  readonly wheel = new TimingWheel({ tickMs: 1, startMs: 0, capacity: 2 });
  now = 0;
  sorted: { readonly slot: number; readonly due: number }[] = [];

  arm(slot: number, due: number): void {
    this.wheel.reschedule(slot, due);
    this.sorted = this.sorted.filter((timer) => timer.slot !== slot);
    this.sorted.push({ slot, due });
    this.sorted.sort((a, b) => a.due - b.due);
  }

  cancel(slot: number): void {
    const isArmed = this.sorted.some((timer) => timer.slot === slot);
    if (this.wheel.cancel(slot) !== isArmed) throw new Error(`cancel of ${slot} tells that it was armed: ${!isArmed}`);
    this.sorted = this.sorted.filter((timer) => timer.slot !== slot);
  }

  advance(now: number): void {
    const before = this.now;
    this.now = now;
    const expected = this.sorted.filter(({ due }) => due <= now);
    const fired: { slot: number; due: number }[] = [];
    this.wheel.advance(now, (slot) => fired.push({ slot, due: this.wheel.dueOf(slot) }));
    this.sorted = this.sorted.filter(({ due }) => due > now);
    // What was due before it was armed fires in the order of arming; timers of one instant in any order.
    const isOrdered = fired.every(({ due }, at) => at === 0 || Math.max(due, before) >= (fired[at - 1]?.due ?? 0));
    const isSame =
      fired.length === expected.length && expected.every((one) => fired.some(({ slot }) => slot === one.slot));
    if (!isSame || !isOrdered) throw new Error(`fired ${JSON.stringify(fired)}, due were ${JSON.stringify(expected)}`);
  }

  check(): void {
    this.wheel.assertInvariants();
    const first = this.sorted[0]?.due ?? Infinity;
    if (this.wheel.nextDueMs > Math.max(first, this.now) || this.wheel.size !== this.sorted.length)
      throw new Error(`next ${this.wheel.nextDueMs}, first due ${first}, ${this.wheel.size} armed`);
  }
}

/** Around the spans of the first levels: 64 and 4096 ticks, twice that for the ring. */
const DELAYS = [0, 1, 64, 65, 4_097, 8_193];
const ADVANCES = [1, 63, 64, 4_095];
const STEPS: readonly (readonly [string, Step])[] = [
  ...[0, 1].flatMap((slot) =>
    DELAYS.map((delay) => [`arm ${slot} in ${delay}`, (w: World) => w.arm(slot, w.now + delay)] as const),
  ),
  ...[0, 1].map((slot) => [`cancel ${slot}`, (w: World) => w.cancel(slot)] as const),
  ...ADVANCES.map((ms) => [`advance ${ms}`, (w: World) => w.advance(w.now + ms)] as const),
];
const LENGTH = 4;
/** Around a boundary of level 3, so that sequences begin at its start, and cross it. */
const OFFSETS = [-65, 0];

describe('TimingWheel, all sequences', () => {
  it(`agrees with a sorted array over every sequence of ${LENGTH} arms, cancels and advances`, () => {
    const world = new World();
    let sequences = 0;
    for (const offset of OFFSETS)
      for (let number = 0; number < STEPS.length ** LENGTH; number++) {
        const taken: string[] = [];
        try {
          world.advance((Math.floor(world.now / 64 ** 3) + 2) * 64 ** 3 + offset);
          for (let rest = number, at = 0; at < LENGTH; at++, rest = Math.floor(rest / STEPS.length)) {
            const [name, step] = STEPS[rest % STEPS.length] as (typeof STEPS)[number];
            taken.push(name);
            step(world);
          }
          world.check();
          // Tick by tick over the nearest, then to what is left.
          for (let tick = 0; tick < 3; tick++) world.advance(world.now + 1);
          world.advance(world.now + 9_000);
          sequences++;
        } catch (error) {
          throw new Error(`at ${offset}: ${taken.join(', ')}: ${String(error)}\n${world.wheel.print()}`, {
            cause: error,
          });
        }
      }
    expect(sequences).toBe(OFFSETS.length * STEPS.length ** LENGTH);
    expect(world.wheel.size).toBe(0);
  });
});
