import type { Process } from './process.ts';

/** Who was heard of when; instants are ms since 1970, of the world. What the model excuses by silence, it judges by this. */
export class Silence {
  /** Since when each scheduler listens. */
  readonly #listens = new Map<Process, number>();
  /** When each scheduler last heard that an execution runs. */
  readonly #heard = new Map<string, Map<Process, number>>();
  /** When each worker last sent a heartbeat that can have been heard, and the first one after it had been silent past its lease. */
  readonly #spoke = new Map<Process, { readonly at: number; readonly backAt: number }>();
  /** Attempts that a scheduler has given back, and for how long it had heard nothing of them by then, ms. */
  readonly #givenUp = new Map<string, number>();

  /** When it has not heard of a run is counted from here. */
  schedulerStarted(process: Process, now: number): void {
    this.#listens.set(process, now);
  }

  spoke(worker: Process, leaseMs: number, now: number): void {
    const before = this.#spoke.get(worker);
    const isBack = before !== undefined && now - before.at >= leaseMs;
    this.#spoke.set(worker, { at: now, backAt: isBack ? now : (before?.backAt ?? -Infinity) });
  }

  reported(running: readonly string[], to: Process, now: number): void {
    for (const execution of running) {
      let heard = this.#heard.get(execution);
      if (heard === undefined) this.#heard.set(execution, (heard = new Map<Process, number>()));
      heard.set(to, now);
    }
  }

  over(execution: string): void {
    this.#heard.delete(execution);
  }

  /** The supervisors hear a worker by its heartbeats alone: one without them for as long as its lease is silent past it. */
  isPastLease(by: { readonly process: Process; readonly leaseMs: number }, heldMs: number, now: number): boolean {
    const spoke = this.#spoke.get(by.process);
    return spoke === undefined || now - spoke.at >= by.leaseMs || now - heldMs <= spoke.backAt;
  }

  /** A scheduler gives an attempt back, by what has arrived at it so far. */
  givesUp(execution: string, attempt: number, by: Process, now: number): void {
    const key = `${execution}.${attempt}`;
    const since = Math.max(this.#listens.get(by) ?? 0, this.#heard.get(execution)?.get(by) ?? 0);
    this.#givenUp.set(key, Math.max(now - since, this.givenUpAfterMs(key)));
  }

  givenUpAfterMs(key: string): number {
    return this.#givenUp.get(key) ?? 0;
  }
}
