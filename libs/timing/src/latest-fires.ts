type Next = (afterMs: number) => number;

/** A power of 2, to be halved down to 1 ms. */
const FIRST_STEP_MS = 1_024;

/**
 * The instant after which a schedule has exactly `most` fires up to and including `untilMs`; -Infinity when it has no more than these from
 * `firstMs` on. Goes back in steps that double until one has too many, and halve from there: some times `most` questions, however many
 * fires there are.
 */
export function beforeLatestFires(next: Next, firstMs: number, untilMs: number, most: number): number {
  let fromMs = untilMs;
  let left = most;
  let isNarrowing = false;
  for (let step = FIRST_STEP_MS; step >= 1; step = isNarrowing ? step / 2 : step * 2) {
    if (fromMs < firstMs) return -Infinity;
    const count = countUpTo(next, fromMs - step, fromMs, left + 1);
    if (count > left) isNarrowing = true;
    else {
      fromMs -= step;
      left -= count;
    }
  }
  return fromMs;
}

/** Fires after `afterMs`, up to and including `untilMs`; `limit` when there are as many or more. */
function countUpTo(next: Next, afterMs: number, untilMs: number, limit: number): number {
  let count = 0;
  for (let at = next(afterMs); at <= untilMs && count < limit; at = next(at)) count++;
  return count;
}
