import { setTimeout as sleep } from 'node:timers/promises';

import type { StoredZoneData } from '@belfry/ports';
import { LIMITS } from '@belfry/protocol';

import { PostgresCheckpointStore } from './checkpoint-store.ts';
import { asError, describeError, isFinalAtStart, isTransient, PostgresUnavailable } from './errors.ts';
import { placesOf } from './hosts.ts';
import { ensureInstallation, installationLevel, raiseLevel } from './installation.ts';
import { migrate } from './migrations.ts';
import { ensurePartitions, type PartitionChanges } from './partitions.ts';
import { PostgresQueries } from './queries.ts';
import { Sessions } from './sessions.ts';
import { recordZoneData } from './zone-data.ts';

const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5_000;
/** Maintenance may wait for another program that migrates. */
const MAINTENANCE_MS = 600_000;
const QUERY_MS = 10_000;
/** How long connections for checkpoints and payloads are kept while nobody uses them. */
const KEPT_MS = 600_000;

/**
 * Statements by key over partitions: an index of one partition is always right, whatever the statistics of a table that
 * has just grown from nothing say. So other plans are out, and no plan is made twice.
 */
const BY_KEY = {
  plan_cache_mode: 'force_generic_plan',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  enable_seqscan: 'off',
  jit: 'off',
};

/** What a load costs is to send the rows: other processes that scan for it only hand them over, and take the processors from who receives. */
const LOADS = { jit: 'off', max_parallel_workers_per_gather: '0' };

export interface ConnectOptions {
  /** How long to go on trying; default `LIMITS.connectMs`. */
  readonly timeoutMs?: number;
  readonly onRetry?: (error: Error, attempt: number, delayMs: number) => void;
  /** Ends the trying early. */
  readonly signal?: AbortSignal;
  /** Shown in pg_stat_activity. Default `belfry`. */
  readonly name?: string;
  /** Wall clock, ms since 1970. */
  readonly now?: () => number;
}

/**
 * Postgres as the programs of Belfry use it. Connections are made when they are needed and again when they are lost:
 * a server that goes away fails the calls of that time, never the process.
 */
export class PostgresLink implements AsyncDisposable {
  readonly checkpoints: PostgresCheckpointStore;
  readonly queries: PostgresQueries;
  readonly #writes: Sessions;
  readonly #reads: Sessions;
  readonly #loads: Sessions;
  readonly #people: Sessions;
  readonly #maintenance: Sessions;
  readonly #now: () => number;
  #probing = false;

  constructor(url: string, options: Pick<ConnectOptions, 'name' | 'now'> = {}) {
    const { name = 'belfry', now = () => Date.now() } = options;
    const common = { url, lockMs: 5_000 };
    this.#now = now;
    // Fires and checkpoints must not wait for a new connection, which has everything to plan anew.
    const kept = { ...common, name, idleMs: KEPT_MS, settings: BY_KEY };
    this.#writes = new Sessions({ ...kept, connections: 2, statementMs: 60_000 });
    this.#reads = new Sessions({ ...kept, connections: LIMITS.payloadConnections, statementMs: 20_000 });
    this.#loads = new Sessions({
      ...common,
      name,
      connections: 2,
      statementMs: 60_000,
      endless: true,
      settings: LOADS,
    });
    this.#people = new Sessions({ ...common, name, connections: 4, statementMs: QUERY_MS, settings: { jit: 'off' } });
    this.#maintenance = new Sessions({
      url,
      name,
      connections: 1,
      lockMs: MAINTENANCE_MS,
      statementMs: MAINTENANCE_MS,
    });
    this.checkpoints = new PostgresCheckpointStore(
      { writes: this.#writes, reads: this.#reads, loads: this.#loads },
      now,
    );
    this.queries = new PostgresQueries(this.#people);
  }

  /** Whether the latest checkpoint and payload query reached the server; while they did not, asking also tries again. */
  get isHealthy(): boolean {
    const healthy = this.#writes.isReachable && this.#reads.isReachable;
    if (!healthy) void this.#probe();
    return healthy;
  }

  /** @throws SchemaTooNew */
  migrate(): Promise<readonly number[]> {
    return this.#maintenance.use((session) => migrate(session));
  }

  /** The number of shards: the one that is stored, or `shards` when the database is new. */
  ensureInstallation(shards: number): Promise<number> {
    return this.#maintenance.use((session) => ensureInstallation(session, shards));
  }

  /** Makes the history's coming day partitions and drops the old. */
  ensurePartitions(nowMs: number): Promise<PartitionChanges> {
    return this.#maintenance.use((session) => ensurePartitions(session, nowMs));
  }

  recordZoneData(data: StoredZoneData): Promise<void> {
    return this.#maintenance.use((session) => recordZoneData(session, data));
  }

  /** The highest level at which this installation may have been written. */
  level(): Promise<number> {
    return this.#reads.use(installationLevel);
  }

  /** From now on, `level` may be written. */
  raiseLevel(level: number): Promise<void> {
    return this.#writes.use((session) => raiseLevel(session, level));
  }

  /** Every message of the inbox up to here is in every shard's checkpoint. */
  async lowestCheckpointSeq(): Promise<number> {
    const { rows } = await this.#reads.use((session) =>
      session.query<{ seq: number }>('SELECT coalesce(min(seq), 0) AS seq FROM belfry.shard'),
    );
    return rows[0]?.seq ?? 0;
  }

  /** The highest inbox sequence that a checkpoint includes. */
  async highestCheckpointSeq(): Promise<number> {
    const { rows } = await this.#reads.use((session) =>
      session.query<{ seq: number }>('SELECT coalesce(max(seq), 0) AS seq FROM belfry.shard'),
    );
    return rows[0]?.seq ?? 0;
  }

  /** Counts one more crash of a shard by the message `seq`; returns how many there were, on whatever nodes. */
  async countCrash(shard: number, seq: number, error: string): Promise<number> {
    const { rows } = await this.#writes.use((session) =>
      session.query<{ times: number }>(
        `INSERT INTO belfry.crash (shard, seq, times, error) VALUES ($1, $2, 1, $3)
         ON CONFLICT (shard, seq) DO UPDATE SET times = crash.times + 1, error = excluded.error, at = now()
         RETURNING times`,
        [shard, seq, error.replaceAll('\0', '').slice(0, LIMITS.errorChars)],
      ),
    );
    return rows[0]?.times ?? 1;
  }

  /** How far the server's clock is ahead of ours, and within what bounds that is known; both in ms. */
  async skew(): Promise<{ readonly offsetMs: number; readonly uncertaintyMs: number }> {
    return await this.#reads.use(async (session) => {
      await session.query('SELECT 1'); // so that connecting is not measured
      const before = performance.now();
      const beforeAt = this.#now();
      const { rows } = await session.query<{ at: number }>(
        'SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS at',
      );
      const halfMs = (performance.now() - before) / 2;
      return { offsetMs: (rows[0]?.at ?? 0) - (beforeAt + halfMs), uncertaintyMs: halfMs };
    });
  }

  /** Waits for statements under way. Idempotent. */
  async close(): Promise<void> {
    const all = [this.#writes, this.#reads, this.#loads, this.#people, this.#maintenance];
    await Promise.all(all.map((sessions) => sessions.close()));
  }

  async #probe(): Promise<void> {
    if (this.#probing) return;
    this.#probing = true;
    const probe = (sessions: Sessions): Promise<unknown> => sessions.use((session) => session.query('SELECT 1'));
    await Promise.allSettled([probe(this.#writes), probe(this.#reads)]);
    this.#probing = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/**
 * Connects, and goes on trying while the server cannot be reached or is starting.
 * @throws PostgresUnavailable after the time given, or at once for a wrong password or an unknown database.
 */
export async function connectPostgres(url: string, options: ConnectOptions = {}): Promise<PostgresLink> {
  const timeoutMs = options.timeoutMs ?? LIMITS.connectMs;
  const deadline = performance.now() + timeoutMs;
  const link = new PostgresLink(url, options);
  for (let attempt = 1; ; attempt++) {
    try {
      await link.skew();
      return link;
    } catch (error) {
      const delayMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (attempt - 1));
      const final = isFinalAtStart(error) || !isTransient(error);
      if (final || performance.now() + delayMs > deadline || options.signal?.aborted === true) {
        await link.close();
        const waited = final ? '' : ` within ${timeoutMs} ms`;
        throw new PostgresUnavailable(
          `no connection to Postgres at ${placesOf(url)}${waited}: ${describeError(error)}`,
          {
            cause: error,
          },
        );
      }
      options.onRetry?.(asError(error), attempt, delayMs);
      await sleep(delayMs, undefined, options.signal === undefined ? {} : { signal: options.signal }).catch(
        () => undefined,
      );
    }
  }
}
