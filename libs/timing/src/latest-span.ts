type Next = (afterMs: number) => number;

const SHORTEST_MS = 1_000;

/**
 * Where there are more than `most` fires from `firstMs` to `untilMs`: the instant after which there are no more than these, the earliest
 * that lies 1, 2, 4, … seconds before `untilMs`; else -Infinity. Asks for some times `most` fires, however many there are.
 */
export function latestSpan(next: Next, firstMs: number, untilMs: number, most: number): number {
  let fromMs = untilMs;
  let count = 0;
  for (let span = SHORTEST_MS; fromMs >= firstMs; span *= 2) {
    for (let at = next(untilMs - span); at <= fromMs; at = next(at))
      if (++count > most) return hasMore(next, firstMs, untilMs, most) ? fromMs : -Infinity;
    fromMs = untilMs - span;
  }
  return -Infinity;
}

function hasMore(next: Next, firstMs: number, untilMs: number, most: number): boolean {
  let count = 0;
  for (let at = next(firstMs - 1); at <= untilMs; at = next(at)) if (++count > most) return true;
  return false;
}
