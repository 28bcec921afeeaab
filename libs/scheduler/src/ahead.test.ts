import type { Changed } from '@belfry/ports';
import { LIMITS, subjects } from '@belfry/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { T0, testCluster, type TestCluster, type TestNode } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => vi.useRealTimers());

async function twoNodes(): Promise<[TestNode, TestNode]> {
  const [a, b] = [await cluster.start('a'), await cluster.start('b')];
  await cluster.place([a, a, a, a]);
  await cluster.create(1, 'old', 600_000);
  await cluster.checkpoint();
  return [a, b];
}

/**
 * From now on: for each epoch that is taken `epoch`, for each load what it was asked for, rehearsals left out. `beforeRelease` is done once,
 * when the next owner has loaded the shard ahead and is about to ask for it.
 */
function watchLoads({
  beforeRelease = () => undefined,
  reply = (body) => body,
}: {
  readonly beforeRelease?: () => unknown;
  readonly reply?: (body: Uint8Array) => Uint8Array;
} = {}): (string | Changed)[] {
  const seen: (string | Changed)[] = [];
  let rehearses = true;
  let done: Promise<unknown> | undefined;
  const { takeEpochs, load } = cluster.store;
  vi.spyOn(cluster.store, 'takeEpochs').mockImplementation((...args) => {
    const [shards] = args;
    if (shards.length > 0) seen.push(`epoch of ${shards.join()}`);
    return takeEpochs.apply(cluster.store, args);
  });
  vi.spyOn(cluster.store, 'load').mockImplementation((...args) => {
    const [shards, , , , , changed] = args;
    if (!rehearses) seen.push(changed ?? `load of ${shards.join()}`);
    return load.apply(cluster.store, args);
  });
  const { ask } = cluster.messenger;
  vi.spyOn(cluster.messenger, 'ask').mockImplementation(async (...args) => {
    const [subject, body] = args;
    if (subject === subjects.shard(1, 'prepare') && body.includes('watch')) rehearses = false;
    if (subject === subjects.shard(1, 'release')) await (done ??= Promise.resolve(beforeRelease()));
    return reply(await ask.apply(cluster.messenger, args));
  });
  return seen;
}

const taskOf = (execution: string): string => execution.slice(0, 32);

describe('a shard that its next owner has loaded ahead', () => {
  it('is brought forward by what has changed meanwhile, and by nothing else', async () => {
    const [a, b] = await twoNodes();
    await cluster.worker('w', 10);
    const created: string[] = [];
    const seen = watchLoads({
      beforeRelease: async () => {
        created.push(await cluster.create(1, 'new', 700_000), await cluster.create(1, 'due', 0));
      },
    });
    await cluster.place([a, b, a, a]);
    expect(seen).toEqual(['load of 1', 'epoch of 1', { tasks: expect.any(Array) as string[], commandsFrom: T0 }]);
    expect((seen[2] as Changed).tasks.toSorted()).toEqual(created.map(taskOf).toSorted());
    expect(await cluster.get(1, 'old')).toMatchObject({ task: { state: 'waiting' } });
    expect(await cluster.get(1, 'new')).toMatchObject({ task: { state: 'waiting' } });
    expect(await cluster.get(1, 'due')).toMatchObject({ task: { state: 'running' } });
    expect(await cluster.inStream()).toEqual([`${created[1]}.1`]);
    await cluster.result(created[1] as string, 1, 'succeeded');
    await cluster.pass(700_000);
    expect(await cluster.inStream()).toContain(`${created[0]}.1`);
  });

  it('has what a checkpoint under way writes, which its load had not seen', async () => {
    const [a, b] = await twoNodes();
    const held = Promise.withResolvers<void>();
    const { commit } = cluster.store;
    const commits = vi.spyOn(cluster.store, 'commit').mockImplementationOnce(async (...args) => {
      await held.promise;
      return await commit.apply(cluster.store, args);
    });
    await cluster.create(1, 'late', 500_000);
    await cluster.until(() => commits.mock.calls.length === 1, 'a checkpoint is under way');
    const seen = watchLoads({ beforeRelease: held.resolve });
    await cluster.place([a, b, a, a]);
    expect(seen.at(-1)).toMatchObject({ tasks: [expect.any(String)] });
    expect(await cluster.get(1, 'late')).toMatchObject({ task: { state: 'waiting' } });
  });

  it('is loaded whole when another node has had it in between', async () => {
    const [a, b] = await twoNodes();
    const seen = watchLoads({ beforeRelease: () => cluster.store.takeEpochs([1], 'c', [0]) });
    await cluster.place([a, b, a, a]);
    expect(seen).toEqual(['load of 1', 'epoch of 1', 'epoch of 1', 'load of 1']);
    expect(await cluster.get(1, 'old')).toMatchObject({ task: { state: 'waiting' } });
  });

  it('is loaded whole when its owner is gone before it has let go', async () => {
    const [a, b] = await twoNodes();
    const seen = watchLoads({ beforeRelease: () => a.kill() });
    cluster.tellPlacement([b, b, b, b]);
    await cluster.until(() => b.owned.length === 4, 'all is taken over');
    expect(seen.filter((step) => typeof step !== 'string')).toEqual([]);
    expect(await cluster.get(1, 'old')).toMatchObject({ task: { state: 'waiting' } });
  });

  it('is loaded whole when more has changed than can be said', async () => {
    const [a, b] = await twoNodes();
    const seen = watchLoads({
      beforeRelease: async () => {
        for (let from = 0; from <= LIMITS.handOverChanges; from += 1_000) {
          const names = Array.from({ length: 1_000 }, (_, at) => `many ${from + at}`);
          await cluster.append(1, ...names.map((name) => cluster.createRecord(1, name, 600_000)));
        }
        await cluster.until(() => a.scheduler.status().tasks > LIMITS.handOverChanges, 'they are created');
      },
    });
    await cluster.place([a, b, a, a]);
    expect(seen).toEqual(['load of 1', 'epoch of 1', 'load of 1']);
    expect(b.scheduler.status().tasks).toBe(5_001);
  });

  it('is loaded whole where its owner is of a version that watches nothing', async () => {
    const [a, b] = await twoNodes();
    const seen = watchLoads({
      reply: (body) => {
        const { watch: _, since, ...former } = JSON.parse(new TextDecoder().decode(body)) as Record<string, unknown>;
        expect(since).toBe(undefined);
        return new TextEncoder().encode(JSON.stringify(former));
      },
    });
    await cluster.place([a, b, a, a]);
    expect(seen).toEqual(['epoch of 1', 'load of 1']);
  });
});
