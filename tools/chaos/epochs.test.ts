import { describe, expect, it } from 'vitest';

import type { Run } from './check.ts';
import { epochProblems, type Ownership, type StoredEnd } from './epochs.ts';

/** Of shard 1 of 2. */
const TASK = `00000001${'a'.repeat(24)}`;
const of = (at: number): string => `${TASK}-${at.toString(36)}`;
const run = (at: number, epoch: number, startMs: number, more: Partial<Run> = {}): Run => ({
  execution: of(at),
  attempt: 1,
  worker: 'w1_1',
  epoch,
  startMs,
  endMs: startMs + 10,
  ...more,
});
const end = (at: number, epoch: number, storedMs: number | undefined): StoredEnd => ({
  execution: of(at),
  succeeded: true,
  epoch,
  storedMs,
});
/** Shard 1 went from s1 to s2 at 5,000, and its epoch 3 was taken by nobody. */
const MOVED: Ownership = {
  taken: [
    { shard: 1, epoch: 4, node: 's2_1', atMs: 5_000 },
    { shard: 0, epoch: 1, node: 's1_1', atMs: 0 },
    { shard: 1, epoch: 2, node: 's1_1', atMs: 0 },
  ],
  heads: [
    { shard: 0, epoch: 1, node: 's1_1' },
    { shard: 1, epoch: 4, node: 's2_1' },
  ],
  owners: new Map([
    [0, 's1_1'],
    [1, 's2_1'],
  ]),
};
const problems = (more: { ownership?: Partial<Ownership>; ends?: StoredEnd[]; runs?: Run[] }): string[] =>
  epochProblems(2, { ...MOVED, ...more.ownership }, more.ends ?? [], more.runs ?? []);
const one = (what: string): unknown[] => [expect.stringContaining(what)];

describe('epochs', () => {
  it('are as they should be where each owner wrote and dispatched in its time', () => {
    const runs = [run(1_000, 2, 1_000), run(4_000, 2, 4_000), run(4_990, 2, 5_500), run(5_100, 4, 5_200)];
    const ends = [end(1_000, 2, 1_020), end(4_000, 4, 6_000), end(4_990, 4, 6_000), end(5_100, 4, 6_000)];
    expect(problems({ runs, ends })).toEqual([]);
  });

  it('are wrong where a head is not of the newest one, or missing', () => {
    const [first, second] = MOVED.heads as [Ownership['heads'][number], Ownership['heads'][number]];
    for (const stale of [{ epoch: 2 }, { epoch: 5 }, { node: 's1_1' }])
      expect(problems({ ownership: { heads: [first, { ...second, ...stale }] } })).toEqual(
        one('1 shards have checkpo'),
      );
    expect(problems({ ownership: { heads: [first] } })).toEqual(one('1 shards have no head'));
  });

  it('are wrong where another node than who took the newest one, or none, is owner', () => {
    for (const owner of [[[1, 's1_1'] as const], []])
      expect(problems({ ownership: { owners: new Map([[0, 's1_1'], ...owner]) } })).toEqual(one('another owner'));
  });

  describe('of the history', () => {
    const stale = one('1 rows of the history were not written while their epoch was the newest');

    it('are wrong in what a former owner wrote after the next one had taken the shard', () => {
      expect(problems({ ends: [end(1_000, 2, 5_000)] })).toEqual([]);
      expect(problems({ ends: [end(1_000, 2, 5_001)] })).toEqual(stale);
    });

    it('are wrong in what was written before its epoch was taken', () => {
      expect(problems({ ends: [end(1_000, 4, 5_000)] })).toEqual([]);
      expect(problems({ ends: [end(1_000, 4, 4_999)] })).toEqual(stale);
    });

    it('are wrong where nobody took them, and where nobody knows when they wrote', () => {
      for (const bad of [end(1_000, 3, 6_000), end(1_000, 5, 6_000), end(1_000, 4, undefined)])
        expect(problems({ ends: [bad] })).toEqual(stale);
    });
  });

  describe('of handlers', () => {
    it('are wrong where nobody took them', () => {
      for (const epoch of [3, 5, NaN])
        expect(problems({ runs: [run(1_000, epoch, 1_000)] })).toEqual(one('nobody has'));
    });

    it('are wrong where an older one starts after a newer one of the same execution', () => {
      const [old, next] = [run(1_000, 2, 1_000), run(1_000, 4, 5_500, { attempt: 2 })];
      expect(problems({ runs: [next, old] })).toEqual([]);
      expect(problems({ runs: [next, { ...old, startMs: 5_501 }] })).toEqual(
        one('with an older epoch than one before'),
      );
    });

    it('are wrong where they are newer than that which closed the execution', () => {
      const runs = [run(1_000, 4, 5_500)];
      expect(problems({ runs, ends: [end(1_000, 4, 6_000)] })).toEqual([]);
      expect(problems({ runs, ends: [end(1_000, 2, 1_020)] })).toEqual(one('closed with 2'));
    });

    it('are wrong in what came due after a newer one had been seen', () => {
      const first = run(5_100, 4, 5_200);
      expect(problems({ runs: [first, run(5_201, 2, 9_000)] })).toEqual([]);
      expect(problems({ runs: [first, run(5_202, 2, 5_203)] })).toEqual(one('was fenced before they were due'));
    });
  });
});
