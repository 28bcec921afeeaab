import { LIMITS } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';
import { askOwners, handOverGroups } from './arrivals.ts';

describe('owners', () => {
  it('are those that say that they are alive; shards of the others are free', async () => {
    const answers: Record<string, string> = {
      'belfry.shard.3.prepare': '{"shard":3,"tasks":70}',
      'belfry.shard.1.prepare': '{"error":{"code":"not_found"}}', // of an older version
    };
    const ask = async (subject: string): Promise<Uint8Array> => {
      const answer = answers[subject];
      if (answer === undefined) throw new Error('nobody');
      return new TextEncoder().encode(answer);
    };
    const messenger = { ask } as never;
    expect(await askOwners({ node: 'b', messenger }, [4, 3, 2, 1])).toEqual({
      free: [2, 4],
      owned: [
        { shard: 1, tasks: 0 },
        { shard: 3, tasks: 70 },
      ],
    });
  });
});

/** Groups that a process has taken over before it takes full ones. */
const WARM = 2;

describe('groups', () => {
  const of = (...tasks: number[]): number[][] =>
    handOverGroups(
      tasks.map((count, shard) => ({ shard, tasks: count })),
      WARM,
    );

  it('have small shards together, up to the limit of shards', () => {
    const groups = of(...new Array<number>(2 * LIMITS.handOverShards + 1).fill(1));
    expect(groups.map((group) => group.length)).toEqual([LIMITS.handOverShards, LIMITS.handOverShards, 1]);
    expect(groups.flat()).toEqual(Array.from({ length: 2 * LIMITS.handOverShards + 1 }, (_, shard) => shard));
  });

  it('have no more tasks than the limit, but for a shard that has more by itself', () => {
    const half = LIMITS.handOverTasks / 2;
    expect(of(half, half, 1, 3 * half, 1)).toEqual([[0, 1], [2], [3], [4]]);
    expect(of()).toEqual([]);
  });

  it('are smaller in a process that is new to it', () => {
    const owned = Array.from({ length: 20 }, (_, shard) => ({ shard, tasks: 1 }));
    const sizes = (before: number): number[] => handOverGroups(owned, before).map((group) => group.length);
    expect(sizes(0)).toEqual([1, 2, 4, 4, 4, 4, 1]);
    expect(sizes(1)).toEqual([2, 4, 4, 4, 4, 2]);
    expect(sizes(WARM)).toEqual([4, 4, 4, 4, 4]);
  });
});
