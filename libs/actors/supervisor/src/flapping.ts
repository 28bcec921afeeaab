import { LIMITS } from '@belfry/protocol';

/** Losses of one node: more do not make the delay longer. */
const REMEMBERED = 8;

/** When each node was lost, in growing order, ms. */
export type Losses = Readonly<Record<string, readonly number[]>>;

/**
 * Which nodes are lost again and again. It reads no clock; times are monotonic ms.
 *
 * F1. A node's first loss in the window costs it nothing; each further one doubles the time for which it is held back, counted from the
 *     loss.
 * F2. At most `LIMITS.processes` nodes with `REMEMBERED` losses each, none older than the window when the last one was added.
 */
export class Flapping {
  /** When each node was lost, in growing order. */
  readonly #losses = new Map<string, number[]>();

  lost(node: string, nowMs: number): void {
    for (const [other, times] of [...this.#losses]) this.#set(other, times, nowMs); // F2
    this.#set(node, [...(this.#losses.get(node) ?? []), nowMs], nowMs);
  }

  /** For the next leader: each node's losses, by a clock that is `offsetMs` ahead of ours. Undefined when there are none. */
  told(offsetMs: number): Losses | undefined {
    if (this.#losses.size === 0) return undefined;
    return Object.fromEntries(Array.from(this.#losses, ([node, times]) => [node, times.map((at) => at + offsetMs)]));
  }

  /** What the leader before has told: it replaces what we know ourselves, which is of an earlier leadership. */
  learn(losses: Losses, offsetMs: number, nowMs: number): void {
    this.#losses.clear();
    for (const [node, times] of Object.entries(losses)) {
      // By a clock that has been set since, a loss may lie ahead of us.
      const ours = times.map((at) => Math.min(nowMs, at - offsetMs));
      this.#set(node, ours, nowMs);
    }
  }

  /** Until when a node gets no shards; -Infinity for one that is not held back. */
  heldUntil(node: string, nowMs: number): number {
    const times = (this.#losses.get(node) ?? []).filter((at) => nowMs - at <= LIMITS.flapWindowMs);
    const last = times.at(-1);
    if (last === undefined || times.length < 2) return -Infinity; // F1
    return last + Math.min(LIMITS.flapMaxHoldMs, LIMITS.flapHoldMs * 2 ** (times.length - 2));
  }

  /** F2. The one that is set last stands last. */
  #set(node: string, times: readonly number[], nowMs: number): void {
    const recent = times.filter((at) => nowMs - at <= LIMITS.flapWindowMs).slice(-REMEMBERED);
    this.#losses.delete(node);
    if (recent.length > 0) this.#losses.set(node, recent);
    const [oldest] = this.#losses.keys();
    if (this.#losses.size > LIMITS.processes && oldest !== undefined) this.#losses.delete(oldest);
  }
}
