import { openSync, writeSync } from 'node:fs';

import { defineTask, Worker, type HandlerContext } from '@belfry/sdk';

import { NARROW, QUEUE, type Work } from './load.ts';

/**
 * A worker that writes down what it runs: `node worker.ts <log file> <name> <slots>`, with BELFRY_NATS_URL set. A line stands in the file before
 * the handler goes on, whatever happens to the process afterwards: `S <execution> <attempt> <ms> <epoch>` as it starts, `E …` as it ends.
 */
const file = openSync(process.argv[2] as string, 'a');

async function handle({ executionId, attempt, epoch, payload, signal }: HandlerContext<Work>): Promise<void> {
  writeSync(file, `S ${executionId} ${attempt} ${Date.now()} ${epoch}\n`);
  if (payload.crash === true) process.kill(process.pid, 'SIGKILL');
  if (payload.hang === true && attempt === 1) {
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('hung'))));
  }
  if (payload.ms > 0) await new Promise((resolve) => setTimeout(resolve, payload.ms));
  if (attempt <= (payload.failures ?? 0)) throw new Error('fails as it was told');
  writeSync(file, `E ${executionId} ${attempt} ${Date.now()}\n`);
}

const [name, slots] = [process.argv[3] as string, Number(process.argv[4])];
const workers = [{ queue: QUEUE, slots }, NARROW].map(
  ({ queue, slots: concurrency }) =>
    new Worker({ name, concurrency, handlers: [defineTask<Work>({ name: 'work', queue }).handler(handle)] }),
);
await Promise.all(workers.map((worker) => worker.start()));
process.stdout.write('{"ready":true}\n');
process.once('SIGTERM', () => void Promise.all(workers.map((worker) => worker.stop())).then(() => process.exit(0)));
