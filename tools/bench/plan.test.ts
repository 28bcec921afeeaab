import { expect, test } from 'vitest';

import { FIGURES, planOf, UsageError } from './plan.ts';

test('measures everything unless told otherwise', () => {
  expect([...planOf([]).figures]).toEqual([...FIGURES]);
  expect([...planOf(['--only', 'drain,start']).figures]).toEqual(['drain', 'start']);
});

test('a number that is given counts in a quick run too', () => {
  const plan = planOf(['--quick', '--drains', '7000']);
  expect(plan.drains).toBe(7_000);
  expect(plan.creates).toBeLessThan(planOf([]).creates);
});

test.each([
  ['--only', 'speed'],
  ['--rounds', '0'],
  ['--tasks', '1.5'],
  ['--seconds', 'many'],
  ['--what', '1'],
])('refuses %s %s', (flag, value) => {
  expect(() => planOf([flag, value])).toThrow(UsageError);
});
