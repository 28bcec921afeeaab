import { expect, it } from 'vitest';

import { CASES } from './cases/index.ts';
import { planOf, UsageError } from './plan.ts';

it('runs everything once, unless it is told otherwise', () => {
  expect(planOf([])).toMatchObject({ cases: CASES, runs: 1, seed: 1, json: false });
});

it('takes names of cases, and beginnings that several share', () => {
  expect(planOf(['kill-owner']).cases.map(({ name }) => name)).toEqual(['kill-owner']);
  expect(planOf(['kill']).cases.map(({ name }) => name)).toEqual(
    CASES.map(({ name }) => name).filter((name) => name.startsWith('kill-')),
  );
});

it('refuses what it does not know', () => {
  expect(() => planOf(['kill-king'])).toThrow(UsageError);
  expect(() => planOf(['--runs', 'many'])).toThrow(UsageError);
  expect(() => planOf(['--what'])).toThrow(UsageError);
});

it('has no two cases of one name', () => {
  expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length);
});
