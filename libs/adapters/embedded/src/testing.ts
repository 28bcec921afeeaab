import { randomBytes } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import pg from 'pg';

import { startEmbedded } from './embedded.ts';
import type { EmbeddedOptions, EmbeddedServers } from './embedded.ts';

/** Both servers on free ports, with their data in a new temporary folder that `stop()` removes. */
export function startTestServers(options: Omit<EmbeddedOptions, 'dataDir'> = {}): Promise<EmbeddedServers> {
  const dataDir = mkdtempSync(path.join(tmpdir(), 'belfry-test-'));
  return startEmbedded({ natsPort: 0, postgresPort: 0, ...options, dataDir, removeDataOnStop: true });
}

/** Runs `use` with servers of its own, and removes them whether it succeeds or not. */
export async function withServers<T>(
  use: (servers: EmbeddedServers) => Promise<T>,
  options: Omit<EmbeddedOptions, 'dataDir'> = {},
): Promise<T> {
  await using servers = await startTestServers(options);
  return await use(servers);
}

export interface TestDatabase extends AsyncDisposable {
  readonly url: string;
  readonly name: string;
  /** Removes the database, whoever is still connected to it. */
  drop(): Promise<void>;
}

/** An empty database with a name of its own on the server of `postgresUrl`. */
export async function createTestDatabase(postgresUrl: string): Promise<TestDatabase> {
  const name = `test_${randomBytes(8).toString('hex')}`;
  await execute(postgresUrl, `CREATE DATABASE ${name}`);
  const url = new URL(postgresUrl);
  url.pathname = `/${name}`;
  const drop = (): Promise<void> => execute(postgresUrl, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
  return { url: url.href, name, drop, [Symbol.asyncDispose]: drop };
}

async function execute(url: string, statement: string): Promise<void> {
  await withSql(url, (query) => query(statement));
}

export type Query = (
  statement: string,
  values?: readonly unknown[],
) => Promise<readonly { readonly [column: string]: unknown }[]>;

/** Statements on one connection of their own. Rejects with what Postgres says. */
export async function withSql<T>(url: string, use: (query: Query) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined); // the statement under way fails with it
  await client.connect();
  try {
    return await use(async (statement, values) => {
      const { rows } = await client.query<{ readonly [column: string]: unknown }>(statement, values && [...values]);
      return rows;
    });
  } finally {
    await client.end();
  }
}

// For those who start servers of their own: clusters, stand-bys.
export { natsBinary } from './nats-binary.ts';
export { postgresBinaries, type PostgresBinaries } from './postgres-binaries.ts';
export { postgresUser, type User } from './step-down.ts';
