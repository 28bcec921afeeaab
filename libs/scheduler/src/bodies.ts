import { LIMITS } from '@belfry/protocol';
import type { Body, CheckpointStore, ShardDelta, TaskPatch } from '@belfry/ports';
import type { Shard } from '@belfry/shard';
import { pause, type Log } from './environment.ts';

type Waiting = { readonly shard: number; readonly id: string; readonly done: (body: Body | undefined) => void };

const OBJECT_BYTES = 200;

/**
 * The parts of tasks that shards do not keep: payload, labels, key, trace context.
 *
 * P1. A body that no checkpoint has written is found with its shard or among the deltas under way, never in Postgres.
 * P2. Cached bodies are whole and current: a patch drops them.
 * P3. The cache holds at most `LIMITS.payloadCacheBytes`.
 */
export class Bodies {
  readonly #store: CheckpointStore;
  readonly #log: Log;
  readonly #cache = new Map<string, Body>();
  #cachedBytes = 0;
  #committing = new Map<string, Body>();
  #patching = new Map<string, TaskPatch>();
  #wanted: Waiting[] = [];
  #queries = 0;

  constructor(store: CheckpointStore, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  get bytes(): number {
    return this.#cachedBytes;
  }

  /** The body if it is at hand. */
  peek(shard: Shard, id: string): Body | undefined {
    const unsaved = shard.unsavedRow(id);
    if (unsaved !== undefined) return unsaved;
    const body = this.#committing.get(id) ?? this.#cache.get(id);
    return body === undefined ? undefined : this.#patched(shard, id, body);
  }

  /** The body, fetched if need be. Undefined when there is no such task any more. */
  async get(shard: Shard, id: string): Promise<Body | undefined> {
    const near = this.peek(shard, id);
    if (near !== undefined) return near;
    const body = await this.#fetch(shard.shard, id);
    return body === undefined ? undefined : this.#patched(shard, id, body);
  }

  /** Fetches bodies that will be needed soon. */
  prefetch(shard: Shard, id: string): void {
    if (this.peek(shard, id) === undefined) void this.#fetch(shard.shard, id);
  }

  /** A checkpoint begins: what it writes stays at hand until it is done (P1). */
  committing(deltas: readonly ShardDelta[]): void {
    for (const { inserts, patches, deletes } of deltas) {
      for (const id of deletes) this.#drop(id);
      for (const { id, payload, metadata, key, traceparent, createdAt } of inserts) {
        this.#committing.set(id, { payload, metadata, key, traceparent, createdAt });
      }
      for (const patch of patches) {
        this.#drop(patch.id);
        this.#patching.set(patch.id, patch);
      }
    }
  }

  /** A checkpoint is done. Bodies that `keep` names will be needed soon. */
  committed(keep: (id: string) => boolean): void {
    const committed = this.#committing;
    const patched = this.#patching;
    this.#committing = new Map();
    this.#patching = new Map();
    for (const [id, body] of committed) if (!patched.has(id) && keep(id)) this.#keep(id, body);
  }

  #patched(shard: Shard, id: string, body: Body): Body {
    const patches = [this.#patching.get(id), shard.unsavedPatch(id)];
    let whole = body;
    for (const patch of patches) {
      if (patch?.payload !== undefined) whole = { ...whole, payload: patch.payload };
      if (patch?.metadata !== undefined) whole = { ...whole, metadata: patch.metadata };
    }
    return whole;
  }

  #fetch(shard: number, id: string): Promise<Body | undefined> {
    return new Promise((done) => {
      this.#wanted.push({ shard, id, done });
      if (this.#wanted.length === 1 && this.#queries < 2) setImmediate(() => void this.#query());
    });
  }

  async #query(): Promise<void> {
    if (this.#queries >= 2) return;
    this.#queries++;
    for (let attempt = 1; this.#wanted.length > 0;) {
      const wanted = this.#wanted.splice(0, LIMITS.payloadQueryRows);
      const outcome = await this.#store.bodies(wanted);
      if (outcome.kind !== 'ok') {
        // Whoever waits goes on waiting: these fires are late until Postgres is back.
        if (attempt === 1)
          this.#log.warn('payloads cannot be fetched, trying again', {
            error: String(outcome.kind === 'retry' ? outcome.error.message : ''),
          });
        this.#wanted.unshift(...wanted);
        await pause(attempt++);
        continue;
      }
      attempt = 1;
      for (const { id, done } of wanted) {
        const body = outcome.value.get(id);
        if (body !== undefined && !this.#patching.has(id)) this.#keep(id, body);
        done(body);
      }
    }
    this.#queries--;
  }

  #keep(id: string, body: Body): void {
    this.#drop(id);
    this.#cache.set(id, body);
    this.#cachedBytes += sizeOf(body);
    if (this.#cachedBytes <= LIMITS.payloadCacheBytes) return;
    for (const oldest of this.#cache.keys()) {
      this.#drop(oldest);
      if (this.#cachedBytes <= LIMITS.payloadCacheBytes * 0.9) break;
    }
  }

  /** The body of a task that has been dispatched for the last time is not needed again soon. */
  forget(id: string): void {
    this.#drop(id);
  }

  #drop(id: string): void {
    const body = this.#cache.get(id);
    if (body === undefined) return;
    this.#cache.delete(id);
    this.#cachedBytes -= sizeOf(body);
  }
}

function sizeOf(body: Body): number {
  return (
    OBJECT_BYTES +
    body.payload.length +
    body.metadata.length +
    (body.key?.length ?? 0) +
    (body.traceparent?.length ?? 0)
  );
}
