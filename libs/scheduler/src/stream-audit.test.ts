import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fire, LOST_CONTACT_MS, testCluster, type TestCluster, type TestNode } from './test-cluster.ts';

describe('a dispatched execution whose message is gone', () => {
  let cluster: TestCluster;
  let owner: TestNode;

  beforeEach(async () => {
    cluster = testCluster();
    owner = await cluster.startOwner('a');
    await cluster.worker('w', 10);
    await cluster.create(1, 'job', 500);
    await cluster.pass(1_000);
  });

  afterEach(() => vi.useRealTimers());

  it('is dispatched again when nobody has spoken for it for as long as a lease', async () => {
    const [message] = cluster.pull();
    await message?.ack(); // by a worker whose it was no longer
    await cluster.seconds(LOST_CONTACT_MS / 1_000 - 2);
    expect(await cluster.inStream()).toEqual([]);
    await cluster.seconds(8);
    expect(await cluster.inStream()).toEqual([`${fire(1, 'job', 500)}.2`]);
  });

  it('stays with the worker that reports it', async () => {
    const execution = fire(1, 'job', 500);
    const [message] = cluster.pull();
    await message?.ack();
    cluster.running('w', [execution]);
    await cluster.seconds((2 * LOST_CONTACT_MS) / 1_000);
    expect(await cluster.inStream()).toEqual([]);
    expect(await cluster.result(execution, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
    expect(cluster.history()).toEqual([]);
    await cluster.checkpoint();
    expect(cluster.history()).toEqual([`${execution} succeeded 1`]);
  });

  it('and that was given to another worker on its redelivery, is not dispatched anew by the next owner', async () => {
    const execution = fire(1, 'job', 500);
    const [message] = cluster.pull();
    const asked = await cluster.send(1, { k: 'redelivered', c: 0, x: execution, ns: 'acme', a: 1, w: 'w', n: 2 });
    expect(asked).toEqual({ ok: true, status: 'run', attempt: 2 });
    await message?.ack(); // by the worker before: its own result was on disk, and nobody had told it that it was late
    owner.kill();
    await cluster.startOwner('b');
    await cluster.seconds(3);
    expect(await cluster.inStream()).toEqual([]);
    expect(await cluster.result(execution, 2, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
  });

  it('is left alone while its message is in the stream, however long it takes', async () => {
    expect(cluster.pull()).toHaveLength(1);
    await cluster.seconds((2 * LOST_CONTACT_MS) / 1_000);
    expect(await cluster.inStream()).toEqual([`${fire(1, 'job', 500)}.1`]);
    expect(cluster.logged('no message any more')).toEqual([]);
  });
});
