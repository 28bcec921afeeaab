import type { Clock } from './environment.ts';

/** Timers that one turn of one shard takes at most: a million due in one instant come in slices. */
const TIMERS_A_TURN = 500;
/**
 * A tick that has taken this long leaves the other shards to the next one: after downtime, a timer may have many missed fires behind it.
 * With the turn that is under way then, it is over within 10 ms.
 */
const TICK_WORK_MS = 8;

interface Advancing {
  readonly leaving: boolean;
  readonly core: { advance(nowMs: number, limit: number): boolean };
}

/**
 * The turns that a node's shards take in moving on with time.
 *
 * T1. A shard that was left out of a tick comes first in the next one.
 */
export class Turns {
  readonly #clock: Clock;
  #first = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Moves shards on to `nowMs`, each within a `guard`, at least one and as many as there is time for. */
  take<Host extends Advancing>(
    hosts: readonly Host[],
    nowMs: number,
    guard: (host: Host, act: () => void) => void,
  ): void {
    const endMs = this.#clock.monotonic() + TICK_WORK_MS;
    const from = this.#first < hosts.length ? this.#first : 0;
    for (let turn = 0; turn < hosts.length; turn++) {
      const at = (from + turn) % hosts.length;
      const host = hosts[at] as Host;
      if (!host.leaving) guard(host, () => host.core.advance(nowMs, TIMERS_A_TURN));
      this.#first = at + 1;
      if (this.#clock.monotonic() >= endMs) return;
    }
  }
}
