import type { ChildProcess } from 'node:child_process';
import { chmodSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { connectNats, natsNames, NatsInbox } from '@belfry/adapter-nats';
import { startTestServers, withSql } from '@belfry/adapter-embedded/testing';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { overIn, runsOf, startRecordingWorker, SteadyLoad } from '../testing/loads.ts';
import { installedPostgres, OwnPostgres } from '../testing/own-postgres.ts';
import { healthOf, startServerProcess, temporaryFolder, type RunningServer } from '../testing/program.ts';

vi.setConfig({ testTimeout: 150_000 });
const PATIENCE = { timeout: 60_000, interval: 100 };
const SHARDS = 16;
const BIN = installedPostgres();
const PAGE = new URL('../../../../docs/operating.md', import.meta.url);

/** The commands of the page's section, block by block, as an operator would copy them. */
function commandsOfPage(): readonly [copy: string, putBack: string, dump: string, load: string] {
  const section = /^## Backup$(.*?)^## /ms.exec(readFileSync(PAGE, 'utf8'))?.[1] ?? '';
  const blocks = Array.from(section.matchAll(/^```sh\n(.*?)^```$/gms), ([, commands]) => commands as string);
  expect(blocks).toHaveLength(4);
  return blocks as [string, string, string, string];
}

let nats: Awaited<ReturnType<typeof startTestServers>>;
let folder: ReturnType<typeof temporaryFolder>;
let postgres: OwnPostgres;
let server: RunningServer;
let worker: ChildProcess;
let load: SteadyLoad;

describe.skipIf(BIN === undefined)("the page's commands for backup and restore", () => {
  beforeAll(async () => {
    folder = temporaryFolder();
    chmodSync(folder.path, 0o755); // Postgres may run as another user
    nats = await startTestServers();
    postgres = await OwnPostgres.start(folder.path, BIN as string);
    server = await startServer();
    worker = await startRecordingWorker(nats.natsUrl, log());
  });

  afterAll(async () => {
    worker.kill('SIGKILL');
    await server[Symbol.asyncDispose]();
    await postgres[Symbol.asyncDispose]();
    await nats.stop();
    folder[Symbol.dispose]();
  });

  it('lose nothing when the whole server is put back under running programs, which are then killed', async () => {
    const [copy, putBack] = commandsOfPage();
    load = await SteadyLoad.start(nats.natsUrl, 'copy');
    await more(100);
    await postgres.run(copy);
    await more(100);
    await checkpointed();
    await postgres.run(putBack);
    await more(100);
    await server.kill('SIGKILL');
    server = await startServer();
    await more(100);
    await load.stop();
    await everythingRanOnce();
    expect((await healthOf(server.http)).parts.scheduler?.inboxGap).toBeUndefined();
  });

  it('lose nothing when the schema is put back while all programs are stopped', async () => {
    const [, , dump, putBack] = commandsOfPage();
    load = await SteadyLoad.start(nats.natsUrl, 'dump');
    await more(100);
    await postgres.run(dump);
    await more(100);
    await checkpointed();
    await load.stop();
    expect(await server.kill('SIGTERM')).toBe(0);
    await postgres.run(putBack);
    server = await startServer();
    await everythingRanOnce();
  });

  it('say what is missing when the inbox begins later than the backup ends', async () => {
    const [, , dump, putBack] = commandsOfPage();
    load = await SteadyLoad.start(nats.natsUrl, 'gap');
    await more(100);
    await checkpointed();
    const [before] = await heads();
    await postgres.run(dump);
    await more(100);
    await checkpointed();
    await load.stop();
    expect(await server.kill('SIGTERM')).toBe(0);
    const [, stored] = await heads();
    const trimmedTo = stored + 1;
    await trim(trimmedTo);
    await postgres.run(putBack);
    server = await startServer();
    const health = await healthOf(server.http);
    expect(health.parts.scheduler?.inboxGap).toMatchObject({ untilSeq: trimmedTo });
    expect(health.parts.scheduler?.inboxGap?.shards).toHaveLength(SHARDS);
    expect(health.parts.scheduler?.inboxGap?.fromSeq).toBeGreaterThan(before);
    expect(server.stderr()).toContain('the inbox was trimmed past a checkpoint');
    const metrics = await (await fetch(`http://127.0.0.1:${server.http}/metrics`)).text();
    expect(metrics).toContain(`belfry_inbox_gap_shards ${SHARDS}\n`);
    // It goes on with what there is.
    load = await SteadyLoad.start(nats.natsUrl, 'again');
    await more(100);
    await load.stop();
    await vi.waitFor(async () => {
      const over = await overIn(postgres.url);
      expect([...load.owed().keys()].filter((name) => !over.has(name))).toEqual([]);
    }, PATIENCE);
  });
});

const log = (): string => path.join(folder.path, 'runs');

async function startServer(): Promise<RunningServer> {
  const where = { natsUrl: nats.natsUrl, postgresUrl: postgres.url };
  return await startServerProcess(where, '--node-id', 'one', '--shards', String(SHARDS));
}

/** Until so many more tasks have been acknowledged. */
async function more(tasks: number): Promise<void> {
  const wanted = load.acknowledged + tasks;
  await vi.waitFor(() => expect(load.acknowledged).toBeGreaterThanOrEqual(wanted), PATIENCE);
}

/** The lowest and the highest sequence that a checkpoint includes. */
async function heads(): Promise<readonly [lowest: number, highest: number]> {
  return await withSql(postgres.url, async (query) => {
    const [row] = await query('SELECT min(seq)::float8 AS lowest, max(seq)::float8 AS highest FROM belfry.shard');
    return [Number(row?.['lowest']), Number(row?.['highest'])];
  });
}

/** Until every shard has a checkpoint of what is in the inbox now. */
async function checkpointed(): Promise<void> {
  const seq = await withInbox(async (inbox) => (await inbox.usage()).lastSeq);
  await vi.waitFor(async () => expect((await heads())[0]).toBeGreaterThanOrEqual(seq), PATIENCE);
}

async function trim(seq: number): Promise<void> {
  await withInbox((inbox) => inbox.trim(seq));
}

async function withInbox<T>(use: (inbox: NatsInbox) => Promise<T>): Promise<T> {
  const link = await connectNats(nats.natsUrl, { name: 'a test', timeoutMs: 10_000 });
  const inbox = new NatsInbox(link, { names: natsNames(), shards: SHARDS });
  try {
    return await use(inbox);
  } finally {
    inbox.close();
    await link.close();
  }
}

/** Every fire that was promised is over, once, and its handler ran once. */
async function everythingRanOnce(): Promise<void> {
  const owed = load.owed();
  await vi.waitFor(async () => {
    const over = await overIn(postgres.url);
    expect([...owed.keys()].filter((name) => !over.has(name))).toEqual([]);
  }, PATIENCE);
  expect(new Set((await overIn(postgres.url)).values())).toEqual(new Set(['s']));
  const runs = runsOf(log());
  expect([...owed.keys()].filter((name) => runs.get(name) !== 1)).toEqual([]);
  console.log(`${owed.size} fires of ${load.acknowledged} tasks, each run once`);
}
