import type { Timers } from '@belfry/actor-runtime';
import { DisciplinedClock } from '@belfry/timing';
import { Machine, type Service } from './machine.ts';
import type { VirtualTime } from './virtual-time.ts';

/** When the worlds begin, ms since 1970. */
export const T0 = 1_790_000_000_000;

/**
 * One process of the simulated cluster: what runs in it runs as long as it lives, and waits while it is paused. Its memory is gone with
 * it: nothing that was promised to a dead process is ever settled.
 *
 * P1. Nothing happens in a dead process.
 * P2. What comes to a paused process happens when it goes on, in the order in which it came.
 * P3. It goes on when all of its pauses have ended.
 */
export class Process implements Timers {
  readonly name: string;
  readonly machine: Machine;
  readonly #time: VirtualTime;
  readonly #disciplined: DisciplinedClock;
  /** When what was sent last to a service, and by it, arrives: a connection keeps the order. */
  readonly arrivals = { out: new Map<Service, number>(), in: new Map<Service, number>() };
  #offsetMs = 0;
  #mostOffsetMs = 0;
  #isAlive = true;
  #pauses = 0;
  #held: (() => void)[] | undefined;

  /** `machine`: by default one of its own. */
  constructor(name: string, time: VirtualTime, machine = new Machine()) {
    this.name = name;
    this.machine = machine;
    this.#time = time;
    this.#disciplined = new DisciplinedClock(time.nowMs, this.wall());
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  // — Life

  kill(): void {
    this.#isAlive = false;
    this.#held = undefined;
  }

  /** It stands still until what is returned is called: once. */
  pause(): () => void {
    if (!this.#isAlive) return () => undefined;
    this.#pauses++;
    this.#held ??= [];
    return () => {
      this.#pauses--;
      if (this.#pauses === 0) this.#resume(); // P3
    };
  }

  #resume(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    // Each for itself, as its own turn of the event loop (P2).
    for (const run of held) this.#time.after(0, () => this.happen(run));
  }

  /** Something comes to the process now. */
  happen(run: () => void): void {
    if (!this.#isAlive) return; // P1
    if (this.#held !== undefined) this.#held.push(run);
    else run();
  }

  // — Timers

  readonly after = (ms: number, run: () => void): (() => void) => {
    let cancelled = false;
    const timer = this.#time.after(ms, () => this.happen(() => !cancelled && run()));
    return () => {
      cancelled = true;
      timer.run = undefined;
    };
  };

  readonly every = (ms: number, run: () => void): (() => void) => {
    let cancelled = false;
    const arm = (): void =>
      void this.#time.after(ms, () =>
        this.happen(() => {
          if (cancelled) return;
          arm();
          run();
        }),
      );
    arm();
    return () => {
      cancelled = true;
    };
  };

  readonly soon = (run: () => void): void => {
    this.#time.after(0, () => this.happen(run));
  };

  // — Clocks

  /** Machine's wall clock, ms since 1970. */
  wall(): number {
    return T0 + this.#time.nowMs + this.#offsetMs;
  }

  readonly clock = {
    now: (): number => this.#disciplined.read(this.#time.nowMs, this.wall()),
    isHeld: (): boolean => {
      this.clock.now();
      return this.#disciplined.aheadMs > 0;
    },
    monotonic: (): number => this.#time.nowMs,
  };

  get offsetMs(): number {
    return this.#offsetMs;
  }

  /** How far its wall clock has ever been ahead: so much too early it may act. */
  get mostAheadMs(): number {
    return this.#mostOffsetMs;
  }

  stepClock(byMs: number): void {
    this.#offsetMs += byMs;
    this.#mostOffsetMs = Math.max(this.#mostOffsetMs, this.#offsetMs);
  }

  /** Back to the wall clock: for a process that owns no shards. */
  restartClock(): void {
    this.#disciplined.restart(this.#time.nowMs, this.wall());
  }
}
