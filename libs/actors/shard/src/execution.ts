import type { Outcome, ResultRecord } from '@belfry/protocol';
import type { SharedTarget } from './intern.ts';

/** An ended attempt, as it is kept in `active.attempts` and `execution.attempts`. */
export interface AttemptRecord {
  readonly attempt: number;
  readonly outcome: Outcome;
  readonly worker: string;
  readonly dispatchedAt: number | undefined;
  readonly deliveredAt: number | undefined;
  readonly startedAt: number | undefined;
  readonly finishedAt: number | undefined;
  readonly acceptedAt: number;
  readonly error: string | undefined;
}

export type ExecutionPhase = 'opened' | 'pending' | 'dispatched' | 'retrying' | 'adrift';

/**
 * One fire under way. `opened` has no place yet, `pending` waits in the backlog for its (first or next) attempt, `dispatched` is in the work stream or with a
 * worker, `retrying` waits for its backoff, `adrift` was dispatched into a work stream that is gone.
 */
export interface Execution {
  readonly id: string;
  readonly task: string;
  readonly scheduledAt: number;
  readonly createdAt: number;
  /** The task's slot; -1 when it has been cancelled or forgotten. */
  slot: number;
  /** What it runs with; the task's own from the next attempt on. */
  target: SharedTarget;
  /** Changed by `ShardState.move` only. */
  state: ExecutionPhase;
  /** The present attempt, or the last one when `retrying`. */
  attempt: number;
  failures: number;
  lost: number;
  /** When the backoff ends (`retrying`). */
  dueAt: number;
  dispatchedAt: number | undefined;
  attempts: AttemptRecord[];
  traceparent: string | undefined;
  epoch: number;
  /** The task was cancelled: no further attempt. */
  cancelled: boolean;
  /** Its task has more fires than this one. */
  readonly recurring: boolean;
  /** Postgres holds a row of it, or the checkpoint under way writes one. */
  stored: boolean;
}

export function attemptRecord(execution: Execution, result: ResultRecord, acceptedAt: number): AttemptRecord {
  return {
    attempt: result.a,
    outcome: result.o,
    worker: result.w,
    dispatchedAt: execution.dispatchedAt,
    deliveredAt: result.dl || undefined,
    startedAt: result.st || undefined,
    finishedAt: result.fi || undefined,
    acceptedAt,
    error: result.e,
  };
}

/** A binary heap of executions by `dueAt`. Entries whose execution has moved on are skipped when they come up. */
export class RetryHeap {
  readonly #heap: { readonly dueAt: number; readonly execution: Execution }[] = [];

  push(execution: Execution): void {
    const entry = { dueAt: execution.dueAt, execution };
    const heap = this.#heap;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as typeof entry;
      if (above.dueAt <= entry.dueAt) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  /** The next execution whose backoff has ended, or undefined. */
  popDue(nowMs: number): Execution | undefined {
    for (;;) {
      const top = this.#heap[0];
      if (top === undefined || top.dueAt > nowMs) return undefined;
      this.#removeTop();
      const { execution, dueAt } = top;
      if (execution.state === 'retrying' && execution.dueAt === dueAt) return execution;
    }
  }

  #removeTop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && (heap[child + 1] as typeof last).dueAt < (heap[child] as typeof last).dueAt)
        child++;
      if ((heap[child] as typeof last).dueAt >= last.dueAt) break;
      heap[at] = heap[child] as typeof last;
      at = child;
    }
    heap[at] = last;
  }
}
