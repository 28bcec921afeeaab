import { LIMITS, type ResultRecord } from '@belfry/protocol';
import type { Shard } from '@belfry/shard';

interface Waiting {
  readonly core: Shard;
  readonly namespace: string;
  readonly queue: string;
  until: number;
  /** A record that gives it back is on its way. It is refused where another attempt has taken the place of the one that it names. */
  isGiven: boolean;
}

/**
 * Executions whose work messages were lost with the work stream. As long as a worker reports one, it runs there; when nobody has spoken
 * for it for as long as a worker may rely on its lease, and `LIMITS.lostContactMs` on top, it is given back, and dispatched again. How long
 * that is, is asked whenever it is reported: who does so may have been heard of since, and rely on more than was known before.
 */
export class Adrift {
  readonly #leaseOf: (queue: string, nowMs: number) => number;
  readonly #deadlines = new Map<string, Waiting>();
  /** When `expire` was last called. */
  #lookedAt = Infinity;

  /** `leaseOf`: the longest lease that a worker of a queue may rely on, ms. */
  constructor(leaseOf: (queue: string, nowMs: number) => number) {
    this.#leaseOf = leaseOf;
  }

  /** What is `unsent` for certain is given back at once. */
  add(core: Shard, nowMs: number, unsent: ReadonlySet<string>): void {
    for (const { id, namespace, queue } of core.adrift()) {
      const known = this.#deadlines.get(id);
      if (known?.core === core && !known.isGiven) continue; // its time runs already
      const until = unsent.has(id) ? nowMs : this.#silentAt(queue, nowMs);
      this.#deadlines.set(id, { core, namespace, queue, until, isGiven: false });
    }
  }

  /** When whoever has it, and is not heard from now on, relies on it no more. */
  #silentAt(queue: string, nowMs: number): number {
    return nowMs + this.#leaseOf(queue, nowMs) + LIMITS.lostContactMs;
  }

  /** A worker says that it runs these. */
  reported(executions: readonly string[], nowMs: number): void {
    if (this.#deadlines.size === 0) return;
    for (const id of executions) {
      const entry = this.#deadlines.get(id);
      if (entry !== undefined) entry.until = this.#silentAt(entry.queue, nowMs);
    }
  }

  /**
   * The records that give back what nobody spoke for, of shards that are `owned`. To be asked every second: time in which nobody asked does
   * not count as silence. What is still adrift long after it was given back, is given back again.
   */
  expire(nowMs: number, owned: (core: Shard) => boolean): { readonly shard: number; readonly record: ResultRecord }[] {
    const unheardMs = nowMs - this.#lookedAt;
    this.#lookedAt = nowMs;
    // This process stood still: what was said meanwhile has yet to be read.
    if (unheardMs > LIMITS.workerSilentMs) for (const entry of this.#deadlines.values()) entry.until += unheardMs;
    const given: { shard: number; record: ResultRecord }[] = [];
    for (const [id, entry] of this.#deadlines) {
      const { core, namespace, queue, until, isGiven } = entry;
      if (until > nowMs && !isGiven) continue;
      const attempt = core.adriftAttempt(id);
      if (attempt === undefined || !owned(core)) {
        this.#deadlines.delete(id);
        continue;
      }
      if (until > nowMs) continue;
      entry.isGiven = true;
      entry.until = this.#silentAt(queue, nowMs);
      const record: ResultRecord = {
        k: 'result',
        c: 0,
        x: id,
        ns: namespace,
        a: attempt,
        o: 'returned',
        w: '',
        dl: 0,
        st: 0,
        fi: 0,
      };
      given.push({ shard: core.shard, record });
    }
    return given;
  }

  get size(): number {
    return this.#deadlines.size;
  }
}
