import { Shard } from '@belfry/shard';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SHARDS, testCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

/** Shard 1 throws in what the host calls, `times` times. */
function spoil(method: 'advance' | 'take' | 'upcoming' | 'reconcile' | 'loadTasks', times = 1): void {
  const sound = Shard.prototype[method] as (this: Shard, ...args: unknown[]) => never;
  let left = times;
  vi.spyOn(Shard.prototype, method).mockImplementation(function (this: Shard, ...args: unknown[]) {
    if (this.shard === 1 && left-- > 0) throw new Error(`${method} fails`);
    return sound.apply(this, args);
  });
}

async function createDue(): Promise<string[]> {
  const executions: string[] = [];
  for (let shard = 0; shard < SHARDS; shard++) executions.push(await cluster.create(shard, 'one', 1_000));
  await cluster.worker('w', 100);
  return executions;
}

const works = (executions: readonly string[]): string[] => executions.map((execution) => `${execution}.1`).toSorted();

describe('a shard that goes wrong', () => {
  it.each(['advance', 'take'] as const)('in %s is loaded again, and holds up no other', async (method) => {
    const owner = await cluster.startOwner();
    const executions = await createDue();
    spoil(method);
    await cluster.pass(1_000);
    expect(owner.owned).toEqual([0, 2, 3]);
    expect(cluster.logged(`${method} fails`)).toHaveLength(1);
    expect((await cluster.inStream()).toSorted()).toEqual(works(executions.filter((_, shard) => shard !== 1)));
    await cluster.seconds(1);
    expect(owner.owned).toEqual([0, 1, 2, 3]);
    expect((await cluster.inStream()).toSorted()).toEqual(works(executions));
  });

  it('while bodies are fetched ahead is loaded again', async () => {
    const owner = await cluster.startOwner();
    spoil('upcoming');
    await cluster.until(() => owner.owned.length === 3, 'the shard is dropped');
    await cluster.until(() => owner.owned.length === 4, 'the shard is back');
  });

  it.each(['loadTasks', 'reconcile'] as const)('in %s keeps no other from being taken over', async (method) => {
    const first = await cluster.startOwner('a');
    const executions = await createDue();
    await cluster.checkpoint();
    first.kill();
    spoil(method, 2);
    const second = await cluster.start('b');
    cluster.tellPlacement([second, second, second, second]);
    await cluster.until(() => second.owned.length === 3, 'the others are taken over');
    expect(second.owned).toEqual([0, 2, 3]);
    await cluster.pass(1_000);
    expect((await cluster.inStream()).toSorted()).toEqual(works(executions.filter((_, shard) => shard !== 1)));
    await cluster.until(() => second.owned.length === 4, 'the shard is loaded again');
    expect(cluster.logged(`${method} fails`)).toHaveLength(2);
    await cluster.settle();
    expect((await cluster.inStream()).toSorted()).toEqual(works(executions));
  });

  it('alone on its node is loaded again all the same', async () => {
    const [first, other] = [await cluster.startOwner('a'), await cluster.start('b')];
    await createDue();
    await cluster.checkpoint();
    spoil('loadTasks', 5); // two rehearsals, and the load ahead, meet it first, and leave it to the takeover
    await cluster.place([first, other, first, first]);
    expect(cluster.logged('loadTasks fails')).toHaveLength(2);
    await cluster.create(1, 'next', 60_000);
  });

  it('in a publish is taken over again: what was in the batch is dispatched', async () => {
    const owner = await cluster.startOwner();
    const executions = await createDue();
    const { publish } = cluster.work;
    let faults = 1;
    vi.spyOn(cluster.work, 'publish').mockImplementation(async (...args) => {
      if (args[0].shard === 1 && faults-- > 0) throw new Error('publish fails');
      return await publish.apply(cluster.work, args);
    });
    await cluster.pass(1_000);
    expect(owner.owned).toEqual([0, 2, 3]);
    await cluster.seconds(1);
    expect((await cluster.inStream()).toSorted()).toEqual(works(executions));
  });

  it('with a dispatch that is in the work stream already is taken over again, and runs it once', async () => {
    const owner = await cluster.startOwner();
    const executions = await createDue();
    const { publish } = cluster.work;
    let times = 1;
    vi.spyOn(cluster.work, 'publish').mockImplementation(async (...args) => {
      const outcome = await publish.apply(cluster.work, args);
      return args[0].shard === 1 && times-- > 0 ? { kind: 'refused', reason: 'duplicate' } : outcome;
    });
    await cluster.pass(1_000);
    expect(owner.owned).toEqual([0, 2, 3]);
    await cluster.seconds(2);
    expect(owner.owned).toEqual([0, 1, 2, 3]);
    expect((await cluster.inStream()).toSorted()).toEqual(works(executions));
  });
});
