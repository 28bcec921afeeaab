import {
  executionId,
  LIMITS,
  parseExecutionId,
  wireError,
  type Answer,
  type RedeliveredRecord,
  type ResultRecord,
} from '@belfry/protocol';
import type { HistoryRow } from '@belfry/ports';
import { backoffDelayMs } from '@belfry/timing';
import { attemptRecord, type AttemptRecord, type Execution } from './execution.ts';
import { NEVER_MS, type Refusal, type ShardState } from './state.ts';

/** A result is accepted once per attempt. One for a fire whose dispatch is not known proves the dispatch. */
export function applyResult(state: ShardState, record: ResultRecord, timestamp: number): Answer {
  const found = findAttempt(state, record, timestamp);
  if ('ok' in found) return found;
  const last = attemptRecord(found, record, timestamp);
  if (record.o === 'succeeded') {
    close(state, found, 'succeeded', last, record.v);
    return { ok: true, status: 'accepted' };
  }
  if (record.o === 'lost') found.lost++;
  else if (record.o !== 'returned') found.failures++;
  const reason = whyOver(found, record);
  if (reason !== undefined) {
    close(state, found, reason, last, undefined);
    return { ok: true, status: 'accepted' };
  }
  found.attempts.push(last);
  retryLater(state, found, record, timestamp);
  return { ok: true, status: 'accepted' };
}

/** Why an execution gets no further attempt after this result; undefined when it does. */
function whyOver(execution: Execution, record: ResultRecord): HistoryRow['state'] | undefined {
  if (execution.cancelled) return record.o === 'returned' || record.o === 'lost' ? 'cancelled' : overAs(record);
  if (record.o === 'lost') return execution.lost >= LIMITS.lostAttempts ? 'dead' : undefined;
  if (record.o === 'returned') return undefined;
  return record.f === true || execution.failures >= execution.target.retry.attempts ? 'dead' : undefined;
}

function overAs(record: ResultRecord): HistoryRow['state'] {
  return record.o === 'timed_out' ? 'timed_out' : 'failed';
}

function retryLater(state: ShardState, execution: Execution, record: ResultRecord, timestamp: number): void {
  const { retry } = execution.target;
  const backs = record.o !== 'returned' && record.o !== 'lost';
  const delay = backs
    ? backoffDelayMs({
        attempt: execution.failures,
        initialMs: retry.initialMs,
        factor: retry.factor,
        maxMs: retry.maxMs,
        jitter: retry.jitter,
        seed: execution.id,
      })
    : 0;
  state.move(execution, 'retrying');
  execution.dueAt = timestamp + delay;
  execution.dispatchedAt = undefined;
  state.retries.push(execution);
  state.changes.active.add(execution);
  if (!backs) return;
  state.emit({
    type: 'retrying',
    namespace: record.ns,
    task: execution.task,
    at: timestamp,
    execution: execution.id,
    attempt: execution.attempt,
    ...(record.e === undefined ? {} : { error: record.e }),
  });
}

/** May a worker run a message that had been delivered before? The attempt that it was delivered for is lost; a new one takes its place. */
export function applyRedelivered(state: ShardState, record: RedeliveredRecord, timestamp: number): Answer {
  const found = findAttempt(state, record, timestamp);
  if ('ok' in found) return { ok: true, status: 'skip', reason: found.error.message };
  const lost: ResultRecord = {
    k: 'result',
    c: 0,
    x: record.x,
    ns: record.ns,
    a: record.a,
    o: 'lost',
    w: '',
    dl: 0,
    st: 0,
    fi: 0,
  };
  found.lost++;
  const last = attemptRecord(found, lost, timestamp);
  const reason = whyOver(found, lost);
  if (reason !== undefined) {
    close(state, found, reason, last, undefined);
    return {
      ok: true,
      status: 'skip',
      reason: reason === 'cancelled' ? 'the task was cancelled' : 'too many workers died with it',
    };
  }
  found.attempts.push(last);
  found.attempt++;
  state.move(found, 'dispatched');
  state.changes.active.add(found);
  return { ok: true, status: 'run', attempt: found.attempt };
}

/** The execution that a worker speaks of, in the attempt that it speaks of; or why there is none. */
function findAttempt(
  state: ShardState,
  record: ResultRecord | RedeliveredRecord,
  timestamp: number,
): Execution | Refusal {
  const execution = state.executions.get(record.x) ?? proveDispatch(state, record.x, timestamp);
  if (!isExecution(execution)) return execution;
  if (execution.target.namespace !== record.ns) return unknown('no such execution in this namespace');
  if (record.a < execution.attempt)
    return over(`attempt ${record.a} is over; attempt ${execution.attempt} is the present one`);
  if (record.a > execution.attempt + 1) return unknown(`there is no attempt ${record.a} of it yet`);
  if (execution.state === 'dispatched' || execution.state === 'adrift') {
    return record.a === execution.attempt ? execution : unknown(`there is no attempt ${record.a} of it yet`);
  }
  if (execution.state === 'retrying' && record.a === execution.attempt) return over(`attempt ${record.a} is over`);
  // It waits for attempt `record.a` as far as this state knows: the record proves that it was dispatched.
  markDispatched(state, execution, record.a);
  return execution;
}

export function markDispatched(state: ShardState, execution: Execution, attempt: number): void {
  execution.attempt = attempt;
  state.move(execution, 'dispatched');
  state.changes.active.add(execution);
}

/**
 * Takes a fire that this state has not dispatched as dispatched, on the word of a worker or of the work stream.
 * Only a real, due, coming fire of a task can be proven; fires before it become pending, since nobody speaks for them.
 */
export function proveDispatch(state: ShardState, id: string, timestamp: number): Execution | Refusal {
  const fire = parseExecutionId(id);
  if (fire === undefined) return unknown('this is no execution id');
  const slot = state.table.find(fire.taskId);
  if (slot < 0) return over('no such execution, or it is over');
  const pointer = state.pointerOf(slot);
  if (fire.scheduledAt < pointer) return over('the execution is over');
  const real = state.isRecurring(slot)
    ? state.nextAfter(slot, fire.scheduledAt - 1) === fire.scheduledAt
    : fire.scheduledAt === pointer;
  if (!real || fire.scheduledAt > timestamp + LIMITS.clockSlackMs) return unknown('the task has no such fire');
  for (;;) {
    const scheduledAt = state.pointerOf(slot);
    state.disarm(slot);
    const execution = openFire(state, slot, scheduledAt);
    if (scheduledAt === fire.scheduledAt) {
      markDispatched(state, execution, execution.attempt);
      state.fired++;
      return execution;
    }
    if (execution.state === 'opened') state.move(execution, 'pending');
  }
}

/**
 * Turns the next fire of a task without a place into an execution, `opened` but in no backlog, and arms the task for the fire after it.
 * A fire that is under way already (of a task that was made again) is returned as it is.
 */
export function openFire(state: ShardState, slot: number, scheduledAt: number): Execution {
  const task = state.table.idOf(slot);
  const id = executionId(task, scheduledAt);
  const known = state.executions.get(id);
  const execution: Execution = known ?? {
    id,
    task,
    scheduledAt,
    createdAt: state.table.createdAt[slot] as number,
    slot,
    target: state.targetOf(slot),
    state: 'opened',
    attempt: 1,
    failures: 0,
    lost: 0,
    dueAt: scheduledAt,
    dispatchedAt: undefined,
    attempts: [],
    traceparent: undefined,
    epoch: state.epoch,
    cancelled: false,
    recurring: state.isRecurring(slot),
    stored: false,
  };
  if (known === undefined) state.addExecution(execution);
  state.arm(slot, state.isRecurring(slot) ? state.nextAfter(slot, scheduledAt) : NEVER_MS);
  return execution;
}

/** Ends an execution that no worker holds. */
export function closeAs(state: ShardState, execution: Execution, how: 'cancelled' | 'dead', timestamp: number): void {
  close(state, execution, how, undefined, undefined, timestamp);
}

function close(
  state: ShardState,
  execution: Execution,
  how: HistoryRow['state'],
  last: AttemptRecord | undefined,
  result: string | undefined,
  timestamp = last?.acceptedAt ?? 0,
): void {
  const { target } = execution;
  if (how === 'dead') state.dead++;
  state.emit({
    type: how === 'succeeded' ? 'succeeded' : how === 'dead' ? 'dead' : how === 'cancelled' ? 'cancelled' : 'failed',
    namespace: target.namespace,
    task: execution.task,
    at: timestamp,
    execution: execution.id,
    attempt: execution.attempt,
    ...(last?.error === undefined ? {} : { error: last.error }),
  });
  state.closeExecution(execution, {
    task: execution.task,
    scheduledAt: execution.scheduledAt,
    namespace: target.namespace,
    queue: target.queue,
    handler: target.handler,
    state: how,
    attempt: execution.attempt,
    dispatchedAt: last?.dispatchedAt,
    deliveredAt: last?.deliveredAt,
    startedAt: last?.startedAt,
    finishedAt: last?.finishedAt ?? timestamp,
    acceptedAt: timestamp,
    worker: last?.worker,
    error: last?.error,
    result,
    attempts: execution.attempts.length === 0 ? undefined : JSON.stringify(execution.attempts),
    epoch: execution.epoch,
    traceparent: execution.traceparent,
    createdAt: execution.createdAt,
  });
}

function isExecution(found: Execution | Refusal): found is Execution {
  return 'task' in found;
}

function unknown(message: string): Refusal {
  return { ok: false, error: wireError('unknown_execution', message) };
}

function over(message: string): Refusal {
  return { ok: false, error: wireError('execution_over', message) };
}
