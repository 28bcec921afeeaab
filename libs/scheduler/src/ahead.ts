import type { ActiveRow, LoadedTask, ShardHead } from '@belfry/ports';
import { NO_FIRES } from '@belfry/ports';
import type { Interned, Shard } from '@belfry/shard';
import { askToWatch, type Since, type Watched } from './arrivals.ts';
import { untilOk, type Environment } from './environment.ts';
import { activeByTask, loadCores, type Loaded } from './loading.ts';

/** A shard that was loaded while its owner served it. */
export interface LoadedAhead {
  readonly core: Shard;
  readonly watched: Watched;
  /** What its owner said has changed since, when it let go. */
  since?: Since;
}

/**
 * Loads shards while their owners serve them, so that they stand still for no longer than what changes meanwhile takes. What cannot be had this
 * way is loaded whole, once its epoch is taken: nothing relies on it. Ends at the next row when it `goesOn` no more.
 */
export async function loadAhead(
  env: Environment,
  interned: Interned,
  shards: readonly number[],
  goesOn: () => boolean,
): Promise<Map<number, LoadedAhead>> {
  const ahead = new Map<number, LoadedAhead>();
  const watched = new Map<number, Watched>();
  for (const [shard, watch] of await Promise.all(shards.map(async (of) => [of, await askToWatch(env, of)] as const)))
    if (watch !== undefined) watched.set(shard, watch);
  if (watched.size === 0) return ahead;
  const heads = Array.from(watched, ([shard, { watermark }]): ShardHead => {
    return { shard, epoch: 0, seq: 0, watermark, counters: NO_FIRES, gaps: [] };
  });
  try {
    const { cores } = await loadCores(env, interned, heads, { isWanted: goesOn, active: false });
    for (const [shard, core] of cores) ahead.set(shard, { core, watched: watched.get(shard) as Watched });
  } catch (error) {
    if (goesOn()) env.log.warn('shards cannot be loaded ahead', { shards, error: String(error) });
  }
  return ahead;
}

/**
 * Whether what was loaded ahead, with what has changed since, is what the head stands for: its owner has written the last checkpoint, of the
 * same epoch, and nobody has had the shard in between.
 */
export function isContinued({ watched, since }: LoadedAhead, { epoch, seq, watermark }: ShardHead): boolean {
  if (since === undefined || since.epoch !== watched.epoch) return false;
  return epoch === since.epoch + 1 && seq === since.seq && watermark >= watched.watermark;
}

/** Brings what was loaded ahead up to these heads. Rejects at the next row when it `isWanted` no more. */
export async function bringForward(
  env: Environment,
  ahead: ReadonlyMap<ShardHead, LoadedAhead>,
  isWanted: () => boolean,
): Promise<Loaded> {
  const rows = new Map<number, LoadedTask[]>();
  const active = new Map<number, Map<string, ActiveRow[]>>();
  const cores = new Map<number, Shard>();
  const faulty = new Map<number, unknown>();
  const sinces = [...ahead.values()].flatMap(({ since }) => since ?? []);
  const changed = {
    tasks: sinces.flatMap(({ tasks }) => tasks),
    commandsFrom: Math.min(...sinces.map(({ commandsFrom }) => commandsFrom)),
  };
  const coreOf = new Map(Array.from(ahead, ([{ shard }, { core }]) => [shard, core]));
  await untilOk(env, 'what has changed of shards', () => {
    if (!isWanted()) throw new Error('these shards are loaded no more');
    rows.clear();
    active.clear();
    return env.store.load(
      [...coreOf.keys()],
      (shard, some) => activeByTask(active, shard, some),
      (shard, commands) => coreOf.get(shard)?.loadCommands(commands),
      () => undefined,
      (shard, tasks) => void rows.set(shard, [...(rows.get(shard) ?? []), ...tasks]),
      changed,
    );
  });
  for (const [head, { core, since }] of ahead) {
    const { shard } = head;
    try {
      const executions = active.get(shard) ?? new Map<string, ActiveRow[]>();
      core.bringForward({ head, changed: since?.tasks ?? [], rows: rows.get(shard) ?? [], active: executions });
      cores.set(shard, core);
    } catch (error) {
      faulty.set(shard, error);
    }
  }
  return { cores, faulty };
}
