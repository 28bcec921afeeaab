import { LIMITS } from '@belfry/protocol';
import { expect, it } from 'vitest';

import { memoryBound } from './watch.ts';

it('lets a program take what its own limits keep, and more for more tasks', () => {
  expect(memoryBound('gateway', 0)).toBeGreaterThan(LIMITS.gatewayPendingBytes);
  expect(memoryBound('scheduler,supervisor', 0)).toBeGreaterThan(LIMITS.payloadCacheBytes);
  expect(memoryBound('scheduler,supervisor', 1_000_000)).toBeGreaterThan(memoryBound('scheduler,supervisor', 0));
});
