const WINDOW_MS = 250;

/**
 * How many messages may wait for a slot: as many as were started in the last quarter of a second, so that short handlers never
 * wait for the broker and nothing waits long behind long ones.
 */
export class Prefetch {
  readonly #most: number;
  #size = 0;
  #starts = 0;
  #since: number | undefined;

  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#size;
  }

  started(): void {
    this.#starts++;
  }

  tick(now: number): void {
    this.#since ??= now;
    const elapsed = now - this.#since;
    if (elapsed < WINDOW_MS) return;
    this.#size = Math.min(this.#most, Math.floor((this.#starts * WINDOW_MS) / elapsed));
    this.#starts = 0;
    this.#since = now;
  }
}
