/* eslint-disable no-console -- it prints figures */
/**
 * No-op executions a second of one worker process, without schedulers: `node libs/sdk/bench.ts nats://127.0.0.1:4222 [executions]`.
 * The gateway is another process, and accepts everything at once; the queue is filled before the worker starts.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';

import { defineTask, Worker } from './src/index.ts';
import { TestGateway } from './src/test-gateway.ts';

const QUEUE = 'bench';
const BATCH = 1_000;
const [url = 'nats://127.0.0.1:4222', total = '60000'] = process.argv.slice(2);

interface Ready {
  readonly namespace: string;
}

async function gateway(): Promise<void> {
  await using stub = await TestGateway.open(url);
  const payload = { text: 'x'.repeat(150) };
  for (let left = Number(total); left > 0; left -= BATCH) {
    await stub.dispatch(QUEUE, new Array(Math.min(BATCH, left)).fill({ handler: 'noop', payload }));
  }
  const done = once(process, 'disconnect');
  stub.onFinish = (results) => {
    if (stub.results.length + results.length >= Number(total)) process.send?.({ done: true });
    return { items: results.map(() => ({ ok: true })) };
  };
  process.send?.({ namespace: stub.namespace } satisfies Ready);
  await done;
}

async function worker(concurrency: number): Promise<void> {
  const child = fork(import.meta.filename, [url, total], { env: { ...process.env, BELFRY_BENCH_GATEWAY: '1' } });
  const [{ namespace }] = (await once(child, 'message')) as [Ready];
  const noop = defineTask({ name: 'noop', queue: QUEUE }).handler(() => undefined);
  const running = new Worker({ url, namespace, handlers: [noop], concurrency });
  const cpuBefore = process.cpuUsage();
  const began = performance.now();
  const done = once(child, 'message');
  await running.start();
  await done;
  const ms = performance.now() - began;
  const { user, system } = process.cpuUsage(cpuBefore);
  const cpuUs = (user + system) / Number(total);
  const perSecond = Math.round((Number(total) / ms) * 1_000).toLocaleString('en');
  console.log(
    `concurrency ${String(concurrency).padStart(5)}: ${perSecond} executions/s, ${cpuUs.toFixed(1)} µs of CPU each`,
  );
  await running.stop();
  const exited = once(child, 'exit');
  child.disconnect();
  await exited;
}

if (process.env['BELFRY_BENCH_GATEWAY'] === '1') await gateway();
else for (const concurrency of [16, 100, 1_000]) await worker(concurrency);
