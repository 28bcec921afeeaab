import type { UnwatchedRow } from '@belfry/ports';
import { LIMITS } from '@belfry/protocol';

/** A span of time in which nobody watched a shard: what came due in (fromMs, untilMs] was found 60 s late or later, at `foundMs`. */
export interface Gap {
  readonly fromMs: number;
  readonly untilMs: number;
  readonly foundMs: number;
}

/**
 * The spans of time in which nobody watched a shard. A fire in one of them was missed; one that came due in time was not, however long it has
 * waited for a worker since.
 *
 * G1. Gaps are disjoint and in order, and end 60 s before the last look or earlier.
 * G2. A gap is kept, in checkpoints too, while a task may have its pointer in it; of many, the latest `LIMITS.gaps`. Fires in one that is
 *     forgotten count as punctual: they run.
 */
export class Gaps {
  #spans: readonly (readonly [fromMs: number, untilMs: number])[];
  #seenMs: number;

  /** `spans` and `watermarkMs` as the last checkpoint has them: up to there, somebody watched. */
  constructor(spans: readonly (readonly [number, number])[], watermarkMs: number) {
    // A gap that the last owner had not gone through whole is found again.
    this.#spans = spans.filter(([, untilMs]) => untilMs <= watermarkMs - LIMITS.catchUpAfterMs);
    this.#seenMs = watermarkMs;
  }

  /** As a checkpoint keeps them. */
  get spans(): readonly (readonly [fromMs: number, untilMs: number])[] {
    return this.#spans;
  }

  /** Somebody looks at `nowMs`: what came due since the last look is seen from now on. Returns the gap that this has found. */
  look(nowMs: number): UnwatchedRow | undefined {
    const untilMs = nowMs - LIMITS.catchUpAfterMs;
    const isGap = untilMs > this.#seenMs;
    if (isGap) this.#spans = joined(this.#spans, [this.#seenMs, untilMs]).slice(-LIMITS.gaps);
    if (nowMs > this.#seenMs) this.#seenMs = nowMs;
    return isGap ? { fromMs: this.#spans.at(-1)?.[0] ?? untilMs, untilMs, foundMs: nowMs } : undefined;
  }

  /** No task has its pointer in the past (G2). */
  forget(): void {
    if (this.#spans.length > 0) this.#spans = [];
  }

  /** The gap in which a fire was missed, as it stands at `nowMs`; undefined for one that was not, or is less than 60 s late. */
  of(fireMs: number, nowMs: number): Gap | undefined {
    const lateMs = nowMs - LIMITS.catchUpAfterMs;
    if (fireMs > lateMs) return undefined;
    if (fireMs > this.#seenMs) return { fromMs: this.#seenMs, untilMs: lateMs, foundMs: nowMs };
    const span = this.#spans.findLast(([fromMs, untilMs]) => fireMs > fromMs && fireMs <= untilMs);
    if (span === undefined) return undefined;
    // A clock that was ahead may have made a gap that ends in what is the future by now.
    const untilMs = Math.min(span[1], lateMs);
    return { fromMs: span[0], untilMs, foundMs: untilMs + LIMITS.catchUpAfterMs };
  }

  /** Throws where G1 does not hold. */
  assertInvariants(): void {
    let endMs = -Infinity;
    for (const [fromMs, untilMs] of this.#spans) {
      if (!(fromMs >= endMs && fromMs < untilMs && untilMs <= this.#seenMs - LIMITS.catchUpAfterMs))
        throw new Error(`G1: a gap from ${fromMs} to ${untilMs} after ${endMs}, seen ${this.#seenMs}`);
      endMs = untilMs;
    }
  }
}

/** A node that died in the middle of a gap leaves it to the next one, which finds it longer. */
function joined(
  spans: readonly (readonly [number, number])[],
  [fromMs, untilMs]: readonly [number, number],
): readonly (readonly [number, number])[] {
  const before = spans.filter(([, end]) => end <= fromMs);
  const begin = spans.find(([, end]) => end > fromMs)?.[0] ?? fromMs;
  return [...before, [Math.min(begin, fromMs), untilMs]];
}
