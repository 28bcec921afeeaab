import { QueueLeases } from '@belfry/actor-core';
import { isName, isObject, LIMITS } from '@belfry/protocol';

/** For how long the broker leases the messages of a queue to workers. */
export interface LeasedQueue {
  readonly namespace: string;
  readonly queue: string;
  readonly leaseMs: number;
}

interface Watched {
  readonly leaseMs: number;
  readonly sinceMs: number;
}

/**
 * Sees to it that the messages of a queue are leased for as long as its workers rely on, and no longer. Subscribing lengthens a lease only;
 * nobody but the leading supervisor shortens it. `nowMs` is monotonic.
 *
 * L1. A lease is lengthened at once: else what a living worker runs is given to another.
 * L2. It is shortened when it has been watched for `LIMITS.leaseKeptMs`, or as long as it is, and no worker has said meanwhile that it relies
 *     on more: whoever relied on it, and was not heard, has long been silent past it.
 * L3. Who has heard nobody for `LIMITS.workerSilentMs` may have been cut off, or have stood still, and watches anew.
 */
export class LeaseWatch {
  readonly #leases: QueueLeases;
  /** Since when no worker can have been overheard (L3), and when one was last heard. */
  #sinceMs: number;
  #heardMs: number;
  /** By queue: its lease as it was when last looked at, and since when. */
  #watched = new Map<string, Watched>();

  /** `sinceMs`: when listening to the workers began. */
  constructor(sinceMs: number) {
    this.#leases = new QueueLeases(sinceMs);
    this.#sinceMs = sinceMs;
    this.#heardMs = sinceMs;
  }

  /** Takes a worker's heartbeat, as it was parsed. */
  heard(namespace: string, beat: unknown, nowMs: number): void {
    if (!isObject(beat) || !Array.isArray(beat['queues'])) return;
    if (this.#isDeaf(nowMs)) this.#sinceMs = nowMs;
    this.#heardMs = nowMs;
    for (const queue of beat['queues'])
      if (isName(queue)) this.#leases.heard(keyOf(namespace, queue), beat['leaseMs'], nowMs);
  }

  /** Takes the queues as they are; returns what is to be changed. */
  look(present: readonly LeasedQueue[], nowMs: number): readonly LeasedQueue[] {
    const watched = new Map<string, Watched>();
    const changes: LeasedQueue[] = [];
    for (const { namespace, queue, leaseMs } of present) {
      const key = keyOf(namespace, queue);
      const before = this.#watched.get(key);
      const sinceMs = before?.leaseMs === leaseMs ? before.sinceMs : nowMs;
      watched.set(key, { leaseMs, sinceMs });
      const wanted = this.#leases.longest(key, nowMs);
      if (wanted === undefined || wanted === leaseMs) continue;
      const watchedMs = this.#isDeaf(nowMs) ? 0 : nowMs - Math.max(sinceMs, this.#sinceMs); // L3
      const outlasted = watchedMs > Math.max(leaseMs, LIMITS.leaseKeptMs) + LIMITS.workerHeartbeatMs; // L2
      if (wanted > leaseMs || outlasted) changes.push({ namespace, queue, leaseMs: wanted });
    }
    this.#watched = watched;
    return changes;
  }

  #isDeaf(nowMs: number): boolean {
    return nowMs - this.#heardMs > LIMITS.workerSilentMs;
  }
}

function keyOf(namespace: string, queue: string): string {
  return `${namespace}.${queue}`;
}
