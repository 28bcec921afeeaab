import { beforeEach, describe, expect, it } from 'vitest';

import { miss, missingFires, type KnownTask, type Version } from './known-task.ts';
import { UnwatchedSpans } from './unwatched-spans.ts';

const MINUTE_MS = 60_000;

function taskOf(catchUp: KnownTask['catchUp'], changes: Partial<Version> = {}): KnownTask {
  const fires = [1, 2, 3, 4].map((minute) => minute * MINUTE_MS);
  const version: Version = { number: 0, kind: 'every', fires, storedAt: 1, ackedAt: 2, refused: false, ...changes };
  const none = { over: new Set<number>(), missed: new Set<number>(), cancelStoredAt: undefined };
  return {
    ...{ id: 'one', versions: [version], allowed: new Set(fires), catchUp },
    ...{ ...none, cancelAckedAt: undefined, running: new Set('') },
  };
}

function missing(task: KnownTask): number[] {
  return missingFires(task).map(({ fire }) => fire / MINUTE_MS);
}

describe('fires that came due while nobody watched', () => {
  const gap = { fromMs: MINUTE_MS, untilMs: 3 * MINUTE_MS };

  it.each([
    ['skip', [1, 4]],
    ['latest', [1, 3, 4]],
    ['all', [1, 2, 3, 4]],
  ] as const)('must run as far as the policy keeps them: %s', (policy, kept) => {
    const task = taskOf(policy);
    miss(task, gap);
    expect(missing(task)).toEqual(kept);
  });

  it('are all that there is of a one-time task: it runs unless its policy is skip', () => {
    const once = { kind: 'at' as const, fires: [2 * MINUTE_MS] };
    for (const [policy, kept] of [
      ['skip', []],
      ['latest', [2]],
    ] as const) {
      const task = taskOf(policy, once);
      miss(task, gap);
      expect(missing(task)).toEqual(kept);
    }
  });

  it('are not those of a one-time task that was created after the gap, for an instant within it', () => {
    const task = taskOf('skip', { kind: 'at', fires: [2 * MINUTE_MS], storedAt: 4 * MINUTE_MS });
    miss(task, gap);
    expect(missing(task)).toEqual([2]);
  });
});

describe('the spans in which nobody watched a shard', () => {
  let spans: UnwatchedSpans;
  beforeEach(() => (spans = new UnwatchedSpans()));

  it('begin where the checkpoints before end, whatever a checkpoint claims', () => {
    spans.watched(0, 500);
    expect(spans.found(0, { fromMs: 100, untilMs: 900, foundMs: 60_900 })).toEqual({ fromMs: 500, untilMs: 900 });
    expect(spans.found(1, { fromMs: 100, untilMs: 900, foundMs: 60_900 })).toEqual({ fromMs: 100, untilMs: 900 });
  });

  it('begin with a gap that its owner had not gone through whole', () => {
    spans.watched(0, 500);
    spans.found(0, { fromMs: 500, untilMs: 900, foundMs: 60_900 });
    spans.watched(0, 700);
    expect(spans.found(0, { fromMs: 500, untilMs: 2_000, foundMs: 62_000 })).toEqual({ fromMs: 500, untilMs: 2_000 });
    spans.watched(0, 3_000);
    expect(spans.found(0, { fromMs: 500, untilMs: 4_000, foundMs: 64_000 })).toEqual({ fromMs: 3_000, untilMs: 4_000 });
  });
});
