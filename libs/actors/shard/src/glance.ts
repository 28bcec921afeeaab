import type { ExecutionState, TaskState } from '@belfry/protocol';

import { nextFires } from './definitions.ts';
import type { AttemptRecord, Execution } from './execution.ts';
import type { ShardState } from './state.ts';
import { FLAG_CANCELLED, TASK_ENDED } from './task-table.ts';

/** A task as its shard knows it; its body is the host's to add. */
export interface TaskGlance {
  readonly id: string;
  readonly schedule: string;
  readonly target: string;
  readonly createdAt: number;
  readonly state: TaskState;
  readonly next: readonly number[];
  readonly executions: readonly ExecutionGlance[];
  /** Of more executions than fit an answer: how many are not told. */
  readonly executionsLeftOut?: number;
}

export interface ExecutionGlance {
  readonly id: string;
  readonly scheduledAt: number;
  readonly state: ExecutionState;
  readonly attempt: number;
  readonly dispatchedAt: number | undefined;
  readonly attempts: readonly AttemptRecord[];
  readonly epoch: number;
}

/** Undefined when the namespace has no such task here. */
export function glance(state: ShardState, id: string, namespace: string): TaskGlance | undefined {
  const slot = state.table.find(id);
  if (slot < 0 || state.targetOf(slot).namespace !== namespace) return undefined;
  const executions = (state.bySlot.get(slot) ?? []).map(glanceExecution);
  return {
    id,
    schedule: state.scheduleOf(slot),
    target: state.interned.targets.text(state.table.target[slot] as number),
    createdAt: state.table.createdAt[slot] as number,
    state: stateOf(state, slot),
    next: state.table.state[slot] === TASK_ENDED ? [] : nextFires(state, slot),
    executions,
  };
}

function stateOf(state: ShardState, slot: number): TaskState {
  if (state.table.state[slot] === TASK_ENDED) return state.table.has(slot, FLAG_CANCELLED) ? 'cancelled' : 'finished';
  const executions = state.bySlot.get(slot) ?? [];
  if (executions.some((execution) => execution.state === 'dispatched' || execution.state === 'adrift'))
    return 'running';
  const isTriedAgain = ({ state: phase, attempts }: Execution): boolean => phase === 'retrying' || attempts.length > 0;
  if (executions.some(isTriedAgain)) return 'retrying';
  if (executions.length > 0) return 'due';
  return state.isInBacklog(slot) ? 'due' : 'waiting';
}

function glanceExecution(execution: Execution): ExecutionGlance {
  const { id, scheduledAt, attempt, dispatchedAt, attempts, epoch } = execution;
  const state = execution.state === 'dispatched' || execution.state === 'adrift' ? 'dispatched' : 'retrying';
  return { id, scheduledAt, state, attempt, dispatchedAt, attempts, epoch };
}
