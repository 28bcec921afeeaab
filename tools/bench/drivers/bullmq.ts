import { createRequire } from 'node:module';

import { payloadOf, untilNoneLeft, type Driver, type Payload } from '../driver.ts';

/** What we use of bullmq; the package is not part of the workspace. */
interface Bullmq {
  readonly Queue: new (
    name: string,
    options: object,
  ) => {
    addBulk(jobs: readonly object[]): Promise<readonly unknown[]>;
    getJobCounts(...states: readonly string[]): Promise<{ [state: string]: number }>;
    waitUntilReady(): Promise<unknown>;
    close(): Promise<void>;
  };
  readonly Worker: new (
    name: string,
    handler: (job: { readonly data: Payload }) => Promise<void>,
    options: object,
  ) => {
    on(event: 'error', listener: (error: Error) => void): void;
    waitUntilReady(): Promise<unknown>;
    close(): Promise<void>;
  };
}

/** Jobs at a time in the one worker process. More gains nothing here: Redis is the bottleneck, each job a script of its own. */
const CONCURRENCY = 200;

/** BullMQ as its guide says for bulk: `addBulk`, and a worker with a high concurrency that keeps no finished jobs. */
export async function openBullmq(config: { modules: string; port: number; queue: string }): Promise<Driver> {
  const { Queue, Worker } = createRequire(`${config.modules}/`)('bullmq') as Bullmq;
  const connection = { host: '127.0.0.1', port: config.port };
  const workers: { close(): Promise<void> }[] = [];
  const queue = new Queue(config.queue, {
    connection,
    defaultJobOptions: { removeOnComplete: true, removeOnFail: 1_000 },
  });
  await queue.waitUntilReady();
  return {
    async create(jobs) {
      const now = Date.now();
      await queue.addBulk(
        jobs.map((job) => ({
          name: 'noop',
          data: payloadOf(job),
          opts: job.dueMs === undefined ? {} : { delay: Math.max(0, job.dueMs - now), timestamp: now },
        })),
      );
    },
    async work(onStart) {
      const worker = new Worker(config.queue, async (job) => onStart(job.data), {
        connection,
        concurrency: CONCURRENCY,
      });
      worker.on('error', (error) => process.stderr.write(`bullmq: ${error.message}\n`));
      workers.push(worker);
      await worker.waitUntilReady();
      return {
        async settled() {
          await untilNoneLeft(async () => {
            const { active = 0, waiting = 0 } = await queue.getJobCounts('active', 'waiting');
            return active + waiting > 0;
          });
        },
      };
    },
    async close() {
      for (const worker of workers) await worker.close();
      await queue.close();
    },
  };
}
