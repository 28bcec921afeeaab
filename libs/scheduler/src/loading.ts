import type { ActiveRow, ShardHead } from '@belfry/ports';
import { LIMITS } from '@belfry/protocol';
import { Shard, type Interned } from '@belfry/shard';
import { breathe, untilOk, type Environment } from './environment.ts';

/** What loading shards came to. */
export interface Loaded {
  readonly cores: ReadonlyMap<number, Shard>;
  /** Shards whose state cannot be loaded, with the reason. */
  readonly faulty: Map<number, unknown>;
}

/** Adds active rows to those of their shard and task. */
export function activeByTask(
  active: Map<number, Map<string, ActiveRow[]>>,
  shard: number,
  rows: readonly ActiveRow[],
): void {
  const byTask = active.get(shard) ?? new Map<string, ActiveRow[]>();
  active.set(shard, byTask);
  for (const row of rows) byTask.set(row.task, [...(byTask.get(row.task) ?? []), row]);
}

/** Loads shards from their rows, with executions if `active`. Rejects at the next row when it `isWanted` no more. */
export async function loadCores(
  env: Environment,
  interned: Interned,
  heads: readonly ShardHead[],
  { isWanted, active: withActive }: { readonly isWanted: () => boolean; readonly active: boolean },
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
  await untilOk(env, 'shards', async () => {
    goOn();
    const nowMs = env.clock.now();
    faulty.clear();
    for (const head of heads) {
      const { shard } = head;
      cores.set(shard, new Shard({ shard, interned, head, nowMs, rememberMs: LIMITS.rememberMs }));
    }
    active.clear();
    const outcome = await env.store.load(
      heads.map(({ shard }) => shard),
      (shard, rows) => {
        goOn();
        if (withActive) activeByTask(active, shard, rows);
      },
      (shard, commands) => load(shard, (core) => core.loadCommands(commands)),
      (shard, rows) => load(shard, (core) => core.loadCalendars(rows)),
      (shard, tasks) => load(shard, (core) => core.loadTasks(tasks)),
    );
    if (outcome.kind !== 'ok') return outcome;
    for (const [shard, rows] of active) {
      load(shard, (core) => core.loadExecutions(rows));
      await breathe(env.timers);
    }
    return outcome;
  });
  return { cores, faulty };
}
