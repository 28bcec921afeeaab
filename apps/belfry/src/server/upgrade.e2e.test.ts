import path from 'node:path';

import { connectNats, natsNames, NatsInbox } from '@belfry/adapter-nats';
import { startTestServers, withSql } from '@belfry/adapter-embedded/testing';
import type { ChildProcess } from 'node:child_process';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';

import { openOperators } from '../cli/open-operators.ts';
import { overIn, runsOf, startRecordingWorker, SteadyLoad } from '../testing/loads.ts';
import { healthOf, runCommand, startServerProcess, temporaryFolder, type RunningServer } from '../testing/program.ts';

vi.setConfig({ testTimeout: 180_000 });
const PATIENCE = { timeout: 60_000, interval: 100 };
const SHARDS = 16;
const ALL = 'gateway,scheduler,supervisor';
/** A process that is held back behaves as a program of the version before: it reads and writes nothing later. */
const HELD = { BELFRY_LEVEL: '1' };

let servers: Awaited<ReturnType<typeof startTestServers>>;
let folder: ReturnType<typeof temporaryFolder>;
let worker: ChildProcess | undefined;
const running: RunningServer[] = [];

beforeAll(async () => {
  servers = await startTestServers();
  folder = temporaryFolder();
});

afterAll(async () => {
  for (const server of running.splice(0)) await server[Symbol.asyncDispose]();
  worker?.kill('SIGKILL');
  await servers.stop();
  folder[Symbol.dispose]();
});

const log = (): string => path.join(folder.path, 'runs');

async function start(node: string, env: NodeJS.ProcessEnv = {}, roles = ALL): Promise<RunningServer> {
  const flags = ['--node-id', node, '--shards', String(SHARDS), '--roles', roles];
  const server = await startServerProcess({ ...servers, env }, ...flags);
  running.push(server);
  return server;
}

async function owns(server: RunningServer, shards: number): Promise<void> {
  await vi.waitFor(async () => {
    expect((await healthOf(server.http)).parts.scheduler?.owned).toHaveLength(shards);
  }, PATIENCE);
}

/** Shards move to and fro between the two, each move to its end. */
async function moveBothWays(...nodes: readonly [string, string]): Promise<void> {
  const operators = await openOperators(servers.natsUrl);
  try {
    for (const shard of [0, 1]) {
      for (const to of [...nodes, nodes[0]]) {
        expect((await operators.move({ shard, to })).to).toBe(to);
        await vi.waitFor(async () => {
          expect((await operators.shards(to))?.items.map((item) => item.shard)).toContain(shard);
        }, PATIENCE);
      }
      await operators.move({ shard, unpin: true });
    }
  } finally {
    await operators.close();
  }
}

/** Versions of the envelopes in the inbox, in their order. */
async function versions(): Promise<number[]> {
  const link = await connectNats(servers.natsUrl, { name: 'a test', timeoutMs: 10_000 });
  const inbox = new NatsInbox(link, { names: natsNames(), shards: SHARDS });
  try {
    const { lastSeq } = await inbox.usage();
    const found: number[] = [];
    const all = Promise.withResolvers<void>();
    const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
    const reading = await inbox.read(shards, 1, ({ seq, more, body }) => {
      found.push((JSON.parse(Buffer.from(body).toString('utf8')) as { v: number }).v);
      if (seq >= lastSeq && more !== true) all.resolve();
    });
    await all.promise;
    await reading.stop();
    return found;
  } finally {
    inbox.close();
    await link.close();
  }
}

it('upgrades a cluster under load: both versions side by side, then the level rises, and the old one gives up', async () => {
  // It is paused below: as a gateway, it would keep its share of the requests waiting.
  const old = await start('old', HELD, 'scheduler,supervisor');
  const young = await start('young');
  await owns(old, SHARDS / 2);
  await owns(young, SHARDS / 2);
  worker = await startRecordingWorker(servers.natsUrl, log());
  const load = await SteadyLoad.start(servers.natsUrl);

  // Side by side: the old one holds the cluster at its level, and reads what the young one writes.
  await moveBothWays('old', 'young');
  const operators = await openOperators(servers.natsUrl);
  expect(await operators.cluster()).toMatchObject({
    level: 1,
    nodes: [
      { node: 'old', level: 1 },
      { node: 'young', level: 2 },
    ],
  });
  expect(new Set(await versions())).toEqual(new Set([1]));

  // The old one is paused for so long that the cluster goes on without it. When it wakes, it finds what it does not read, and ends.
  process.kill(old.pid, 'SIGSTOP');
  await vi.waitFor(async () => expect((await healthOf(young.http)).parts.level.writes).toBe(2), PATIENCE);
  await owns(young, SHARDS);
  const before = load.acknowledged;
  await vi.waitFor(() => expect(load.acknowledged).toBeGreaterThan(before + 100), PATIENCE);
  expect((await versions()).includes(2)).toBe(true);
  process.kill(old.pid, 'SIGCONT');
  expect(await old.ended()).toBe(1);
  expect(old.stderr()).toContain('this installation is at level 2, and this program reads up to 1');
  expect((await operators.cluster()).level).toBe(2);

  // It is not let in again; as a new version it is.
  const env = { ...HELD, BELFRY_NATS_URL: servers.natsUrl, BELFRY_POSTGRES_URL: servers.postgresUrl };
  const refused = await runCommand(['server', '--json', '--http-port', '0', '--node-id', 'old'], env);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain('this installation is at level 2, and this program reads up to 1');
  const again = await start('old');
  await owns(again, SHARDS / 2);
  await moveBothWays('old', 'young');

  await load.stop();
  const owed = load.owed();
  await vi.waitFor(async () => {
    const over = await overIn(servers.postgresUrl);
    expect([...owed.keys()].filter((name) => !over.has(name))).toEqual([]);
  }, PATIENCE);
  const over = await overIn(servers.postgresUrl);
  expect(new Set(over.values())).toEqual(new Set(['s']));
  const runs = runsOf(log());
  expect([...owed.keys()].filter((name) => runs.get(name) !== 1)).toEqual([]);
  // What the old one could not read was no crash of its shard: nothing was set aside.
  expect(await withSql(servers.postgresUrl, (query) => query('SELECT shard, seq, error FROM belfry.crash'))).toEqual(
    [],
  );
  console.log(`${owed.size} fires of ${load.acknowledged} tasks, each run once`);
  await operators.close();
});

it('refuses a level that it cannot be held at', async () => {
  const env = { BELFRY_LEVEL: '7', BELFRY_NATS_URL: servers.natsUrl, BELFRY_POSTGRES_URL: servers.postgresUrl };
  const refused = await runCommand(['server', '--json', '--http-port', '0'], env);
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining('BELFRY_LEVEL must be 1 to 2, not 7')]);
});
