import { LIMITS } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { iso } from './views.ts';

describe('an instant as text', () => {
  it('is what a Date says, in whatever order instants are told', () => {
    const days = [0, 1, 59, 60, 11_016, 19_782, 20_783, Math.floor(LIMITS.latestMs / 86_400_000)];
    const times = [0, 1, 9, 10, 99, 100, 999, 1_000, 59_999, 60_000, 3_599_999, 3_600_000, 43_200_123, 86_399_999];
    for (const time of times) {
      for (const day of days) {
        const ms = Math.min(LIMITS.latestMs, day * 86_400_000 + time);
        expect(iso(ms)).toBe(new Date(ms).toISOString());
      }
    }
  });

  it('is the nearest one that there is for what is none', () => {
    expect([-1, NaN, 0.9].map(iso)).toEqual(['1970-01-01T00:00:00.000Z', iso(0), iso(0)]);
    expect(iso(Infinity)).toBe('9999-12-31T23:59:59.999Z');
  });
});
