import type { CatchUpPolicy, SimSchedule } from './plan.ts';

export interface Version {
  readonly number: number;
  readonly kind: SimSchedule['kind'];
  /** Of its schedule, ms since 1970. */
  readonly fires: readonly number[];
  /** ms since 1970; undefined while it is in no inbox. */
  storedAt: number | undefined;
  ackedAt: number | undefined;
  /** Its task had ended before. */
  refused: boolean;
}

/** What is known of one task from outside: what clients asked for, and what services stored. */
export interface KnownTask {
  readonly id: string;
  readonly versions: Version[];
  /** Every fire that any of its schedules has. */
  readonly allowed: Set<number>;
  readonly catchUp: CatchUpPolicy;
  /** Fires that are over, as checkpointed. */
  readonly over: Set<number>;
  /** Fires that were missed, and that its policy does not keep: they need not run. */
  readonly missed: Set<number>;
  cancelStoredAt: number | undefined;
  cancelAckedAt: number | undefined;
  running: ReadonlySet<string>;
}

/** A fire that must run, and since when nothing stands in its way; both ms since 1970. */
export interface Missing {
  readonly fire: number;
  readonly dueAt: number;
}

/** Fires of a task that is not cancelled that must run, and are not over. */
export function missingFires(task: KnownTask): Missing[] {
  return task.cancelStoredAt === undefined
    ? unfinishedFires(task, (fire) => task.over.has(fire) || task.missed.has(fire))
    : [];
}

/**
 * Fires that must run unless a cancel takes them, and are not over. An update that was refused at last, since the task had ended, may have
 * been applied before: its first answer was lost. So either will do.
 */
export function unfinishedFires(task: KnownTask, isOver: (fire: number) => boolean): Missing[] {
  const stored = task.versions.filter(({ storedAt }) => storedAt !== undefined);
  stored.sort((a, b) => (a.storedAt as number) - (b.storedAt as number));
  const missing = missingOf(stored, isOver);
  if (missing.length === 0 || stored.every(({ refused }) => !refused)) return missing;
  const others = missingOf(
    stored.filter(({ refused }) => !refused),
    isOver,
  );
  return others.length < missing.length ? others : missing;
}

function missingOf(versions: readonly Version[], isOver: (fire: number) => boolean): Missing[] {
  const last = versions.at(-1) as Version;
  if (last.kind === 'at') {
    // It moves with an update, unless it was dispatched before: one of them must have run.
    const hasRun = versions.some(({ fires }) => fires.some(isOver));
    return hasRun ? [] : last.fires.map((fire) => ({ fire, dueAt: Math.max(fire, last.storedAt as number) }));
  }
  const missing: Missing[] = [];
  versions.forEach(({ fires, storedAt }, at) => {
    const from = storedAt as number;
    const until = versions[at + 1]?.storedAt ?? Infinity;
    for (const fire of fires) if (fire > from && fire <= until && !isOver(fire)) missing.push({ fire, dueAt: fire });
  });
  return missing;
}

/** Nobody watched the task's shard in (fromMs, untilMs]: what its policy does not keep of the fires that came due then need not run. */
export function miss(
  task: KnownTask,
  { fromMs, untilMs }: { readonly fromMs: number; readonly untilMs: number },
): void {
  if (task.catchUp === 'all') return;
  const createdAt = task.versions[0]?.storedAt ?? Infinity;
  const fires = task.versions.flatMap(({ fires }) => fires);
  for (const { kind, fires: own } of task.versions) {
    if (kind === 'at' && task.catchUp === 'latest') continue; // it is the last one
    for (const fire of own) {
      // A one-time task that was made after its instant came due then.
      const dueAt = kind === 'at' ? Math.max(fire, createdAt) : fire;
      if (dueAt <= fromMs || dueAt > untilMs) continue;
      if (task.catchUp === 'skip' || fires.some((later) => later > fire && later <= untilMs)) task.missed.add(fire);
    }
  }
}
