import { LIMITS } from '@belfry/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { testCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => vi.useRealTimers());

/** The inbox says that it is as full as this, from the next look on. */
async function fillInbox(share: number): Promise<void> {
  const usage = await cluster.inbox.usage();
  vi.spyOn(cluster.inbox, 'usage').mockResolvedValue({ ...usage, bytes: Math.ceil(usage.maxBytes * share) });
  await cluster.seconds(1);
}

describe('an inbox that fills', () => {
  it('stops dispatch, while results and commands go on; with room again, what is due goes', async () => {
    await cluster.startOwner();
    await cluster.worker('w', 10);
    const running = await cluster.create(0, 'running', 0);
    await cluster.settle();
    expect(await cluster.inStream()).toEqual([`${running}.1`]);
    await fillInbox(LIMITS.inboxStopDispatch);
    const due = await cluster.create(1, 'due', 0);
    expect(await cluster.result(running, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
    await cluster.seconds(3);
    expect(await cluster.inStream()).not.toContain(`${due}.1`);
    expect(cluster.logged('the inbox is nearly full')).toHaveLength(1);
    await fillInbox(LIMITS.inboxStopDispatch - 0.01);
    expect(await cluster.inStream()).toContain(`${due}.1`);
  });

  it('has room when it has no limit', async () => {
    await cluster.startOwner();
    await cluster.worker('w', 10);
    vi.spyOn(cluster.inbox, 'usage').mockResolvedValue({ bytes: 1e12, maxBytes: -1, firstSeq: 1, lastSeq: 4 });
    await cluster.seconds(1);
    const execution = await cluster.create(0, 'one', 0);
    await cluster.settle();
    expect(await cluster.inStream()).toEqual([`${execution}.1`]);
  });

  it('is taken for what it was when it cannot be asked', async () => {
    await cluster.startOwner();
    await cluster.worker('w', 10);
    await fillInbox(1);
    vi.mocked(cluster.inbox.usage).mockRejectedValue(new Error('NATS is away'));
    await cluster.create(0, 'one', 0);
    await cluster.seconds(2);
    expect(await cluster.inStream()).toEqual([]);
    expect(cluster.logged('the inbox cannot be asked')).not.toEqual([]);
  });
});
