import type { ShardState } from './state.ts';

/**
 * Fires of a task, as it was, that were decided about though they lie after the stored time of a change of it: by an owner whose clock was ahead,
 * or who heard of the change late.
 */
export interface Decided {
  /** -Infinity for none. */
  readonly lastMs: number;
  readonly has: (at: number) => boolean;
  /** All of them after an instant. */
  readonly after: (afterMs: number) => Iterable<number>;
}

const NONE: Decided = { lastMs: -Infinity, has: () => false, after: () => [] };

/**
 * What was decided about, by task, for the changes to come: several may be heard late in a row, and a cancelled task may be made anew. In memory
 * alone: a replay does not know what was dispatched, and is told by workers and work stream.
 */
export class DecidedFires {
  readonly #byTask = new Map<string, Decided>();
  /** The earliest of their `lastMs`. */
  #firstMs = Infinity;

  /** The task's fires after `timestamp` that no change may fire again. */
  of(task: string, timestamp: number): Decided {
    const known = this.#byTask.get(task);
    return known !== undefined && known.lastMs > timestamp ? known : NONE;
  }

  note(task: string, decided: Decided): void {
    if (decided.lastMs === -Infinity) return;
    this.#byTask.set(task, decided);
    this.#firstMs = Math.min(this.#firstMs, decided.lastMs);
  }

  /** A fire that was decided about, and that no worker has run after all. */
  drop(task: string, at: number): void {
    const known = this.#byTask.get(task);
    if (known?.has(at) === true) this.#byTask.set(task, united(known, NONE, -Infinity, new Set([at])));
  }

  /** Forgets what no message can bring again that was stored at `timestamp` or later. */
  forget(timestamp: number): void {
    if (timestamp < this.#firstMs) return;
    this.#firstMs = Infinity;
    for (const [task, { lastMs }] of this.#byTask) {
      if (lastMs <= timestamp) this.#byTask.delete(task);
      else this.#firstMs = Math.min(this.#firstMs, lastMs);
    }
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
  const own: Decided = {
    lastMs,
    has: (at) => at > timestamp && at <= lastMs && next(at - 1) === at,
    *after(afterMs) {
      for (let at = next(Math.max(afterMs, timestamp)); at <= lastMs; at = next(at)) yield at;
    },
  };
  const decided = before === NONE && dropped.size === 0 ? own : united(before, own, timestamp, dropped);
  state.decided.note(task, decided);
  return decided;
}

/** As a set: however many changes there are, none asks those before it one after the other. */
function united(before: Decided, own: Decided, timestamp: number, dropped: ReadonlySet<number>): Decided {
  const all = new Set([...before.after(timestamp), ...own.after(timestamp)]);
  for (const at of dropped) all.delete(at);
  return {
    lastMs: Math.max(before.lastMs, own.lastMs),
    has: (at) => all.has(at),
    after: (afterMs) => [...all].filter((at) => at > afterMs),
  };
}
