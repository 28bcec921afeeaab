import { refused, retry } from '@belfry/ports';
import { LIMITS } from '@belfry/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LOST_CONTACT_MS, testCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => vi.useRealTimers());

/** One execution of shard 1 in the hands of a worker that says so. */
async function runningOne(says: { readonly leaseMs?: number } = {}): Promise<string> {
  const execution = await cluster.create(1, 'one', 1_000);
  await cluster.worker('w', 10, [], ['mail'], says);
  await cluster.pass(1_000);
  cluster.pull();
  cluster.running('w', [execution]);
  return execution;
}

/** The stream goes, and the nodes notice. */
async function lose(): Promise<void> {
  const before = cluster.logged('the work stream was lost').length;
  cluster.work.lose();
  await cluster.until(() => cluster.logged('the work stream was lost').length > before, 'the loss is noticed');
  await cluster.until(() => cluster.logged('shards taken over').length > before + 1, 'all shards are taken over again');
}

/** One execution whose message went with the stream, and whose worker says no more. */
async function lostOne(): Promise<string> {
  await cluster.startOwner();
  const execution = await runningOne();
  await cluster.checkpoint();
  cluster.silence('w');
  await cluster.worker('other', 10);
  await lose();
  return execution;
}

describe('when the work stream is lost', () => {
  it('does not run again what a worker says it runs, and takes its result', async () => {
    await cluster.startOwner();
    const execution = await runningOne();
    await cluster.checkpoint();
    await lose();
    await cluster.seconds(2 * (LOST_CONTACT_MS / 1_000));
    expect(await cluster.inStream()).toEqual([]);
    expect(await cluster.result(execution, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
    await cluster.seconds(2);
    expect(cluster.history()).toEqual([`${execution} succeeded 1`]);
  });

  it('runs again what nobody has spoken for in the lost-contact time, and not before', async () => {
    const execution = await lostOne();
    await cluster.seconds(LOST_CONTACT_MS / 1_000 - 3);
    expect(await cluster.inStream()).toEqual([]);
    await cluster.seconds(4);
    // It was given back unrun: the next attempt takes its place.
    expect(await cluster.inStream()).toEqual([`${execution}.2`]);
  });

  it('is no silence of workers when the broker does not answer: what they run is given to nobody', async () => {
    await cluster.startOwner();
    const execution = await runningOne();
    await cluster.checkpoint();
    await lose();
    const append = vi.spyOn(cluster.inbox, 'append').mockResolvedValue(retry('no answer'));
    const incarnation = vi.spyOn(cluster.work, 'incarnation').mockRejectedValue(new Error('no answer'));
    cluster.silence('w'); // it is not heard
    await cluster.seconds(3 * (LOST_CONTACT_MS / 1_000));
    expect(append).not.toHaveBeenCalled();
    append.mockRestore();
    incarnation.mockRestore();
    await cluster.worker('w', 10, [execution]);
    await cluster.seconds(LOST_CONTACT_MS / 1_000);
    expect(await cluster.inStream()).toEqual([]);
    expect(await cluster.result(execution, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
  });

  it('gives back what nobody speaks for once the inbox takes it, and not before it is asked anew', async () => {
    const execution = await lostOne();
    const append = vi.spyOn(cluster.inbox, 'append').mockResolvedValueOnce(retry('no answer'));
    await cluster.seconds(LOST_CONTACT_MS / 1_000 + 3);
    expect([append.mock.calls.length, await cluster.inStream()]).toEqual([1, []]);
    await cluster.seconds(LOST_CONTACT_MS / 1_000);
    expect(await cluster.inStream()).toEqual([`${execution}.2`]);
  });

  it('waits no longer than its workers rely on their leases, once it has listened for long enough to know', async () => {
    await cluster.startOwner();
    await cluster.worker('w', 10, [], ['mail'], { leaseMs: LIMITS.workLeaseMs });
    await cluster.seconds(LIMITS.ackWaitMs / 1_000 + 2); // a worker that does not say its lease would have been heard
    const execution = await runningOne({ leaseMs: LIMITS.workLeaseMs });
    await cluster.checkpoint();
    cluster.silence('w');
    await cluster.worker('other', 10, [], ['mail'], { leaseMs: LIMITS.workLeaseMs });
    await lose();
    await cluster.seconds((LIMITS.workLeaseMs + LIMITS.lostContactMs) / 1_000 - 3);
    expect(await cluster.inStream()).toEqual([]);
    await cluster.seconds(4);
    expect(await cluster.inStream()).toEqual([`${execution}.2`]);
  });

  it('waits for as long as a worker relies on its lease that it has heard of only since', async () => {
    await cluster.startOwner();
    await cluster.worker('other', 10, [], ['mail'], { leaseMs: LIMITS.workLeaseMs });
    await cluster.seconds(LIMITS.ackWaitMs / 1_000 + 2);
    const execution = await runningOne({ leaseMs: LIMITS.workLeaseMs });
    await cluster.checkpoint();
    cluster.silence('w');
    await lose();
    await cluster.worker('unheard', 10, [execution]); // it was cut off from this node
    await cluster.seconds(1);
    cluster.silence('unheard');
    await cluster.seconds(LIMITS.ackWaitMs / 1_000 - 1);
    expect(await cluster.inStream()).toEqual([]);
    await cluster.seconds(5);
    expect(await cluster.inStream()).toEqual([`${execution}.2`]);
  });

  it('leases for as long as a worker relies on that is silent at the moment, though the first try to make the consumer fails', async () => {
    await cluster.startOwner();
    await cluster.worker('older', 10);
    await cluster.seconds(LIMITS.ackWaitMs / 1_000 + 2);
    cluster.silence('older');
    await cluster.worker('other', 10, [], ['mail'], { leaseMs: LIMITS.workLeaseMs });
    await cluster.seconds(2 * (LIMITS.workerSilentMs / 1_000));
    vi.spyOn(cluster.work, 'ensureConsumer').mockRejectedValueOnce(new Error('timeout'));
    await lose();
    await cluster.until(() => cluster.work.leaseOf('acme', 'mail') !== undefined, 'the consumer is there again');
    expect(cluster.work.leaseOf('acme', 'mail')).toBe(LIMITS.ackWaitMs);
  });

  it('does not run again what was dispatched since the last checkpoint', async () => {
    await cluster.startOwner();
    const execution = await runningOne();
    expect(cluster.counts.get('checkpoint')).toBeUndefined();
    cluster.work.lose();
    await cluster.work.ensure(() => cluster.store.nextFirstSeq());
    // A dispatch notices it before a checkpoint is due.
    const next = await cluster.create(1, 'next', 1_000);
    await cluster.until(() => cluster.logged('shards taken over').length === 2, 'all shards are taken over again');
    await cluster.seconds(3);
    expect(await cluster.inStream()).toEqual([`${next}.2`]);
    expect(await cluster.result(execution, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
  });

  it('goes on with what is due, in a stream that the first node to notice makes, under new fences', async () => {
    const [a, b] = [await cluster.start('a'), await cluster.start('b')];
    await cluster.place([a, a, b, b]);
    await cluster.worker('w', 10);
    const incarnation = await cluster.work.incarnation();
    cluster.work.lose();
    const executions = [await cluster.create(0, 'one', 5_000), await cluster.create(3, 'two', 5_000)];
    await cluster.seconds(8);
    expect(cluster.logged('the work stream was lost')).toHaveLength(2);
    expect([a.owned, b.owned]).toEqual([
      [0, 1],
      [2, 3],
    ]);
    expect(await cluster.work.incarnation()).toBeGreaterThan(incarnation);
    expect((await cluster.inStream()).toSorted()).toEqual(executions.map((execution) => `${execution}.1`).toSorted());
    // Workers pull from the new stream without asking for anything.
    expect(cluster.pull()).toHaveLength(2);
  });

  it('is noticed by a dispatch before the next check; what certainly was in no stream goes again at once', async () => {
    await cluster.startOwner();
    const [never, perhaps] = [await cluster.create(1, 'never', 1_000), await cluster.create(2, 'perhaps', 1_000)];
    await cluster.worker('w', 10);
    const { publish } = cluster.work;
    let tries = 0;
    vi.spyOn(cluster.work, 'publish').mockImplementation(async (fence, id, items) => {
      if (fence.epoch > 1) return await publish.call(cluster.work, fence, id, items);
      if (++tries <= 2) return fence.shard === 1 ? { ...retry('not connected'), unsent: true } : retry('no answer');
      return refused('lost');
    });
    await cluster.pass(1_000);
    cluster.work.lose();
    await cluster.until(() => cluster.logged('shards taken over').length === 2, 'all shards are taken over again');
    await cluster.seconds(2);
    expect(await cluster.inStream()).toEqual([`${never}.2`]);
    await cluster.seconds(LOST_CONTACT_MS / 1_000);
    expect((await cluster.inStream()).toSorted()).toEqual([`${never}.2`, `${perhaps}.2`].toSorted());
  });

  it('is no end of what is adrift when the shard moves on: the next owner gives it back', async () => {
    const first = await cluster.startOwner('a');
    const execution = await runningOne();
    await cluster.checkpoint();
    cluster.silence('w');
    await cluster.worker('other', 10);
    await lose();
    await cluster.seconds(2);
    first.kill();
    await cluster.startOwner('b');
    await cluster.seconds(LOST_CONTACT_MS / 1_000 + 2);
    expect(await cluster.inStream()).toEqual([`${execution}.2`]);
  });

  it('and a worker asked about what it has, that stays adrift for the next owner', async () => {
    const first = await cluster.startOwner('a');
    const execution = await runningOne();
    await lose();
    // The message was on its way to another worker when the stream was lost.
    const asked = await cluster.send(1, { k: 'redelivered', c: 0, x: execution, ns: 'acme', a: 1, w: 'w', n: 2 });
    expect(asked).toEqual({ ok: true, status: 'run', attempt: 2 });
    await cluster.checkpoint();
    first.kill();
    await cluster.startOwner('b');
    await cluster.seconds(3);
    expect(await cluster.inStream()).toEqual([]);
    cluster.silence('w');
    await cluster.worker('other', 10);
    await cluster.seconds(LOST_CONTACT_MS / 1_000 + 2);
    expect(await cluster.inStream()).toEqual([`${execution}.3`]);
  });

  it('and the node stood still, what was said meanwhile still counts', async () => {
    await cluster.startOwner();
    await runningOne();
    await cluster.checkpoint();
    await lose();
    await cluster.seconds(2);
    // It wakes up after longer than a lease, and looks at the time before it reads what the worker said.
    cluster.elapsedMs += 2 * LOST_CONTACT_MS;
    await vi.advanceTimersByTimeAsync(1_500);
    await cluster.seconds(2);
    expect(await cluster.inStream()).toEqual([]);
  });

  it('is known to the next owner, when the one that found it out died before its first checkpoint', async () => {
    const first = await cluster.startOwner('a');
    const execution = await runningOne();
    await cluster.checkpoint();
    first.kill();
    cluster.work.lose();
    // The second owner takes the fences in the new stream, and dies before it has loaded anything.
    const second = await cluster.start('b');
    vi.spyOn(cluster.store, 'load').mockImplementationOnce(() => new Promise(() => undefined));
    cluster.tellPlacement([second, second, second, second]);
    await cluster.until(() => cluster.calls.includes('b store.load'), 'the second owner has its fences');
    second.kill();
    await cluster.startOwner('c');
    await cluster.seconds(3);
    expect(await cluster.inStream()).toEqual([]);
    expect(await cluster.result(execution, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
  });

  it('is known to the next attempt, when it came while fences were asked for, and the takeover then failed', async () => {
    const first = await cluster.startOwner('a');
    const execution = await runningOne();
    await cluster.checkpoint();
    first.kill();
    const second = await cluster.start('b');
    // The stream is lost, and made anew by another, after the old one has told of its fences; nothing can be listed in it then.
    const { takeEpochs } = cluster.store;
    vi.spyOn(cluster.store, 'takeEpochs').mockImplementationOnce(async (...args) => {
      cluster.work.lose();
      await cluster.work.ensure(() => cluster.store.nextFirstSeq());
      return await takeEpochs.apply(cluster.store, args);
    });
    vi.spyOn(cluster.work, 'surviving').mockRejectedValueOnce(new Error('no answer'));
    cluster.tellPlacement([second, second, second, second]);
    await cluster.until(() => second.owned.length === 4, 'all shards are taken over');
    await cluster.seconds(3);
    expect(await cluster.inStream()).toEqual([]);
    expect(await cluster.result(execution, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
  });

  it('during a takeover is noticed: it does not wait for fences in a stream that nobody makes', async () => {
    const node = await cluster.start('a');
    const { takeFence } = cluster.work;
    vi.spyOn(cluster.work, 'takeFence').mockImplementation(async (...args) =>
      (await cluster.work.incarnation()) === 0
        ? retry('the stream is gone')
        : await takeFence.apply(cluster.work, args),
    );
    cluster.work.lose();
    await cluster.place([node, node, node, node]);
    expect(await cluster.work.incarnation()).toBeGreaterThan(0);
  });

  it('between the look at the old fences and the new ones stands in the inbox before a fence hides it', async () => {
    const first = await cluster.startOwner('a');
    first.kill();
    const happened: string[] = [];
    const { takeEpochs } = cluster.store;
    vi.spyOn(cluster.store, 'takeEpochs').mockImplementationOnce(async (...args) => {
      cluster.work.lose();
      await cluster.work.ensure(() => cluster.store.nextFirstSeq());
      return await takeEpochs.apply(cluster.store, args);
    });
    const { takeFence } = cluster.work;
    vi.spyOn(cluster.work, 'takeFence').mockImplementation(async (...args) => {
      const outcome = await takeFence.apply(cluster.work, args);
      if (outcome.kind === 'ok') happened.push('fenced');
      return outcome;
    });
    const { append } = cluster.inbox;
    vi.spyOn(cluster.inbox, 'append').mockImplementation(async (...args) => {
      const outcome = await append.apply(cluster.inbox, args);
      for (const { body } of args[0]) if (body.includes('"lost":true')) happened.push('lost');
      return outcome;
    });
    const second = await cluster.start('b');
    cluster.tellPlacement([second, second, second, second]);
    await cluster.until(() => second.owned.length === 4, 'all shards are taken over');
    expect(happened.slice(0, 5)).toEqual(['lost', 'lost', 'lost', 'lost', 'fenced']);
  });

  it('between the look at the old fences and the new ones is noticed, also by the next owner', async () => {
    const first = await cluster.startOwner('a');
    const execution = await runningOne();
    await cluster.checkpoint();
    first.kill();
    const { takeEpochs } = cluster.store;
    vi.spyOn(cluster.store, 'takeEpochs').mockImplementationOnce(async (...args) => {
      cluster.work.lose();
      await cluster.work.ensure(() => cluster.store.nextFirstSeq());
      await cluster.work.ensureConsumer('acme', 'mail', LIMITS.workLeaseMs);
      return await takeEpochs.apply(cluster.store, args);
    });
    const second = await cluster.start('b');
    cluster.tellPlacement([second, second, second, second]);
    const ownerships = (): number => cluster.calls.filter((call) => call === 'b inbox.append').length;
    await cluster.until(() => ownerships() > 0, 'the loss is noticed');
    second.kill();
    await cluster.startOwner('c');
    await cluster.seconds(3);
    expect(await cluster.inStream()).toEqual([]);
    expect(await cluster.result(execution, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
  });

  it('is noticed though somebody fences the new one who had looked at the old ones long before', async () => {
    const first = await cluster.startOwner('a');
    const execution = await runningOne();
    await cluster.checkpoint();
    const incarnation = await cluster.work.incarnation();
    first.kill();
    cluster.work.lose();
    await cluster.work.ensure(() => cluster.store.nextFirstSeq());
    await cluster.work.ensureConsumer('acme', 'mail', LIMITS.workLeaseMs);
    for (const shard of [0, 1, 2, 3]) await cluster.work.takeFence(shard, 1, { incarnation, epoch: 0 });
    await cluster.startOwner('b');
    await cluster.seconds(3);
    expect(await cluster.inStream()).toEqual([]);
    expect(await cluster.result(execution, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
  });

  it('takes nothing from what survives in the present one, when a fence says that its taker had seen another', async () => {
    const first = await cluster.startOwner('a');
    const execution = await cluster.create(1, 'one', 1_000);
    await cluster.worker('w', 10);
    await cluster.pass(1_000);
    expect(await cluster.inStream()).toEqual([`${execution}.1`]); // nobody has pulled it: its workers are busy
    await cluster.checkpoint();
    first.kill();
    const former = (await cluster.work.incarnation()) - 1;
    await cluster.store.takeEpochs([0, 1, 2, 3], 'n', []);
    for (const shard of [0, 1, 2, 3]) await cluster.work.takeFence(shard, 2, { incarnation: former, epoch: 1 });
    await cluster.startOwner('b');
    await cluster.seconds(40);
    expect(await cluster.inStream()).toEqual([`${execution}.1`]);
  });

  it('gives back at once nothing that an owner in between may have dispatched', async () => {
    const a = await cluster.startOwner('a');
    const b = await cluster.start('b');
    await cluster.worker('w', 10);
    const { publish, ensure } = cluster.work;
    const publishes = vi.spyOn(cluster.work, 'publish').mockResolvedValue({ ...retry('not connected'), unsent: true });
    const execution = await cluster.create(1, 'one', 1_000);
    await cluster.pass(1_000);
    expect(publishes).toHaveBeenCalled();
    const remake = async (): Promise<void> => {
      cluster.work.lose();
      await ensure.call(cluster.work, () => cluster.store.nextFirstSeq());
      await cluster.work.ensureConsumer('acme', 'mail', LIMITS.workLeaseMs);
    };
    // The loss is noticed, and no more: what `a` had not sent is not forgotten.
    vi.spyOn(cluster.work, 'ensure').mockReturnValue(new Promise(() => undefined));
    await remake();
    await cluster.until(() => cluster.logged('the work stream was lost').length > 0, 'the loss is noticed');
    publishes.mockImplementation((...args) => publish.apply(cluster.work, args));
    cluster.tellPlacement([b, b, b, b]);
    await cluster.until(() => b.owned.length === 4, 'b has taken over');
    await cluster.pass(1_000);
    cluster.pull();
    cluster.running('w', [execution]);
    expect(await cluster.inStream()).toEqual([]);
    b.kill();
    await remake();
    cluster.tellPlacement([a, a, a, a]);
    await cluster.until(() => a.owned.length === 4, 'a has taken over');
    await cluster.seconds(3);
    expect(await cluster.inStream()).toEqual([]);
    expect(await cluster.result(execution, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
  });
});
