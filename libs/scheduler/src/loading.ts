import type { ActiveRow, ShardHead } from '@belfry/ports';
import { LIMITS } from '@belfry/protocol';
import { Shard, type Interned } from '@belfry/shard';
import { untilOk, type Environment } from './environment.ts';

/** What loading shards came to. */
export interface Loaded {
  readonly cores: ReadonlyMap<number, Shard>;
  /** Shards whose state cannot be loaded, with the reason. */
  readonly faulty: Map<number, unknown>;
}

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
 */
export class Loads {
  readonly #env: Environment;
  readonly #interned: Interned;
  readonly #onLoaded: (core: Shard) => void;
  readonly #begun: Loading[] = [];

  constructor(env: Environment, interned: Interned, onLoaded: (core: Shard) => void) {
    this.#env = env;
    this.#interned = interned;
    this.#onLoaded = onLoaded;
  }

  /** Begins to load shards whose epochs have just been taken. */
  begin(heads: readonly ShardHead[]): void {
    const shards = new Set(heads.map(({ shard }) => shard));
    for (const former of this.#begun) {
      for (const head of former.heads) if (shards.has(head.shard)) former.heads.delete(head);
      if (former.heads.size === 0) former.stop(); // L2
    }
    let isWanted = true;
    const done = loadCores(this.#env, this.#interned, heads, () => isWanted);
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

/** Loads shards from their rows. Rejects at the next row when it `isWanted` no more. */
export async function loadCores(
  env: Environment,
  interned: Interned,
  heads: readonly ShardHead[],
  isWanted: () => boolean,
): Promise<Loaded> {
  const goOn = (): void => {
    if (!isWanted()) throw new Error('these shards are loaded no more: their takeover is over, or has begun anew');
  };
  const cores = new Map<number, Shard>();
  const active = new Map<number, Map<string, ActiveRow[]>>();
  const faulty = new Map<number, unknown>();
  const load = (shard: number, act: (core: Shard) => void): void => {
    goOn();
    const core = cores.get(shard);
    if (core === undefined) return; // it is faulty
    try {
      act(core);
    } catch (error) {
      faulty.set(shard, error);
      cores.delete(shard);
    }
  };
  await untilOk(env, 'shards', () => {
    goOn();
    const nowMs = env.clock.now();
    faulty.clear();
    for (const head of heads) {
      const { shard } = head;
      cores.set(shard, new Shard({ shard, interned, head, nowMs, rememberMs: LIMITS.rememberMs }));
      active.set(shard, new Map());
    }
    return env.store.load(
      heads.map(({ shard }) => shard),
      (shard, rows) => {
        goOn();
        const byTask = active.get(shard) as Map<string, ActiveRow[]>;
        for (const row of rows) byTask.set(row.task, [...(byTask.get(row.task) ?? []), row]);
      },
      (shard, commands) => load(shard, (core) => core.loadCommands(commands)),
      (shard, rows) => load(shard, (core) => core.loadCalendars(rows)),
      (shard, rows) => load(shard, (core) => core.loadTasks(rows, active.get(shard) as Map<string, ActiveRow[]>)),
    );
  });
  return { cores, faulty };
}
