import { startTestServers } from '@belfry/adapter-embedded/testing';
import { connectNats, type NatsLink } from '@belfry/adapter-nats';
import { STREAMS } from '@belfry/protocol';
import { Belfry, defineTask, Worker } from '@belfry/sdk';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';

import { startServerProcess, type RunningServer } from '../testing/program.ts';

vi.setConfig({ testTimeout: 120_000 });
const PATIENCE = { timeout: 60_000, interval: 100 };
const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

const held = defineTask({ name: 'held', queue: 'stream-loss' });
const quick = defineTask({ name: 'quick', queue: 'stream-loss' });
const gate = Promise.withResolvers<void>();
const starts: string[] = [];

let servers: Awaited<ReturnType<typeof startTestServers>>;
let front: RunningServer;
let scheduler: RunningServer;
let link: NatsLink;
let client: Belfry;
let worker: Worker;

beforeAll(async () => {
  servers = await startTestServers();
  front = await startServerProcess(servers, '--roles', 'gateway,supervisor');
  scheduler = await startServerProcess(servers, '--roles', 'scheduler', '--node-id', 'first');
  link = await connectNats(servers.natsUrl, { name: 'test' });
  client = new Belfry({ url: servers.natsUrl, log: SILENT });
  worker = new Worker({
    url: servers.natsUrl,
    log: SILENT,
    handlers: [
      held.handler(async ({ executionId }) => {
        starts.push(executionId);
        await gate.promise;
      }),
      quick.handler(({ executionId }) => void starts.push(executionId)),
    ],
  });
  await worker.start();
});

afterAll(async () => {
  gate.resolve();
  await worker?.stop();
  await client?.close();
  await link?.close();
  await scheduler?.[Symbol.asyncDispose]();
  await front?.[Symbol.asyncDispose]();
  await servers?.stop();
});

const startsOf = (id: string): string[] => starts.filter((execution) => execution.startsWith(id));

async function runQuick(key: string): Promise<void> {
  const { id } = await client.schedule(quick, { at: new Date(), key });
  await vi.waitFor(() => expect(startsOf(id)).not.toEqual([]), PATIENCE);
}

it('a handler that runs while the work stream is lost is not run again, also by an owner after the one that found the loss', async () => {
  const { id } = await client.schedule(held, { at: new Date(), key: 'held' });
  await vi.waitFor(() => expect(startsOf(id)).toHaveLength(1), PATIENCE);

  await link.nc.request(`$JS.API.STREAM.DELETE.${STREAMS.work}`);
  await vi.waitFor(() => expect(scheduler.stderr()).toContain('the work stream was lost'), PATIENCE);
  await runQuick('after-the-loss');

  await scheduler.kill('SIGKILL');
  scheduler = await startServerProcess(servers, '--roles', 'scheduler', '--node-id', 'second');
  await runQuick('after-the-kill');
  expect(startsOf(id)).toHaveLength(1);

  gate.resolve();
  await vi.waitFor(async () => {
    const { items } = await client.history({ id });
    expect(items).toMatchObject([{ state: 'succeeded', attempts: [{ attempt: 1, outcome: 'succeeded' }] }]);
  }, PATIENCE);
  expect(startsOf(id)).toHaveLength(1);
});
