import { Belfry, defineTask, Worker } from '@belfry/sdk';

import { payloadOf, type Driver, type Payload } from '../driver.ts';

/** Belfry by its SDK: `scheduleMany`, and a worker with a high concurrency. */
export async function openBelfry(config: { natsUrl: string; queue: string; concurrency: number }): Promise<Driver> {
  const connection = { url: config.natsUrl, namespace: 'bench' };
  const belfry = new Belfry(connection);
  const noop = defineTask<Payload>({ name: 'noop', queue: config.queue });
  let worker: Worker | undefined;
  return {
    async create(jobs) {
      const now = Date.now();
      const results = await belfry.scheduleMany(
        jobs.map((job) => {
          const when = job.dueMs === undefined ? { at: now } : { at: job.dueMs, precision: 'high' as const };
          return noop.spec({ ...when, payload: payloadOf(job) });
        }),
      );
      for (const result of results) {
        if ('error' in result) throw new Error(`a task was refused: ${result.error.code}: ${result.error.message}`);
      }
    },
    async work(onStart) {
      const started = new Worker({
        ...connection,
        concurrency: config.concurrency,
        handlers: [noop.handler(({ payload }) => onStart(payload))],
      });
      worker = started;
      await started.start();
      // A stopping worker waits until all its results are accepted.
      return { settled: () => started.stop() };
    },
    async close() {
      await worker?.stop();
      await belfry.close();
    },
  };
}
