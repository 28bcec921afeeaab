import { LIMITS } from '@belfry/protocol';
import { retry, type Body, type CheckpointStore, type ShardDelta, type TaskPatch } from '@belfry/ports';
import type { Shard } from '@belfry/shard';
import type { Timers } from '@belfry/actor-runtime';
import { pause, type Log } from './environment.ts';

interface Waiting {
  readonly shard: number;
  readonly epoch: number;
  readonly id: string;
  readonly done: (body: Body | undefined) => void;
}

/** A body as it was under one ownership: what happened to it under another is not known here. */
interface Held {
  readonly body: Body;
  readonly epoch: number;
}

const OBJECT_BYTES = 200;

/**
 * The parts of tasks that shards do not keep: payload, labels, key, trace context.
 *
 * P1. A body that no checkpoint has written is found with its shard, which keeps what its delta under way holds, never in Postgres.
 * P2. Cached bodies are whole and current: a patch drops them, and they count as long as the shard has the epoch that it had then.
 *     A query that a checkpoint has overtaken is asked again.
 * P3. The cache holds at most `LIMITS.payloadCacheBytes`.
 * P4. A body that cannot be read keeps waiting, and no other with it.
 * P5. At most `LIMITS.payloadsWaiting` wait for a query because they will be needed, however long Postgres is away; the others are asked
 *     for by dispatches, which are bounded. Clients do not wait for a Postgres that does not answer: they ask again.
 */
export class Bodies {
  readonly #store: CheckpointStore;
  readonly #log: Log;
  readonly #timers: Timers;
  readonly #cache = new Map<string, Held>();
  #cachedBytes = 0;
  #patching = new Map<string, TaskPatch>();
  #wanted: Waiting[] = [];
  #queries = 0;
  /** The last query has failed. */
  #isFailing = false;
  /** Of each query under way, the ids that a checkpoint has written since it began. */
  readonly #overtaken = new Set<Set<string>>();

  constructor(store: CheckpointStore, log: Log, timers: Timers) {
    this.#store = store;
    this.#log = log;
    this.#timers = timers;
  }

  get bytes(): number {
    return this.#cachedBytes;
  }

  /** Bodies that wait for a query. */
  get waiting(): number {
    return this.#wanted.length;
  }

  /** The body if it is at hand. */
  peek(shard: Shard, id: string): Body | undefined {
    const unsaved = shard.unsavedRow(id);
    if (unsaved !== undefined) return unsaved;
    const committing = shard.committingRow(id);
    if (committing !== undefined) return this.#patched(shard, id, committing);
    const held = this.#cache.get(id);
    return held?.epoch === shard.epoch ? this.#patched(shard, id, held.body) : undefined; // P2
  }

  /** The body, fetched if need be. Undefined when there is no such task any more. */
  async get(shard: Shard, id: string): Promise<Body | undefined> {
    const near = this.peek(shard, id);
    if (near !== undefined) return near;
    const body = await this.#fetch(shard, id);
    // Meanwhile it may have been made anew.
    return this.peek(shard, id) ?? (body === undefined ? undefined : this.#patched(shard, id, body));
  }

  /** As `get`, but undefined at once where the last query has failed (P5). */
  async ask(shard: Shard, id: string): Promise<Body | undefined> {
    return this.peek(shard, id) ?? (this.#isFailing ? undefined : await this.get(shard, id));
  }

  /** Fetches bodies that will be needed soon. */
  prefetch(shard: Shard, id: string): void {
    if (this.#wanted.length >= LIMITS.payloadsWaiting) return; // P5
    if (this.peek(shard, id) === undefined) void this.#fetch(shard, id);
  }

  /** A checkpoint begins: what it changes of bodies that are stored counts until it is done (P1). */
  committing({ deletes, patches }: ShardDelta): void {
    for (const id of deletes) this.#drop(id);
    for (const patch of patches) {
      this.#drop(patch.id);
      this.#patching.set(patch.id, patch);
    }
  }

  /** A checkpoint is done. New tasks that fire until `soonMs` keep their bodies at hand. */
  committed(deltas: Iterable<readonly [Shard, ShardDelta]>, soonMs: number): void {
    const patched = this.#patching;
    this.#patching = new Map();
    for (const [shard, { epoch, inserts }] of deltas) {
      shard.settled();
      for (const { id, payload, metadata, key, traceparent, createdAt } of inserts) {
        for (const ids of this.#overtaken) ids.add(id); // P2
        if (patched.has(id) || shard.pointerOf(id) > soonMs) continue;
        this.#keep(id, { epoch, body: { payload, metadata, key, traceparent, createdAt } });
      }
    }
    for (const ids of this.#overtaken) for (const id of patched.keys()) ids.add(id); // P2
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

  #fetch({ shard, epoch }: Shard, id: string): Promise<Body | undefined> {
    return new Promise((done) => {
      this.#wanted.push({ shard, epoch, id, done });
      if (this.#wanted.length === 1 && this.#queries < 2) this.#timers.soon(() => void this.#query());
    });
  }

  async #query(): Promise<void> {
    if (this.#queries >= 2) return;
    this.#queries++;
    let rows: number = LIMITS.payloadQueryRows;
    for (let attempt = 1; this.#wanted.length > 0;) {
      const wanted = this.#wanted.splice(0, rows);
      const failure = await this.#answer(wanted);
      this.#isFailing = failure?.isFault === false;
      if (failure === undefined) {
        attempt = 1;
        rows = Math.min(LIMITS.payloadQueryRows, 2 * rows);
        continue;
      }
      // Whoever waits goes on waiting: these fires are late until Postgres is back.
      if (attempt === 1) this.#log.warn('payloads cannot be fetched, trying again', { error: failure.error.message });
      if (wanted.length === 1) this.#wanted.push(...wanted);
      else this.#wanted.unshift(...wanted);
      if (failure.isFault && wanted.length > 1)
        rows = Math.ceil(wanted.length / 2); // P4
      else await pause(this.#timers, attempt++);
    }
    this.#queries--;
  }

  /** Gives the bodies to whoever waits for them. Undefined when that is done. */
  async #answer(wanted: readonly Waiting[]): Promise<{ readonly error: Error; readonly isFault: boolean } | undefined> {
    const overtaken = new Set<string>();
    this.#overtaken.add(overtaken);
    let isFault = false;
    const outcome = await this.#store.bodies(wanted).catch((error: unknown) => {
      isFault = true;
      return retry(error);
    });
    this.#overtaken.delete(overtaken);
    if (outcome.kind === 'retry') return { error: outcome.error, isFault };
    if (outcome.kind === 'refused') return outcome.reason satisfies never;
    for (const waiting of wanted) {
      const { id, epoch, done } = waiting;
      const body = outcome.value.get(id);
      if (overtaken.has(id)) {
        this.#wanted.push(waiting);
        continue;
      }
      if (body !== undefined && !this.#patching.has(id)) this.#keep(id, { body, epoch });
      done(body);
    }
    return undefined;
  }

  #keep(id: string, held: Held): void {
    this.#drop(id);
    this.#cache.set(id, held);
    this.#cachedBytes += sizeOf(held.body);
    if (this.#cachedBytes <= LIMITS.payloadCacheBytes) return;
    for (const oldest of this.#cache.keys()) {
      this.#drop(oldest);
      if (this.#cachedBytes <= LIMITS.payloadCacheBytes * 0.9) break;
    }
  }

  #drop(id: string): void {
    const held = this.#cache.get(id);
    if (held === undefined) return;
    this.#cache.delete(id);
    this.#cachedBytes -= sizeOf(held.body);
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
