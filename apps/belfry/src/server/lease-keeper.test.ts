import { MemoryWorkQueue } from '@belfry/ports/testing';
import { LIMITS } from '@belfry/protocol';
import { beforeEach, describe, expect, it, vi } from 'vitest';

import { LeaseKeeper } from './lease-keeper.ts';

/** Seconds for which a lease is watched before it is shortened. */
const KEPT = LIMITS.leaseKeptMs / 1_000;

let now: number;
let work: MemoryWorkQueue;
let keeper: LeaseKeeper;
const log = { info: vi.fn(), warn: vi.fn(), error: vi.fn() };

beforeEach(async () => {
  now = 0;
  work = new MemoryWorkQueue();
  keeper = new LeaseKeeper({ work, monotonic: () => now, log });
  log.warn.mockClear();
  await work.ensureConsumer('acme', 'mail', LIMITS.ackWaitMs); // as a worker of an older version does
});

/** Seconds pass; in each a worker is heard, with the lease that it relies on, and a round is due. */
async function pass(seconds: number, leaseMs?: number): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    now += 1_000;
    keeper.heard('acme', { queues: ['mail'], ...(leaseMs === undefined ? {} : { leaseMs }) });
    await keeper.round();
  }
}

describe('the keeper of leases', () => {
  it('shortens a queue’s when all that is heard relies on less, and lengthens it for one that relies on more', async () => {
    keeper.begin();
    await pass(KEPT + 20, LIMITS.workLeaseMs);
    expect(work.leaseOf('acme', 'mail')).toBe(LIMITS.workLeaseMs);
    await pass(6);
    expect(work.leaseOf('acme', 'mail')).toBe(LIMITS.ackWaitMs);
  });

  it('changes nothing while another leads, and begins anew when it leads again', async () => {
    await pass(KEPT + 20, LIMITS.workLeaseMs);
    keeper.begin();
    await pass(KEPT - 10, LIMITS.workLeaseMs);
    keeper.end();
    await pass(KEPT + 20, LIMITS.workLeaseMs);
    keeper.begin();
    await pass(KEPT - 10, LIMITS.workLeaseMs);
    expect(work.leaseOf('acme', 'mail')).toBe(LIMITS.ackWaitMs);
  });

  it('tells that the broker cannot be asked, and tries again', async () => {
    vi.spyOn(work, 'leases').mockRejectedValueOnce(new Error('away'));
    keeper.begin();
    await pass(KEPT + 20, LIMITS.workLeaseMs);
    expect(log.warn).toHaveBeenCalledOnce();
    expect(work.leaseOf('acme', 'mail')).toBe(LIMITS.workLeaseMs);
  });
});
