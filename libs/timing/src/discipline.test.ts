import { describe, expect, it } from 'vitest';
import { DisciplinedClock, type ClockStep } from './discipline.ts';
import { seeded } from './testing.ts';

const T0 = 1_790_000_000_000;

/** A machine whose clocks do what they do in the field; its own time goes by in readings of some ms. */
class Machine {
  readonly #random: () => number;
  readonly #clock: DisciplinedClock;
  readonly steps: ClockStep[] = [];
  monotonicMs = 5_000.25;
  /** The wall clock with its fractions; programs see whole ms. */
  exactMs = T0;
  now = T0;

  constructor(seed: number) {
    this.#random = seeded(seed);
    this.#clock = new DisciplinedClock(this.monotonicMs, T0);
  }

  get wallMs(): number {
    return Math.floor(this.exactMs);
  }

  get aheadMs(): number {
    return this.#clock.aheadMs;
  }

  /** `slew`: how much faster the wall clock runs, in parts. */
  pass(ms: number, slew = 0): void {
    this.monotonicMs += ms;
    this.exactMs += ms * (1 + slew);
    this.now = this.#clock.read(this.monotonicMs, this.wallMs, (step) => this.steps.push(step));
  }

  restart(): void {
    this.#clock.restart(this.monotonicMs, this.wallMs);
  }

  /** Mostly readings, sometimes a step, a sleep of the machine, or a while of slewing. */
  anything(): { readonly jumpedMs: number } {
    const kind = this.#random();
    let jumpedMs = 0;
    if (kind < 0.02) jumpedMs = (this.#random() - 0.5) * 2 ** (this.#random() * 24);
    else if (kind < 0.03) jumpedMs = this.#random() * 3_600_000; // suspend: the monotonic clock stands still meanwhile
    this.exactMs += jumpedMs;
    this.pass(this.#random() < 0.05 ? this.#random() * 2_000 : this.#random() * 5, (this.#random() - 0.5) * 0.01);
    return { jumpedMs };
  }
}

describe('the disciplined clock', () => {
  it.each(Array.from({ length: 40 }, (_, seed) => seed))('keeps its rules through anything, seed %i', (seed) => {
    const machine = new Machine(seed);
    for (let turn = 0; turn < 5_000; turn++) {
      const before = { now: machine.now, aheadMs: machine.aheadMs };
      const { jumpedMs } = machine.anything();
      const { now, wallMs, aheadMs } = machine;
      expect(now).toBeGreaterThanOrEqual(before.now); // T1
      expect(Number.isInteger(now)).toBe(true);
      if (now > wallMs) {
        expect(aheadMs).toBeGreaterThan(0); // T2: whoever fires is told to wait…
        expect(now).toBe(before.now); // … and it stands still
      } else {
        expect(wallMs - now).toBeLessThanOrEqual(51); // T3, T4
      }
      if (jumpedMs > 60 && before.aheadMs === 0) expect(now).toBe(wallMs); // T3
    }
  });

  it('runs with the wall clock where nothing happens, and tells no step', () => {
    const machine = new Machine(1);
    for (let turn = 0; turn < 10_000; turn++) {
      machine.pass(1.7, 0.0005);
      expect(machine.wallMs - machine.now).toBeLessThanOrEqual(1);
      expect(machine.aheadMs).toBeLessThan(1);
    }
    expect(machine.steps).toEqual([]);
  });

  it('catches up with a small difference over some readings, not in one', () => {
    const machine = new Machine(1);
    machine.pass(100);
    machine.exactMs += 40;
    machine.pass(10);
    expect(machine.wallMs - machine.now).toBeGreaterThan(35);
    for (let turn = 0; turn < 40; turn++) machine.pass(10);
    expect(machine.wallMs - machine.now).toBeLessThanOrEqual(1);
  });

  it('moves at once when the wall clock is set forward, or the machine slept', () => {
    const machine = new Machine(1);
    machine.pass(100);
    machine.exactMs += 3_600_000;
    machine.pass(2);
    expect(machine.now).toBe(machine.wallMs);
    expect(machine.steps).toEqual([{ kind: 'forward', byMs: 3_600_000 }]);
  });

  it('stands still when the wall clock is set back, until that has come to it again', () => {
    const machine = new Machine(1);
    machine.pass(100);
    const held = machine.now;
    machine.exactMs -= 1_000;
    machine.pass(0);
    expect(machine.steps).toEqual([{ kind: 'back', byMs: 1_000 }]);
    for (let turn = 0; turn < 99; turn++) {
      machine.pass(10);
      expect(machine.now).toBe(held);
    }
    expect(machine.aheadMs).toBe(10);
    machine.pass(20);
    expect(machine.aheadMs).toBe(0);
    expect(machine.now).toBe(held + 10);
  });

  it('begins anew at a wall clock in the past when its host says that nobody fires', () => {
    const machine = new Machine(1);
    machine.exactMs -= 86_400_000;
    machine.pass(5);
    expect(machine.now).toBe(T0);
    machine.restart();
    expect(machine.aheadMs).toBe(0);
    machine.pass(5);
    expect(machine.now).toBe(machine.wallMs);
  });
});
