import { createRequire } from 'node:module';

import { payloadOf, untilNoneLeft, type Driver, type Payload } from '../driver.ts';

interface BatchedJob {
  readonly id: string;
  readonly data: Payload;
}

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
      handler: (jobs: readonly BatchedJob[]) => Promise<readonly object[]>,
    ): Promise<string>;
    getDb(): { executeSql(text: string, values: unknown[]): Promise<{ rows: unknown[] }> };
  };
}

/**
 * Batches of 500 fetched by four workers, at once again while batches come back full, else at pg-boss's shortest interval
 * (half a second; the four are out of step). Each job has an outcome of its own, as with everybody else; without that, one
 * failing job would fail its whole batch.
 */
const WORK = {
  batchSize: 500,
  localConcurrency: 4,
  pollingIntervalSeconds: 0.5,
  burstWhenBatchFull: true,
  perJobResults: true,
};

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
      await boss.work(config.queue, WORK, async (jobs) =>
        jobs.map(({ id, data }) => {
          onStart(data);
          return { id, status: 'completed' };
        }),
      );
      return {
        async settled() {
          const query = "SELECT 1 FROM pgboss.job WHERE name = $1 AND state < 'completed' LIMIT 1";
          await untilNoneLeft(async () => (await boss.getDb().executeSql(query, [config.queue])).rows.length > 0);
        },
      };
    },
    close: () => boss.stop({ graceful: false }),
  };
}
