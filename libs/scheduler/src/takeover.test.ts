import { ok, refused, retry } from '@belfry/ports';
import { taskIdOfKey } from '@belfry/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fire, keyIn, SHARDS, T0, testCluster, type TestCluster, type TestNode } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => vi.useRealTimers());

/** Kills the owner of everything; another node takes all over. */
async function replaced(owner: TestNode, by = 'b'): Promise<TestNode> {
  owner.kill();
  return await cluster.startOwner(by);
}

const checkpoints = (): number => cluster.counts.get('checkpoint') ?? 0;

describe('a takeover', () => {
  it('takes the epoch; loads, while it takes the fence, lists surviving work and appends its ownership; then it dispatches', async () => {
    const first = await cluster.startOwner('a');
    await cluster.create(0, 'one', 1_000);
    first.kill();
    await cluster.worker('w', 10);
    cluster.elapsedMs += 2_000;
    await cluster.startOwner('b');
    await cluster.settle();
    const calls = cluster.calls.filter((call) => call.startsWith('b '));
    const at = (call: string): number => calls.indexOf(`b ${call}`);
    const inOrder = (...steps: string[]): void => {
      const seen = steps.map(at);
      expect(seen).not.toContain(-1);
      expect(seen).toEqual(seen.toSorted((one, other) => one - other));
    };
    inOrder('store.takeEpochs', 'store.load', 'work.publish'); // R1
    inOrder('store.takeEpochs', 'work.takeFence', 'work.surviving', 'inbox.append', 'work.publish');
    inOrder('store.takeEpochs', 'inbox.read', 'work.publish');
    // R1, R2, R3: each step is over for all shards before the next one begins.
    expect(calls.lastIndexOf('b store.takeEpochs')).toBeLessThan(at('store.load'));
    expect(calls.lastIndexOf('b work.takeFence')).toBeLessThan(at('work.surviving'));
    expect(calls.lastIndexOf('b work.surviving')).toBeLessThan(at('inbox.append'));
    expect(await cluster.inStream()).toEqual([`${fire(0, 'one', 1_000)}.1`]);
  });

  it('loads again for the next epoch where the fence was another’s', async () => {
    const owner = await cluster.startOwner('a');
    await cluster.create(0, 'one', 1_000);
    await cluster.checkpoint();
    const { takeFence } = cluster.work;
    let refusals = 0;
    vi.spyOn(cluster.work, 'takeFence').mockImplementation((shard, ...rest) => {
      if (shard !== 0 || refusals > 0) return takeFence.call(cluster.work, shard, ...rest);
      refusals++;
      return Promise.resolve(refused('fenced'));
    });
    const loads = vi.spyOn(cluster.store, 'load');
    const next = await replaced(owner);
    expect([refusals, loads.mock.calls.map(([shards]) => shards)]).toEqual([1, [[0, 1, 2, 3], [0]]]);
    expect(next.owned).toHaveLength(4);
    await cluster.worker('w', 10);
    await cluster.pass(1_000);
    expect(await cluster.inStream()).toEqual([`${fire(0, 'one', 1_000)}.1`]);
  });

  it('ends a load that another epoch has taken the place of, and does not wait for it', async () => {
    const owner = await cluster.startOwner('a');
    await cluster.create(0, 'one', 1_000);
    await cluster.checkpoint();
    const held = Promise.withResolvers<void>();
    const { load } = cluster.store;
    const loads: Promise<unknown>[] = [];
    vi.spyOn(cluster.store, 'load').mockImplementation((...args) => {
      const isFirst = loads.length === 0;
      const act = async (): ReturnType<typeof load> => {
        if (isFirst) await held.promise;
        return await load.apply(cluster.store, args);
      };
      return (loads[loads.length] = act());
    });
    const { takeFence } = cluster.work;
    const once = new Set<number>();
    vi.spyOn(cluster.work, 'takeFence').mockImplementation((shard, ...rest) => {
      if (once.has(shard)) return takeFence.call(cluster.work, shard, ...rest);
      once.add(shard);
      return Promise.resolve(refused('fenced'));
    });
    const next = await replaced(owner);
    expect([next.owned.length, loads.length]).toEqual([4, 2]);
    held.resolve();
    await expect(loads[0]).rejects.toThrow('no more');
  });

  it('answers for nothing that it loaded as a newer owner had written it', async () => {
    const first = await cluster.startOwner('first');
    first.kill();
    const cancel = {
      k: 'cancel',
      c: 0,
      m: cluster.nextCommand(),
      id: taskIdOfKey('acme', keyIn(0, 'late')),
      ns: 'acme',
    } as const;
    await cluster.append(0, cancel);
    const held = Promise.withResolvers<void>();
    const { load } = cluster.store;
    const loads = vi.spyOn(cluster.store, 'load').mockImplementationOnce(async (...args) => {
      await held.promise;
      return await load.apply(cluster.store, args);
    });
    const slow = await cluster.start('slow');
    cluster.tellPlacement([slow, slow, slow, slow]);
    await cluster.until(() => loads.mock.calls.length === 1, 'it loads');
    const next = await cluster.start('next');
    cluster.tellPlacement([next, next, next, next]);
    await cluster.until(() => next.owned.length === 4, 'the newer one owns them');
    await cluster.create(0, 'late', 60_000);
    await cluster.checkpoint();
    held.resolve();
    await cluster.seconds(3);
    // For its rows have the task, and its replay the cancel of before.
    expect(slow.owned).toEqual([]);
    expect(cluster.logged('slow info: shards taken over {"shards":0')).toHaveLength(1);
    expect(await cluster.get(0, 'late')).toMatchObject({ task: { state: 'waiting' } });
  });

  it('waits for all that it loads before it fails', async () => {
    const owner = await cluster.startOwner('a');
    owner.kill();
    const held = Promise.withResolvers<void>();
    const { load } = cluster.store;
    let loads = 0;
    vi.spyOn(cluster.store, 'load').mockImplementation(async (...args) => {
      loads++;
      await held.promise;
      return await load.apply(cluster.store, args);
    });
    vi.spyOn(cluster.work, 'surviving').mockRejectedValueOnce(new Error('away'));
    const next = await cluster.start('b');
    cluster.tellPlacement([next, next, next, next]);
    await cluster.seconds(3);
    expect(loads).toBe(1); // R6
    held.resolve();
    await cluster.until(() => next.owned.length === 4, 'it is taken over');
    expect(loads).toBe(2);
  });

  it('has the bodies of what is due, and will be soon, when it is over', async () => {
    const owner = await cluster.startOwner('a');
    await cluster.create(0, 'due', 1_000);
    const soon = await cluster.create(1, 'soon', 4_000);
    await cluster.create(2, 'later', 600_000);
    await cluster.checkpoint();
    const next = await cluster.start('b');
    await cluster.seconds(1);
    owner.kill();
    const fetches = vi.spyOn(cluster.store, 'bodies');
    cluster.tellPlacement([next, next, next, next]);
    await cluster.until(() => next.owned.length === 4, 'it is taken over');
    await cluster.settle();
    const asked = fetches.mock.calls.flatMap(([refs]) => refs.map(({ shard }) => shard));
    expect(asked.toSorted()).toEqual([0, 1]);
    await cluster.worker('w', 10);
    await cluster.pass(4_000);
    expect(await cluster.inStream()).toContain(`${soon}.1`);
    expect(fetches.mock.calls.flatMap(([refs]) => refs)).toHaveLength(2);
  });

  it('tells which shards miss what, when their checkpoint is older than what the inbox keeps', async () => {
    const owner = await cluster.startOwner();
    await cluster.create(0, 'one', 60_000);
    await cluster.checkpoint();
    const [before] = owner.scheduler.shards().items;
    vi.spyOn(cluster.store, 'commit').mockResolvedValue(retry('away'));
    await cluster.create(0, 'two', 60_000);
    await cluster.inbox.trim((await cluster.inbox.usage()).lastSeq + 1);
    const next = await replaced(owner);
    const { inboxGap } = next.scheduler.status();
    expect(inboxGap).toMatchObject({ shards: [0], fromSeq: (before?.checkpointSeq ?? 0) + 1, foundMs: T0 });
    expect(inboxGap?.untilSeq).toBeGreaterThan(inboxGap?.fromSeq ?? Infinity);
    expect(cluster.logged('the inbox was trimmed past a checkpoint')).toHaveLength(1);
    expect(await cluster.get(0, 'one')).toMatchObject({ task: { state: 'waiting' } });
    expect(await cluster.get(0, 'two')).toMatchObject({ error: { code: 'not_found' } });
  });

  it('finds nothing missing where there is nothing', async () => {
    const owner = await cluster.startOwner();
    await cluster.create(0, 'one', 60_000);
    await cluster.checkpoint();
    await cluster.inbox.trim((owner.scheduler.shards().items[0]?.checkpointSeq ?? 0) + 1);
    const next = await replaced(owner);
    expect(next.scheduler.status().inboxGap).toBeUndefined();
  });

  it('takes what is still in the work stream for dispatched, though no checkpoint knows of it', async () => {
    const owner = await cluster.startOwner();
    const execution = await cluster.create(1, 'one', 1_000);
    await cluster.worker('w', 10);
    await cluster.pass(1_000);
    expect([await cluster.inStream(), checkpoints()]).toEqual([[`${execution}.1`], 0]);
    await replaced(owner);
    await cluster.settle();
    expect(await cluster.inStream()).toEqual([`${execution}.1`]);
    expect(await cluster.result(execution, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
    await cluster.checkpoint();
    expect(cluster.history()).toEqual([`${execution} succeeded 1`]);
  });

  it('does not run again what the inbox has a result of, and removes its message', async () => {
    const owner = await cluster.startOwner();
    const execution = await cluster.create(2, 'one', 1_000);
    await cluster.worker('w', 10);
    await cluster.pass(1_000);
    await cluster.result(execution, 1, 'succeeded');
    expect([await cluster.inStream(), checkpoints()]).toEqual([[`${execution}.1`], 0]);
    await replaced(owner);
    await cluster.seconds(2);
    expect(await cluster.inStream()).toEqual([]);
    expect(cluster.history()).toEqual([`${execution} succeeded 1`]);
  });

  it('dispatches again what neither the work stream nor the inbox speaks of', async () => {
    const owner = await cluster.startOwner();
    const execution = await cluster.create(3, 'one', 1_000);
    await cluster.worker('w', 10);
    const publish = vi.spyOn(cluster.work, 'publish').mockResolvedValue(retry('no acknowledgement'));
    await cluster.pass(1_000);
    await cluster.checkpoint();
    expect(publish).toHaveBeenCalled();
    publish.mockRestore();
    await replaced(owner);
    await cluster.settle();
    expect(await cluster.inStream()).toEqual([`${execution}.1`]);
  });

  it('waits for Postgres, step by step', async () => {
    const owner = await cluster.startOwner();
    await cluster.create(0, 'one', 1_000);
    vi.spyOn(cluster.store, 'takeEpochs').mockResolvedValueOnce(retry('away'));
    vi.spyOn(cluster.store, 'load').mockResolvedValueOnce(retry('away'));
    await replaced(owner);
    expect(cluster.logged('takeover: epochs not yet')).toHaveLength(1);
    expect(cluster.logged('takeover: shards not yet')).toHaveLength(1);
    expect(await cluster.get(0, 'one')).toMatchObject({ task: { state: 'waiting' } });
  });

  it('takes the next epoch where another node was quicker to the fence', async () => {
    const takeFence = vi.spyOn(cluster.work, 'takeFence').mockResolvedValueOnce(refused('fenced'));
    await cluster.startOwner();
    const epochs = takeFence.mock.calls.map(([shard, epoch]) => `${shard}: ${epoch}`);
    expect(epochs.toSorted()).toEqual(['0: 1', '0: 2', '1: 1', '2: 1', '3: 1']);
  });

  it('takes an epoch above the one that the fence has, where Postgres is older', async () => {
    await cluster.work.ensure(() => Promise.resolve(1));
    await cluster.work.takeFence(1, 7);
    await cluster.startOwner();
    expect(await cluster.work.fenceOf(1)).toMatchObject({ epoch: 8 });
  });

  it('takes an epoch above the one that the inbox names, where Postgres and the work stream are older', async () => {
    const ownership = { k: 'ownership', c: 0, epoch: 9, node: 'z' } as const;
    await cluster.appendRaw(1, JSON.stringify({ v: 1, g: '', r: [ownership] }));
    await cluster.startOwner();
    expect(await cluster.work.fenceOf(1)).toMatchObject({ epoch: 10 });
    expect(await cluster.work.fenceOf(0)).toMatchObject({ epoch: 1 });
  });

  it('answers what came before it and during it by what it leads to', async () => {
    const owner = await cluster.startOwner();
    owner.kill();
    const [correlation] = (await cluster.append(1, cluster.createRecord(1, 'late', 60_000))) as [number];
    await cluster.settle();
    expect(cluster.answers.has(correlation)).toBe(false);
    const load = Promise.withResolvers<void>();
    const { load: loads } = cluster.store;
    vi.spyOn(cluster.store, 'load').mockImplementationOnce(async (...args) => {
      await load.promise;
      return await loads.apply(cluster.store, args);
    });
    const next = await cluster.start('b');
    cluster.tellPlacement(Array.from({ length: SHARDS }, () => next));
    await cluster.settle();
    expect(next.owned).toEqual([]);
    load.resolve();
    await cluster.until(() => next.owned.length === SHARDS, 'all shards are owned');
    expect(await cluster.get(1, 'late')).toMatchObject({ task: { state: 'waiting' } });
  });
});

describe('an owner that was replaced without being told', () => {
  it('learns it from the inbox, and drops its shards', async () => {
    const owner = await cluster.startOwner('a');
    owner.deafen();
    const next = await cluster.startOwner('b');
    expect([owner.owned, next.owned]).toEqual([[], [0, 1, 2, 3]]);
  });

  it('learns it from the fence: its dispatch is refused, and the shard dropped', async () => {
    const owner = await cluster.startOwner();
    const executions = [await cluster.create(0, 'lost', 1_000), await cluster.create(1, 'kept', 1_000)];
    await cluster.work.takeFence(0, 5);
    await cluster.worker('w', 10);
    await cluster.pass(1_000);
    expect(await cluster.inStream()).toEqual([`${executions[1]}.1`]);
    expect(owner.owned).toEqual([1, 2, 3]);
    expect(cluster.logged('a shard is lost: it has a newer owner')).toHaveLength(1);
    // The placement gives it this shard all the same: it takes it over, above the epoch of whoever had it.
    await cluster.seconds(1);
    expect([owner.owned, (await cluster.work.fenceOf(0)).epoch]).toEqual([[0, 1, 2, 3], 6]);
    expect((await cluster.inStream()).toSorted()).toEqual(executions.map((execution) => `${execution}.1`).toSorted());
  });

  it('learns it from Postgres: its checkpoint is refused, the shard dropped, and the others are written', async () => {
    const owner = await cluster.startOwner();
    await cluster.store.takeEpochs([2], 'z', [5]);
    await cluster.create(2, 'lost', 60_000);
    await cluster.create(3, 'kept', 60_000);
    const commit = vi.spyOn(cluster.store, 'commit');
    await cluster.checkpoint();
    expect(owner.owned).toEqual([0, 1, 3]);
    expect(await commit.mock.results[0]?.value).toEqual({ kind: 'ok', value: { fenced: [2] } });
    expect(await stored(2)).toEqual([0, 1]);
    // What was acknowledged stands in the inbox.
    await cluster.seconds(2);
    expect([owner.owned, await stored(2)]).toEqual([
      [0, 1, 2, 3],
      [1, 1],
    ]);
  });
});

/** Tasks in the store: of the shard, and of shard 3. */
async function stored(shard: number): Promise<number[]> {
  const counts = new Map<number, number>();
  const none = (): void => undefined;
  await cluster.store.load([shard, 3], none, none, none, (of, rows) => void counts.set(of, rows.length));
  return [counts.get(shard) ?? 0, counts.get(3) ?? 0];
}

describe('a query', () => {
  it('is not answered by an owner that does not know yet that another node has the shard', async () => {
    const a = await cluster.startOwner('a');
    await cluster.create(1, 'one', 600_000);
    await cluster.work.takeFence(1, 9);
    let isAnswered = false;
    void cluster.askFor(1, 'one').then(() => (isAnswered = true));
    await cluster.settle();
    expect([isAnswered, a.owned]).toEqual([false, [0, 2, 3]]);
    expect(await cluster.get(0, 'none')).toMatchObject({ error: { code: 'not_found' } });
  });

  it('does not deny a task that the database does not know, since it is an older one', async () => {
    await cluster.startOwner('a');
    await cluster.create(0, 'one', 600_000);
    await cluster.checkpoint();
    vi.spyOn(cluster.store, 'bodies').mockResolvedValue(ok(new Map()));
    expect(await cluster.get(0, 'one')).toMatchObject({ error: { code: 'unavailable', retryable: true } });
  });

  it('is not answered by who has let go of the shard while it fetched the payload', async () => {
    const [a, b] = [await cluster.startOwner('a'), await cluster.start('b')];
    await cluster.create(0, 'one', 600_000);
    await cluster.checkpoint();
    const gate = Promise.withResolvers<void>();
    const { bodies } = cluster.store;
    vi.spyOn(cluster.store, 'bodies').mockImplementationOnce(async (...args) => {
      await gate.promise;
      return await bodies.apply(cluster.store, args);
    });
    const answered = vi.fn();
    void cluster.askFor(0, 'one').then(answered);
    await cluster.settle();
    await cluster.place([b, a, a, a]);
    gate.resolve();
    await cluster.settle();
    expect(answered).not.toHaveBeenCalled();
    expect(await cluster.get(0, 'one')).toMatchObject({ task: { state: 'waiting' } });
  });

  it('is not answered while it cannot be asked whose the shard is', async () => {
    const a = await cluster.startOwner('a');
    await cluster.create(1, 'one', 600_000);
    const fenceOf = vi.spyOn(cluster.work, 'fenceOf').mockRejectedValue(new Error('no answer'));
    let isAnswered = false;
    void cluster.askFor(1, 'one').then(() => (isAnswered = true));
    await cluster.settle();
    expect([isAnswered, a.owned]).toEqual([false, [0, 1, 2, 3]]);
    fenceOf.mockRestore();
    expect(await cluster.get(1, 'one')).toMatchObject({ task: { state: 'waiting' } });
  });
});
