import { TaskSlice, type ActiveRow, type LoadedTask, type ShardHead } from '@belfry/ports';
import { executionId } from '@belfry/protocol';

import { Changes } from './changes.ts';
import { readAttempts, type Execution } from './execution.ts';
import { NEVER_MS, type ShardState } from './state.ts';
import { FLAG_CANCELLED, FLAG_POINTER, FLAG_STORED, TASK_ENDED, TASK_WAITING } from './task-table.ts';

/** Tasks whose next fire is not told by definition and watermark come with a pointer. */
export function loadTasks(state: ShardState, tasks: TaskSlice): void {
  const { table } = state;
  const { length, ids, ended, pointers } = tasks;
  table.reserve(tasks.expected);
  for (let at = 0; at < length; at++) table.lookWord(ids[at * 4 + 3] as number);
  for (let at = 0; at < length; at++) {
    const slot = state.addLoaded(tasks, at);
    table.set(slot, FLAG_STORED, true);
    const end = ended.get(at);
    const pointer = pointers.get(at);
    if (pointer !== undefined) table.set(slot, FLAG_POINTER, true);
    if (end !== undefined) {
      table.state[slot] = TASK_ENDED;
      table.set(slot, FLAG_CANCELLED, end.state === 'cancelled');
      state.wheel.insert(slot, end.at + state.rememberMs);
    } else {
      state.place(slot, pointer ?? loadedPointer(state, slot, tasks.effectiveFrom[at] as number));
    }
  }
}

/** The shard's stored executions, by task, when all its tasks have been loaded. One whose task is not there is not under way any more. */
export function loadExecutions(state: ShardState, active: ReadonlyMap<string, readonly ActiveRow[]>): void {
  for (const [id, executions] of active) {
    const slot = state.table.find(id);
    if (slot < 0) continue;
    if (isFired(state, slot, executions)) rearm(state, slot, NEVER_MS);
    for (const execution of executions) loadExecution(state, slot, execution);
  }
  state.changes = new Changes();
}

/** What has changed in the store of a shard that was loaded while another node owned it. */
export interface Later {
  /** As the last checkpoint of its owner left it. */
  readonly head: ShardHead;
  /** Ids of all tasks whose row or pointer may have changed since the load began, and what they are now. */
  readonly changed: readonly string[];
  readonly rows: readonly LoadedTask[];
  /** All active rows, by task. */
  readonly active: ReadonlyMap<string, readonly ActiveRow[]>;
}

/**
 * Brings a state to which nothing has happened but a load without executions, at a watermark that is not above the later one, to what a
 * load of all rows would make of it now.
 *
 * B1. A task that has not changed has the pointer that its definition and the later watermark tell: of those in the wheel, it is another one
 *     only where the watermark has passed it; and a one-time task that has fired is told by its active row.
 */
export function bringForward(state: ShardState, { head, changed, rows, active }: Later): void {
  state.continueFrom(head);
  for (const id of changed) {
    const slot = state.table.find(id);
    if (slot >= 0) state.removeTask(slot);
  }
  const passed: number[] = [];
  state.wheel.peek(-Infinity, head.watermark, (slot) => passed.push(slot));
  for (const slot of passed) {
    if (state.table.state[slot] !== TASK_WAITING || state.table.has(slot, FLAG_POINTER)) continue;
    if (state.isRecurring(slot)) rearm(state, slot, state.nextAfter(slot, head.watermark));
  }
  loadTasks(state, TaskSlice.of(rows));
  loadExecutions(state, active);
}

function rearm(state: ShardState, slot: number, dueMs: number): void {
  state.disarm(slot);
  state.arm(slot, dueMs);
}

/** Whether the one fire of a task that waits for it is under way already. */
function isFired(state: ShardState, slot: number, executions: readonly ActiveRow[]): boolean {
  if (state.table.state[slot] !== TASK_WAITING || state.table.has(slot, FLAG_POINTER) || state.isRecurring(slot))
    return false;
  return executions.some(({ scheduledAt }) => scheduledAt === state.wheel.dueOf(slot));
}

function loadExecution(state: ShardState, slot: number, row: ActiveRow): void {
  const { attempts, cancelledAt } = readAttempts(row.attempts);
  const execution: Execution = {
    id: executionId(row.task, row.scheduledAt),
    task: row.task,
    scheduledAt: row.scheduledAt,
    createdAt: state.table.createdAt[slot] as number,
    slot,
    target: state.targetOf(slot),
    state: row.state === 'dispatched' && row.retryAt !== undefined ? 'adrift' : row.state,
    attempt: row.attempt,
    failures: row.failures,
    lost: row.lost,
    dueAt: row.retryAt ?? 0,
    dispatchedAt: row.dispatchedAt,
    message: undefined,
    attempts,
    traceparent: row.traceparent,
    epoch: state.epoch,
    cancelledAt,
    recurring: state.isRecurring(slot),
    stored: true,
  };
  state.addExecution(execution);
  if (execution.state === 'dispatched') state.countOut(execution.target.queueKey, 1);
  if (execution.state === 'retrying') state.retries.push(execution);
}

function loadedPointer(state: ShardState, slot: number, effectiveFrom: number): number {
  if (!state.isRecurring(slot)) return state.nextAfter(slot, -Infinity);
  return state.nextAfter(slot, Math.max(state.watermark, effectiveFrom));
}
