import { openSync, writeSync } from 'node:fs';

import { defineTask, Worker } from '@belfry/sdk';

/**
 * A worker that writes down what it runs, so that it can be accounted for after it was killed: `node recording-worker.ts <log file> <name>`,
 * with BELFRY_NATS_URL set. A line stands in the file before the handler goes on, whatever happens to the process afterwards.
 */
const file = openSync(process.argv[2] as string, 'a');
const record = defineTask({ name: 'record', queue: 'recorded' });

const worker = new Worker({
  name: process.argv[3] as string,
  concurrency: 200,
  handlers: [
    record.handler(({ executionId, attempt, scheduledAt }) => {
      const earlyMs = scheduledAt.getTime() - Date.now();
      writeSync(file, `${executionId} ${attempt} ${earlyMs > 0 ? 'early' : 'due'}\n`);
    }),
  ],
});
await worker.start();
process.stdout.write('{"ready":true}\n');
process.once('SIGTERM', () => void worker.stop().then(() => process.exit(0)));
