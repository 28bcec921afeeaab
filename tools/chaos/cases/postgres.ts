import { setTimeout as delay } from 'node:timers/promises';

import { LIMITS } from '@belfry/protocol';

import { SHARDS, type Cluster } from '../cluster.ts';
import type { PostgresNode } from '../postgres.ts';
import type { ChaosCase, Scene, Settings } from '../scene.ts';

const LONG_MS = 30 * 60_000;
/** From the creation of tasks, in which schedulers are started anew, to their instant. */
const UNREAD_MS = 60_000;

function outageMs({ long, outageSeconds }: Settings): number {
  return long ? LONG_MS : outageSeconds * 1_000;
}

/** Each shard is owned, by those who are there. */
async function owned(cluster: Cluster): Promise<void> {
  await cluster.until('all shards are owned', async () => {
    const all = [...(await cluster.ownedShards()).values()].flat();
    return new Set(all).size === SHARDS && all.length === SHARDS;
  });
}

/** Of Belfry's own, not of the harness. */
const END_CONNECTIONS = `SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity WHERE application_name = 'belfry'`;

export const POSTGRES: readonly ChaosCase[] = [
  {
    name: 'postgres-stopped',
    what: 'Postgres is stopped for --outage seconds, or with --long for 30 minutes: creates, and fires whose payload is at hand, go on; an owner that is killed halfway comes back with it',
    load: (settings) => ({ windowMs: outageMs(settings) + UNREAD_MS, ...(settings.long && { tasks: 20, trickle: 1 }) }),
    patienceMs: 180_000,
    async inject(scene) {
      const { cluster, load, settings, measured, blame } = scene;
      const { primary } = cluster;
      const ms = outageMs(settings);
      // Their payloads are with nobody once the schedulers were started anew.
      const unread = Date.now() + UNREAD_MS;
      await load.addMany(100, { at: unread }, { ms: 0 });
      // What no checkpoint has is replayed, with its payload.
      const stored = `SELECT key FROM belfry.task WHERE key LIKE '%-many-${unread}-%'`;
      await cluster.until('they are stored', async () => (await primary.sql(stored)).length === 100);
      await Promise.all(cluster.schedulers.map((member) => member.kill()));
      await restarted(scene);
      await owned(cluster);
      if (Date.now() > unread - LIMITS.payloadAheadMs - 1_000)
        throw new Error('the schedulers came too late for this case');
      await primary.kill();
      const stoppedAt = Date.now();
      // The first half, with both owners: what is created now is run now.
      const at = Math.max(unread, stoppedAt + ms / 2) - 1_000;
      const created = performance.now();
      await load.addMany(100, { at }, { ms: 0 });
      measured('100 creates without Postgres took', performance.now() - created);
      await delay(Math.max(unread, at) + 2_000 - Date.now());
      const there = load.begunOf(cluster.runs(), at);
      if (there.count < 100 || there.worstMs > 1_000)
        blame(`without Postgres, ${there.count} of 100 new tasks ran, up to ${there.worstMs} ms late`);
      measured('without Postgres, new tasks began at the latest after', there.worstMs);
      scene.note(
        `${load.begunOf(cluster.runs(), unread).count} of 100 tasks whose payloads nobody had ran before Postgres came back`,
      );
      await cluster.schedulers[0]?.kill();
      const acknowledged = load.acknowledged;
      await delay(Math.max(10_000, stoppedAt + ms - Date.now()));
      if (load.acknowledged === acknowledged) blame('no request was acknowledged while Postgres was away');
      await primary.start();
      const backAt = Date.now();
      await owned(cluster);
      measured('after Postgres came back, all shards were owned after', Date.now() - backAt);
    },
  },
  {
    name: 'postgres-owner-lost',
    what: 'Postgres is killed, a scheduler is killed meanwhile, and Postgres comes back after 15 s',
    load: { windowMs: 24_000 },
    async inject({ cluster }) {
      const { primary } = cluster;
      await primary.kill();
      await delay(3_000);
      await cluster.schedulers[0]?.kill();
      await delay(12_000);
      await primary.start();
    },
  },
  {
    name: 'postgres-connections-killed',
    what: 'all connections to Postgres are ended by the server, ten times within 5 s',
    async inject({ cluster, blame, note }) {
      const { primary } = cluster;
      let ended = 0;
      for (let i = 0; i < 10; i++) {
        ended += (await primary.sql(END_CONNECTIONS)).length;
        await delay(500);
      }
      note(`${ended} connections were ended`);
      if (ended < 10) blame(`only ${ended} connections were ended`);
    },
  },
  {
    name: 'postgres-restored',
    what: 'Postgres is put back to a backup from before the load, under running schedulers; then all of these are killed and started',
    load: { windowMs: 24_000 },
    patienceMs: 120_000,
    async prepare({ cluster }) {
      await cluster.primary.backUp('backup');
    },
    async inject(scene) {
      const { cluster, blame } = scene;
      const { primary } = cluster;
      await delay(3_000); // some checkpoints, which the backup does not know
      const before = await stored(primary);
      await cluster.ownership(); // what the backup does not know of it
      await primary.stop();
      primary.restore(`${cluster.folder}/backup`);
      const restored = await primary.start().then(() => stored(primary));
      if (!(restored < before)) blame('the backup had all checkpoints');
      await delay(6_000); // owners write on what they find
      await Promise.all(cluster.schedulers.map((member) => member.kill()));
      await restarted(scene);
    },
    spoils: true,
  },
];

export const POSTGRES_SLOW: readonly ChaosCase[] = [
  {
    name: 'postgres-slow',
    what: '300 ms each way between all programs and Postgres for 12 s',
    ground: { proxies: true },
    load: { windowMs: 18_000 },
    async inject({ cluster, blame }) {
      for (const member of cluster.members) member.cut('postgres', 'pass', 300);
      await delay(12_000);
      for (const member of cluster.schedulers) {
        const lack = member.cutLacks('postgres', 'pass', 300);
        if (lack !== undefined) blame(`${member.name} was not slowed down: ${lack}`);
      }
      for (const member of cluster.members) member.cut('postgres', 'pass');
    },
  },
];

export const POSTGRES_PAIR: readonly ChaosCase[] = [
  {
    name: 'postgres-promoted',
    what: 'the primary is killed for good, and its synchronous stand-by promoted 3 s later; the URL names both; then an owner is killed',
    ground: { standBy: true },
    load: { windowMs: 24_000 },
    patienceMs: 120_000,
    async inject({ cluster }) {
      const { primary } = cluster;
      const standBy = cluster.postgres[1] as PostgresNode;
      await primary.kill();
      await delay(3_000);
      await standBy.promote();
      cluster.postgres.shift();
      await delay(4_000);
      await cluster.schedulers[0]?.kill();
    },
    spoils: true,
  },
];

/** How far all shards are stored: the sum of their sequences in the inbox. */
async function stored(primary: PostgresNode): Promise<number> {
  const [row] = await primary.sql('SELECT sum(seq)::float8 AS seqs FROM belfry.shard');
  return Number(row?.['seqs']);
}

/** Those that were killed are up again. */
async function restarted({ cluster }: Scene): Promise<void> {
  const missing = cluster.members.filter(({ isRunning }) => !isRunning);
  for (const member of missing) await member.begin();
  await Promise.all(missing.map((member) => member.untilReady()));
}
