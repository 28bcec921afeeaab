import { rmSync } from 'node:fs';
import path from 'node:path';

import { startEmbedded, type EmbeddedServers } from '@belfry/adapter-embedded';
import { Belfry, defineTask, Worker } from '@belfry/sdk';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';

import { healthOf, startServerProcess, temporaryFolder, type RunningServer } from '../testing/program.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });
const PATIENCE = { timeout: 60_000, interval: 200 };

/** One server of its own, which can be stopped and started again at the same address. */
class Server {
  readonly #name: 'nats' | 'postgres';
  readonly #dataDir: string;
  #port = 0;
  #running: EmbeddedServers | undefined;

  constructor(name: 'nats' | 'postgres', folder: string) {
    this.#name = name;
    this.#dataDir = path.join(folder, name);
  }

  async start(): Promise<string> {
    const nats = this.#name === 'nats';
    const port = nats ? { natsPort: this.#port } : { postgresPort: this.#port };
    this.#running = await startEmbedded({ dataDir: this.#dataDir, servers: { nats, postgres: !nats }, ...port });
    this.#port = this.#running.ports[this.#name] as number;
    return nats ? this.#running.natsUrl : this.#running.postgresUrl;
  }

  async stop(): Promise<void> {
    await this.#running?.stop();
    this.#running = undefined;
  }

  /** The server must be stopped. Its credentials stay. */
  removeData(): void {
    rmSync(path.join(this.#dataDir, this.#name), { recursive: true });
  }
}

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const folder = temporaryFolder();
const [nats, postgres] = [new Server('nats', folder.path), new Server('postgres', folder.path)];
const outage = defineTask<number>({ name: 'note', queue: 'outage' });
/** How often each task has run. */
const ran = new Map<string, number>();

let servers: { readonly natsUrl: string; readonly postgresUrl: string };
let program: RunningServer;
let client: Belfry;
let worker: Worker;

async function startProgram(): Promise<void> {
  program = await startServerProcess(servers, '--node-id', 'only');
}

beforeAll(async () => {
  servers = { natsUrl: await nats.start(), postgresUrl: await postgres.start() };
  await startProgram();
  client = new Belfry({ url: servers.natsUrl, log: SILENT });
  worker = new Worker({
    url: servers.natsUrl,
    log: SILENT,
    handlers: [
      outage.handler(({ executionId }) => {
        const id = executionId.slice(0, 32);
        ran.set(id, (ran.get(id) ?? 0) + 1);
      }),
    ],
  });
  await worker.start();
});

afterAll(async () => {
  await worker?.stop();
  await client?.close();
  await program?.[Symbol.asyncDispose]();
  await nats.stop();
  await postgres.stop();
  folder[Symbol.dispose]();
});

beforeEach(async () => {
  await vi.waitFor(async () => expect((await healthOf(program.http)).ok).toBe(true), PATIENCE);
});

/** Schedules a task that is due soon; it has run when the promise of `hasRun` resolves. */
async function schedule(key: string): Promise<string> {
  return (await client.schedule(outage, { at: Date.now() + 1_000, key, payload: 1 })).id;
}

async function hasRun(id: string): Promise<void> {
  await vi.waitFor(() => expect(ran.has(id)).toBe(true), PATIENCE);
}

describe('while the program runs', () => {
  it('takes and runs tasks without Postgres, refuses lists, and stores it all afterwards', async () => {
    await postgres.stop();
    const id = await schedule('without-postgres');
    expect((await client.get({ id })).state).toMatch(/waiting|due|running|finished/);
    await hasRun(id);
    await vi.waitFor(async () => expect(await healthOf(program.http)).toMatchObject({ ok: false }), PATIENCE);
    expect((await healthOf(program.http)).parts).toMatchObject({ nats: 'connected', postgres: 'away' });

    await postgres.start();
    await vi.waitFor(async () => {
      const { items } = await client.history({ id });
      expect(items.map(({ state }) => state)).toEqual(['succeeded']);
    }, PATIENCE);
  });

  it('goes on where it was when NATS comes back', async () => {
    const id = await schedule('around-a-restart');
    const later = await client.schedule(outage, { at: Date.now() + 3_600_000, key: 'much-later', payload: 2 });
    await nats.stop();
    await vi.waitFor(async () => expect((await healthOf(program.http)).parts.nats).toBe('away'), PATIENCE);
    await nats.start();
    await hasRun(id);
    expect(await client.get({ id: later.id })).toMatchObject({ state: 'waiting', payload: 2 });
  });

  it('answers a request of an outage once it is over, and makes one task of it, which runs once', async () => {
    await nats.stop();
    const scheduled = schedule('during-an-outage');
    await nats.start();
    const id = await scheduled;
    await hasRun(id);
    await vi.waitFor(async () => {
      const { items } = await client.history({ id });
      // The work stream was lost: an attempt that was dispatched as the servers came back may count as lost, though nobody ran it.
      expect(items.map(({ state }) => state)).toEqual(['succeeded']);
    }, PATIENCE);
    expect(ran.get(id)).toBe(1);
  });
});

describe('a program that stops', () => {
  it('ends although both servers are away, and loses nothing', async () => {
    const { id } = await client.schedule(outage, { at: Date.now() + 3_600_000, key: 'kept', payload: 3 });
    await nats.stop();
    await postgres.stop();
    expect(await program.kill('SIGTERM')).toBe(0);
    expect(program.stderr()).toContain('stopping without a last checkpoint');
    await nats.start();
    await postgres.start();
    await startProgram();
    expect(await client.get({ id })).toMatchObject({ state: 'waiting', payload: 3 });
  });

  it('finds an inbox that was lost meanwhile made anew, says so, and goes on from its checkpoints', async () => {
    const { id } = await client.schedule(outage, { at: Date.now() + 3_600_000, key: 'checkpointed', payload: 4 });
    expect(await program.kill('SIGTERM')).toBe(0);
    await nats.stop();
    nats.removeData();
    await nats.start();
    await startProgram();
    expect(program.stderr()).toContain('The inbox was gone and has been made anew');
    expect(await client.get({ id })).toMatchObject({ state: 'waiting', payload: 4 });
    await hasRun(await schedule('after-the-loss'));
  });
});
