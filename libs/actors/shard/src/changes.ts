import type {
  ActiveRow,
  CalendarRow,
  HistoryRow,
  LifeRow,
  ShardDelta,
  TaskPatch,
  TaskRow,
  UnwatchedRow,
} from '@belfry/ports';
import { attemptsText, type Execution } from './execution.ts';

export type Patch = { -readonly [K in keyof TaskPatch]: TaskPatch[K] };

/**
 * What has changed since the last checkpoint.
 *
 * C1. A task that Postgres has never seen stands in `inserts` only, with its latest definition.
 * C2. An execution that began and ended between two checkpoints leaves a history row and nothing else.
 */
export class Changes {
  inserts = new Map<string, TaskRow>();
  patches = new Map<string, Patch>();
  deletes: string[] = [];
  /** Recurring slots whose pointer may have to be stored or deleted. */
  lagging = new Set<number>();
  /** Pointers to store, or to delete (undefined); the last word on each task. */
  pointers = new Map<string, number | undefined>();
  active = new Set<Execution>();
  activeDone: { task: string; scheduledAt: number }[] = [];
  /** By qualified name. */
  calendars = new Map<string, CalendarRow>();
  history: HistoryRow[] = [];
  life: LifeRow[] = [];
  unwatched: UnwatchedRow[] = [];
  commands: { hash: number; at: number }[] = [];
  /** Characters of the payloads, labels and results in all of these, about. */
  textChars = 0;

  /** Rows that a checkpoint would write, about. */
  get rows(): number {
    return (
      this.inserts.size +
      this.patches.size +
      this.deletes.length +
      this.lagging.size +
      this.pointers.size +
      this.active.size +
      this.activeDone.length +
      this.calendars.size +
      this.history.length +
      this.life.length +
      this.unwatched.length +
      this.commands.length
    );
  }

  patch(id: string): Patch {
    let patch = this.patches.get(id);
    if (patch === undefined) {
      patch = { id };
      this.patches.set(id, patch);
    }
    return patch;
  }
}

export function activeRow(execution: Execution): ActiveRow {
  return {
    task: execution.task,
    scheduledAt: execution.scheduledAt,
    // A pending attempt has not begun: it is stored as the end of the one before.
    attempt: execution.state === 'pending' ? execution.attempt - 1 : execution.attempt,
    state: execution.state === 'retrying' || execution.state === 'pending' ? 'retrying' : 'dispatched',
    // One that is adrift is told from a dispatched one by having an instant here.
    retryAt: execution.state === 'retrying' ? execution.dueAt : execution.state === 'dispatched' ? undefined : 0,
    dispatchedAt: execution.dispatchedAt,
    lost: execution.lost,
    failures: execution.failures,
    attempts: attemptsText(execution),
    target: undefined,
    traceparent: execution.traceparent,
  };
}

export type Counters = ShardDelta['counters'];
