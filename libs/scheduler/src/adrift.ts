import { LIMITS, type ResultRecord } from '@belfry/protocol';
import type { Shard } from '@belfry/shard';

/**
 * Executions whose work messages were lost with the work stream. As long as a worker reports one, it runs there;
 * when nobody has spoken for it for `LIMITS.lostContactMs`, it is given back, and dispatched again.
 */
export class Adrift {
  readonly #deadlines = new Map<string, { readonly core: Shard; readonly namespace: string; until: number }>();
  /** When `expire` was last called. */
  #lookedAt = Infinity;

  /** What is `unsent` for certain is given back at once. */
  add(core: Shard, nowMs: number, unsent: ReadonlySet<string>): void {
    for (const { id, namespace } of core.adrift()) {
      if (this.#deadlines.get(id)?.core === core) continue; // its time runs already
      const until = unsent.has(id) ? nowMs : nowMs + LIMITS.lostContactMs;
      this.#deadlines.set(id, { core, namespace, until });
    }
  }

  /** A worker says that it runs these. */
  reported(executions: readonly string[], nowMs: number): void {
    if (this.#deadlines.size === 0) return;
    for (const id of executions) {
      const entry = this.#deadlines.get(id);
      if (entry !== undefined) entry.until = nowMs + LIMITS.lostContactMs;
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
