import { SHARDS, type Cluster } from './cluster.ts';
import type { Member } from './member.ts';
import type { Load } from './load.ts';
import { recover, type Recovered } from './recovered.ts';
import { differences } from './state.ts';

/** How long shards may go on to change, or to move, before they can be compared. */
const PATIENCE_MS = 120_000;

interface Live {
  readonly hashes: ReadonlyMap<number, string>;
  readonly owners: ReadonlyMap<number, Member>;
}

/**
 * Checkpoint, inbox and surviving work messages, recovered, equal the live state: compared while checkpoints are held back, tasks are
 * created and cancelled, and executions run and wait for their retries. Returns what is wrong.
 */
export async function recoveryProblems(cluster: Cluster, load: Load): Promise<string[]> {
  const { schedulers } = cluster;
  for (const member of schedulers) member.order({ do: 'hold' });
  try {
    // Those that run do so until all shards have been compared.
    await load.stir(4_000 + cluster.filled / 50, () => cluster.runs());
    const deadline = performance.now() + PATIENCE_MS;
    let failure = 'the live state never stood still, so that it could be compared';
    while (performance.now() < deadline) {
      const before = await liveOf(cluster);
      const recovered = await recover({ natsUrl: cluster.natsUrl, postgres: cluster.primary, shards: SHARDS }).catch(
        (error: unknown) => void (failure = error instanceof Error ? error.message : String(error)),
      );
      if (recovered === undefined) continue; // its own takeovers are not tried again, as an owner's are
      const after = await liveOf(cluster);
      if (!isSame(before.hashes, after.hashes)) continue; // something went on meanwhile
      if (recovered.replayed === 0) return ['nothing was replayed: the recovery shows nothing'];
      return await differing(after, recovered);
    }
    return [failure];
  } finally {
    for (const member of schedulers) member.order({ do: 'release' });
  }
}

async function liveOf({ schedulers }: Cluster): Promise<Live> {
  const hashes = new Map<number, string>();
  const owners = new Map<number, Member>();
  for (const member of schedulers) {
    const told = await member.told<Readonly<Record<string, string>>>();
    for (const shard of (await member.health())?.parts.scheduler?.owned ?? []) {
      hashes.set(shard, told[shard] ?? 'not told');
      owners.set(shard, member);
    }
  }
  return { hashes, owners };
}

function isSame(a: ReadonlyMap<number, string>, b: ReadonlyMap<number, string>): boolean {
  return a.size === SHARDS && b.size === SHARDS && [...a].every(([shard, hash]) => b.get(shard) === hash);
}

async function differing({ hashes, owners }: Live, recovered: Recovered): Promise<string[]> {
  const other = [...hashes].filter(([shard, hash]) => recovered.hashes.get(shard) !== hash).map(([shard]) => shard);
  const [first] = other;
  if (first === undefined) return [];
  const live = await (owners.get(first) as Member).told<string>(first);
  return [
    `${other.length} shards, recovered, are not what they are live, as shard ${first}: ${differences(live, recovered.text(first))}`,
  ];
}
