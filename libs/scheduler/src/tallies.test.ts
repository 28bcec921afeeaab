import { subjects } from '@belfry/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Tallies } from './tallies.ts';
import { T0, testCluster, type TestCluster } from './test-cluster.ts';

const ask = (request: object): Uint8Array => new TextEncoder().encode(JSON.stringify(request));
const REQUEST = { namespace: 'acme', fromMs: 0, shards: [0, 1, 2, 3] };

describe('what shards are scheduled by', () => {
  let cluster: TestCluster;
  beforeEach(() => {
    cluster = testCluster();
  });
  afterEach(() => vi.useRealTimers());

  it('is told by a node for all shards that it owns and is asked for', async () => {
    const [a, b] = [await cluster.start('a'), await cluster.start('b')];
    await cluster.place([a, a, b, a]);
    for (const shard of [0, 1, 2, 3]) await cluster.create(shard, 'one', 2_000);
    const tell = async (shard: number, shards: readonly number[]): Promise<unknown> => {
      const question = JSON.stringify({ ...REQUEST, fromMs: T0, shards });
      const reply = cluster.finish(cluster.messenger.ask(subjects.shard(shard, 'schedules'), question));
      return JSON.parse(new TextDecoder().decode(await reply));
    };
    const second = T0 + 2_000;
    expect(await tell(0, [0, 1, 2, 3])).toMatchObject({ covers: [0, 1, 3], instants: [{ atMs: second, tasks: 3 }] });
    expect(await tell(2, [2])).toMatchObject({ covers: [2], instants: [{ atMs: second, tasks: 1 }] });
    expect(await tell(0, [1])).toMatchObject({ covers: [1], instants: [{ tasks: 1 }], items: [], leftOut: 0 });
  });
});

describe('a count', () => {
  /** Shards of so many steps, each of which takes so long. */
  function tallies(steps: readonly number[], tookMs: number) {
    let [elapsedMs, turnBeganMs, longestTurnMs, turns] = [0, 0, 0, 0];
    const endTurn = (): void => {
      longestTurnMs = Math.max(longestTurnMs, elapsedMs - turnBeganMs);
      turnBeganMs = elapsedMs;
      turns++;
    };
    const env = {
      clock: { now: () => 7, monotonic: () => elapsedMs },
      timers: {
        every: () => () => undefined,
        after: () => () => undefined,
        soon: (run: () => void) => {
          endTurn();
          queueMicrotask(run);
        },
      },
    };
    const hosts = steps.map((count, shard) => ({
      gone: false,
      core: {
        shard,
        tally: (_tally: unknown, slot: number, most: number): number | undefined => {
          elapsedMs += tookMs;
          const next = slot + most;
          return next < count * most ? next : undefined;
        },
      },
    }));
    return { tallies: new Tallies(env, () => hosts), hosts, seen: () => ({ longestTurnMs, turns, elapsedMs }) };
  }

  it('lets others have their turn every few milliseconds', async () => {
    const { tallies: counting, seen } = tallies([40, 1, 60], 0.5);
    expect(JSON.parse(await counting.answer(ask(REQUEST)))).toMatchObject({ covers: [0, 1, 2], asOf: 7 });
    expect(seen()).toEqual({ longestTurnMs: 2, turns: 25, elapsedMs: 50.5 });
  });

  it('is one at a time, and refuses more than some', async () => {
    const { tallies: counting } = tallies([3], 1);
    const answers = await Promise.all(Array.from({ length: 10 }, () => counting.answer(ask(REQUEST))));
    const refused = answers.map((answer) => JSON.parse(answer) as { error?: { code: string } });
    expect(refused.map(({ error }) => error?.code)).toEqual([
      ...Array<undefined>(8).fill(undefined),
      'overloaded',
      'overloaded',
    ]);
    expect(JSON.parse(await counting.answer(ask(REQUEST)))).toMatchObject({ covers: [0] });
  });

  it('refuses what it cannot read', async () => {
    const { tallies: counting } = tallies([1], 1);
    for (const request of [
      {},
      { ...REQUEST, shards: 1 },
      { ...REQUEST, namespace: 'a b' },
      { ...REQUEST, idsOf: [1] },
      [],
    ])
      expect(JSON.parse(await counting.answer(ask(request)))).toMatchObject({ error: { code: 'malformed' } });
    expect(JSON.parse(await counting.answer(new Uint8Array([0xff])))).toMatchObject({ error: { code: 'malformed' } });
  });
});
