import type { Changed, ShardDelta } from '@belfry/ports';
import { LIMITS } from '@belfry/protocol';

/**
 * Notes which rows of a shard its checkpoints change, for a node that loads them meanwhile.
 *
 * A1. Every row that may be written in the store after the watch began is noted: those of a checkpoint that was under way then, too. So whatever that
 *     node reads in between, however it is torn, is right where nothing is noted.
 * A2. What cannot be brought forward (calendars, from which all fires derive) or is too much to say ends the watch.
 */
export class ChangeWatch {
  readonly #tasks = new Set<string>();
  #commandsFrom = Infinity;
  #isOver = false;

  note({ inserts, patches, deletes, pointers, commands, calendars }: ShardDelta): void {
    if (this.#isOver) return;
    for (const { id } of inserts) this.#tasks.add(id);
    for (const { id } of patches) this.#tasks.add(id);
    for (const id of deletes) this.#tasks.add(id);
    for (const { task } of pointers) this.#tasks.add(task);
    for (const { at } of commands) this.#commandsFrom = Math.min(this.#commandsFrom, at);
    this.#isOver = calendars.length > 0 || this.#tasks.size > LIMITS.handOverChanges;
    if (this.#isOver) this.#tasks.clear();
  }

  /** Undefined where it is not known. */
  get changed(): Changed | undefined {
    return this.#isOver ? undefined : { tasks: [...this.#tasks], commandsFrom: this.#commandsFrom };
  }
}
