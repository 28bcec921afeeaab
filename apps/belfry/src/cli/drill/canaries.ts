import { shardOf, taskIdOfKey } from '@belfry/protocol';

/** A one-time task of the drill. */
export interface Canary {
  readonly key: string;
  /** When it is due, ms since 1970. */
  readonly at: number;
}

export interface CanaryPlan {
  readonly run: string;
  readonly namespace: string;
  readonly shard: number;
  readonly shards: number;
  /** When the first is due: asked once their keys are found, which takes some time. */
  readonly firstAt: () => number;
  readonly spacingMs: number;
  readonly count: number;
}

/** Canaries of one shard: their keys are chosen so that they belong to it. */
export function planCanaries({ run, namespace, shard, shards, firstAt, spacingMs, count }: CanaryPlan): Canary[] {
  const keys: string[] = [];
  for (let attempt = 0; keys.length < count; attempt++) {
    const key = `drill-${run}-${attempt}`;
    if (shardOf(taskIdOfKey(namespace, key), shards) === shard) keys.push(key);
  }
  const first = firstAt();
  return keys.map((key, at) => ({ key, at: first + at * spacingMs }));
}

/** What became of the canaries. */
export interface DrillFigures {
  readonly canaries: number;
  /** The longest time in which no canary began, beyond the time between two that are due one after the other. */
  readonly gapMs: number;
  /** Of the latest start of all. */
  readonly latestMs: number;
  /** The median lateness of those that were due before the drill's deed. */
  readonly usualMs: number;
  /** Not run at all. */
  readonly lost: number;
  /** Run more than once. */
  readonly doubled: number;
}

/**
 * `starts` has the instants (ms since 1970) at which each canary's handler began, by key; `deedAt` is when the owner was killed,
 * paused, or told to give the shard away.
 */
export function figuresOf(
  canaries: readonly Canary[],
  starts: ReadonlyMap<string, readonly number[]>,
  deedAt: number,
  spacingMs: number,
): DrillFigures {
  const first = (key: string): number | undefined => starts.get(key)?.[0];
  const begun = canaries.flatMap(({ key }) => first(key) ?? []).toSorted((a, b) => a - b);
  const lateness = (of: readonly Canary[]): number[] =>
    of.flatMap(({ key, at }) => {
      const startedAt = first(key);
      return startedAt === undefined ? [] : [Math.max(0, startedAt - at)];
    });
  let gapMs = 0;
  for (let at = 1; at < begun.length; at++)
    gapMs = Math.max(gapMs, (begun[at] as number) - (begun[at - 1] as number) - spacingMs);
  const usual = lateness(canaries.filter(({ at }) => at < deedAt)).toSorted((a, b) => a - b);
  return {
    canaries: canaries.length,
    gapMs: Math.round(gapMs),
    latestMs: Math.round(lateness(canaries).reduce((latest, ms) => Math.max(latest, ms), 0)),
    usualMs: Math.round(usual[Math.floor(usual.length / 2)] ?? 0),
    lost: canaries.filter(({ key }) => first(key) === undefined).length,
    doubled: canaries.filter(({ key }) => (starts.get(key)?.length ?? 0) > 1).length,
  };
}
