import { createRequire } from 'node:module';

import { payloadOf, untilNoneLeft, type Driver, type Payload } from '../driver.ts';

/** What we use of graphile-worker; the package is not part of the workspace. */
interface GraphileWorker {
  readonly makeWorkerUtils: (options: { preset: object }) => Promise<{
    migrate(): Promise<void>;
    addJobs(specs: readonly object[]): Promise<readonly unknown[]>;
    withPgClient<T>(use: (client: { query(text: string): Promise<{ rows: unknown[] }> }) => Promise<T>): Promise<T>;
    release(): Promise<void> | void;
  }>;
  readonly run: (options: {
    preset: object;
    taskList: Record<string, (payload: Payload) => void>;
  }) => Promise<{ stop(): Promise<void> }>;
  readonly Logger: new (factory: () => (level: string, message: string) => void) => object;
}

/** It looks for due jobs every 20 ms instead of every 2 s, or lateness would be hopeless. */
const PRESET = { concurrentJobs: 24, maxPoolSize: 25, pollInterval: 20 };

/** With these and 24 jobs at a time, graphile-worker's own performance page measures. */
const BATCHES = { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 };

export async function openGraphileWorker(config: {
  batches: boolean;
  modules: string;
  postgresUrl: string;
  queue: string;
}): Promise<Driver> {
  const { makeWorkerUtils, run, Logger } = createRequire(`${config.modules}/`)('graphile-worker') as GraphileWorker;
  const logger = new Logger(() => (level, message) => {
    if (level === 'error' || level === 'warning') process.stderr.write(`graphile-worker: ${message}\n`);
  });
  const preset = {
    worker: { ...PRESET, ...(config.batches && BATCHES), connectionString: config.postgresUrl, logger },
  };
  const utils = await makeWorkerUtils({ preset });
  await utils.migrate();
  const runners: { stop(): Promise<void> }[] = [];
  return {
    async create(jobs) {
      await utils.addJobs(
        jobs.map((job) => ({
          identifier: config.queue,
          payload: payloadOf(job),
          ...(job.dueMs !== undefined && { runAt: new Date(job.dueMs) }),
        })),
      );
    },
    async work(onStart) {
      const runner = await run({ preset, taskList: { [config.queue]: (payload) => onStart(payload) } });
      runners.push(runner);
      return {
        async settled() {
          // A completed job is a deleted one.
          const query = 'SELECT 1 FROM graphile_worker.jobs WHERE run_at <= now() LIMIT 1';
          await untilNoneLeft(() => utils.withPgClient(async (client) => (await client.query(query)).rows.length > 0));
        },
      };
    },
    async close() {
      for (const runner of runners) await runner.stop();
      await utils.release();
    },
  };
}
