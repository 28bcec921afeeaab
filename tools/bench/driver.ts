import { randomBytes } from 'node:crypto';

/** One job of a bench: its number, and when it is due; without a time it is due at once. */
export interface Job {
  readonly n: number;
  readonly dueMs?: number;
}

/** What every system carries for a job: the same 200 bytes of JSON. */
export interface Payload {
  readonly n: number;
  /** Milliseconds since 1970; 0 for a job that was due at once. */
  readonly due: number;
  readonly filler: string;
}

export const PAYLOAD_BYTES = 200;

export interface Work {
  /** Settles when the system has taken note, durably, that all jobs that ran are done. */
  settled(): Promise<void>;
}

/** Asks again and again, every few milliseconds, until nothing is left. */
export async function untilNoneLeft(isAnyLeft: () => Promise<boolean>): Promise<void> {
  while (await isAnyLeft()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** One system under test, as its users would program it: the same few steps for all of them. */
export interface Driver {
  /** One bulk request. Settles when every job is durable; rejects if any was refused. */
  create(jobs: readonly Job[]): Promise<void>;
  /** Runs jobs with a handler that does nothing but call `onStart`; settles when jobs can come. */
  work(onStart: (payload: Payload) => void): Promise<Work>;
  close(): Promise<void>;
}

/** Which driver, and what it needs to reach its servers. Plain data: it goes to other processes. */
export type DriverConfig =
  | { readonly driver: 'belfry'; readonly natsUrl: string; readonly queue: string; readonly concurrency: number }
  | { readonly driver: 'bullmq'; readonly modules: string; readonly port: number; readonly queue: string }
  | {
      readonly driver: 'graphile-worker';
      /** Jobs are fetched ahead and completed in batches, as its performance page does; else one by one, its default. */
      readonly batches: boolean;
      readonly modules: string;
      readonly postgresUrl: string;
      readonly queue: string;
    }
  | {
      readonly driver: 'pg-boss';
      readonly modules: string;
      readonly postgresUrl: string;
      readonly queue: string;
    };

// Random text, so that nobody gains from compressing what a real payload would not let them compress.
const noise = randomBytes(48 * 1024).toString('base64');

export function payloadOf(job: Job): Payload {
  const bare = { n: job.n, due: job.dueMs ?? 0, filler: '' };
  const room = PAYLOAD_BYTES - JSON.stringify(bare).length;
  const from = (job.n * 61) % (noise.length - PAYLOAD_BYTES);
  return { ...bare, filler: noise.slice(from, from + room) };
}

export async function openDriver(config: DriverConfig): Promise<Driver> {
  switch (config.driver) {
    case 'belfry':
      return (await import('./drivers/belfry.ts')).openBelfry(config);
    case 'bullmq':
      return (await import('./drivers/bullmq.ts')).openBullmq(config);
    case 'graphile-worker':
      return (await import('./drivers/graphile-worker.ts')).openGraphileWorker(config);
    case 'pg-boss':
      return (await import('./drivers/pg-boss.ts')).openPgBoss(config);
  }
}
