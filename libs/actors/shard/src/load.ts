import type { ActiveRow, LoadedTask } from '@belfry/ports';
import { executionId } from '@belfry/protocol';

import { Changes } from './changes.ts';
import { readAttempts, type Execution } from './execution.ts';
import { NEVER_MS, type ShardState } from './state.ts';
import { FLAG_CANCELLED, FLAG_POINTER, FLAG_STORED, TASK_ENDED } from './task-table.ts';

/** Tasks whose next fire is not told by definition and watermark come with a pointer; `active` are the shard's stored executions. */
export function loadTasks(
  state: ShardState,
  rows: readonly LoadedTask[],
  active: ReadonlyMap<string, readonly ActiveRow[]>,
): void {
  for (const row of rows) state.table.look(row.id);
  for (const row of rows) {
    const slot = state.addTask(row, row.keyed);
    state.table.set(slot, FLAG_STORED, true);
    state.table.set(slot, FLAG_POINTER, row.pointer !== undefined);
    if (row.ended !== undefined) {
      state.table.state[slot] = TASK_ENDED;
      state.table.set(slot, FLAG_CANCELLED, row.ended.state === 'cancelled');
      state.wheel.insert(slot, row.ended.at + state.rememberMs);
    } else {
      state.arm(slot, row.pointer ?? loadedPointer(state, slot, row, active));
    }
    const executions = active.get(row.id);
    if (executions !== undefined) for (const execution of executions) loadExecution(state, slot, execution);
  }
  // What was just loaded is stored as it is.
  state.changes = new Changes();
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

function loadedPointer(
  state: ShardState,
  slot: number,
  row: LoadedTask,
  active: ReadonlyMap<string, readonly ActiveRow[]>,
): number {
  if (state.isRecurring(slot)) return state.nextAfter(slot, Math.max(state.watermark, row.effectiveFrom));
  const at = state.nextAfter(slot, -Infinity);
  const fired = active.get(row.id)?.some((execution) => execution.scheduledAt === at) === true;
  return fired ? NEVER_MS : at;
}
