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
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
