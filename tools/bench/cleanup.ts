/** What has to be undone, last first. Idempotent; everything is tried, and the first failure is told. */
export class Cleanup implements AsyncDisposable {
  readonly #steps: (() => Promise<unknown> | void)[] = [];
  #running: Promise<void> | undefined;

  /** Registers what undoes `value`, and gives `value` back. */
  add<T>(value: T, undo: (value: T) => Promise<unknown> | void): T {
    this.#steps.push(() => undo(value));
    return value;
  }

  run(): Promise<void> {
    this.#running ??= this.#runAll().finally(() => (this.#running = undefined));
    return this.#running;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.run();
  }

  async #runAll(): Promise<void> {
    const failures: unknown[] = [];
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
