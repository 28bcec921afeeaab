/** Work between two turns of the event loop: timers of the same process are to be exact. */
const TURN_MS = 2;

export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Tells long work when to let the event loop have its turn. */
export class Turns {
  #end = performance.now() + TURN_MS;

  get isDue(): boolean {
    return performance.now() >= this.#end;
  }

  /** Gives the event loop its turn if it is time. */
  async due(): Promise<void> {
    if (!this.isDue) return;
    await turn();
    this.restart();
  }

  /** After a turn that came about otherwise. */
  restart(): void {
    this.#end = performance.now() + TURN_MS;
  }
}
