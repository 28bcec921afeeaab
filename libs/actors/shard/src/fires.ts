import { LIMITS } from '@belfry/protocol';
import { MOVES_A_FIRE } from '@belfry/timing';
import type { AttemptRef, WorkRef } from '@belfry/ports';
import { LATE_LANE, type Lane } from './backlog.ts';
import { carriedAttempt, type Execution } from './execution.ts';
import { openFire, proveSurvived } from './proofs.ts';
import { closeAs, markDispatched } from './results.ts';
import { TICK_MS, type ShardState } from './state.ts';
import { isMissed, keptFrom } from './catch-up.ts';
import { skip, skipOnce } from './skips.ts';
import { TASK_DUE, TASK_ENDED, TASK_FREE, TASK_HELD, TASK_LATE, TASK_READY } from './task-table.ts';

/** One attempt to put into the work stream. */
export interface Dispatch {
  readonly execution: Execution;
  readonly attempt: number;
}

/** Moves what is due at `nowMs` into the backlog, at most `limit` timers. Returns whether there may be more. */
export function advance(state: ShardState, nowMs: number, limit: number): boolean {
  const gap = state.gaps.look(nowMs);
  // A shard that never had an owner has nothing that was missed, but where a task is older: its owners left no checkpoint.
  if (gap !== undefined && (gap.fromMs > 0 || hasTaskBefore(state, gap.untilMs))) state.changes.unwatched.push(gap);
  state.emptiedTo = -Infinity;
  let taken = state.wheel.advance(nowMs, (slot) => due(state, slot, nowMs), limit, limit * MOVES_A_FIRE);
  const isEmptied = taken < limit && state.wheel.nextDueMs > nowMs;
  // What is due within the running tick is still in the wheel: a fraction of a millisecond.
  if (isEmptied) {
    state.emptiedTo = nowMs - (nowMs % TICK_MS);
    state.watermark = Math.max(state.watermark, state.emptiedTo);
    if (state.backlog.total === 0) state.gaps.forget(); // G2
  }
  for (; taken < limit; taken++) {
    const execution = state.retries.popDue(nowMs);
    if (execution === undefined) return !isEmptied;
    execution.attempt++;
    state.enqueue(execution);
  }
  return true;
}

function hasTaskBefore({ table }: ShardState, ms: number): boolean {
  for (let slot = 0; slot < table.capacity; slot++)
    if (table.state[slot] !== TASK_FREE && (table.createdAt[slot] as number) < ms) return true;
  return false;
}

/** A task's next fire has come. Here, and for what follows here on a message, is decided what of its missed fires runs. */
function due(state: ShardState, slot: number, nowMs: number): void {
  if (state.table.state[slot] === TASK_ENDED) {
    state.forgetTask(slot);
    return;
  }
  state.ledger.expected++; // L1
  state.table.state[slot] = TASK_HELD;
  const pointer = state.wheel.dueOf(slot);
  const kept = keptFrom(state, slot, pointer, nowMs);
  if (kept > pointer) {
    if (!state.isRecurring(slot)) return skipOnce(state, slot, pointer, nowMs);
    skip(state, slot, pointer, kept, nowMs);
    if (kept <= nowMs) state.ledger.expected++;
  }
  if (kept <= nowMs) {
    // One that came due behind another of its task has waited long enough: the lines of the grid hold what waits for its next instant.
    const { lane } = state.targetOf(slot);
    const due = lane !== 0 && isOnGrid(lane, kept, nowMs) ? TASK_READY : TASK_DUE;
    return state.enterBacklog(slot, kept, isMissed(state, slot, kept, nowMs) ? TASK_LATE : due);
  }
  state.arm(slot, kept);
  state.endIfOver(slot, nowMs);
}

const LANES = [0, 1, 2] as const;
/** By lane. */
const GRID_MS = [TICK_MS, LIMITS.normalGridMs, LIMITS.lowGridMs, TICK_MS] as const;

/** Whether the grid of a line has come to a fire. */
function isOnGrid(lane: Lane, fireMs: number, nowMs: number): boolean {
  const gridMs = GRID_MS[lane];
  return gridMs === TICK_MS || fireMs <= nowMs - (nowMs % gridMs);
}

/** Whether the first task of a line may be dispatched. */
function isReady(state: ShardState, lane: Lane, slot: number, nowMs: number): boolean {
  return isOnGrid(lane, state.wheel.dueOf(slot), nowMs);
}

/** Whether something may be dispatched of a queue, or of any. */
export function hasReady(state: ShardState, nowMs: number, queue: string | undefined): boolean {
  return state.backlog.hasReady((lane, slot) => isReady(state, lane, slot, nowMs), queue);
}

/** Takes up to `limit` attempts of one queue and priority out of the backlog: they are dispatched as far as this state is concerned. */
export function take(state: ShardState, queue: string, priority: 0 | 1 | 2, limit: number, nowMs: number): Dispatch[] {
  const taken: Dispatch[] = [];
  while (taken.length < limit) {
    const waiting = state.backlog.nextExecution(queue, priority);
    if (waiting === undefined) break;
    markDispatched(state, waiting, waiting.attempt);
    waiting.epoch = state.epoch;
    taken.push({ execution: waiting, attempt: waiting.attempt });
  }
  for (const lane of LANES)
    takeFires(state, queue, priority, lane, limit, taken, (slot) => isReady(state, lane, slot, nowMs));
  return taken;
}

/** The same of missed fires: they have lines of their own, behind all that is punctual. */
export function takeLate(state: ShardState, queue: string, priority: 0 | 1 | 2, limit: number): Dispatch[] {
  return takeFires(state, queue, priority, LATE_LANE, limit, [], () => true);
}

function takeFires(
  state: ShardState,
  queue: string,
  priority: 0 | 1 | 2,
  lane: Lane,
  limit: number,
  taken: Dispatch[],
  isReady: (slot: number) => boolean,
): Dispatch[] {
  while (taken.length < limit) {
    const slot = state.backlog.firstSlot(queue, priority, lane);
    if (slot < 0 || !isReady(slot)) break;
    state.backlog.removeSlot(queue, priority, lane, slot);
    const execution = openDue(state, slot);
    if (execution !== undefined) taken.push({ execution, attempt: 1 });
  }
  return taken;
}

/** The fire of a task that has just been taken from the backlog; undefined if it is under way already. */
function openDue(state: ShardState, slot: number): Execution | undefined {
  const scheduledAt = state.wheel.dueOf(slot);
  state.table.state[slot] = TASK_HELD;
  const before = state.executions.size;
  const execution = openFire(state, slot, scheduledAt);
  if (state.executions.size === before) return undefined;
  state.move(execution, 'dispatched');
  return execution;
}

/** What a shard says of the messages that survived. */
export interface Reconciled {
  /** Those that speak of nothing but attempts which are over: to be deleted. */
  readonly over: readonly WorkRef[];
  /** Parcels that speak of such and of others: to be taken back, if no worker has been given them. */
  readonly mixed: readonly WorkRef[];
}

/**
 * Compares the state after a replay with what is still in the work stream. Afterwards, what is dispatched is in the stream or with a
 * worker; the rest is dispatched again.
 */
export function reconcile(
  state: ShardState,
  surviving: readonly WorkRef[],
  streamLost: boolean,
  nowMs: number,
): Reconciled {
  if (streamLost) setAdrift(state); // what stands in the present stream is found there
  const carriers = new Map<Execution, number>();
  for (const message of surviving) {
    const { namespace } = message;
    for (const { execution: id, attempt } of message.attempts) {
      const execution = state.executions.get(id) ?? proveSurvived(state, { execution: id, namespace, attempt }, nowMs);
      if (!('task' in execution) || attempt < earliestAttempt(execution)) continue;
      if ((carriers.get(execution) ?? 0) > attempt) continue;
      carriers.set(execution, attempt);
      markDispatched(state, execution, Math.max(attempt, execution.attempt));
      execution.message = message;
    }
  }
  const isCarried = (message: WorkRef, { execution }: AttemptRef): boolean =>
    state.executions.get(execution)?.message === message;
  const over: WorkRef[] = [];
  const mixed: WorkRef[] = [];
  for (const message of surviving) {
    const carried = message.attempts.filter((attempt) => isCarried(message, attempt)).length;
    if (carried === 0) over.push(message);
    else if (carried < message.attempts.length) mixed.push(message);
  }
  for (const execution of [...state.executions.values()]) {
    if (execution.state === 'adrift' || carriers.has(execution)) continue;
    if (execution.cancelledAt !== undefined) closeAs(state, execution, 'cancelled', execution.cancelledAt);
    else if (execution.state === 'dispatched') giveBackUnlessDelivered(state, execution);
  }
  endDoubts(state);
  return { over, mixed };
}

/**
 * An attempt that was given for a redelivery is in a worker's hands, though its message is gone: the worker before may have acknowledged it,
 * since its own result was on disk. So it is adrift, until that worker is silent.
 */
function giveBackUnlessDelivered(state: ShardState, execution: Execution): void {
  if (carriedAttempt(execution) === execution.attempt) return giveBack(state, execution);
  state.move(execution, 'adrift');
  state.changes.active.add(execution);
}

/** Nobody has it: it waits for its attempt again, and the next checkpoint says so. */
function giveBack(state: ShardState, execution: Execution): void {
  state.enqueue(execution);
  state.changes.active.add(execution);
}

/** Whoever could speak of a fire in doubt has spoken. */
function endDoubts(state: ShardState): void {
  const tasks = state.doubts?.keys() ?? [];
  state.doubts = undefined;
  for (const task of tasks) {
    const slot = state.table.find(task);
    if (slot >= 0) state.endIfOver(slot, state.lastTimestamp);
  }
}

/** The work stream is gone: what was dispatched may be with a worker, or nowhere. */
export function setAdrift(state: ShardState): void {
  for (const execution of state.executions.values()) {
    if (execution.state !== 'dispatched') continue;
    state.move(execution, 'adrift');
    state.changes.active.add(execution);
  }
}

/** Of what was `dispatched`, by attempt, before the stream was asked what survives in it: sets adrift what is not there. Returns how many. */
export function strand(
  state: ShardState,
  dispatched: ReadonlyMap<string, number>,
  surviving: readonly WorkRef[],
): number {
  const carried = new Map<string, number>();
  for (const { attempts } of surviving)
    for (const { execution, attempt } of attempts)
      carried.set(execution, Math.max(attempt, carried.get(execution) ?? 0));
  let stranded = 0;
  for (const [id, attempt] of dispatched) {
    const execution = state.executions.get(id);
    if (execution?.state !== 'dispatched' || execution.attempt !== attempt) continue; // it has gone on since
    if ((carried.get(id) ?? 0) >= carriedAttempt(execution)) continue;
    state.move(execution, 'adrift');
    state.changes.active.add(execution);
    stranded++;
  }
  return stranded;
}

/** The first attempt that a surviving message may stand for: earlier ones have ended. A message lives on through redeliveries. */
function earliestAttempt(execution: Execution): number {
  if (execution.state === 'retrying') return execution.attempt + 1;
  return execution.state === 'pending' ? execution.attempt : carriedAttempt(execution);
}
