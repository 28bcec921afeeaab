import { createRequire } from 'node:module';

import { payloadOf, type Driver, type Payload } from '../driver.ts';

/** What we use of pg-boss; the package is not part of the workspace. */
interface PgBossModule {
  readonly PgBoss: new (options: object) => {
    on(event: 'error', listener: (error: Error) => void): void;
    start(): Promise<unknown>;
    stop(options: object): Promise<void>;
    createQueue(name: string): Promise<void>;
    insert(name: string, jobs: readonly object[]): Promise<unknown>;
    work(
      name: string,
      options: object,
      handler: (jobs: readonly { readonly data: Payload }[]) => Promise<void>,
    ): Promise<string>;
    offWork(name: string, options: object): Promise<void>;
  };
}

/**
 * Batches of 500 fetched by four workers, at once again while batches come back full, else at pg-boss's shortest interval
 * (half a second; the four are out of step).
 */
const WORK = { batchSize: 500, localConcurrency: 4, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true };

export async function openPgBoss(config: { modules: string; postgresUrl: string; queue: string }): Promise<Driver> {
  const { PgBoss } = createRequire(`${config.modules}/`)('pg-boss') as PgBossModule;
  const boss = new PgBoss({ connectionString: config.postgresUrl, max: 10, schedule: false });
  boss.on('error', (error) => process.stderr.write(`pg-boss: ${error.message}\n`));
  await boss.start();
  await boss.createQueue(config.queue);
  return {
    async create(jobs) {
      await boss.insert(
        config.queue,
        jobs.map((job) => ({
          data: payloadOf(job),
          ...(job.dueMs !== undefined && { startAfter: new Date(job.dueMs) }),
        })),
      );
    },
    async work(onStart) {
      await boss.work(config.queue, WORK, async (jobs) => {
        for (const job of jobs) onStart(job.data);
      });
      return { stop: () => boss.offWork(config.queue, { wait: true }) };
    },
    close: () => boss.stop({ graceful: false }),
  };
}
