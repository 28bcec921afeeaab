import { SENT_AT_HEADER, type Warned } from '@belfry/protocol';

import type { Log } from './log.ts';

/** How often a request states when it was sent. */
const STATE_EVERY_MS = 10_000;
/** How often a warning is logged. */
const WARN_EVERY_MS = 60_000;

/** The clocks that it reads; given in tests. */
export interface Clocks {
  wall(): number;
  monotonic(): number;
}

/**
 * States the client's time with a request now and then, so that the gateway can say when its clock is off, and logs what it says. Not
 * with each request: a header costs as much as a small one.
 */
export class SendTime {
  readonly #log: Log;
  readonly #clocks: Clocks;
  #statedMs = -Infinity;
  #warnedMs = -Infinity;

  constructor(log: Log, clocks: Clocks = { wall: () => Date.now(), monotonic: () => performance.now() }) {
    this.#log = log;
    this.#clocks = clocks;
  }

  /** The header of a request that is sent now. */
  headers(): { readonly [name: string]: string } {
    const nowMs = this.#clocks.monotonic();
    if (nowMs - this.#statedMs < STATE_EVERY_MS) return {};
    this.#statedMs = nowMs;
    return { [SENT_AT_HEADER]: String(this.#clocks.wall()) };
  }

  onReply({ warnings = [] }: Warned): void {
    const [warning] = warnings;
    const nowMs = this.#clocks.monotonic();
    if (warning === undefined || nowMs - this.#warnedMs < WARN_EVERY_MS) return;
    this.#warnedMs = nowMs;
    this.#log.warn(`Belfry warns: ${warning.message}`, { code: warning.code, offsetMs: warning.offsetMs });
  }
}
