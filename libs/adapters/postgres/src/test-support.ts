import { randomBytes } from 'node:crypto';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

import { createTestDatabase } from '@belfry/adapter-embedded/testing';
import { NO_FIRES, type HistoryRow, type Outcome, type ShardDelta, type ShardHead, type TaskRow } from '@belfry/ports';
import { encodeTarget, shardOf } from '@belfry/protocol';

import { PostgresLink } from './link.ts';

export const SHARDS = 8;
export const T0 = 1_790_000_000_000;

export function value<T>(outcome: Outcome<T, unknown>): T {
  if (outcome.kind !== 'ok') throw new Error(`expected ok: ${JSON.stringify(outcome)}`);
  return outcome.value;
}

export interface Installed extends AsyncDisposable {
  readonly url: string;
  readonly link: PostgresLink;
}

/** An installation of `SHARDS` shards in a database of its own. */
export async function install(): Promise<Installed> {
  const database = await createTestDatabase(process.env['BELFRY_TEST_POSTGRES_URL'] as string);
  const link = new PostgresLink(database.url, { name: 'under-test' });
  await link.migrate();
  await link.ensureInstallation(SHARDS);
  const dispose = async (): Promise<void> => {
    await link.close();
    await database.drop();
  };
  return { url: database.url, link, [Symbol.asyncDispose]: dispose };
}

export function randomId(): string {
  return randomBytes(16).toString('hex');
}

/** A task of its own, with the shard that it belongs to. */
export function task(change: Partial<TaskRow> & { readonly priority?: 0 | 1 | 2 } = {}): TaskRow {
  const { namespace = 'acme', queue = 'mail', handler = 'send', priority = 1, ...rest } = change;
  const retry = { attempts: 3, initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.2 };
  return {
    id: randomId(),
    key: undefined,
    namespace,
    queue,
    handler,
    schedule: 'at:1',
    target: encodeTarget({
      namespace,
      queue,
      handler,
      priority,
      retry,
      timeoutMs: 1_000,
      precision: 'normal',
      catchUp: undefined,
    }),
    payload: 'null',
    metadata: '{}',
    traceparent: undefined,
    createdAt: T0,
    effectiveFrom: T0,
    bodyHash: [1, 2, 3, 4],
    ...rest,
  };
}

export function execution(
  of: Pick<TaskRow, 'id' | 'namespace' | 'queue' | 'handler'>,
  change: Partial<HistoryRow> = {},
): HistoryRow {
  const { namespace, queue, handler } = of;
  return {
    task: of.id,
    scheduledAt: T0,
    namespace,
    queue,
    handler,
    state: 'succeeded',
    attempt: 1,
    dispatchedAt: undefined,
    deliveredAt: undefined,
    startedAt: undefined,
    finishedAt: T0 + 1,
    acceptedAt: T0 + 2,
    worker: undefined,
    error: undefined,
    result: undefined,
    attempts: undefined,
    epoch: 1,
    traceparent: undefined,
    createdAt: T0,
    ...change,
  };
}

/** One owner of all shards that writes what it is given to where it belongs. */
export class Owner {
  readonly link: PostgresLink;
  #heads: readonly ShardHead[] = [];
  #seq = 0;

  constructor(link: PostgresLink) {
    this.link = link;
  }

  async take(): Promise<void> {
    const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
    this.#heads = value(
      await this.link.checkpoints.takeEpochs(
        shards,
        'node',
        shards.map(() => 0),
      ),
    );
  }

  /** Deltas of tasks, or of other rows by `idOf` and `place`. */
  deltas<T>(rows: readonly T[], idOf: (row: T) => string, place: (rows: T[]) => Partial<ShardDelta>): ShardDelta[] {
    this.#seq++;
    return [...Map.groupBy(rows, (row) => shardOf(idOf(row), SHARDS))].map(([shard, some]) => ({
      shard,
      epoch: (this.#heads[shard] as ShardHead).epoch,
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
      ...place(some),
    }));
  }

  async insert(...tasks: TaskRow[]): Promise<void> {
    await this.write(
      this.deltas(
        tasks,
        ({ id }) => id,
        (inserts) => ({ inserts }),
      ),
    );
  }

  async record(...rows: HistoryRow[]): Promise<void> {
    await this.write(
      this.deltas(
        rows,
        (row) => row.task,
        (history) => ({ history }),
      ),
    );
  }

  async write(deltas: readonly ShardDelta[]): Promise<void> {
    const { fenced } = value(await this.link.checkpoints.commit(deltas, randomId()));
    if (fenced.length > 0) throw new Error(`fenced: ${fenced.join()}`);
  }
}

/** A network between client and server that a test can break. */
export class BreakableNetwork implements AsyncDisposable {
  readonly url: string;
  /** Called with what a client sends, before it is passed on. */
  onRequest: (bytes: Buffer, cut: () => void) => void = () => undefined;
  /** While true, nothing passes, and nobody is told. */
  isSilent = false;
  readonly #server;
  readonly #sockets = new Set<Socket>();

  private constructor(url: string, server: ReturnType<typeof createServer>) {
    this.url = url;
    this.#server = server;
  }

  static async before(url: string): Promise<BreakableNetwork> {
    const target = new URL(url);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const ours = new URL(url);
    ours.port = String((server.address() as AddressInfo).port);
    const network = new BreakableNetwork(ours.href, server);
    server.on('connection', (client) => network.#join(client, connect(Number(target.port), target.hostname)));
    return network;
  }

  /** Breaks every connection. */
  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cutAll();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #join(client: Socket, server: Socket): void {
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroySoon();
      });
    }
    client.on('data', (bytes) => {
      if (this.isSilent) return;
      let cutting = false;
      this.onRequest(bytes, () => (cutting = true));
      // The server gets it, but its answer finds nobody.
      server.write(bytes, () => cutting && client.destroy());
    });
    server.on('data', (bytes) => {
      if (!this.isSilent) client.write(bytes);
    });
  }
}
