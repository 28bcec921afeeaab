import type { WorkRef } from '@belfry/ports';
import { LIMITS, type Outcome, type ResultRecord } from '@belfry/protocol';
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
  /** Of a lost attempt: the broker's delivery count of its message when that was found out. */
  readonly deliveries?: number | undefined;
  /** Of a lost attempt: the worker that was told to run the next one. */
  readonly toldTo?: string;
  /** Of an attempt that was lost with others of its message: the next one has a message of its own. */
  readonly parted?: true;
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
  /** The slot of its task, or of the task that was made anew under the same id. */
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
  /** The message that carries it while it is `dispatched`, where that is known. */
  message: WorkRef | undefined;
  attempts: AttemptRecord[];
  traceparent: string | undefined;
  epoch: number;
  /** When the task was cancelled: no further attempt. */
  cancelledAt: number | undefined;
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

/**
 * Adds an ended attempt. Failures and losses are few; of those that were returned unrun, which there may be any number of, the oldest are
 * forgotten beyond `LIMITS.attemptsKept`.
 */
export function addAttempt({ attempts }: Execution, ended: AttemptRecord): void {
  attempts.push(ended);
  if (attempts.length <= LIMITS.attemptsKept) return;
  const oldest = attempts.findIndex(({ outcome }) => outcome === 'returned');
  if (oldest >= 0) attempts.splice(oldest, 1);
}

/**
 * The attempt that the present work message was made for. An attempt that is lost with its worker has no message of its own after it: the
 * same one is delivered again, unless it was parted from the others in it.
 */
export function carriedAttempt({ attempt, attempts }: Execution): number {
  let lost = 0;
  for (let last = attempts.at(-1); last?.outcome === 'lost' && last.parted !== true; last = attempts.at(-1 - lost))
    lost++;
  return attempt - lost;
}

/** The ended attempts as they are stored. A cancelled execution that runs on has its cancellation as the last of them. */
export function attemptsText({ attempt, attempts, cancelledAt }: Execution): string {
  if (cancelledAt === undefined) return JSON.stringify(attempts);
  const mark: Partial<AttemptRecord> = { attempt, outcome: 'cancelled', worker: '', acceptedAt: cancelledAt };
  return JSON.stringify([...attempts, mark]);
}

/** Reads what `attemptsText` wrote. */
export function readAttempts(text: string): { attempts: AttemptRecord[]; cancelledAt: number | undefined } {
  const attempts = JSON.parse(text) as AttemptRecord[];
  const cancelledAt = attempts.at(-1)?.outcome === 'cancelled' ? attempts.pop()?.acceptedAt : undefined;
  return { attempts, cancelledAt };
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

  /** Executions that wait for the end of their backoff. */
  waiting(): Set<Execution> {
    const live = this.#heap.filter(
      ({ execution, dueAt }) => execution.state === 'retrying' && execution.dueAt === dueAt,
    );
    return new Set(live.map(({ execution }) => execution));
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
