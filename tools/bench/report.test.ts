import { expect, test } from 'vitest';

import { ratiosOf, summarize, type Compared } from './report.ts';
import type { System } from './system.ts';

const system = { name: 'one', settings: '', isPeer: true } as System;

function compared(name: string, isPeer: boolean, createsPerSecond: number, p99: number): Compared {
  return { name, settings: '', isPeer, rounds: 1, createsPerSecond, lateness: { p50: 1, p99, max: p99 } };
}

test('shows the median round, and the worst lateness of all', () => {
  const rounds = [10, 30, 20].map((rate) => ({
    createsPerSecond: rate,
    lateness: { p50: rate, p99: 2 * rate, max: 3 * rate },
  }));
  expect(summarize(system, rounds)).toMatchObject({
    createsPerSecond: 20,
    lateness: { p50: 20, p99: 40, max: 90 },
    rounds: 3,
  });
});

test('compares with the best peer of each figure, where less lateness is better', () => {
  const belfry = compared('Belfry', false, 100, 20);
  const ratios = ratiosOf(belfry, [compared('a', true, 50, 40), compared('b', true, 80, 100)]);
  expect(ratios).toEqual([
    { figure: 'creates/s', best: 'b', ratio: 1.25, target: '≥ 1', reached: true },
    { figure: 'lateness p99', best: 'a', ratio: 0.5, target: '≤ 0.5', reached: true },
  ]);
});

test('says where the goal is missed', () => {
  const [creates, lateness] = ratiosOf(compared('Belfry', false, 79, 41), [compared('b', true, 80, 80)]);
  expect(creates).toMatchObject({ figure: 'creates/s', reached: false });
  expect(lateness).toMatchObject({ figure: 'lateness p99', reached: false });
});

test('a system that is less durable is no peer to be measured by', () => {
  expect(ratiosOf(compared('Belfry', false, 1, 1), [compared('fast and loose', false, 1_000, 1)])).toEqual([]);
});
