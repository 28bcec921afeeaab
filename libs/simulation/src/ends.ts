import type { HistoryRow } from '@belfry/ports';
import { executionId, LIMITS, type Outcome } from '@belfry/protocol';
import type { KnownTask } from './known-task.ts';

interface Attempt {
  readonly attempt: number;
  readonly outcome: Outcome;
}

/**
 * What is wrong with how an execution ended: the rule that it breaks, and a message; undefined when nothing. `last`: of the attempt that
 * its row names.
 */
export function wrongEnd(
  row: HistoryRow,
  task: KnownTask,
  last: { readonly hasRun: boolean; readonly hasResult: boolean },
): readonly [rule: string, message: string] | undefined {
  const execution = executionId(row.task, row.scheduledAt);
  switch (row.state) {
    case 'succeeded':
      if (!last.hasRun) return ['result', `${execution}.${row.attempt} succeeded, and was never run`];
      return last.hasResult
        ? undefined
        : ['result', `${execution}.${row.attempt} succeeded without a result in the inbox`];
    case 'dead':
      return wrongDeath(execution, JSON.parse(row.attempts ?? '[]') as readonly Attempt[]);
    case 'skipped':
      return task.missed.has(row.scheduledAt) ? undefined : ['skipped', `${execution} was skipped, and was not missed`];
    default:
      return task.cancelStoredAt === undefined ? ['state', `${execution} ended as ${row.state}`] : undefined;
  }
}

function wrongDeath(
  execution: string,
  attempts: readonly Attempt[],
): readonly [rule: string, message: string] | undefined {
  const numbers = attempts.map(({ attempt }) => attempt);
  if (new Set(numbers).size < numbers.length) return ['accepted twice', `${execution} has attempts ${numbers.join()}`];
  const lost = attempts.filter(({ outcome }) => outcome === 'lost').length;
  const failed = attempts.filter(({ outcome }) => outcome === 'failed' || outcome === 'timed_out').length;
  if (lost >= LIMITS.lostAttempts || failed >= 3) return undefined;
  return ['dead', `${execution} is dead after ${failed} failures and ${lost} losses`];
}
