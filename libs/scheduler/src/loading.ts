import { NO_FIRES, type ActiveRow, type ShardHead } from '@belfry/ports';
import { LIMITS } from '@belfry/protocol';
import { Interned, Shard } from '@belfry/shard';
import { handOverGroups, type OwnedShard } from './arrivals.ts';
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
  readonly isWanted: Switch;
}

interface Switch {
  on: boolean;
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
      if (former.heads.size === 0) former.isWanted.on = false; // L2
    }
    const isWanted = { on: true };
    const done = loadCores(this.#env, this.#interned, heads, isWanted);
    done.catch(() => undefined); // told by `of`
    this.#begun.push({ heads: new Set(heads), done, isWanted });
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
    for (const { isWanted } of this.#begun) isWanted.on = false;
  }

  /** Resolves when nothing is under way any more. */
  async over(): Promise<void> {
    await Promise.allSettled(this.#begun.map(({ done }) => done));
  }
}

/** For so long a node goes on to load in vain before a hand-over. */
const REHEARSE_MS = 1_000;
/** A connection's first query of payloads takes a tenth of a second: a plan over all partitions. So many connections ask for them. */
const BODY_CONNECTIONS = 3;
const NO_TASK = '0'.repeat(32);

/**
 * Loads shards that another node owns, and forgets them, until that gets no quicker: so that connections, compiled code and the
 * database's pages are warm when shards stand still for their takeover. A process that has just started has more to do than that, too.
 */
export async function rehearse(env: Environment, owned: readonly OwnedShard[]): Promise<void> {
  const { clock } = env;
  const [shards = []] = handOverGroups(owned, Infinity);
  const beganAt = clock.monotonic();
  for (let lastMs = Infinity; clock.monotonic() - beganAt < REHEARSE_MS;) {
    const startedAt = clock.monotonic();
    await rehearseOnce(env, shards);
    const tookMs = clock.monotonic() - startedAt;
    if (tookMs >= 0.8 * lastMs) return;
    lastMs = tookMs;
  }
}

/** Takes the epochs of none, and lists what is theirs in the work stream; changes nothing. */
async function rehearseOnce(env: Environment, shards: readonly number[]): Promise<void> {
  await env.store.takeEpochs([], env.node, []);
  const nobody = shards.map((shard) => ({ shard, id: NO_TASK }));
  const atOnce = Array.from({ length: BODY_CONNECTIONS }, () => env.store.bodies(nobody));
  await Promise.all([...atOnce, ...shards.map((shard) => env.work.surviving(shard))]);
  const head = { epoch: 0, seq: 0, watermark: env.clock.now(), counters: NO_FIRES, gaps: [] };
  await loadCores(
    env,
    new Interned(),
    shards.map((shard) => ({ shard, ...head })),
    { on: true },
  );
}

async function loadCores(
  env: Environment,
  interned: Interned,
  heads: readonly ShardHead[],
  isWanted: Switch,
): Promise<Loaded> {
  const goOn = (): void => {
    if (!isWanted.on) throw new Error('these shards are loaded no more: their takeover is over, or has begun anew');
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
