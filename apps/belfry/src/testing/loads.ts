import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { withSql } from '@belfry/adapter-embedded/testing';
import { Belfry, type ScheduleSpec } from '@belfry/sdk';

const WORKER = fileURLToPath(new URL('./recording-worker.ts', import.meta.url));
const EVERY_MS = 1_000;
const RECURRING = 40;
const BATCH = 20;

/** A worker in a process of its own, which records each run in `log`. */
export async function startRecordingWorker(natsUrl: string, log: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, [WORKER, log, 'recorder'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, BELFRY_NATS_URL: natsUrl },
  });
  await once(child.stdout as NodeJS.ReadableStream, 'data');
  return child;
}

/** Executions by how often they have run. */
export function runsOf(log: string): Map<string, number> {
  const runs = new Map<string, number>();
  for (const line of existsSync(log) ? readFileSync(log, 'utf8').split('\n') : []) {
    const [execution] = line.split(' ');
    if (execution !== undefined && execution !== '') runs.set(execution, (runs.get(execution) ?? 0) + 1);
  }
  return runs;
}

/**
 * Tasks that are created without pause, one-time ones with and without metadata, beside recurring ones that fire every second: and what
 * their acknowledgements promise.
 */
export class SteadyLoad {
  readonly #client: Belfry;
  readonly #oneTime = new Map<string, string>();
  readonly #recurring: { readonly id: string; readonly fromMs: number }[] = [];
  #going = true;
  #running: Promise<void> = Promise.resolve();
  #untilMs = 0;
  #batches = 0;
  readonly #prefix: string;

  private constructor(natsUrl: string, prefix: string) {
    this.#client = new Belfry({ url: natsUrl });
    this.#prefix = prefix;
  }

  /** `prefix` tells the tasks of one load from those of another. */
  static async start(natsUrl: string, prefix = 'load'): Promise<SteadyLoad> {
    const load = new SteadyLoad(natsUrl, prefix);
    const specs = Array.from({ length: RECURRING }, (_, at): ScheduleSpec => ({
      ...COMMON,
      key: `${prefix}-every-${at}`,
      every: EVERY_MS,
      catchUp: { policy: 'all', window: '1h' },
    }));
    for (const result of await load.#client.scheduleMany(specs)) {
      if ('error' in result) throw new Error(result.error.message);
      load.#recurring.push({ id: result.id, fromMs: Date.parse(result.next[0] as string) });
    }
    load.#running = load.#create();
    return load;
  }

  /** Tasks whose creation was acknowledged. */
  get acknowledged(): number {
    return this.#recurring.length + this.#oneTime.size;
  }

  /** Ends the creating; everything that is due by then counts. */
  async stop(): Promise<void> {
    this.#going = false;
    await this.#running;
    this.#untilMs = Date.now();
    await this.#client.close();
  }

  /** Every execution that is owed, with the key of its task. */
  owed(): Map<string, string> {
    const owed = new Map(this.#oneTime);
    for (const [index, { id, fromMs }] of this.#recurring.entries())
      for (let at = fromMs; at <= this.#untilMs; at += EVERY_MS)
        owed.set(nameOf(id, at), `${this.#prefix}-every-${index}`);
    return owed;
  }

  async #create(): Promise<void> {
    for (; this.#going; this.#batches++) {
      const specs = Array.from(
        { length: BATCH },
        (_, at): ScheduleSpec & { readonly at: number; readonly key: string } => ({
          ...COMMON,
          key: `${this.#prefix}-${this.#batches}-${at}`,
          at: Date.now() + 500 + 100 * at,
          ...(at % 2 === 0 ? {} : { metadata: { batch: String(this.#batches) } }),
        }),
      );
      const created = await this.#client.scheduleMany(specs);
      for (const [at, result] of created.entries()) {
        if ('error' in result) throw new Error(`${specs[at]?.key}: ${JSON.stringify(result.error)}`);
        const spec = specs[at] as (typeof specs)[number];
        this.#oneTime.set(nameOf(result.id, spec.at), spec.key);
      }
    }
  }
}

const COMMON = { queue: 'recorded', handler: 'record' } as const;

export function nameOf(task: string, at: number): string {
  return `${task}-${at.toString(36)}`;
}

/** Executions that are over, as Postgres has them: each once, with its state's letter. Throws for one that stands twice. */
export async function overIn(postgresUrl: string): Promise<Map<string, string>> {
  return await withSql(postgresUrl, async (query) => {
    const rows = await query(
      `SELECT replace(task::text, '-', '') AS task, scheduled_at::float8 AS at, state FROM belfry.execution`,
    );
    const over = new Map<string, string>();
    for (const { task, at, state } of rows) {
      const name = nameOf(String(task), Number(at));
      if (over.has(name)) throw new Error(`it stands twice in the history: ${name}`);
      over.set(name, String(state));
    }
    return over;
  });
}
