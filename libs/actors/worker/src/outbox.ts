import type { Holding } from './holding.ts';

/** Requests in flight at a time: enough to hide a group commit, few enough to gather many results into one. */
export const FINISHES_IN_FLIGHT = 4;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5_000;

/**
 * Outcomes that wait for a request to carry them.
 *
 * O1. An outcome is either here or in one request in flight.
 * O2. After a failure nothing is sent until the backoff has passed; a success ends the backoff.
 */
export class Outbox<T> {
  readonly #most: { readonly items: number; readonly bytes: number };
  #waiting: Holding<T>[] = [];
  #head = 0;
  #inFlight = 0;
  #failures = 0;
  #notBefore = 0;

  constructor(most: { readonly items: number; readonly bytes: number }) {
    this.#most = most;
  }

  get waiting(): number {
    return this.#waiting.length - this.#head;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  add(holding: Holding<T>): void {
    this.#waiting.push(holding);
  }

  /** The next request's outcomes; undefined when there are none, or it has to wait. */
  take(now: number): Holding<T>[] | undefined {
    if (this.waiting === 0 || this.#inFlight >= FINISHES_IN_FLIGHT || now < this.#notBefore) return undefined;
    let end = this.#head;
    let bytes = 0;
    const last = Math.min(this.#waiting.length, this.#head + this.#most.items);
    while (end < last) {
      bytes += (this.#waiting[end] as Holding<T>).bytes;
      if (bytes > this.#most.bytes && end > this.#head) break;
      end++;
    }
    const taken = this.#waiting.slice(this.#head, end);
    this.#head = end;
    if (this.#head === this.#waiting.length) {
      this.#waiting = [];
      this.#head = 0;
    }
    this.#inFlight++;
    return taken;
  }

  /** A request was answered, or given up. */
  answered(failed: boolean, now: number): void {
    this.#inFlight--;
    if (!failed) {
      this.#failures = 0;
      this.#notBefore = 0;
      return;
    }
    this.#notBefore = now + Math.min(FIRST_RETRY_MS * 2 ** this.#failures, LONGEST_RETRY_MS); // O2
    this.#failures = Math.min(this.#failures + 1, 16);
  }
}
