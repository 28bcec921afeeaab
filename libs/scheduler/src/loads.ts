import type { ShardHead } from '@belfry/ports';
import type { Interned, Shard } from '@belfry/shard';
import { bringForward, isContinued, type LoadedAhead } from './ahead.ts';
import type { Environment } from './environment.ts';
import { loadCores, type Loaded } from './loading.ts';

interface Loading {
  /** Those of its heads that no later load has taken the place of. */
  readonly heads: Set<ShardHead>;
  readonly done: Promise<Loaded>;
  /** Ends it, at its next row (L2). */
  stop(): void;
}

/**
 * The loads of one takeover, which go on beside the rest of it.
 *
 * L1. What was loaded for an epoch counts for that epoch only: where another one is taken in the end, the rows are loaded again.
 * L2. What nobody wants any more ends at its next row: it would take memory and connections from what is wanted.
 * L3. What was loaded ahead is brought forward once, for the epoch that comes right after its owner's; anything else is loaded whole.
 */
export class Loads {
  readonly #env: Environment;
  readonly #interned: Interned;
  readonly #onLoaded: (core: Shard) => void;
  readonly #ahead: Map<number, LoadedAhead>;
  readonly #begun: Loading[] = [];

  constructor(
    env: Environment,
    interned: Interned,
    onLoaded: (core: Shard) => void,
    ahead: Map<number, LoadedAhead> = new Map(),
  ) {
    this.#env = env;
    this.#interned = interned;
    this.#onLoaded = onLoaded;
    this.#ahead = ahead;
  }

  /** Begins to load shards whose epochs have just been taken. */
  begin(heads: readonly ShardHead[]): void {
    const shards = new Set(heads.map(({ shard }) => shard));
    for (const former of this.#begun) {
      for (const head of former.heads) if (shards.has(head.shard)) former.heads.delete(head);
      if (former.heads.size === 0) former.stop(); // L2
    }
    const continued = new Map<ShardHead, LoadedAhead>();
    for (const head of heads) {
      const ahead = this.#ahead.get(head.shard);
      if (ahead !== undefined && isContinued(ahead, head)) continued.set(head, ahead);
      this.#ahead.delete(head.shard); // L3
    }
    const whole = heads.filter((head) => !continued.has(head));
    if (whole.length > 0)
      this.#begin(whole, (isWanted) => loadCores(this.#env, this.#interned, whole, { isWanted, active: true }));
    if (continued.size > 0) this.#begin([...continued.keys()], (isWanted) => this.#bringForward(continued, isWanted));
  }

  /** What cannot be brought forward is loaded whole. */
  async #bringForward(continued: ReadonlyMap<ShardHead, LoadedAhead>, isWanted: () => boolean): Promise<Loaded> {
    const env = this.#env;
    const forward = await bringForward(env, continued, isWanted).catch((error: unknown): Loaded => {
      if (!isWanted()) throw error;
      return { cores: new Map(), faulty: new Map(Array.from(continued.keys(), ({ shard }) => [shard, error])) };
    });
    const rest = [...continued.keys()].filter(({ shard }) => !forward.cores.has(shard));
    if (rest.length === 0) return forward;
    for (const [shard, error] of forward.faulty)
      env.log.warn('a shard cannot be brought forward, and is loaded whole', { shard, error: String(error) });
    const { cores, faulty } = await loadCores(env, this.#interned, rest, { isWanted, active: true });
    return { cores: new Map([...forward.cores, ...cores]), faulty };
  }

  #begin(heads: readonly ShardHead[], load: (isWanted: () => boolean) => Promise<Loaded>): void {
    let isWanted = true;
    const done = load(() => isWanted);
    done.catch(() => undefined); // told by `of`
    this.#begun.push({ heads: new Set(heads), done, stop: () => void (isWanted = false) });
  }

  /** What was loaded for these heads (L1). */
  async of(wanted: ReadonlySet<ShardHead>): Promise<Loaded> {
    const cores = new Map<number, Shard>();
    const faulty = new Map<number, unknown>();
    for (const { heads, done } of this.#begun) {
      const mine = [...heads].filter((head) => wanted.has(head));
      if (mine.length === 0) continue;
      const loaded = await done;
      for (const { shard } of mine) {
        const core = loaded.cores.get(shard);
        if (core === undefined) {
          faulty.set(shard, loaded.faulty.get(shard));
          continue;
        }
        cores.set(shard, core);
        this.#onLoaded(core);
      }
    }
    return { cores, faulty };
  }

  /** Ends what is under way, at its next row (L2). */
  stop(): void {
    for (const loading of this.#begun) loading.stop();
  }

  /** Resolves when nothing is under way any more. */
  async over(): Promise<void> {
    await Promise.allSettled(this.#begun.map(({ done }) => done));
  }
}
