import { LIMITS } from '@belfry/protocol';

/** Losses of one node: more do not make the delay longer. */
const REMEMBERED = 16;

/**
 * Which nodes are lost again and again. It reads no clock; times are monotonic ms.
 *
 * F1. A node's first loss in the window costs it nothing; each further one doubles the time for which it is held back, counted from the
 *     loss.
 */
export class Flapping {
  /** When each node was lost, in growing order. */
  readonly #losses = new Map<string, number[]>();

  lost(node: string, nowMs: number): void {
    const times = (this.#losses.get(node) ?? []).filter((at) => nowMs - at <= LIMITS.flapWindowMs);
    this.#losses.delete(node); // the one that was lost last stands last
    this.#losses.set(node, [...times, nowMs].slice(-REMEMBERED));
    const [oldest] = this.#losses.keys();
    if (this.#losses.size > LIMITS.processes && oldest !== undefined) this.#losses.delete(oldest);
  }

  /** Until when a node gets no shards; -Infinity for one that is not held back. */
  heldUntil(node: string, nowMs: number): number {
    const times = (this.#losses.get(node) ?? []).filter((at) => nowMs - at <= LIMITS.flapWindowMs);
    const last = times.at(-1);
    if (last === undefined || times.length < 2) return -Infinity; // F1
    return last + Math.min(LIMITS.flapMaxHoldMs, LIMITS.flapHoldMs * 2 ** (times.length - 2));
  }
}
