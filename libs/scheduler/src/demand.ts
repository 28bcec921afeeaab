import { LIMITS, parseExecutionId, isName, isObject, type WorkerHeartbeat } from '@belfry/protocol';
import { QueueLeases } from '@belfry/actor-core';
import { queueKey } from '@belfry/shard';

interface KnownWorker {
  readonly queues: readonly string[];
  readonly capacity: number;
  readonly parcel: number;
  seenAt: number;
}

/**
 * What the workers can take, from their heartbeats.
 *
 * D1. A worker counts for `LIMITS.workerSilentMs` after its last heartbeat, on the monotonic clock.
 * D2. A message of a queue carries no more than each of its workers takes.
 * D3. No worker counts for more than `LIMITS.workerCapacity`: one that says too much would have the whole backlog dispatched to it.
 */
export class Demand {
  readonly #leases: QueueLeases;
  readonly #workers = new Map<string, KnownWorker>();
  #slots = new Map<string, number>();
  #parcels = new Map<string, number>();

  /** `sinceMs`: when listening to the workers began, on the monotonic clock. */
  constructor(sinceMs: number) {
    this.#leases = new QueueLeases(sinceMs);
  }

  /** Takes one heartbeat; returns the executions that it reports, or undefined if it is none. */
  heartbeat(namespace: string, beat: unknown, nowMs: number): readonly string[] | undefined {
    if (!isHeartbeat(beat)) return undefined;
    const id = `${namespace}/${beat.worker}`;
    const known = this.#workers.get(id);
    if (known === undefined && this.#workers.size >= LIMITS.workers) return undefined;
    const capacity = beat.stopping === true ? 0 : Math.min(beat.capacity, LIMITS.workerCapacity); // D3
    const queues = beat.queues.map((queue) => queueKey(namespace, queue));
    for (const queue of queues) this.#leases.heard(queue, beat.leaseMs, nowMs);
    const parcel = Math.min(beat.parcel ?? 1, LIMITS.parcelItems);
    this.#workers.set(id, { queues, capacity, parcel, seenAt: nowMs });
    const isKnown = known?.capacity === capacity && known.parcel === parcel && known.queues.join() === queues.join();
    if (!isKnown) this.#count();
    return beat.running;
  }

  /** Forgets workers that fell silent. */
  expire(nowMs: number): void {
    let gone = false;
    for (const [id, worker] of this.#workers) {
      if (nowMs - worker.seenAt <= LIMITS.workerSilentMs) continue;
      this.#workers.delete(id);
      gone = true;
    }
    if (gone) this.#count();
  }

  /** Slots of the workers that subscribe to a queue. */
  slots(queue: string): number {
    return this.#slots.get(queue) ?? 0;
  }

  /** Executions that one message of a queue may carry. */
  parcel(queue: string): number {
    return this.#parcels.get(queue) ?? 1;
  }

  /** The longest lease that a worker of a queue may rely on, heard of or not. */
  leaseMs(queue: string, nowMs: number): number {
    return this.#leases.safe(queue, nowMs);
  }

  /** Queues whose messages a worker may rely on having, as `<namespace>.<queue>`: also one that is silent, and may be back. */
  leasedQueues(nowMs: number): IterableIterator<string> {
    return this.#leases.queues(nowMs);
  }

  get workers(): number {
    return this.#workers.size;
  }

  /** Queues with at least one worker, as `<namespace>.<queue>`. */
  queues(): IterableIterator<string> {
    return this.#slots.keys();
  }

  #count(): void {
    const slots = new Map<string, number>();
    const parcels = new Map<string, number>();
    for (const { queues, capacity, parcel } of this.#workers.values()) {
      for (const queue of queues) {
        slots.set(queue, (slots.get(queue) ?? 0) + capacity);
        parcels.set(queue, Math.min(parcels.get(queue) ?? LIMITS.parcelItems, parcel)); // D2
      }
    }
    this.#slots = slots;
    this.#parcels = parcels;
  }
}

function isHeartbeat(value: unknown): value is WorkerHeartbeat {
  if (!isObject(value)) return false;
  const { worker, queues, capacity, running, parcel = 1 } = value;
  return (
    isName(worker) &&
    Array.isArray(queues) &&
    queues.every(isName) &&
    Number.isSafeInteger(capacity) &&
    (capacity as number) >= 0 &&
    Number.isSafeInteger(parcel) &&
    (parcel as number) >= 1 &&
    Array.isArray(running) &&
    running.every((execution) => parseExecutionId(execution) !== undefined)
  );
}
