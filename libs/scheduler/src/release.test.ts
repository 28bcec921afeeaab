import { LIMITS, subjects } from '@belfry/protocol';
import type { ShardHead } from '@belfry/ports';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { testCluster, type TestCluster, type TestNode } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => vi.useRealTimers());

async function twoNodes(): Promise<[TestNode, TestNode]> {
  const [a, b] = [await cluster.start('a'), await cluster.start('b')];
  await cluster.place([a, a, a, a]);
  return [a, b];
}

/** The heads of all shards that nodes were given with their epochs from now on. */
function watchHeads(): ShardHead[] {
  const heads: ShardHead[] = [];
  const { takeEpochs } = cluster.store;
  vi.spyOn(cluster.store, 'takeEpochs').mockImplementation(async (...args) => {
    const outcome = await takeEpochs.apply(cluster.store, args);
    if (outcome.kind === 'ok') heads.push(...outcome.value);
    return outcome;
  });
  return heads;
}

const lastSeq = async (): Promise<number> => (await cluster.inbox.usage()).lastSeq;

describe('a shard that is handed over', () => {
  it('is written before its next owner takes it: there is nothing to replay', async () => {
    const [a, b] = await twoNodes();
    const execution = await cluster.create(1, 'one', 1_000);
    await cluster.create(1, 'two', 600_000);
    await cluster.worker('w', 10);
    await cluster.pass(1_000);
    expect(cluster.counts.get('checkpoint')).toBeUndefined();
    const [seq, heads] = [await lastSeq(), watchHeads()];
    await cluster.place([a, b, a, a]);
    expect(heads).toMatchObject([{ shard: 1, epoch: 2, seq }]);
    expect([a.owned, b.owned]).toEqual([[0, 2, 3], [1]]);
    expect(await cluster.get(1, 'one')).toMatchObject({ task: { state: 'running' } });
    expect(await cluster.inStream()).toEqual([`${execution}.1`]);
    await cluster.result(execution, 1, 'succeeded');
    expect(await cluster.get(1, 'two')).toMatchObject({ task: { state: 'waiting' } });
  });

  it('is written once, whole, though it is asked for twice in the same instant', async () => {
    const [a, b] = await twoNodes();
    await cluster.create(1, 'one', 600_000);
    const commits = vi.spyOn(cluster.store, 'commit');
    const { ask } = cluster.messenger;
    vi.spyOn(cluster.messenger, 'ask').mockImplementation((...args) => {
      if (args[0].endsWith('.release')) void ask.apply(cluster.messenger, args);
      return ask.apply(cluster.messenger, args);
    });
    await cluster.place([a, b, a, a]);
    const deltas = commits.mock.calls.flatMap(([written]) => written).filter(({ shard }) => shard === 1);
    expect(deltas.flatMap(({ inserts }) => inserts)).toHaveLength(1);
    expect(await cluster.get(1, 'one')).toMatchObject({ task: { state: 'waiting' } });
  });

  it('is written though nothing has changed in it: what others have done since need not be read', async () => {
    const [a, b] = await twoNodes();
    for (let at = 0; at < 10; at++) await cluster.create(0, `other ${at}`, 600_000);
    await cluster.checkpoint();
    const [seq, heads] = [await lastSeq(), watchHeads()];
    await cluster.place([a, b, a, a]);
    expect(heads).toMatchObject([{ shard: 1, epoch: 2, seq }]);
  });

  it('is asked for once its next owner is warm, though that takes more than a second', async () => {
    const calm = vi.fn(() => new Promise<void>((resolve) => void setTimeout(resolve, 1_500)));
    cluster.calm = calm;
    const [a, b] = await twoNodes();
    await cluster.place([a, b, a, a]);
    expect(calm).toHaveBeenCalledTimes(1);
    await cluster.place([a, b, b, a]);
    expect(calm).toHaveBeenCalledTimes(1);
  });

  it('keeps its next owner, while that warms up, neither from shards that nobody has nor from stopping', async () => {
    cluster.calm = async (goesOn) => {
      while (goesOn()) await new Promise((resolve) => setTimeout(resolve, 10));
    };
    const [a, b, c] = [await cluster.start('a'), await cluster.start('b'), await cluster.start('c')];
    await cluster.place([a, a, c, c]);
    cluster.tellPlacement([a, b, c, c]);
    await cluster.settle();
    c.kill();
    cluster.tellPlacement([a, b, b, b]);
    await cluster.until(() => b.owned.includes(3), 'what nobody has is taken over');
    expect([a.owned, b.owned]).toEqual([
      [0, 1],
      [2, 3],
    ]);
    cluster.elapsedMs += LIMITS.handOverWarmMs;
    await cluster.until(() => b.owned.includes(1), 'it is handed over');
    const d = await cluster.start('d');
    cluster.tellPlacement([d, b, b, b]);
    await cluster.settle();
    await cluster.finish(d.scheduler.stop());
    expect([a.owned, d.owned]).toEqual([[0], []]);
  });

  it('has its dispatch under way awaited: the next owner finds it in the work stream', async () => {
    const [a, b] = await twoNodes();
    const held = Promise.withResolvers<void>();
    const { publish } = cluster.work;
    const publishes = vi.spyOn(cluster.work, 'publish').mockImplementation(async (...args) => {
      await held.promise;
      return await publish.apply(cluster.work, args);
    });
    const execution = await cluster.create(1, 'one', 1_000);
    await cluster.worker('w', 10);
    await cluster.pass(1_000);
    cluster.tellPlacement([a, b, a, a]);
    await cluster.settle();
    expect([publishes.mock.calls.length, b.owned]).toEqual([1, []]);
    // What becomes due meanwhile is the next owner's.
    const next = await cluster.create(1, 'next', 1_000);
    await cluster.settle();
    expect(publishes).toHaveBeenCalledOnce();
    held.resolve();
    await cluster.until(() => b.owned.length === 1, 'it is handed over');
    await cluster.settle();
    expect((await cluster.inStream()).toSorted()).toEqual([`${execution}.1`, `${next}.1`].toSorted());
    expect(publishes.mock.calls.map(([{ epoch }]) => epoch)).toEqual([1, 2]);
  });

  it('does not wait for the bodies of its dispatches: the next owner makes them', async () => {
    const [a, b] = await twoNodes();
    const execution = await cluster.create(1, 'one', 600_000);
    await cluster.checkpoint();
    const fetches = vi.spyOn(cluster.store, 'bodies').mockImplementationOnce(() => new Promise(() => undefined));
    await cluster.worker('w', 10);
    await cluster.pass(600_000);
    expect(fetches).toHaveBeenCalledOnce();
    await cluster.place([a, b, a, a]);
    await cluster.settle();
    expect(await cluster.inStream()).toEqual([`${execution}.1`]);
    expect(cluster.counts.get('dispatched')).toBe(1);
  });

  it('is not dispatched for any more while its last checkpoint is written', async () => {
    const [a, b] = await twoNodes();
    await cluster.create(1, 'one', 1_000);
    await cluster.worker('w', 10);
    const held = Promise.withResolvers<void>();
    const { commit } = cluster.store;
    const first = Promise.withResolvers<void>();
    const commits = vi.spyOn(cluster.store, 'commit').mockImplementation(async (...args) => {
      await (commits.mock.calls.length === 1 ? first : held).promise;
      return await commit.apply(cluster.store, args);
    });
    const publishes = vi.spyOn(cluster.work, 'publish');
    cluster.tellPlacement([a, b, a, a]);
    await cluster.until(() => commits.mock.calls.length === 1, 'the checkpoint before the last');
    // Until then it does not stand still.
    await cluster.pass(1_000);
    expect(publishes.mock.calls.map(([{ epoch }]) => epoch)).toEqual([1]);
    await cluster.create(1, 'two', 2_000);
    first.resolve();
    await cluster.until(() => commits.mock.calls.length === 2, 'the last checkpoint');
    await cluster.pass(1_000);
    expect(publishes).toHaveBeenCalledOnce();
    held.resolve();
    await cluster.until(() => publishes.mock.calls.length === 2, 'it is dispatched');
    expect(publishes.mock.calls.map(([{ epoch }]) => epoch)).toEqual([1, 2]);
  });

  it('stands still for no checkpoint but its own, as long as it need not wait for the broker', async () => {
    await twoNodes();
    const held = Promise.withResolvers<void>();
    const { publish } = cluster.work;
    const publishes = vi.spyOn(cluster.work, 'publish').mockImplementation(async (...args) => {
      await held.promise;
      return await publish.apply(cluster.work, args);
    });
    await cluster.create(1, 'one', 1_000);
    await cluster.worker('w', 10);
    await cluster.pass(1_000);
    expect(publishes).toHaveBeenCalledOnce();
    const commits = vi.spyOn(cluster.store, 'commit');
    const written = (): number[] => commits.mock.calls.flatMap(([deltas]) => deltas.map(({ shard }) => shard));
    const asked = cluster.messenger.ask(subjects.shard(1, 'release'), JSON.stringify({ to: 'b' }));
    await cluster.create(0, 'other', 600_000);
    await cluster.until(() => written().length === 1, 'the checkpoint before the last');
    await vi.advanceTimersByTimeAsync(LIMITS.checkpointMs);
    expect(written()).toEqual([1]);
    await vi.advanceTimersByTimeAsync(LIMITS.checkpointMs);
    expect(written()).toContain(0);
    held.resolve();
    await cluster.finish(asked);
  });

  it('is asked for when its next owner has looked at the work stream', async () => {
    const [a, b] = await twoNodes();
    const { ask } = cluster.messenger;
    const asked = Promise.withResolvers<void>();
    const asks = vi.spyOn(cluster.messenger, 'ask').mockImplementation(async (...args) => {
      if (args[0].endsWith('.release')) await asked.promise;
      return await ask.apply(cluster.messenger, args);
    });
    cluster.calls.length = 0;
    cluster.tellPlacement([a, b, a, a]);
    await cluster.until(() => asks.mock.calls.some(([subject]) => subject.endsWith('.release')), 'b comes');
    const looks = (): string[] => cluster.calls.filter((call) => /^b work\.(incarnation|fenceOf)$/.test(call));
    expect(looks()).toEqual(['b work.incarnation', 'b work.fenceOf']);
    asked.resolve();
    await cluster.until(() => cluster.calls.includes('b work.takeFence'), 'b takes the fence');
    const before = cluster.calls.slice(0, cluster.calls.indexOf('b work.takeFence'));
    expect(before.filter((call) => call === 'b work.fenceOf')).toHaveLength(1);
    await cluster.until(() => b.owned.length === 1, 'it is handed over');
  });

  it('loses no command that comes while its last checkpoint is written', async () => {
    const [a, b] = await twoNodes();
    await cluster.create(1, 'before', 600_000);
    const held = Promise.withResolvers<void>();
    const { commit } = cluster.store;
    const commits = vi.spyOn(cluster.store, 'commit').mockImplementationOnce(async (...args) => {
      await held.promise;
      return await commit.apply(cluster.store, args);
    });
    cluster.tellPlacement([a, b, a, a]);
    await cluster.until(() => commits.mock.calls.length === 1, 'the last checkpoint');
    await cluster.create(1, 'meanwhile', 600_000);
    held.resolve();
    await cluster.until(() => b.owned.length === 1, 'it is handed over');
    for (const name of ['before', 'meanwhile']) {
      expect(await cluster.get(1, name)).toMatchObject({ task: { state: 'waiting' } });
    }
  });

  it('has told all its events', async () => {
    const [a, b] = await twoNodes();
    const told: string[] = [];
    cluster.messenger.listen(subjects.event('acme', '*', '*'), (_body, subject) =>
      told.push(subject.split('.')[4] ?? ''),
    );
    await cluster.append(1, cluster.createRecord(1, 'one', 600_000));
    cluster.tellPlacement([a, b, a, a]);
    await cluster.until(() => b.owned.length === 1, 'it is handed over');
    expect(told).toEqual(['created']);
  });

  it('is answered for to the node that asks for it, once it is written', async () => {
    const [a] = await twoNodes();
    await cluster.create(2, 'one', 600_000);
    const ask = cluster.messenger.ask(subjects.shard(2, 'release'), JSON.stringify({ to: 'b' }));
    await cluster.finish(ask);
    expect([a.owned, cluster.counts.get('checkpoint')]).toEqual([[0, 1, 3], 1]);
  });

  it('stays with its owner, which dispatches for it, until the next one comes for it', async () => {
    const [a, b] = await twoNodes();
    b.deafen(); // it does not hear of the placement
    const execution = await cluster.create(1, 'one', 1_000);
    await cluster.worker('w', 10);
    cluster.tellPlacement([a, b, a, a]);
    await cluster.seconds(5);
    expect(a.owned).toEqual([0, 1, 2, 3]);
    expect(await cluster.inStream()).toEqual([`${execution}.1`]);
    const c = await cluster.start('c');
    cluster.tellPlacement([a, c, a, a]);
    await cluster.until(() => c.owned.length === 1, 'it is handed over');
    expect([a.owned, c.owned]).toEqual([[0, 2, 3], [1]]);
  });

  it('is taken at once from an owner that does not say that it is alive', async () => {
    const [a, b] = await twoNodes();
    await cluster.create(1, 'one', 600_000);
    const silent = vi
      .spyOn(cluster.messenger, 'ask')
      .mockRejectedValue(Object.assign(new Error('no answer'), { code: 'timeout' }));
    cluster.tellPlacement([a, b, a, a]);
    await cluster.until(() => b.owned.length === 1, 'it is taken');
    expect(silent.mock.calls.map(([subject]) => subject)).toEqual([subjects.shard(1, 'prepare')]);
    silent.mockRestore();
    expect(await cluster.get(1, 'one')).toMatchObject({ task: { state: 'waiting' } });
  });

  it('stays with its owner as long as that cannot be written', async () => {
    const [a, b] = await twoNodes();
    await cluster.create(1, 'one', 600_000);
    const commits = vi.spyOn(cluster.store, 'commit').mockResolvedValue({ kind: 'retry', error: new Error('away') });
    cluster.tellPlacement([a, b, a, a]);
    await cluster.until(() => commits.mock.calls.length === 3, 'the last checkpoint is repeated');
    expect([a.owned, b.owned]).toEqual([[0, 1, 2, 3], []]);
    expect(await cluster.get(1, 'one')).toMatchObject({ task: { state: 'waiting' } });
    commits.mockRestore();
    await cluster.until(() => b.owned.length === 1, 'it is handed over');
  });
});

describe('a node that stops', () => {
  it('writes all, owns nothing any more, and leaves nothing running', async () => {
    const [a, b] = await twoNodes();
    for (const shard of [0, 1, 2, 3]) await cluster.create(shard, 'one', 600_000);
    const seq = await lastSeq();
    await cluster.finish(b.scheduler.stop());
    await cluster.finish(Promise.all([a.scheduler.stop(), a.scheduler.stop()]));
    expect(a.owned).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
    const heads = watchHeads();
    await cluster.startOwner('c');
    expect(heads.map((head) => head.seq)).toEqual([seq, seq, seq, seq]);
    expect(await cluster.get(3, 'one')).toMatchObject({ task: { state: 'waiting' } });
  });

  it('keeps its shards until the others have come for them', async () => {
    const [a, b] = await twoNodes();
    for (const shard of [0, 1, 2, 3]) await cluster.create(shard, 'one', 600_000);
    const asked = Promise.withResolvers<void>();
    const { ask } = cluster.messenger;
    const asks = vi.spyOn(cluster.messenger, 'ask').mockImplementation(async (...args) => {
      if (args[0].endsWith('.release')) await asked.promise;
      return await ask.apply(cluster.messenger, args);
    });
    cluster.tellPlacement([b, b, b, b]);
    const stopped = a.scheduler.stop();
    await cluster.until(() => asks.mock.calls.some(([subject]) => subject.endsWith('.release')), 'b comes');
    expect([a.owned, b.owned]).toEqual([[0, 1, 2, 3], []]);
    asked.resolve();
    await cluster.finish(stopped);
    await cluster.until(() => b.owned.length === 4, 'they are handed over');
  });

  it('keeps its shards for longer while the next owner says that it will come', async () => {
    const [a, b] = await twoNodes();
    b.deafen();
    cluster.tellPlacement([b, b, b, b]);
    const stopped = a.scheduler.stop();
    for (const _second of [1, 2, 3, 4]) {
      await vi.advanceTimersByTimeAsync(1_000);
      await cluster.messenger.ask(subjects.shard(0, 'prepare'), JSON.stringify({ to: 'b' }));
    }
    expect(a.owned).toEqual([0, 1, 2, 3]);
    await cluster.finish(stopped);
    expect(a.owned).toEqual([]);
  });

  it('lets go of them when nobody comes', async () => {
    const [a, b] = await twoNodes();
    b.deafen();
    cluster.tellPlacement([b, b, b, b]);
    const stopped = a.scheduler.stop();
    await cluster.settle();
    expect(a.owned).toEqual([0, 1, 2, 3]);
    await cluster.finish(stopped);
    expect(a.owned).toEqual([]);
  });

  it('takes nothing over any more, whatever it is placed', async () => {
    const [a, b] = await twoNodes();
    const stopped = a.scheduler.stop();
    cluster.tellPlacement([a, a, a, a]);
    await cluster.finish(stopped);
    await cluster.place([b, b, b, b]);
    await cluster.seconds(3);
    expect([a.owned, b.owned]).toEqual([[], [0, 1, 2, 3]]);
  });
});
