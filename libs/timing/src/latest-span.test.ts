import { expect, it } from 'vitest';

import { latestSpan } from './latest-span.ts';

const EACH_SECOND = (afterMs: number): number => Math.floor(afterMs / 1_000) * 1_000 + 1_000;

it('keeps the fires of the longest span that has no more than asked, and all when there are no more', () => {
  let asked = 0;
  const next = (afterMs: number): number => {
    asked++;
    return EACH_SECOND(afterMs);
  };
  const untilMs = 1e9 * 1_000;
  expect(latestSpan(next, 0, untilMs, 100)).toBe(untilMs - 64_000);
  expect(asked).toBeLessThan(240);
  expect(latestSpan(next, untilMs - 99_000, untilMs, 100)).toBe(-Infinity);
  expect(latestSpan(next, untilMs + 1, untilMs, 100)).toBe(-Infinity);
  expect(latestSpan(next, untilMs, untilMs, 0)).toBe(untilMs);
});
