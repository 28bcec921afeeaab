/**
 * Rows a second of checkpoints and loads, with the processor time that this process spends on a row, and the longest
 * standstill of its event loop.
 *
 *     BELFRY_POSTGRES_URL=postgresql://… node libs/adapters/postgres/bench.ts [rows of each measurement] [tasks to load]
 *
 * In a database of its own on that server, which is dropped afterwards.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { randomBytes } from 'node:crypto';

import {
  NO_FIRES,
  type ActiveRow,
  type HistoryRow,
  type Outcome,
  type ShardDelta,
  type ShardHead,
  type TaskPatch,
  type TaskRow,
  type TaskSlice,
} from '@belfry/ports';
import { encodeTarget, LIMITS, shardOf } from '@belfry/protocol';
import pg from 'pg';

import { PostgresLink } from './src/index.ts';

const SHARDS = 256;
const BATCH_ROWS = LIMITS.checkpointRows;
const ALL = Array.from({ length: SHARDS }, (_, shard) => shard);
const T0 = Date.now();

const target = encodeTarget({
  namespace: 'default',
  queue: 'mail',
  handler: 'send-invoice',
  priority: 1,
  retry: { attempts: 3, initialMs: 1_000, factor: 2, maxMs: 3_600_000, jitter: 0.2 },
  timeoutMs: 300_000,
  precision: 'normal',
  catchUp: undefined,
});

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function value<T>(outcome: Outcome<T, unknown>): T {
  if (outcome.kind !== 'ok') throw new Error(JSON.stringify(outcome));
  return outcome.value;
}

/** JSON about as long as asked for, that compresses as real payloads do. */
function payloadOf(chars: number): string {
  const items: unknown[] = [];
  let length = 12;
  while (length < chars) {
    const item = { sku: `SKU-${randomBytes(4).toString('hex')}`, quantity: items.length + 1, note: 'express delivery' };
    length += JSON.stringify(item).length + 1;
    items.push(item);
  }
  return JSON.stringify({ items });
}

function taskOf(id: string, payload: string, at: number): TaskRow {
  return {
    id,
    key: undefined,
    namespace: 'default',
    queue: 'mail',
    handler: 'send-invoice',
    schedule: `at:${at}`,
    target,
    payload,
    metadata: '{}',
    traceparent: undefined,
    createdAt: T0,
    effectiveFrom: T0,
    bodyHash: [1, 2, 3, 4],
  };
}

function historyOf(task: string, scheduledAt: number): HistoryRow {
  return {
    task,
    scheduledAt,
    namespace: 'default',
    queue: 'mail',
    handler: 'send-invoice',
    state: 'succeeded',
    attempt: 1,
    dispatchedAt: scheduledAt + 2,
    deliveredAt: scheduledAt + 5,
    startedAt: scheduledAt + 6,
    finishedAt: scheduledAt + 16,
    acceptedAt: scheduledAt + 18,
    worker: 'worker-7f3a',
    error: undefined,
    result: undefined,
    attempts: undefined,
    epoch: 3,
    traceparent: undefined,
    createdAt: T0,
  };
}

class Bench {
  readonly #link: PostgresLink;
  readonly #heads: ShardHead[];
  #seq = 0;

  constructor(link: PostgresLink, heads: readonly ShardHead[]) {
    this.#link = link;
    this.#heads = [...heads];
  }

  /** Commits rows in checkpoints of the usual size, spread over all shards. */
  async commits<T>(
    label: string,
    rows: readonly T[],
    idOf: (row: T) => string,
    place: (rows: T[]) => Partial<ShardDelta>,
  ): Promise<void> {
    const checkpoints: ShardDelta[][] = [];
    for (let from = 0; from < rows.length; from += BATCH_ROWS) {
      const byShard = Map.groupBy(rows.slice(from, from + BATCH_ROWS), (row) => shardOf(idOf(row), SHARDS));
      this.#seq++;
      checkpoints.push([...byShard].map(([shard, some]) => this.#delta(shard, place(some))));
    }
    await this.measure(label, rows.length, async () => {
      for (const deltas of checkpoints)
        value(await this.#link.checkpoints.commit(deltas, randomBytes(8).toString('hex')));
    });
  }

  async measure(label: string, rows: number, work: () => Promise<void>): Promise<void> {
    const delay = monitorEventLoopDelay({ resolution: 1 });
    delay.enable();
    const cpu = process.cpuUsage();
    const startedAt = performance.now();
    await work();
    const seconds = (performance.now() - startedAt) / 1_000;
    const { user, system } = process.cpuUsage(cpu);
    delay.disable();
    const line = [
      label.padEnd(44),
      `${Math.round(rows / seconds).toLocaleString('en')} rows/s`.padStart(18),
      `${((user + system) / rows).toFixed(2)} µs of this process a row`.padStart(36),
      `longest standstill ${(delay.max / 1e6).toFixed(1)} ms, p99 ${(delay.percentile(99) / 1e6).toFixed(1)}`.padStart(
        36,
      ),
    ];
    say(line.join(''));
  }

  #delta(shard: number, change: Partial<ShardDelta>): ShardDelta {
    const { epoch } = this.#heads[shard] as ShardHead;
    return {
      shard,
      epoch,
      seq: this.#seq,
      watermark: T0,
      deletes: [],
      inserts: [],
      patches: [],
      pointers: [],
      active: [],
      activeDone: [],
      calendars: [],
      history: [],
      life: [],
      unwatched: [],
      commands: [],
      forgetCommandsBefore: 0,
      counters: NO_FIRES,
      gaps: [],
      ...change,
    };
  }
}

function ids(count: number): string[] {
  return Array.from({ length: count }, () => randomBytes(16).toString('hex'));
}

const idOf = ({ id }: { readonly id: string }): string => id;
const itself = (id: string): string => id;
const inserts = (some: TaskRow[]): Partial<ShardDelta> => ({ inserts: some });

async function writes(link: PostgresLink, bench: Bench, rows: number): Promise<void> {
  const payload = payloadOf(110);
  const small = ids(rows);
  const large = ids(rows);
  const fire = (task: string) => ({ task, scheduledAt: T0 });
  const active = (id: string): ActiveRow => ({
    ...fire(id),
    attempt: 1,
    state: 'dispatched',
    retryAt: undefined,
    dispatchedAt: T0,
    lost: 0,
    failures: 0,
    attempts: '[]',
    target: undefined,
    traceparent: undefined,
  });
  const smallTasks = small.map((id, i) => taskOf(id, payload, T0 + i));
  const largeTasks = large.map((id, i) => taskOf(id, payloadOf(1_000), T0 + i));
  const history = small.map((id, i) => historyOf(id, T0 + i));
  await bench.commits('inserts, payload of 135 bytes', smallTasks, idOf, inserts);
  await bench.commits('inserts, payload of 1,010 bytes', largeTasks, idOf, inserts);
  await bench.commits(
    'history',
    history,
    ({ task }) => task,
    (some) => ({ history: some }),
  );
  const command = (id: string) => ({ hash: parseInt(id.slice(0, 13), 16), at: T0 });
  await bench.commits('commands', small, itself, (some) => ({ commands: some.map(command) }));
  await bench.commits('active, new', small, itself, (some) => ({ active: some.map(active) }));
  await bench.commits('active, done', small, itself, (some) => ({ activeDone: some.map(fire) }));
  const pointers = (next: number | undefined) => (some: string[]) => ({
    pointers: some.map((task) => ({ task, next })),
  });
  await bench.commits('pointers, new', small, itself, pointers(T0));
  await bench.commits('pointers, gone', small, itself, pointers(undefined));
  const end = (id: string): TaskPatch => ({ id, ended: { state: 'finished', at: T0 } });
  await bench.commits('ends of keyed tasks', large, itself, (some) => ({ patches: some.map(end) }));
  const update = (id: string): TaskPatch => ({ id, payload, schedule: 'at:1', effectiveFrom: T0 + 1 });
  await bench.commits('updates of payload and schedule', small, itself, (some) => ({ patches: some.map(update) }));
  const refs = large.map((id) => ({ id, shard: shardOf(id, SHARDS) }));
  await bench.measure('bodies of 1,010 bytes', rows, async () => {
    for (let from = 0; from < rows; from += LIMITS.payloadQueryRows) {
      value(await link.checkpoints.bodies(refs.slice(from, from + LIMITS.payloadQueryRows)));
    }
  });
  await bench.commits('deletes', [...small, ...large], itself, (deletes) => ({ deletes }));
}

async function loads(link: PostgresLink, bench: Bench, rows: number): Promise<void> {
  const payload = payloadOf(110);
  for (let made = 0; made < rows; made += 100_000) {
    const some = ids(Math.min(100_000, rows - made)).map((id, i) => taskOf(id, payload, T0 + i));
    await bench.commits(`inserts to load, from ${made}`, some, idOf, inserts);
  }
  let loaded = 0;
  const onTasks = (_shard: number, some: TaskSlice): void => void (loaded += some.length);
  const nothing = (): void => undefined;
  await bench.measure(
    'load',
    rows,
    async () => void value(await link.checkpoints.load(ALL, nothing, nothing, nothing, onTasks)),
  );
  say(`${loaded} tasks loaded`);
}

async function run(link: PostgresLink, rows: number, loadRows: number): Promise<void> {
  await link.migrate();
  await link.ensureInstallation(SHARDS);
  await link.ensurePartitions(Date.now());
  const bench = new Bench(
    link,
    value(
      await link.checkpoints.takeEpochs(
        ALL,
        'bench',
        ALL.map(() => 0),
      ),
    ),
  );
  await bench.commits(
    'warm-up',
    ids(BATCH_ROWS).map((id) => taskOf(id, '{}', T0)),
    idOf,
    inserts,
  );
  await writes(link, bench, rows);
  await loads(link, bench, loadRows);
}

const [, , rows = '100000', loadRows = '1000000'] = process.argv;
const url = process.env['BELFRY_POSTGRES_URL'];
if (url === undefined) throw new Error('BELFRY_POSTGRES_URL says where the server is');
const name = `bench_${randomBytes(6).toString('hex')}`;
const admin = new pg.Client({ connectionString: url });
await admin.connect();
await admin.query(`CREATE DATABASE ${name}`);
const ours = new URL(url);
ours.pathname = `/${name}`;
const link = new PostgresLink(ours.href);
try {
  await run(link, Number(rows), Number(loadRows));
} finally {
  await link.close();
  await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
  await admin.end();
}
