import { LEVELS, LIMITS } from '@belfry/protocol';

interface Word {
  readonly level: number;
  readonly atMs: number;
}

/**
 * The level that all processes of a cluster read, by what they tell of themselves. It reads no clock; times are monotonic ms.
 *
 * L1. Agreed is the lowest level among those that were heard within `LIMITS.levelSettleMs`, whatever their roles; one that says nothing of
 *     levels reads the oldest.
 * L2. Nothing is agreed before this supervisor has listened for that long without a break: whoever is there has been heard then.
 */
export class Levels {
  readonly #words = new Map<string, Word>();
  #listensSince = -Infinity;
  #lookedAt = -Infinity;

  heard(node: string, level: number | undefined, nowMs: number): void {
    if (!this.#words.has(node) && this.#words.size >= LIMITS.processes) return;
    this.#words.set(node, { level: level ?? LEVELS.oldest, atMs: nowMs });
  }

  /** Undefined while nothing is agreed. To be asked at every tick: a break in that is a break in listening. */
  agreed(nowMs: number): number | undefined {
    const { levelSettleMs, processHeartbeatMs } = LIMITS;
    for (const [node, { atMs }] of this.#words) if (nowMs - atMs > levelSettleMs) this.#words.delete(node);
    if (this.#words.size === 0 || nowMs - this.#lookedAt > 2 * processHeartbeatMs) this.#listensSince = nowMs; // L2
    this.#lookedAt = nowMs;
    if (nowMs - this.#listensSince < levelSettleMs) return undefined;
    return Math.min(...Array.from(this.#words.values(), ({ level }) => level)); // L1
  }
}
