import { describe, expect, test } from 'vitest';

import { median, percentile, spread } from './stats.ts';

describe('percentile', () => {
  const hundred = Float64Array.from({ length: 100 }, (_, i) => i + 1);

  test('is the smallest value that the share does not exceed', () => {
    expect(percentile(hundred, 0.5)).toBe(50);
    expect(percentile(hundred, 0.99)).toBe(99);
    expect(percentile(hundred, 1)).toBe(100);
    expect(percentile(Float64Array.of(7), 0.01)).toBe(7);
  });

  test('of nothing is not a number', () => {
    expect(percentile(new Float64Array(), 0.5)).toBeNaN();
  });
});

test('the median is the middle value, or the mean of the middle two', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([10, 9, 1, 5])).toBe(7);
  expect(median([])).toBeNaN();
});

test('the spread sorts by size, not by digits, and leaves its input as it was', () => {
  const values = Float64Array.of(100, 9, 20);
  expect(spread(values)).toEqual({ p50: 20, p99: 100, max: 100 });
  expect([...values]).toEqual([100, 9, 20]);
});
