import { LIMITS } from '@belfry/protocol';
import { expect, it } from 'vitest';

import { MemoryWatch, memoryBound, missedFires } from './watch.ts';

it('lets a program take what its own limits keep, and more for more tasks', () => {
  expect(memoryBound('gateway', 0)).toBeGreaterThan(LIMITS.gatewayPendingBytes);
  expect(memoryBound('scheduler,supervisor', 0)).toBeGreaterThan(LIMITS.payloadCacheBytes);
  expect(memoryBound('scheduler,supervisor', 1_000_000)).toBeGreaterThan(memoryBound('scheduler,supervisor', 0));
});

it('finds a program that takes more than it may, and watches no worker', async () => {
  const { pid } = process;
  const members = ['scheduler', ''].map((roles) => ({ name: roles === '' ? 'w1' : 's1', roles, pid }));
  const watch = new MemoryWatch({ members });
  try {
    await watch.sample();
    expect(watch.peak).toBeGreaterThan(0);
    expect(watch.problems(0, () => 2 ** 20)).toEqual([
      expect.stringMatching(/^s1 took \d+ MiB of memory, and 1 MiB is its bound$/),
    ]);
    expect(watch.problems(0, () => Infinity)).toEqual([]);
  } finally {
    watch.stop();
  }
});

it('finds an owner that has missed a fire, and one that does not say', async () => {
  const owner = (
    name: string,
    missed: number | undefined,
  ): { name: string; metric: () => Promise<number | undefined> } => ({
    name,
    metric: () => Promise.resolve(missed),
  });
  const schedulers = [owner('s1', 0), owner('s2', 1), owner('s3', undefined)];
  expect(await missedFires({ schedulers })).toEqual([
    'belfry_missed_fires of s2 is 1',
    'belfry_missed_fires of s3 is not to be had',
  ]);
});
