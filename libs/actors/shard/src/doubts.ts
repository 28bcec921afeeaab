import { LIMITS } from '@belfry/protocol';
import type { ShardState } from './state.ts';

/**
 * Coming fires that a replayed update or cancel took from a task, and of which a worker may speak all the same: the checkpoint need not
 * know every dispatch that was made before that message.
 */
export interface Doubt {
  readonly fromMs: number;
  readonly toMs: number;
  /** When the task was cancelled; undefined for a fire that runs on as one of the task's. */
  readonly cancelledAt: number | undefined;
  readonly next: (afterMs: number) => number;
  /** Fires that have been proven: each is, once. */
  readonly proven: Set<number>;
}

/** Before a task's pointer goes: notes what may have been dispatched of its coming fires. After the replay there is no such doubt. */
export function noteDoubt(state: ShardState, slot: number, timestamp: number, cancelledAt: number | undefined): void {
  if (state.doubts === undefined) return;
  const fromMs = state.pointerOf(slot);
  const toMs = timestamp + LIMITS.clockSlackMs;
  if (fromMs > toMs) return;
  const id = state.table.idOf(slot);
  const doubt = {
    fromMs,
    toMs,
    cancelledAt,
    next: state.firesOf(slot),
    proven: new Set<number>(),
  };
  const others = state.doubts.get(id);
  if (others === undefined) state.doubts.set(id, [doubt]);
  else others.push(doubt);
}

/** The doubt that a fire resolves; undefined if there is none. */
export function resolveDoubt(state: ShardState, task: string, scheduledAt: number): Doubt | undefined {
  const doubt = state.doubts
    ?.get(task)
    ?.find(
      ({ fromMs, toMs, next, proven }) =>
        scheduledAt >= fromMs &&
        scheduledAt <= toMs &&
        next(scheduledAt - 1) === scheduledAt &&
        !proven.has(scheduledAt),
    );
  doubt?.proven.add(scheduledAt);
  return doubt;
}
