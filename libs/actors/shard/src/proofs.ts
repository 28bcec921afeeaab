import { executionId, LIMITS, parseExecutionId } from '@belfry/protocol';
import { beforeLatestFires } from '@belfry/timing';
import { doubtOf } from './doubts.ts';
import type { Execution } from './execution.ts';
import { isExecution, markDispatched, over, unknown } from './results.ts';
import { skip } from './skips.ts';
import { keptFrom } from './catch-up.ts';
import type { Decided } from './decided.ts';
import { NEVER_MS, type Refusal, type ShardState } from './state.ts';

/** What speaks of an execution: a record of a worker, or a message of the work stream. */
export interface Witness {
  readonly execution: string;
  readonly namespace: string;
  readonly attempt: number;
}

/**
 * Takes a fire that this state has not dispatched as dispatched, on the word of a worker or of the work stream.
 * Only the first attempt of a real, due, coming fire of a task can be proven; fires before it become pending, since nobody speaks for
 * them. During a replay, so can a fire that the task has lost since.
 */
export function proveDispatch(state: ShardState, witness: Witness, timestamp: number): Execution | Refusal {
  const fire = parseExecutionId(witness.execution);
  if (fire === undefined) return unknown('this is no execution id');
  const slot = state.table.find(fire.taskId);
  if (slot < 0) return over('no such execution, or it is over');
  if (state.targetOf(slot).namespace !== witness.namespace) return unknown('no such execution in this namespace');
  const proven = proveComing(state, slot, fire.scheduledAt, witness.attempt, timestamp);
  const isDue = fire.scheduledAt <= timestamp + LIMITS.clockSlackMs;
  if (isExecution(proven) || witness.attempt !== 1 || !isDue) return proven;
  const doubt = doubtOf(state, fire.taskId, fire.scheduledAt);
  if (doubt === undefined) return proven;
  const execution = state.open(slot, fire.scheduledAt);
  execution.cancelledAt = doubt.cancelledAt;
  if (doubt.skipped) state.ledger.skipped--;
  else if (fire.scheduledAt <= doubt.withdrawnTo) state.ledger.withdrawn--;
  else state.ledger.expected++;
  markDispatched(state, execution, 1);
  return execution;
}

/**
 * The same of a message that is in the work stream. Only an owner has put it there, when by its clock the fire had come: this node's clock, which may be
 * slow, has no say in that.
 */
export function proveSurvived(state: ShardState, witness: Witness, nowMs: number): Execution | Refusal {
  const { scheduledAt } = parseExecutionId(witness.execution) ?? { scheduledAt: nowMs };
  return proveDispatch(state, witness, Math.max(nowMs, scheduledAt));
}

function proveComing(
  state: ShardState,
  slot: number,
  scheduledAt: number,
  attempt: number,
  timestamp: number,
): Execution | Refusal {
  const pointer = state.pointerOf(slot);
  if (scheduledAt < pointer) return over('the execution is over');
  const real = state.isRecurring(slot)
    ? state.nextAfter(slot, scheduledAt - 1) === scheduledAt
    : scheduledAt === pointer;
  if (!real || scheduledAt > timestamp + LIMITS.clockSlackMs) return unknown('the task has no such fire');
  if (attempt !== 1) return unknown(`there is no attempt ${attempt} of it yet`);
  enqueueDue(state, slot, scheduledAt - 1, timestamp);
  expectProven(state, slot);
  state.disarm(slot);
  const execution = openFire(state, slot, scheduledAt);
  markDispatched(state, execution, execution.attempt);
  return execution;
}

/**
 * Before the schedules of some tasks change in one step, in which the shard does nothing else: makes pending executions of the due fires of
 * one of them, of the latest ones only. Which those are follows from the schedule and the instant: a replay, which does not know what was
 * dispatched since the checkpoint, keeps the same.
 */
export function enqueueAtChange(
  state: ShardState,
  slot: number,
  timestamp: number,
  tasks: number,
  decided?: Decided,
): void {
  const pointer = state.pointerOf(slot);
  const next = state.firesOf(slot);
  const most = Math.max(1, Math.floor(LIMITS.dueAtChange / tasks));
  const afterMs = beforeLatestFires(next, pointer, timestamp, most);
  if (afterMs >= pointer) {
    expectProven(state, slot);
    state.disarm(slot);
    const firstMs = next(afterMs);
    skip(state, slot, pointer, firstMs, timestamp, 'crowded_out');
    state.arm(slot, firstMs);
  }
  enqueueDue(state, slot, timestamp, timestamp, decided);
}

/**
 * After the change of some tasks, for one of them, without a place: arms it for its first fire after that. What was decided is not fired again;
 * what else has come due up to then becomes pending, as the pointer stands behind it.
 */
export function armAnew(state: ShardState, slot: number, timestamp: number, decided: Decided, tasks: number): void {
  const isRecurring = state.isRecurring(slot);
  const next = state.nextAfter(slot, isRecurring ? timestamp : -Infinity);
  if (!isRecurring && decided.has(next)) {
    adopt(state, slot, next);
    return state.arm(slot, NEVER_MS);
  }
  if (!isRecurring || next > decided.lastMs) return armUnlessUnderWay(state, slot, next);
  state.arm(slot, next);
  enqueueAtChange(state, slot, decided.lastMs, tasks, decided);
}

/** Makes pending executions of those of a task's coming fires up to `untilMs` that its policy keeps at `nowMs`. */
function enqueueDue(state: ShardState, slot: number, untilMs: number, nowMs: number, decided?: Decided): void {
  for (let pointer = state.pointerOf(slot); pointer <= untilMs; pointer = state.pointerOf(slot)) {
    if (decided?.has(pointer) === true) {
      adopt(state, slot, pointer);
      state.disarm(slot);
      state.arm(slot, state.nextAfter(slot, pointer));
      continue;
    }
    const kept = keptFrom(state, slot, pointer, nowMs);
    expectProven(state, slot);
    state.disarm(slot);
    if (kept > pointer) {
      // What comes after `untilMs` is not for this call to skip.
      const next = kept <= untilMs ? kept : state.nextAfter(slot, untilMs);
      skip(state, slot, pointer, next, nowMs);
      state.arm(slot, next);
      continue;
    }
    const execution = openFire(state, slot, pointer);
    if (execution.state === 'opened') state.enqueue(execution);
  }
}

/** A task's next fire is about to be decided about: it is expected from now on, unless it has come out of the wheel before (L1). */
function expectProven(state: ShardState, slot: number): void {
  if (!state.isInBacklog(slot)) state.ledger.expected++;
}

/**
 * Turns the next fire of a task without a place into an execution, `opened` but in no backlog, and arms the task for the fire after it.
 * A fire that is under way already is returned as it is, and not expected twice.
 */
export function openFire(state: ShardState, slot: number, scheduledAt: number): Execution {
  const known = adopt(state, slot, scheduledAt);
  if (known !== undefined) state.ledger.expected--;
  const execution = known ?? state.open(slot, scheduledAt);
  state.arm(slot, state.isRecurring(slot) ? state.nextAfter(slot, scheduledAt) : NEVER_MS);
  return execution;
}

/** Arms a task without a place for a fire, or for the one after it where that fire is under way already: a fire is fired once. */
export function armUnlessUnderWay(state: ShardState, slot: number, next: number): void {
  if (adopt(state, slot, next) === undefined) state.arm(slot, next);
  else state.arm(slot, state.isRecurring(slot) ? state.nextAfter(slot, next) : NEVER_MS);
}

/** The execution of a fire that is under way. One of a task that was cancelled and made anew is the new task's from now on. */
function adopt(state: ShardState, slot: number, scheduledAt: number): Execution | undefined {
  if (!state.bySlot.has(slot)) return undefined;
  const known = state.executions.get(executionId(state.table.idOf(slot), scheduledAt));
  if (known?.cancelledAt === undefined) return known;
  known.cancelledAt = undefined;
  state.changes.active.add(known);
  return known;
}
