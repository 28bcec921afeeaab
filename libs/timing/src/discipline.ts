/** A difference up to here is followed smoothly; one beyond it is a step of the wall clock. */
const STEP_MS = 50;
/** How much faster than the monotonic clock `now` may run to catch up with the wall clock: more than NTP ever slews. */
const CATCH_UP = 1 / 8;

/** How the wall clock moved against the monotonic one. */
export interface ClockStep {
  readonly kind: 'forward' | 'back';
  readonly byMs: number;
}

/**
 * "Now" on the monotonic clock, disciplined by the wall clock. It reads neither: both come in pairs, with each reading.
 *
 * T1. `now` never goes back.
 * T2. `now` is never after the wall clock, unless the wall clock was set back. Then `now` stands still until the wall clock has come to it
 *     again, and `aheadMs` says how far that is. What is due by a `now` that stands still was due by a clock that was wrong: who fires
 *     must wait, or what was created since would fire early.
 * T3. A wall clock that is more than 50 ms ahead was set forward, or the machine slept: `now` is the wall clock at once.
 * T4. A wall clock that is ahead by less is caught up with at an eighth above the speed of the monotonic clock: no slew by NTP is as fast,
 *     so `now` is at most 50 ms behind.
 * T5. Going back is by `restart` alone, for a host that nobody fires on meanwhile, and that counts on nothing that it was told before.
 */
export class DisciplinedClock {
  #nowMs: number;
  #monotonicMs: number;
  #wallMs: number;

  constructor(monotonicMs: number, wallMs: number) {
    this.#nowMs = this.#wallMs = wallMs;
    this.#monotonicMs = monotonicMs;
  }

  /** How far `now` is ahead of the wall clock, as last read: above 0, it stands still (T2). */
  get aheadMs(): number {
    return Math.max(0, this.#nowMs - this.#wallMs);
  }

  /** Reads `now`, in whole ms, as of a reading of both clocks. */
  read(monotonicMs: number, wallMs: number, onStep?: (step: ClockStep) => void): number {
    const elapsedMs = Math.max(0, monotonicMs - this.#monotonicMs);
    if (onStep !== undefined) this.#tellStep(wallMs - this.#wallMs - elapsedMs, onStep);
    const expectedMs = this.#nowMs + elapsedMs;
    const behindMs = wallMs - expectedMs;
    if (behindMs > STEP_MS)
      this.#nowMs = wallMs; // T3
    else this.#nowMs = Math.max(this.#nowMs, Math.min(wallMs, expectedMs + elapsedMs * CATCH_UP)); // T1, T2, T4
    this.#monotonicMs = Math.max(this.#monotonicMs, monotonicMs);
    this.#wallMs = wallMs;
    return Math.floor(this.#nowMs);
  }

  /** Begins anew at the wall clock, which may be in the past (T5). */
  restart(monotonicMs: number, wallMs: number): void {
    this.#nowMs = this.#wallMs = wallMs;
    this.#monotonicMs = monotonicMs;
  }

  #tellStep(byMs: number, onStep: (step: ClockStep) => void): void {
    if (Math.abs(byMs) > STEP_MS) onStep({ kind: byMs > 0 ? 'forward' : 'back', byMs: Math.abs(byMs) });
  }
}
