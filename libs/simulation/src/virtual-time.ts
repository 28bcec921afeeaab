/** Something that will happen; `cancel` it by its `run`. */
export interface Scheduled {
  readonly atMs: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** Steps of one turn of the real event loop. */
const STEPS_A_TURN = 256;

/**
 * Time of the simulated world: it moves from one thing that happens to the next, and stands still meanwhile.
 *
 * V1. Things happen in the order of their instants, and at one instant in the order in which they were scheduled.
 * V2. Between two of them, all promises that are settled have had their reactions: each has a turn of the event loop to itself.
 */
export class VirtualTime {
  #nowMs = 0;
  #order = 0;
  #steps = 0;
  readonly #heap: Scheduled[] = [];

  /** ms since the world began. */
  get nowMs(): number {
    return this.#nowMs;
  }

  get steps(): number {
    return this.#steps;
  }

  /** When the next thing happens, if it is not cancelled. */
  get nextMs(): number | undefined {
    return this.#heap[0]?.atMs;
  }

  at(whenMs: number, run: () => void): Scheduled {
    const entry: Scheduled = { atMs: Math.max(whenMs, this.#nowMs), order: this.#order++, run };
    this.#push(entry);
    return entry;
  }

  after(ms: number, run: () => void): Scheduled {
    return this.at(this.#nowMs + ms, run);
  }

  /** Resolves when `isOver` holds after a step, or nothing is left to happen. Rejects with what one of both throws. */
  run(isOver: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      let ended = false;
      const end = (): void => {
        ended = true;
        resolve();
      };
      const turn = (): void => {
        if (ended) return;
        try {
          if (isOver() || !this.#step()) end();
        } catch (error) {
          ended = true;
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      };
      // Promises' reactions run after each of the immediates of a turn (V2).
      const turns = (): void => {
        if (ended) return;
        for (let step = 0; step < STEPS_A_TURN; step++) setImmediate(turn);
        setImmediate(turns);
      };
      turns();
    });
  }

  #step(): boolean {
    for (;;) {
      const [next] = this.#heap;
      if (next === undefined) return false;
      this.#pop();
      if (next.run === undefined) continue; // cancelled
      this.#nowMs = next.atMs;
      this.#steps++;
      next.run();
      return true;
    }
  }

  #push(entry: Scheduled): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const other = heap[parent] as Scheduled;
      if (isBefore(other, entry)) break;
      heap[at] = other;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Scheduled;
    const { length } = heap;
    if (length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && isBefore(heap[child + 1] as Scheduled, heap[child] as Scheduled)) child++;
      const other = heap[child] as Scheduled;
      if (isBefore(last, other)) break;
      heap[at] = other;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order); // V1
}
