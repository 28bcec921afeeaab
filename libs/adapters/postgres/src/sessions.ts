import { ok, retry, type Outcome } from '@belfry/ports';
import pg from 'pg';

import { CopyIn, type CopySource } from './copy-in.ts';
import { CopyOut, type RowSink } from './copy-out.ts';
import { asError, ConnectionLost, describeError, isTransient } from './errors.ts';
import { urlsOfHosts } from './hosts.ts';

/** How long a connection attempt may take. */
const CONNECT_MS = 10_000;
/** A statement's own timeout is the server's; when the server does not answer at all, the client waits this much longer. */
const GRACE_MS = 5_000;
/** A paused process must not hold its locks for long. */
const IDLE_IN_TRANSACTION_MS = 10_000;

const types = new pg.TypeOverrides();
types.setTypeParser(pg.types.builtins.INT8, Number); // ms and counters: below 2^53

export interface SessionsOptions {
  /** Of one server, or of a primary and its stand-bys (`hosts.ts`). */
  readonly url: string;
  /** Shown in pg_stat_activity. */
  readonly name: string;
  readonly connections: number;
  /** Longest statement; for a COPY out, longest time without a row. */
  readonly statementMs: number;
  /** Statements may last for ever as long as rows come. */
  readonly endless?: boolean;
  /** How much longer the client waits when the server does not answer at all; default 5,000. */
  readonly graceMs?: number;
  readonly lockMs: number;
  /** How long a connection that nobody uses is kept; default 60,000. */
  readonly idleMs?: number;
  /** Server settings of each connection. */
  readonly settings?: { readonly [name: string]: string };
}

/** One connection while it is lent out. Statements run one after the other. */
export class Session {
  readonly #client: pg.PoolClient;
  readonly #silenceMs: number;
  #lost: Error | undefined;

  constructor(client: pg.PoolClient, silenceMs: number) {
    this.#client = client;
    this.#silenceMs = silenceMs;
  }

  /** Why the connection is of no use any more. */
  get lost(): Error | undefined {
    return this.#lost;
  }

  /** The server's number for this connection. */
  get serverPid(): number {
    return (this.#client as pg.PoolClient & { readonly processID: number }).processID;
  }

  lose(error: Error): void {
    this.#lost ??= error;
  }

  query<R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<pg.QueryResult<R>> {
    return this.#guarded(this.#client.query<R>(values === undefined ? { text } : { text, values: [...values] }));
  }

  /** The same with a plan that the connection keeps under `name`. */
  prepared<R extends pg.QueryResultRow>(
    name: string,
    text: string,
    values: readonly unknown[],
  ): Promise<pg.QueryResult<R>> {
    return this.#guarded(this.#client.query<R>({ name, text, values: [...values] }));
  }

  /** `COPY … FROM STDIN (FORMAT binary)` of what `source` yields. */
  copyIn(text: string, source: CopySource): Promise<void> {
    return this.#guarded(this.#client.query(new CopyIn(text, source)).done);
  }

  /** `COPY … TO STDOUT (FORMAT binary)`; resolves when the sink has had everything. */
  copyOut(text: string, sink: RowSink): Promise<void> {
    const copy = this.#client.query(new CopyOut(text, sink));
    return this.#guarded(copy.done, () => copy.takeProgress());
  }

  /** Destroys the connection when the server is silent for too long: a wedged one must not go back to the pool. */
  async #guarded<T>(work: Promise<T>, progressed: () => boolean = () => false): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const silent = new Promise<never>((_resolve, reject) => {
      const expire = (): void => {
        if (progressed()) {
          timer = setTimeout(expire, this.#silenceMs);
          return;
        }
        const error = new ConnectionLost(`Postgres has not answered for ${this.#silenceMs} ms`);
        this.lose(error);
        reject(error);
      };
      timer = setTimeout(expire, this.#silenceMs);
    });
    work.catch(() => undefined); // it may fail after the silence did
    try {
      return await Promise.race([work, silent]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * A pool of connections with the manners that Belfry wants.
 *
 * S1. A connection on which anything failed is destroyed, never lent out again.
 * S2. No failure of an idle or lent connection reaches the process as an uncaught error.
 * S3. Of several servers, a connection is lent only of one that was no stand-by when it was made. A primary does not become one without
 *     ending its connections.
 */
export class Sessions {
  /** One for each server of the URL. */
  readonly #pools: readonly pg.Pool[];
  /** Known to be a primary's (S3). */
  readonly #primaries = new WeakSet<pg.PoolClient>();
  /** Why connections ended, in whoever's hands. */
  readonly #broken = new WeakMap<object, Error>();
  /** The server that was the primary at the last look. */
  #current = 0;
  readonly #silenceMs: number;
  #reachable = true;
  #losses = 0;
  #closed: Promise<void> | undefined;

  constructor(options: SessionsOptions) {
    const settings = Object.entries(options.settings ?? {}).map(([name, value]) => `-c ${name}=${value}`);
    this.#silenceMs = options.statementMs + (options.graceMs ?? GRACE_MS);
    const settingsOf = (url: string): pg.PoolConfig => ({
      connectionString: url,
      application_name: options.name,
      max: options.connections,
      idleTimeoutMillis: options.idleMs ?? 60_000,
      connectionTimeoutMillis: CONNECT_MS,
      statement_timeout: options.endless === true ? 0 : options.statementMs,
      lock_timeout: options.lockMs,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      types,
      ...(settings.length === 0 ? {} : { options: settings.join(' ') }),
    });
    this.#pools = urlsOfHosts(options.url).map((url) => new pg.Pool(settingsOf(url)));
    for (const pool of this.#pools) {
      pool.on('error', () => this.#onLoss()); // S2: the next use connects anew
      // S2: one that ends in the instant in which it is lent has neither the pool's listener any more nor its borrower's yet.
      pool.on('connect', (client) => client.on('error', (error) => this.#broken.set(client, error)));
    }
  }

  /** Whether the last use reached the server. */
  get isReachable(): boolean {
    return this.#reachable && this.#closed === undefined;
  }

  /** How many connections were lost; not those that the pool has ended since nobody used them. */
  get losses(): number {
    return this.#losses;
  }

  /** Lends a connection. @throws ConnectionLost when there is none or it fails; what `work` throws otherwise. */
  async use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const client = await this.#connect();
    const session = new Session(client, this.#silenceMs);
    const onLoss = (error?: Error): void =>
      session.lose(new ConnectionLost('the connection to Postgres ended', { cause: error }));
    client.on('error', onLoss);
    client.on('end', onLoss);
    let failed = true;
    try {
      const broken = this.#broken.get(client);
      if (broken !== undefined) throw new ConnectionLost('the connection to Postgres ended', { cause: broken });
      const result = await work(session);
      failed = session.lost !== undefined;
      this.#reachable = true;
      return result;
    } catch (error) {
      // A failed socket fails the query with an error of the client's own, which has no code: the loss is what happened.
      const reason = session.lost !== undefined && !(error instanceof pg.DatabaseError) ? session.lost : error;
      if (reason instanceof ConnectionLost) this.#onLoss();
      else this.#reachable = true;
      throw reason;
    } finally {
      client.removeListener('end', onLoss);
      client.release(failed); // S1
      if (!failed) client.removeListener('error', onLoss);
    }
  }

  /** The same with transient failures as `retry`. */
  async attempt<T>(work: (session: Session) => Promise<T>): Promise<Outcome<T>> {
    try {
      return ok(await this.use(work));
    } catch (error) {
      if (isTransient(error)) return retry(asError(error));
      throw error;
    }
  }

  #onLoss(): void {
    this.#reachable = false;
    this.#losses++;
  }

  /** Waits for what is lent out. Idempotent. */
  close(): Promise<void> {
    this.#closed ??= Promise.all(this.#pools.map((pool) => pool.end())).then(() => undefined);
    return this.#closed;
  }

  /** Of the server that was the primary at the last look, or of the next that is one. */
  async #connect(): Promise<pg.PoolClient> {
    const failures: unknown[] = [];
    for (let turn = 0; turn < this.#pools.length; turn++) {
      const at = (this.#current + turn) % this.#pools.length;
      try {
        const client = await this.#connectTo(this.#pools[at] as pg.Pool);
        this.#current = at;
        return client;
      } catch (error) {
        failures.push(error);
      }
    }
    this.#reachable = false;
    const cause = failures.length === 1 ? failures[0] : new AggregateError(failures);
    throw new ConnectionLost(`Postgres cannot be reached: ${describeError(cause)}`, { cause });
  }

  async #connectTo(pool: pg.Pool): Promise<pg.PoolClient> {
    const client = await pool.connect();
    if (this.#pools.length === 1 || this.#primaries.has(client)) return client;
    const ignore = (): void => undefined;
    client.on('error', ignore); // S2: the query fails with it
    try {
      const look = { text: 'SELECT pg_is_in_recovery() AS is_standby', query_timeout: CONNECT_MS };
      const { rows } = await client.query<{ is_standby: boolean }>(look);
      if (rows[0]?.is_standby !== false) throw new ConnectionLost('it is a stand-by');
      this.#primaries.add(client); // S3
      client.removeListener('error', ignore);
      return client;
    } catch (error) {
      client.release(true); // S1
      throw error;
    }
  }
}
