import { startTestServers } from './testing.ts';

/** Where the shared servers of a test run are: set for every test file, unless they were given from outside. */
export const TEST_NATS_URL = 'BELFRY_TEST_NATS_URL';
export const TEST_POSTGRES_URL = 'BELFRY_TEST_POSTGRES_URL';

/**
 * Vitest `globalSetup`: one pair of servers for the whole run. Tests keep apart by a database of their own
 * (`createTestDatabase`) and by a prefix of their own for streams and subjects.
 */
export default async function setup(): Promise<() => Promise<void>> {
  const nats = process.env[TEST_NATS_URL] === undefined;
  const postgres = process.env[TEST_POSTGRES_URL] === undefined;
  if (!nats && !postgres) return () => Promise.resolve();
  const servers = await startTestServers({ servers: { nats, postgres }, onProgress: (line) => console.log(line) });
  if (nats) process.env[TEST_NATS_URL] = servers.natsUrl;
  if (postgres) process.env[TEST_POSTGRES_URL] = servers.postgresUrl;
  return async () => {
    if (nats) delete process.env[TEST_NATS_URL];
    if (postgres) delete process.env[TEST_POSTGRES_URL];
    await servers.stop();
  };
}
