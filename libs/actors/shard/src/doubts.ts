import type { ShardState } from './state.ts';

/**
 * Coming fires that a replayed update or cancel took from a task, or that were skipped during the replay, and of which a worker may speak
 * all the same: the checkpoint need not know every dispatch that was made before that message.
 */
export interface Doubt {
  readonly fromMs: number;
  readonly toMs: number;
  /** When the task was cancelled; undefined for a fire that runs on as one of the task's. */
  cancelledAt: number | undefined;
  readonly next: (afterMs: number) => number;
  /** Fires that have become executions since, for this doubt or otherwise: whoever speaks of them later speaks of what is over. */
  readonly opened: Set<number>;
  /** Its fires were counted as skipped. */
  readonly skipped: boolean;
  /** Its fires up to here were counted as withdrawn. */
  readonly withdrawnTo: number;
}

/** Before a task's pointer goes: notes what may have been dispatched of its coming fires. After the replay there is no such doubt. */
export function noteDoubt(state: ShardState, slot: number, timestamp: number, cancelledAt: number | undefined): void {
  if (state.doubts === undefined) return;
  const others = state.doubts.get(state.table.idOf(slot)) ?? [];
  // A cancel is of all that an update moved before it, too.
  for (const other of others) other.cancelledAt ??= cancelledAt;
  const fromMs = state.pointerOf(slot);
  // However long after it: the owner before this one may have heard of it late, or never.
  if (fromMs < Infinity)
    addDoubt(state, slot, { fromMs, toMs: Infinity, cancelledAt, skipped: false, withdrawnTo: timestamp });
}

/** Fires of a task are skipped during a replay: an owner before this one may have seen them come due in time. */
export function noteSkipDoubt(state: ShardState, slot: number, fromMs: number, toMs: number): void {
  if (state.doubts !== undefined)
    addDoubt(state, slot, { fromMs, toMs, cancelledAt: undefined, skipped: true, withdrawnTo: -Infinity });
}

function addDoubt(state: ShardState, slot: number, doubt: Omit<Doubt, 'next' | 'opened'>): void {
  const id = state.table.idOf(slot);
  const others = state.doubts?.get(id) ?? [];
  state.doubts?.set(id, [...others, { ...doubt, next: state.firesOf(slot), opened: new Set() }]);
}

/** The latest doubt about a fire; undefined if there is none. */
export function doubtOf(state: ShardState, task: string, scheduledAt: number): Doubt | undefined {
  return state.doubts
    ?.get(task)
    ?.findLast(
      ({ fromMs, toMs, next, opened }) =>
        scheduledAt >= fromMs &&
        scheduledAt <= toMs &&
        next(scheduledAt - 1) === scheduledAt &&
        !opened.has(scheduledAt),
    );
}
