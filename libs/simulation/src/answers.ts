import type { TaskView } from '@belfry/protocol';
import { unfinishedFires, type KnownTask, type Version } from './known-task.ts';
import type { Behaviour } from './worker-host.ts';

/** What was acknowledged of a task when somebody began to ask for it: no answer may fall behind that. */
export interface Acknowledged {
  readonly isCreated: boolean;
  readonly isCancelled: boolean;
  /** Of the versions, the one that is the last in the inbox. */
  readonly newest: Version | undefined;
}

export function acknowledged(task: KnownTask): Acknowledged {
  let newest: Version | undefined;
  for (const version of task.versions)
    if (version.ackedAt !== undefined && (version.storedAt ?? 0) >= (newest?.storedAt ?? 0)) newest = version;
  return {
    isCreated: task.versions[0]?.ackedAt !== undefined,
    isCancelled: task.cancelAckedAt !== undefined,
    newest,
  };
}

/**
 * In what an answer contradicts what was known when it was asked for; undefined when in nothing. `view` undefined: there is no such task.
 * `isOver` tells whether a fire may have come to its end by now.
 */
export function contradiction(
  task: KnownTask,
  known: Acknowledged,
  view: TaskView | undefined,
  isOver: (fire: number) => boolean,
): string | undefined {
  const mayBeFinished = (): boolean =>
    // Of an update that nobody knows the fate of, nobody knows which fires it left.
    task.versions.some(
      ({ storedAt, ackedAt, refused }) => storedAt !== undefined && (ackedAt === undefined || refused),
    ) || unfinishedFires(task, isOver).length === 0;
  if (view === undefined) {
    if (!known.isCreated) return undefined;
    // What is cancelled is remembered; what has finished may be forgotten at once.
    if (known.isCancelled) return 'there is none, and its cancel was acknowledged';
    return task.cancelStoredAt !== undefined || mayBeFinished() ? undefined : 'there is none, and it was acknowledged';
  }
  const { state } = view;
  if (state === 'cancelled' && task.cancelStoredAt === undefined)
    return 'it is cancelled, and no cancel is in the inbox';
  // What had finished before stays so.
  const isEnded = state === 'cancelled' || state === 'finished';
  if (known.isCancelled && !isEnded) return `it is ${state}, and its cancel was acknowledged`;
  if (state === 'finished' && !mayBeFinished()) return 'it is finished, and fires of it are to come';
  return wrongVersion(task, known, view);
}

function wrongVersion(task: KnownTask, { newest }: Acknowledged, { payload }: TaskView): string | undefined {
  const { version } = payload as unknown as Behaviour;
  const storedAt = task.versions[version]?.storedAt;
  if (storedAt === undefined) return `its version is ${version}, which is in no inbox`;
  if (newest?.storedAt === undefined || storedAt >= newest.storedAt) return undefined;
  return `its version is ${version}, and ${newest.number} was acknowledged`;
}
