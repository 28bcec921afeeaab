import { createRequire } from 'node:module';

import { payloadOf, type Driver, type Payload } from '../driver.ts';

/** What we use of graphile-worker; the package is not part of the workspace. */
interface GraphileWorker {
  readonly makeWorkerUtils: (options: { preset: object }) => Promise<{
    migrate(): Promise<void>;
    addJobs(specs: readonly object[]): Promise<readonly unknown[]>;
    release(): Promise<void> | void;
  }>;
  readonly run: (options: {
    preset: object;
    taskList: Record<string, (payload: Payload) => void>;
  }) => Promise<{ stop(): Promise<void> }>;
  readonly Logger: new (factory: () => (level: string, message: string) => void) => object;
}

/**
 * The configuration that graphile-worker's own performance page measures with (24 jobs at a time, a local queue of 500,
 * completions batched without delay); and it looks for due jobs every 20 ms instead of every 2 s, or lateness would be hopeless.
 */
const PRESET = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  pollInterval: 20,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};

export async function openGraphileWorker(config: {
  modules: string;
  postgresUrl: string;
  queue: string;
}): Promise<Driver> {
  const { makeWorkerUtils, run, Logger } = createRequire(`${config.modules}/`)('graphile-worker') as GraphileWorker;
  const logger = new Logger(() => (level, message) => {
    if (level === 'error' || level === 'warning') process.stderr.write(`graphile-worker: ${message}\n`);
  });
  const preset = { worker: { ...PRESET, connectionString: config.postgresUrl, logger } };
  const utils = await makeWorkerUtils({ preset });
  await utils.migrate();
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
      return { stop: () => runner.stop() };
    },
    close: async () => utils.release(),
  };
}
