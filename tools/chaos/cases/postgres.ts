import { setTimeout as delay } from 'node:timers/promises';

import type { PostgresNode } from '../postgres.ts';
import type { ChaosCase, Scene } from '../scene.ts';

/** Of Belfry's own, not of the harness. */
const END_CONNECTIONS = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'belfry'`;

export const POSTGRES: readonly ChaosCase[] = [
  {
    name: 'postgres-stopped',
    what: 'Postgres is killed, and comes back after --outage seconds',
    load: ({ outageSeconds }) => ({ windowMs: (outageSeconds + 12) * 1_000 }),
    patienceMs: 180_000,
    async inject({ cluster, settings }) {
      const { primary } = cluster;
      await primary.kill();
      await delay(settings.outageSeconds * 1_000);
      await primary.start();
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
    async inject({ cluster }) {
      const { primary } = cluster;
      for (let i = 0; i < 10; i++) {
        await primary.sql(END_CONNECTIONS);
        await delay(500);
      }
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
      const { cluster } = scene;
      const { primary } = cluster;
      await delay(3_000); // some checkpoints, which the backup does not know
      await primary.stop();
      primary.restore(`${cluster.folder}/backup`);
      await primary.start();
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
    async inject({ cluster }) {
      for (const member of cluster.members) member.cut('postgres', 'pass', 300);
      await delay(12_000);
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

/** Those that were killed are up again. */
async function restarted({ cluster }: Scene): Promise<void> {
  const missing = cluster.members.filter(({ isRunning }) => !isRunning);
  for (const member of missing) await member.begin();
  await Promise.all(missing.map((member) => member.untilReady()));
}
