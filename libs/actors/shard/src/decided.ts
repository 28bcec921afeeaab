import type { ShardState } from './state.ts';

/**
 * Fires of a task, as it was, that were decided about though they lie after the stored time of a change of it: by an owner whose clock was ahead,
 * or who heard of the change late.
 */
export interface Decided {
  /** -Infinity for none. */
  readonly lastMs: number;
  readonly has: (at: number) => boolean;
}

const NONE: Decided = { lastMs: -Infinity, has: () => false };

/**
 * What was decided about, by task, for the changes to come: several may be heard late in a row, and a cancelled task may be made anew. In memory
 * alone: a replay does not know what was dispatched, and is told by workers and work stream.
 */
export class DecidedFires {
  readonly #byTask = new Map<string, Decided>();

  /** The task's fires after `timestamp` that no change may fire again. */
  of(task: string, timestamp: number): Decided {
    const known = this.#byTask.get(task);
    return known !== undefined && known.lastMs > timestamp ? known : NONE;
  }

  note(task: string, decided: Decided): void {
    if (decided.lastMs > -Infinity) this.#byTask.set(task, decided);
  }

  /** Forgets what no message can bring again that was stored at `timestamp` or later. */
  forget(timestamp: number): void {
    for (const [task, { lastMs }] of this.#byTask) if (lastMs <= timestamp) this.#byTask.delete(task);
  }
}

/**
 * Before a change of a task, or its cancel, whose stored time is `timestamp`: with what was decided before the changes before it. `dropped` are
 * fires that were decided about, but that the cancel ends before any worker had them.
 */
export function decidedAhead(
  state: ShardState,
  slot: number,
  timestamp: number,
  dropped: ReadonlySet<number> = new Set(),
): Decided {
  const task = state.table.idOf(slot);
  const before = state.decided.of(task, timestamp);
  const pointer = state.pointerOf(slot);
  const next = state.firesOf(slot);
  let lastMs = -Infinity;
  for (let at = next(timestamp); at < pointer; at = next(at)) lastMs = at;
  if (lastMs === -Infinity && dropped.size === 0) return before;
  const has = (at: number): boolean =>
    !dropped.has(at) && (before.has(at) || (at > timestamp && at <= lastMs && next(at - 1) === at));
  const decided = { lastMs: Math.max(lastMs, before.lastMs), has };
  state.decided.note(task, decided);
  return decided;
}
