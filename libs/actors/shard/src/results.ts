import { LIMITS, wireError, type Answer, type RedeliveredRecord, type ResultRecord } from '@belfry/protocol';
import type { HistoryRow } from '@belfry/ports';
import { backoffDelayMs } from '@belfry/timing';
import { addAttempt, attemptRecord, carriedAttempt, type AttemptRecord, type Execution } from './execution.ts';
import { proveDispatch } from './proofs.ts';
import type { Refusal, ShardState } from './state.ts';

/** A result is accepted once per attempt. One for a fire whose dispatch is not known proves the dispatch. */
export function applyResult(state: ShardState, record: ResultRecord, timestamp: number): Answer {
  const found = findAttempt(state, record, timestamp);
  if (!isExecution(found)) return found;
  const last = attemptRecord(found, record, timestamp);
  if (record.o === 'succeeded') {
    close(state, found, 'succeeded', last, record.v);
    return { ok: true, status: 'accepted' };
  }
  if (record.o === 'lost') found.lost++;
  else if (record.o !== 'returned') found.failures++;
  const reason = whyOver(found, record);
  if (reason !== undefined) {
    // No worker ran it: a task that is made anew in the place of the cancelled one has this fire yet to come.
    if (reason === 'cancelled' && record.o === 'returned' && found.attempts.length === 0)
      state.decided.drop(found.task, found.scheduledAt);
    close(state, found, reason, last, undefined);
    return { ok: true, status: 'accepted' };
  }
  addAttempt(found, last);
  retryLater(state, found, record, timestamp);
  return { ok: true, status: 'accepted' };
}

/** Why an execution gets no further attempt after this result; undefined when it does. */
function whyOver(execution: Execution, record: ResultRecord): HistoryRow['state'] | undefined {
  if (execution.cancelledAt !== undefined)
    return record.o === 'returned' || record.o === 'lost' ? 'cancelled' : overAs(record);
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

/**
 * May a worker run a message that had been delivered before? The attempt that it was delivered for is lost; a new one takes its place,
 * in a message of its own if others were in this one: the worker may have died of any of them.
 */
export function applyRedelivered(state: ShardState, record: RedeliveredRecord, timestamp: number): Answer {
  const answered = answeredBefore(state, record, timestamp);
  if (answered !== undefined) return answered;
  const found = findAttempt(state, record, timestamp);
  if (!isExecution(found)) return { ok: true, status: 'skip', reason: found.error.message };
  const lost: ResultRecord = {
    k: 'result',
    c: 0,
    x: record.x,
    ns: record.ns,
    a: found.attempt,
    o: 'lost',
    w: '',
    dl: 0,
    st: 0,
    fi: 0,
  };
  found.lost++;
  // Whether it is adrift does not count: that the message is gone stands in no log, and a replay must come to the same.
  const parted = record.p === true ? { parted: true as const } : {};
  const toldTo = record.p === true ? {} : { toldTo: record.w };
  const last = { ...attemptRecord(found, lost, timestamp), deliveries: record.n, ...parted, ...toldTo };
  const reason = whyOver(found, lost);
  if (reason !== undefined) {
    close(state, found, reason, last, undefined);
    return {
      ok: true,
      status: 'skip',
      reason: reason === 'cancelled' ? 'the task was cancelled' : 'too many workers died with it',
    };
  }
  addAttempt(found, last);
  if (last.parted === true) {
    retryLater(state, found, lost, timestamp);
    return { ok: true, status: 'skip', reason: 'it gets a message of its own' };
  }
  found.attempt++;
  // One that is adrift has no message to find at the next takeover: it stays so, until it is over or its worker falls silent.
  if (found.state !== 'adrift') state.move(found, 'dispatched');
  state.changes.active.add(found);
  return { ok: true, status: 'run', attempt: found.attempt };
}

/**
 * The answer to a question that was asked before, or that another worker has asked about the same message; undefined where it is to be found.
 * Two may hold the same message, as after a partition of the broker, even as the same delivery: only one of them is told to run it.
 */
function answeredBefore(state: ShardState, record: RedeliveredRecord, timestamp: number): Answer | undefined {
  const execution = state.executions.get(record.x);
  const last = execution?.attempts.at(-1);
  if (execution === undefined || last?.outcome !== 'lost') return undefined;
  if (execution.state !== 'dispatched' && execution.state !== 'adrift') return undefined;
  if (execution.target.namespace !== record.ns || record.a > last.attempt) return undefined;
  if (record.a < carriedAttempt(execution)) return undefined;
  const isFresh = timestamp >= last.acceptedAt && timestamp < last.acceptedAt + LIMITS.toldMs;
  const isSame = last.toldTo === undefined || last.toldTo === record.w;
  if (isSame && record.n === last.deliveries && (record.n !== undefined || isFresh))
    return { ok: true, status: 'run', attempt: execution.attempt };
  const isOlder = record.n !== undefined && last.deliveries !== undefined && record.n < last.deliveries;
  return isOlder || (isFresh && !isSame) ? deliveredAgain() : undefined;
}

/** The execution that a worker speaks of, in the attempt that it speaks of; or why there is none. */
function findAttempt(
  state: ShardState,
  record: ResultRecord | RedeliveredRecord,
  timestamp: number,
): Execution | Refusal {
  const witness = { execution: record.x, namespace: record.ns, attempt: record.a };
  const execution = state.executions.get(record.x) ?? proveDispatch(state, witness, timestamp);
  if (!isExecution(execution)) return execution;
  if (execution.target.namespace !== record.ns) return unknown('no such execution in this namespace');
  const under = execution.state === 'dispatched' || execution.state === 'adrift';
  // A message that is delivered again still tells of the attempt that it was made for.
  const first = under && record.k === 'redelivered' ? carriedAttempt(execution) : execution.attempt;
  if (record.a < first && under && record.a >= carriedAttempt(execution)) return deliveredAgain();
  if (record.a < first) return over(`attempt ${record.a} is over; attempt ${execution.attempt} is the present one`);
  const next = execution.state === 'retrying' ? execution.attempt + 1 : execution.attempt;
  if (record.a > next) return unknown(`there is no attempt ${record.a} of it yet`);
  if (under) return execution;
  if (record.a < next) return over(`attempt ${record.a} is over`);
  // It waits for attempt `record.a` as far as this state knows: the record proves that it was dispatched.
  markDispatched(state, execution, record.a);
  return execution;
}

export function markDispatched(state: ShardState, execution: Execution, attempt: number): void {
  execution.attempt = attempt;
  state.move(execution, 'dispatched');
  state.changes.active.add(execution);
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
  // The row tells the last attempt, but not whether one that ended a dead execution failed, timed out or was lost.
  const attempts = how === 'dead' && last !== undefined ? [...execution.attempts, last] : execution.attempts;
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
    attempts: attempts.length === 0 ? undefined : JSON.stringify(attempts),
    epoch: execution.epoch,
    traceparent: execution.traceparent,
    createdAt: execution.createdAt,
    precision: target.precision,
  });
}

export function isExecution(found: Execution | Refusal): found is Execution {
  return 'task' in found;
}

export function unknown(message: string): Refusal {
  return { ok: false, error: wireError('unknown_execution', message) };
}

/** The message that brought it runs on as a later attempt, elsewhere: who acknowledged it now would take it from there. */
function deliveredAgain(): Refusal {
  return { ok: false, error: wireError('delivered_again', 'the message was delivered to another worker since') };
}

export function over(message: string): Refusal {
  return { ok: false, error: wireError('execution_over', message) };
}
