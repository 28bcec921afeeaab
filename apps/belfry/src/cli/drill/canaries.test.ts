import { shardOf, taskIdOfKey } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { figuresOf, planCanaries } from './canaries.ts';

const plan = { run: 'r', namespace: 'shop', shard: 3, shards: 16, firstAt: () => 1_000, spacingMs: 20, count: 10 };

describe('canaries', () => {
  it('all belong to the shard, and are due one after the other', () => {
    const canaries = planCanaries(plan);
    expect(canaries.map(({ at }) => at)).toEqual(Array.from({ length: 10 }, (_, at) => 1_000 + 20 * at));
    expect(new Set(canaries.map(({ key }) => shardOf(taskIdOfKey('shop', key), 16)))).toEqual(new Set([3]));
    expect(new Set(canaries.map(({ key }) => key)).size).toBe(10);
  });
});

describe('figures of a drill', () => {
  const canaries = planCanaries(plan);
  const on = (startOf: (at: number, index: number) => number[]): Map<string, number[]> =>
    new Map(canaries.map(({ key, at }, index) => [key, startOf(at, index)]));

  it('are nothing where all went as usual', () => {
    const starts = on((at) => [at + 4]);
    const figures = { canaries: 10, gapMs: 0, latestMs: 4, usualMs: 4, lost: 0, doubled: 0 };
    expect(figuresOf(canaries, starts, 1_100, 20)).toEqual(figures);
  });

  it('tell the longest time in which none began, and the latest', () => {
    // Those that are due from 1,080 to 1,140 begin together at 1,150.
    const starts = on((at) => [at >= 1_080 && at <= 1_140 ? 1_150 : at + 2]);
    expect(figuresOf(canaries, starts, 1_080, 20)).toMatchObject({
      gapMs: 1_150 - 1_062 - 20,
      latestMs: 70,
      usualMs: 2,
    });
  });

  it('tell what was lost and what was doubled', () => {
    const starts = on((at, index) => (index === 4 ? [] : index === 5 ? [at, at + 7] : [at]));
    expect(figuresOf(canaries, starts, 1_080, 20)).toMatchObject({ lost: 1, doubled: 1, gapMs: 20 });
    expect(figuresOf(canaries, new Map(), 1_080, 20)).toMatchObject({ lost: 10, doubled: 0, gapMs: 0, latestMs: 0 });
  });
});
