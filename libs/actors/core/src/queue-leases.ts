import { isLease, LIMITS } from '@belfry/protocol';

/** Different leases of one queue that are told apart; more count as the longest. */
const LEASES_OF_A_QUEUE = 16;
/** Queues whose leases are known; of more, any may be as long as that of a worker which does not say it. */
const MOST_QUEUES = 10_000;

/**
 * How long workers rely on having what they hold, queue by queue, from their heartbeats. `nowMs` is monotonic.
 *
 * Q1. A lease counts until every worker that told it is past it, and not likely to come back: for `LIMITS.leaseKeptMs`, or as long as it
 *     is, and a heartbeat interval, after it was last told.
 * Q2. Who has listened for a shorter time than `LIMITS.ackWaitMs` may have missed a worker that does not say its lease, and has that.
 */
export class QueueLeases {
  readonly #sinceMs: number;
  /** By queue, as its caller names it: when each lease was last told. */
  readonly #told = new Map<string, Map<number, number>>();

  /** `sinceMs`: when listening began. */
  constructor(sinceMs: number) {
    this.#sinceMs = sinceMs;
  }

  /** A worker of the queue is heard, and its lease if it says one. */
  heard(queue: string, leaseMs: unknown, nowMs: number): void {
    let told = this.#told.get(queue);
    if (told === undefined) {
      if (this.#told.size >= MOST_QUEUES) this.#forget(nowMs);
      if (this.#told.size >= MOST_QUEUES) return;
      told = new Map();
      this.#told.set(queue, told);
    }
    const lease = isLease(leaseMs) ? leaseMs : LIMITS.ackWaitMs;
    if (told.has(lease) || told.size < LEASES_OF_A_QUEUE) told.set(lease, nowMs);
    else told.set(Math.max(lease, ...told.keys()), nowMs);
  }

  /** The longest lease that a worker of the queue may rely on, now or when it is back; undefined when none has been heard of. */
  longest(queue: string, nowMs: number): number | undefined {
    let longest: number | undefined;
    for (const [lease, at] of this.#told.get(queue) ?? [])
      if (isAlive(lease, at, nowMs) && lease > (longest ?? 0)) longest = lease; // Q1
    return longest;
  }

  /** As `longest`, of workers that may not have been heard of too. */
  safe(queue: string, nowMs: number): number {
    const unheard = // Q2
      nowMs - this.#sinceMs < LIMITS.ackWaitMs + LIMITS.workerHeartbeatMs || this.#told.size >= MOST_QUEUES;
    return Math.max(this.longest(queue, nowMs) ?? 0, unheard ? LIMITS.ackWaitMs : LIMITS.workLeaseMs);
  }

  /** Queues of which a worker that was heard may be back, or is here. */
  *queues(nowMs: number): IterableIterator<string> {
    for (const queue of this.#told.keys()) if (this.longest(queue, nowMs) !== undefined) yield queue;
  }

  #forget(nowMs: number): void {
    for (const [queue, told] of this.#told) {
      for (const [lease, at] of told) if (!isAlive(lease, at, nowMs)) told.delete(lease);
      if (told.size === 0) this.#told.delete(queue);
    }
  }
}

function isAlive(lease: number, toldAt: number, nowMs: number): boolean {
  return nowMs - toldAt <= Math.max(lease, LIMITS.leaseKeptMs) + LIMITS.workerHeartbeatMs;
}
