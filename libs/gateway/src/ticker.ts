/** Waits that end with the gateway's ticks: one timer for all of them, and none in tests. */
export class Ticker {
  #waiting: { readonly dueMs: number; readonly resolve: () => void }[] = [];
  #nowMs: number;

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  /** Resolves at the first tick that is at least `ms` after the last one. */
  after(ms: number): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ dueMs: this.#nowMs + ms, resolve }));
  }

  /** `nowMs` is monotonic. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    const due = this.#waiting.filter(({ dueMs }) => dueMs <= nowMs);
    if (due.length === 0) return;
    this.#waiting = this.#waiting.filter(({ dueMs }) => dueMs > nowMs);
    for (const { resolve } of due) resolve();
  }

  /** Ends all waits now. */
  stop(): void {
    this.tick(Infinity);
  }
}
