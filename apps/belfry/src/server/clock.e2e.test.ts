import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { startTestServers } from '@belfry/adapter-embedded/testing';
import { subjects } from '@belfry/protocol';
import { Belfry, Worker, defineTask } from '@belfry/sdk';
import { connect, StringCodec, type NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';

import { healthOf, startServerProcess, temporaryFolder, type RunningServer } from '../testing/program.ts';

vi.setConfig({ testTimeout: 120_000 });
const PATIENCE = { timeout: 40_000, interval: 200 };
const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const SOON = { every: '1h', queue: 'clock', handler: 'tick' };

const folder = temporaryFolder();
const drillFile = path.join(folder.path, 'off');
const codec = StringCodec();
let servers: Awaited<ReturnType<typeof startTestServers>>;
let right: RunningServer;
let wrong: RunningServer;
let nc: NatsConnection;

beforeAll(async () => {
  servers = await startTestServers();
  right = await startServerProcess(servers, '--roles', 'scheduler,supervisor', '--node-id', 'right');
  process.env['BELFRY_CLOCK_DRILL'] = drillFile;
  wrong = await startServerProcess(servers, '--roles', 'gateway,scheduler', '--node-id', 'wrong');
  delete process.env['BELFRY_CLOCK_DRILL'];
  const { host, username, password } = new URL(servers.natsUrl);
  nc = await connect({ servers: host, user: username, pass: password });
});

afterAll(async () => {
  await nc?.close();
  await wrong?.[Symbol.asyncDispose]();
  await right?.[Symbol.asyncDispose]();
  await servers?.stop();
  folder[Symbol.dispose]();
});

/** The other clocks are right, so that this one is made wrong. */
function setClock(offMs: number): void {
  writeFileSync(drillFile, String(offMs));
}

async function shares(): Promise<readonly [number, number]> {
  const [ofRight, ofWrong] = await Promise.all([healthOf(right.http), healthOf(wrong.http)]);
  return [ofRight.parts.scheduler?.owned.length ?? 0, ofWrong.parts.scheduler?.owned.length ?? 0];
}

async function ask(op: 'create' | 'update' | 'cancel', body: object): Promise<Record<string, unknown>> {
  const reply = await nc.request(subjects.tasks('default', op), codec.encode(JSON.stringify(body)), {
    timeout: 15_000,
  });
  return JSON.parse(codec.decode(reply.data)) as Record<string, unknown>;
}

it('a node whose clock goes wrong gives its shards up and takes no tasks, and is back when it is right', async () => {
  await vi.waitFor(async () => expect(await shares()).toEqual([128, 128]), PATIENCE);
  expect(await ask('create', { ...SOON, key: 'before' })).toMatchObject({ status: 'created' });

  setClock(7_000);
  await vi.waitFor(async () => expect(await shares()).toEqual([256, 0]), PATIENCE);
  expect(await healthOf(wrong.http)).toMatchObject({ ok: false, parts: { clock: { state: 'unfit' } } });
  expect(await healthOf(right.http)).toMatchObject({ ok: true, parts: { clock: { state: 'calm' } } });
  const refused = { error: { code: 'clock_skew', retryable: true } };
  expect(await ask('create', { ...SOON, key: 'meanwhile' })).toMatchObject(refused);
  expect(await ask('update', { key: 'before', set: { priority: 'high' } })).toMatchObject(refused);
  expect(await ask('cancel', { key: 'before' })).toMatchObject({ status: 'cancelled' });
  const metrics = await (await fetch(`http://127.0.0.1:${wrong.http}/metrics`)).text();
  expect(metrics).toMatch(/^belfry_clock_skew_seconds (6\.9|7)/m);
  expect(metrics).toContain('\nbelfry_clock_skew_alert 1\n');

  setClock(0); // back by 7 s: more than is waited out
  await vi.waitFor(async () => expect(await shares()).toEqual([128, 128]), PATIENCE);
  expect(await healthOf(wrong.http)).toMatchObject({ ok: true, parts: { clock: { state: 'calm', standsStillMs: 0 } } });
  expect(await ask('create', { ...SOON, key: 'after' })).toMatchObject({ status: 'created' });
  expect(wrong.stderr()).toContain('the clock is off');
});

it('its shards fire again, never early, and no fire twice', async () => {
  const tick = defineTask<number>({ name: 'tick', queue: 'clock' });
  const client = new Belfry({ url: servers.natsUrl, log: SILENT });
  const ran: { readonly execution: string; readonly earlyMs: number }[] = [];
  const worker = new Worker({
    url: servers.natsUrl,
    log: SILENT,
    handlers: [
      tick.handler(({ executionId, scheduledAt }) => {
        ran.push({ execution: executionId, earlyMs: scheduledAt.getTime() - Date.now() });
      }),
    ],
  });
  try {
    await worker.start();
    const at = Date.now() + 1_000;
    await client.scheduleMany(Array.from({ length: 64 }, (_, payload) => ({ ...tick.spec({ at, payload }) })));
    await vi.waitFor(() => expect(ran.length).toBeGreaterThanOrEqual(64), PATIENCE);
    expect(new Set(ran.map(({ execution }) => execution)).size).toBe(ran.length);
    expect(Math.max(...ran.map(({ earlyMs }) => earlyMs))).toBeLessThanOrEqual(0);
  } finally {
    await worker.stop();
    await client.close();
    rmSync(drillFile, { force: true });
  }
});
