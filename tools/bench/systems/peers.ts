import { startTestServers } from '@belfry/adapter-embedded/testing';

import type { Cleanup } from '../cleanup.ts';
import type { DriverConfig } from '../driver.ts';
import type { RunningSystem, Skipped, System } from '../system.ts';
import { installPeers, PEER_PACKAGES } from './peer-packages.ts';
import { redisVersion, startRedis, type Fsync } from './redis.ts';

/** The peers that can run here, and those that can't, with the reasons. */
export async function findPeers(say: (line: string) => void): Promise<{ systems: System[]; skipped: Skipped[] }> {
  let modules: string;
  try {
    modules = await installPeers(say);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { systems: [], skipped: ['BullMQ', 'graphile-worker', 'pg-boss'].map((name) => ({ name, reason })) };
  }
  const onPostgres = [
    onPostgresPeer('graphile-worker', 'local queue of 500, completions in batches', ({ postgresUrl, queue }) => {
      return { driver: 'graphile-worker', batches: true, modules, postgresUrl, queue };
    }),
    onPostgresPeer('pg-boss', 'fetches and completions in batches', ({ postgresUrl, queue }) => {
      return { driver: 'pg-boss', modules, postgresUrl, queue };
    }),
  ];
  const oneByOne = onPostgresPeer(
    'graphile-worker, unbatched',
    'a statement for each job',
    ({ postgresUrl, queue }) => {
      return { driver: 'graphile-worker', batches: false, modules, postgresUrl, queue };
    },
  );
  const redis = redisVersion();
  if (redis === undefined) {
    return {
      systems: [...onPostgres, oneByOne],
      skipped: [{ name: 'BullMQ', reason: 'there is no redis-server on PATH' }],
    };
  }
  return {
    systems: [bullmq('always', modules, redis), ...onPostgres, bullmq('everysec', modules, redis), oneByOne],
    skipped: [],
  };
}

function bullmq(fsync: Fsync, modules: string, redis: string): System {
  return {
    name: fsync === 'always' ? 'BullMQ' : 'BullMQ, everysec',
    settings: `bullmq ${PEER_PACKAGES.bullmq}, Redis ${redis}, appendonly yes, appendfsync ${fsync}`,
    isPeer: fsync === 'always',
    inFlight: 4,
    async start(cleanup) {
      const port = await startRedis(fsync, cleanup);
      return { driver: (queue) => ({ driver: 'bullmq', modules, port, queue }) };
    },
  };
}

function onPostgresPeer(
  name: 'graphile-worker' | 'graphile-worker, unbatched' | 'pg-boss',
  how: string,
  driver: (where: { readonly postgresUrl: string; readonly queue: string }) => DriverConfig,
): System {
  const program = name === 'pg-boss' ? 'pg-boss' : 'graphile-worker';
  return {
    name,
    settings: `${program} ${PEER_PACKAGES[program]}, ${how}, Postgres with fsync and synchronous_commit on`,
    isPeer: true,
    inFlight: 4,
    async start(cleanup: Cleanup): Promise<RunningSystem> {
      const servers = cleanup.add(await startTestServers({ servers: { nats: false } }), (it) => it.stop());
      return { driver: (queue) => driver({ postgresUrl: servers.postgresUrl, queue }) };
    },
  };
}
