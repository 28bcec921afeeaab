import { LIMITS, type ResultRecord } from '@belfry/protocol';
import type { Shard } from '@belfry/shard';

interface Waiting {
  readonly core: Shard;
  readonly namespace: string;
  /** Silence after which it is given back. */
  readonly waitMs: number;
  until: number;
}

/**
 * Executions whose work messages were lost with the work stream. As long as a worker reports one, it runs there; when nobody has spoken
 * for it for as long as a worker may rely on its lease, and `LIMITS.lostContactMs` on top, it is given back, and dispatched again.
 */
export class Adrift {
  readonly #deadlines = new Map<string, Waiting>();
  /** When `expire` was last called. */
  #lookedAt = Infinity;

  /** What is `unsent` for certain is given back at once. `leaseOf`: the longest lease of the workers of a queue, ms. */
  add(core: Shard, nowMs: number, unsent: ReadonlySet<string>, leaseOf: (queue: string) => number): void {
    for (const { id, namespace, queue } of core.adrift()) {
      if (this.#deadlines.get(id)?.core === core) continue; // its time runs already
      const waitMs = leaseOf(queue) + LIMITS.lostContactMs;
      const until = unsent.has(id) ? nowMs : nowMs + waitMs;
      this.#deadlines.set(id, { core, namespace, waitMs, until });
    }
  }

  /** A worker says that it runs these. */
  reported(executions: readonly string[], nowMs: number): void {
    if (this.#deadlines.size === 0) return;
    for (const id of executions) {
      const entry = this.#deadlines.get(id);
      if (entry !== undefined) entry.until = nowMs + entry.waitMs;
    }
  }

  /**
   * The records that give back what nobody spoke for, of shards that are `owned`. To be asked every second: time in which nobody asked does
   * not count as silence.
   */
  expire(nowMs: number, owned: (core: Shard) => boolean): { readonly shard: number; readonly record: ResultRecord }[] {
    const unheardMs = nowMs - this.#lookedAt;
    this.#lookedAt = nowMs;
    // This process stood still: what was said meanwhile has yet to be read.
    if (unheardMs > LIMITS.workerSilentMs) for (const entry of this.#deadlines.values()) entry.until += unheardMs;
    const given: { shard: number; record: ResultRecord }[] = [];
    for (const [id, { core, namespace, until }] of this.#deadlines) {
      if (until > nowMs) continue;
      this.#deadlines.delete(id);
      const attempt = core.adriftAttempt(id);
      if (attempt === undefined || !owned(core)) continue;
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
