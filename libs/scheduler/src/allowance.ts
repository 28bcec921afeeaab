/** What is left for a tenth of a second stays allowed: the dispatcher comes by at intervals. */
const KEPT_MS = 100;

/**
 * How much of something may be done, at a rate.
 *
 * A1. In any span of t seconds, at most `perSecond × (t + 0.1)` is used.
 */
export class Allowance {
  readonly #perMs: number;
  #left = 0;
  #atMs = -Infinity;

  constructor(perSecond: number) {
    this.#perMs = perSecond / 1_000;
  }

  /** What may be used at `nowMs`, on a clock that never steps. */
  at(nowMs: number): number {
    const passedMs = Math.min(KEPT_MS, nowMs - this.#atMs);
    this.#left = Math.min(this.#left + passedMs * this.#perMs, KEPT_MS * this.#perMs);
    this.#atMs = nowMs;
    return Math.floor(this.#left);
  }

  use(count: number): void {
    this.#left -= count;
  }
}
