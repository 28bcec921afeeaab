import { LIMITS, type ResultRecord } from '@belfry/protocol';
import type { Shard } from '@belfry/shard';

/**
 * Executions whose work messages were lost with the work stream. As long as a worker reports one, it runs there;
 * when nobody has spoken for it for `LIMITS.lostContactMs`, it is given back, and dispatched again.
 */
export class Adrift {
  readonly #deadlines = new Map<
    string,
    { readonly shard: number; readonly namespace: string; readonly attempt: number; until: number }
  >();

  /** What is `unsent` for certain is given back at once. */
  add(shard: Shard, nowMs: number, unsent: ReadonlySet<string>): void {
    for (const { id, attempt, namespace } of shard.adrift()) {
      const until = unsent.has(id) ? nowMs : nowMs + LIMITS.lostContactMs;
      this.#deadlines.set(id, { shard: shard.shard, namespace, attempt, until });
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

  /** The records that give back what nobody spoke for. */
  expire(nowMs: number): { readonly shard: number; readonly record: ResultRecord }[] {
    const given: { shard: number; record: ResultRecord }[] = [];
    for (const [id, { shard, namespace, attempt, until }] of this.#deadlines) {
      if (until > nowMs) continue;
      this.#deadlines.delete(id);
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
      given.push({ shard, record });
    }
    return given;
  }

  get size(): number {
    return this.#deadlines.size;
  }
}
