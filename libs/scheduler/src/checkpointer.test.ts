import { retry } from '@belfry/ports';
import { LIMITS } from '@belfry/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Bodies } from './bodies.ts';
import { Checkpointer, type CheckpointerNode } from './checkpointer.ts';
import type { Environment } from './environment.ts';
import type { HostedShard } from './hosted-shard.ts';
import { T0, testCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => vi.useRealTimers());

const commits = (cluster: TestCluster) => vi.spyOn(cluster.store, 'commit');

describe('a checkpoint', () => {
  it('is repeated verbatim until its fate is known; what changes meanwhile is in the next one', async () => {
    await cluster.startOwner();
    await cluster.create(0, 'one', 60_000);
    const commit = commits(cluster).mockResolvedValueOnce(retry('away')).mockResolvedValueOnce(retry('away'));
    await cluster.until(() => commit.mock.calls.length === 1, 'a first try');
    await cluster.create(0, 'two', 60_000);
    await cluster.checkpoint();
    await cluster.checkpoint();
    const [first, second, third, fourth] = commit.mock.calls;
    expect([second, third]).toEqual([first, first]);
    expect(first?.[0].map(({ inserts }) => inserts.length)).toEqual([1]);
    expect(fourth?.[0].map(({ inserts }) => inserts.length)).toEqual([1]);
    expect(fourth?.[1]).not.toBe(first?.[1]);
  });

  it('counts for operators when it is stored, not when it is taken', async () => {
    const owner = await cluster.startOwner();
    await cluster.create(0, 'one', 60_000);
    await cluster.checkpoint();
    const stored = (): number | undefined => owner.scheduler.shards().items[0]?.checkpointSeq;
    const before = stored();
    const { seq } = owner.scheduler.shards().items[0] as { seq: number };
    expect(before).toBe(seq);
    await cluster.create(0, 'two', 60_000);
    const commit = commits(cluster).mockResolvedValueOnce(retry('away'));
    await cluster.until(() => commit.mock.calls.length === 1, 'a first try');
    expect(stored()).toBe(before);
    await cluster.checkpoint();
    expect(stored()).toBe(owner.scheduler.shards().items[0]?.seq);
    expect(stored()).toBeGreaterThan(seq);
  });

  it('tells of each shard when it was taken', async () => {
    await cluster.startOwner();
    await cluster.create(0, 'one', 60_000);
    const commit = commits(cluster);
    const fromMs = T0 + cluster.elapsedMs;
    await cluster.checkpoint();
    const takenAt = commit.mock.calls.flatMap(([deltas]) => deltas.map((delta) => delta.takenAt ?? NaN));
    expect(takenAt).not.toEqual([]);
    for (const atMs of takenAt) expect([atMs >= fromMs, atMs <= T0 + cluster.elapsedMs]).toEqual([true, true]);
  });

  it('that faults for one shard is written for the others, and that shard is loaded again', async () => {
    const owner = await cluster.startOwner();
    for (const shard of [0, 1, 2]) await cluster.create(shard, 'one', 60_000);
    const { commit } = cluster.store;
    let faults = 2;
    commits(cluster).mockImplementation(async (deltas, id) => {
      if (faults > 0 && deltas.some(({ shard }) => shard === 1) && faults-- > 0) throw new Error('a row is no good');
      return await commit.call(cluster.store, deltas, id);
    });
    await cluster.until(() => owner.owned.length === 3, 'a shard is dropped');
    expect(owner.owned).toEqual([0, 2, 3]);
    expect(cluster.logged('a shard crashed')).toHaveLength(1);
    expect(await cluster.get(0, 'one')).toMatchObject({ task: { state: 'waiting' } });
    await cluster.seconds(2);
    expect(owner.owned).toEqual([0, 1, 2, 3]);
    const heads = await cluster.store.takeEpochs([0, 1, 2], 'z', [0, 0, 0]);
    expect(heads).toMatchObject({ value: [{ epoch: 2 }, { epoch: 3 }, { epoch: 2 }] });
    expect(await cluster.get(1, 'one')).toMatchObject({ task: { state: 'waiting', payload: '"one"' } });
  });

  it('waits longer each time that the same shard faults', async () => {
    const owner = await cluster.startOwner();
    await cluster.create(1, 'one', 600_000);
    const commit = commits(cluster).mockRejectedValue(new Error('a row is no good'));
    const waits: unknown[] = [];
    for (let round = 0; round < 6; round++) {
      await cluster.until(() => cluster.logged('a shard crashed').length > round, 'a fault');
      waits.push(
        (JSON.parse(cluster.logged('a shard crashed').at(-1)?.split('crashed ')[1] ?? '') as { restartInMs: number })
          .restartInMs,
      );
    }
    expect(waits).toEqual([100, 200, 400, 800, 1_600, 3_200]);
    // It is not loaded again before that.
    const takeovers = cluster.counts.get('takeover');
    await vi.advanceTimersByTimeAsync(3_000);
    expect([owner.owned, cluster.counts.get('takeover')]).toEqual([[0, 2, 3], takeovers]);
    commit.mockRestore();
    await cluster.until(() => owner.owned.length === 4, 'the shard is loaded again');
  });

  it('counts executions that are over when they are written, and by whoever writes them', async () => {
    const owner = await cluster.startOwner();
    await cluster.worker('w', 10);
    const executions = [await cluster.create(1, 'one', 0), await cluster.create(2, 'two', 0)];
    await cluster.settle();
    for (const execution of executions) await cluster.result(execution, 1, 'succeeded');
    const { commit } = cluster.store;
    let faults = 2;
    commits(cluster).mockImplementation(async (deltas, id) => {
      if (faults > 0 && deltas.some(({ shard }) => shard === 1) && faults-- > 0) throw new Error('a row is no good');
      return await commit.call(cluster.store, deltas, id);
    });
    await cluster.store.takeEpochs([2], 'z', [5]);
    await cluster.until(() => owner.owned.length === 2, "one shard faulted, the other one is another owner's");
    expect([cluster.history(), cluster.counts.get('over succeeded')]).toEqual([[], undefined]);
    await cluster.seconds(4);
    expect(cluster.history().toSorted()).toEqual(executions.map((execution) => `${execution} succeeded 1`).toSorted());
    expect(cluster.counts.get('over succeeded')).toBe(2);
  });
});

describe('what waits for a checkpoint', () => {
  const held = (rows: number, chars: number): Checkpointer => {
    const host = { core: { changedRows: rows, changedChars: chars } } as unknown as HostedShard;
    const env = { node: 'a', clock: { now: () => T0 } } as Environment;
    return new Checkpointer(env, {} as Bodies, { hosted: () => [host, host] } as unknown as CheckpointerNode);
  };

  it('ends reading when it is many rows, or much text in few', () => {
    const few = held(10, LIMITS.checkpointBacklogChars / 2 - 1);
    expect([few.pressure(), few.holdsBack]).toEqual([undefined, false]);
    const large = held(10, LIMITS.checkpointBacklogChars / 2);
    expect([large.pressure(), large.holdsBack]).toEqual([expect.any(Promise), true]);
  });
});

describe('the inbox sequence of a checkpoint', () => {
  it('leaves out what a shard that was just taken over has not been given yet', async () => {
    const { read } = cluster.inbox;
    const held = Promise.withResolvers<void>();
    let readings = 0;
    vi.spyOn(cluster.inbox, 'read').mockImplementation(async (shards, ...rest) => {
      const reading = await read.call(cluster.inbox, shards, ...rest);
      // The first one for shard 0 is the replay's; the second goes on for a while though it is asked to stop.
      if (shards.join() !== '0' || ++readings !== 2) return reading;
      return { done: reading.done, stop: () => held.promise.then(() => reading.stop()) };
    });
    const [a, b] = [await cluster.start('a'), await cluster.start('b')];
    await cluster.place([a, b, b, b]);
    cluster.elapsedMs += 60_000; // so that the heads of idle shards are due
    await cluster.place([a, a, b, b]);
    await cluster.append(1, cluster.createRecord(1, 'acknowledged', 600_000));
    await cluster.create(0, 'other', 600_000);
    await cluster.checkpoint();
    a.kill();
    const c = await cluster.start('c');
    await cluster.place([c, c, b, b]);
    expect(await cluster.get(1, 'acknowledged')).toMatchObject({ task: { state: 'waiting' } });
    held.resolve();
  });

  it('does not go back when the node reads from further back for another shard', async () => {
    const [a, b] = [await cluster.start('a'), await cluster.start('b')];
    await cluster.place([a, b, a, b]);
    const { read } = cluster.inbox;
    const replay = Promise.withResolvers<void>();
    const reading = Promise.withResolvers<void>();
    const reads = vi.spyOn(cluster.inbox, 'read').mockImplementation(async (shards, ...rest) => {
      if (shards.join() === '1') await replay.promise;
      if (shards.length === 3) await reading.promise;
      return await read.call(cluster.inbox, shards, ...rest);
    });
    await cluster.create(0, 'one', 30_000);
    cluster.tellPlacement([a, a, a, b]);
    const last = (call: string): number => cluster.calls.lastIndexOf(`a ${call}`);
    await cluster.until(
      () => last('inbox.append') > last('store.takeEpochs') && last('inbox.read') > last('store.takeEpochs'),
      'the ownership of shard 1 stands in the inbox',
    );
    // What comes after that is read: shard 0 is written with its sequence, although it is another shard's.
    await cluster.create(2, 'other', 600_000);
    await cluster.checkpoint();
    replay.resolve();
    await cluster.until(
      () => reads.mock.calls.some(([shards]) => shards.length === 3),
      'it reads anew, from that ownership on',
    );
    await cluster.worker('w', 10);
    await cluster.pass(30_000);
    await cluster.checkpoint();
    expect(cluster.logged('a shard crashed')).toEqual([]);
    expect(a.owned).toEqual([0, 1, 2]);
    reading.resolve();
  });
});
