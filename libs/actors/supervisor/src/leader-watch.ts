import { LIMITS } from '@belfry/protocol';

/**
 * What a stand-by knows of the leader: whether it has been silent for so long that its lease need not be waited for. Terms keep
 * this safe, so a wrong guess costs quiet and nothing else. `nowMs` is monotonic.
 *
 * L1. Silence counts only while others are heard: who hears nobody is deaf, or has just reconnected.
 * L2. Silence counts from the moment at the earliest at which this stand-by learnt of the term: a new leader gets its time.
 * L3. A leader whose address nobody serves has ended its process: a shorter silence is enough then, and nobody else need be heard, since the
 *     broker has said so.
 */
export class LeaderWatch {
  #term: number | undefined;
  #leaderAt = -Infinity;
  /** The term of a leader that has ended its process, as the broker says. */
  #goneTerm: number | undefined;
  #heardAt = -Infinity;

  /** Somebody was heard, whoever it is. */
  heard(nowMs: number): void {
    if (nowMs - this.#heardAt > LIMITS.leaderSilentMs) this.#leaderAt = nowMs; // L1
    this.#heardAt = nowMs;
  }

  /** The leader was heard. */
  leads(term: number, nowMs: number): void {
    this.heard(nowMs);
    if (this.#term !== undefined && term < this.#term) return; // it does not know yet that it leads no longer
    this.#term = term;
    this.#leaderAt = nowMs;
    this.#goneTerm = undefined;
  }

  /** The lease was read: it has this term. */
  holds(term: number, nowMs: number): void {
    if (term === this.#term) return;
    this.#term = term;
    this.#leaderAt = nowMs; // L2
  }

  /** Whether the leader has been silent for so long that it is to be asked whether it is there. */
  isToBeAsked(nowMs: number): boolean {
    return this.#term !== undefined && nowMs - this.#leaderAt >= LIMITS.nodeGoneMs;
  }

  /** Nobody serves the address of the leader that holds the lease with this term. */
  gone(term: number): void {
    this.#goneTerm = term;
  }

  /** The term of a leader that is silent; undefined when none is known to be. */
  silentTerm(nowMs: number): number | undefined {
    if (this.#term !== undefined && this.#goneTerm === this.#term && this.isToBeAsked(nowMs)) return this.#term; // L3
    if (this.#term === undefined || nowMs - this.#heardAt > 3 * LIMITS.nodeHeartbeatMs) return undefined; // L1
    return nowMs - this.#leaderAt > LIMITS.leaderSilentMs ? this.#term : undefined;
  }
}
