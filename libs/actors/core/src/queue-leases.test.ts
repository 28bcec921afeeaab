import { LIMITS } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { QueueLeases } from './queue-leases.ts';

const LATER = LIMITS.ackWaitMs + LIMITS.workerHeartbeatMs;

describe('the leases that workers rely on', () => {
  it('are as long as the longest, until whoever told it is gone for good', () => {
    const leases = new QueueLeases(0);
    const goneMs = LIMITS.leaseKeptMs + LIMITS.workerHeartbeatMs;
    leases.heard('mail', 60_000, 0);
    leases.heard('mail', 8_000, 10_000);
    leases.heard('pdf', 2 * goneMs, 0);
    expect(leases.longest('mail', goneMs)).toBe(60_000);
    expect(leases.longest('mail', goneMs + 1)).toBe(8_000);
    expect(leases.longest('mail', goneMs + 10_001)).toBeUndefined();
    expect(leases.longest('pdf', 2 * goneMs)).toBe(2 * goneMs);
    expect(leases.longest('fax', 0)).toBeUndefined();
    expect([...leases.queues(goneMs + 10_001)]).toEqual(['pdf']);
  });

  it('are those of a worker that does not say, unless one says so', () => {
    const leases = new QueueLeases(0);
    leases.heard('mail', undefined, 0);
    expect(leases.longest('mail', 0)).toBe(LIMITS.ackWaitMs);
  });

  it('may be those of a worker that was not heard yet, for as long as such a worker could be silent', () => {
    const leases = new QueueLeases(0);
    leases.heard('mail', 10_000, LATER);
    expect(leases.safe('mail', LATER - 1)).toBe(LIMITS.ackWaitMs);
    expect(leases.safe('mail', LATER)).toBe(10_000);
    expect(leases.safe('pdf', LATER)).toBe(LIMITS.workLeaseMs);
  });

  it('take no more room than they are allowed, and count as the longest then', () => {
    const leases = new QueueLeases(0);
    for (let lease = 0; lease < 100; lease++) leases.heard('mail', LIMITS.workLeaseMinMs + lease, LATER);
    leases.heard('mail', LIMITS.workLeaseMinMs, LATER);
    expect(leases.longest('mail', LATER)).toBe(LIMITS.workLeaseMinMs + 99);
    for (let queue = 0; queue < 10_000; queue++) leases.heard(`q${queue}`, LIMITS.workLeaseMs, LATER);
    expect(leases.safe('of another', LATER)).toBe(LIMITS.ackWaitMs);
    const forgotten = 2 * LATER + LIMITS.leaseKeptMs;
    leases.heard('of another', LIMITS.workLeaseMs, forgotten);
    expect(leases.safe('of another', forgotten)).toBe(LIMITS.workLeaseMs);
  });
});
