import { isName, isObject, LIMITS } from '@belfry/protocol';

interface KnownWorker {
  capacity: number;
  running: number;
  seenAt: number;
}

/** The workers of a cluster in numbers. */
export interface WorkerSums {
  readonly count: number;
  readonly slots: number;
  readonly running: number;
}

/**
 * Who works, from the workers' heartbeats. `nowMs` is monotonic.
 *
 * W1. The sums are those of the workers that are known: a worker counts until `LIMITS.workerSilentMs` after its last heartbeat.
 */
export class Workers {
  readonly #workers = new Map<string, KnownWorker>();
  #slots = 0;
  #running = 0;

  /** False when it is no heartbeat, or one of more workers than `LIMITS.workers`. */
  heartbeat(namespace: string, beat: unknown, nowMs: number): boolean {
    if (!isObject(beat)) return false;
    const { worker, capacity, running, stopping } = beat;
    if (!isName(worker) || !Number.isSafeInteger(capacity) || (capacity as number) < 0 || !Array.isArray(running))
      return false;
    const id = `${namespace}/${worker}`;
    const slots = stopping === true ? 0 : (capacity as number);
    let known = this.#workers.get(id);
    if (known === undefined) {
      if (this.#workers.size >= LIMITS.workers) return false;
      known = { capacity: 0, running: 0, seenAt: nowMs };
      this.#workers.set(id, known);
    }
    this.#slots += slots - known.capacity; // W1
    this.#running += running.length - known.running;
    known.capacity = slots;
    known.running = running.length;
    known.seenAt = nowMs;
    return true;
  }

  sums(nowMs: number): WorkerSums {
    for (const [id, { capacity, running, seenAt }] of this.#workers) {
      if (nowMs - seenAt <= LIMITS.workerSilentMs) continue;
      this.#workers.delete(id);
      this.#slots -= capacity; // W1
      this.#running -= running;
    }
    return { count: this.#workers.size, slots: this.#slots, running: this.#running };
  }
}
