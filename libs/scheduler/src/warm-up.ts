import { NO_FIRES } from '@belfry/ports';
import { LIMITS } from '@belfry/protocol';
import { Interned } from '@belfry/shard';
import { handOverGroups, type OwnedShard } from './arrivals.ts';
import type { Environment } from './environment.ts';
import { loadCores } from './loading.ts';

const NO_TASK = '0'.repeat(32);

/**
 * What a node does before it takes shards from an owner that serves them well meanwhile: loads some of them, and forgets them, until that
 * gets no quicker, so that connections, compiled code and the database's pages are warm when they stand still; and, where it `isNew` to
 * it, waits until its process has little else to do. Takes the epochs of none, and changes nothing; nothing relies on it.
 * Ends after `LIMITS.handOverWarmMs`, or when there `isMore` to do.
 */
export async function warmUp(
  env: Environment,
  owned: readonly OwnedShard[],
  isNew: boolean,
  isMore: () => boolean,
): Promise<void> {
  const { clock, calm } = env;
  const endMs = clock.monotonic() + LIMITS.handOverWarmMs;
  const goesOn = (): boolean => !isMore() && clock.monotonic() < endMs;
  const [shards = []] = handOverGroups(owned, Infinity);
  await rehearse(env, shards, goesOn);
  if (isNew) await calm?.(goesOn);
}

async function rehearse(env: Environment, shards: readonly number[], goesOn: () => boolean): Promise<void> {
  const { clock, log } = env;
  for (let lastMs = Infinity; goesOn();) {
    const startedAt = clock.monotonic();
    try {
      await rehearseOnce(env, shards, goesOn);
    } catch (error) {
      if (goesOn()) log.warn('a takeover cannot be rehearsed', { error: String(error) });
      return;
    }
    const tookMs = clock.monotonic() - startedAt;
    if (tookMs >= 0.8 * lastMs) return;
    lastMs = tookMs;
  }
}

async function rehearseOnce(env: Environment, shards: readonly number[], goesOn: () => boolean): Promise<void> {
  await env.store.takeEpochs([], env.node, []);
  // A connection's first query of payloads takes a tenth of a second: a plan over all partitions.
  const nobody = shards.map((shard) => ({ shard, id: NO_TASK }));
  const payloads = Array.from({ length: LIMITS.payloadConnections }, () => env.store.bodies(nobody));
  await Promise.all([...payloads, ...shards.map((shard) => env.work.surviving(shard))]);
  const head = { epoch: 0, seq: 0, watermark: env.clock.now(), counters: NO_FIRES, gaps: [] };
  const heads = shards.map((shard) => ({ shard, ...head }));
  await loadCores(env, new Interned(), heads, { isWanted: goesOn, active: true });
  const nothing = (): undefined => undefined;
  const changed = { tasks: [NO_TASK], commandsFrom: env.clock.now() };
  await env.store.load(shards, nothing, nothing, nothing, nothing, changed);
}
