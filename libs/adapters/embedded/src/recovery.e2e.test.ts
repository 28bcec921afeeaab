import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it, vi } from 'vitest';

import { startEmbedded } from './embedded.ts';
import { isAlive, signalAll, until } from './processes.ts';
import { query, readStored, startInOtherProgram, storeSomething, STORED, temporaryFolder } from './test-fixtures.ts';

// Recovery and initdb on a busy machine take longer than a test's usual time.
vi.setConfig({ testTimeout: 60_000 });

const FREE = { natsPort: 0, postgresPort: 0 } as const;
const PATIENCE_MS = 15_000;

function gone(pids: readonly number[]): Promise<boolean> {
  return until(() => !pids.some(isAlive), PATIENCE_MS);
}

describe('after kill -9', () => {
  it('of the program, the keeper stops the servers and ends', async () => {
    using folder = temporaryFolder();
    using other = await startInOtherProgram(folder.path);
    await storeSomething(other);
    other.process.kill('SIGKILL');
    expect(await gone(Object.values(other.pids))).toBe(true);

    await using servers = await startEmbedded({ ...FREE, dataDir: folder.path });
    expect(await readStored(servers)).toEqual(STORED);
  });

  it('of a test, the keeper removes its data too', async () => {
    using folder = temporaryFolder();
    const dataDir = path.join(folder.path, 'data');
    using other = await startInOtherProgram(dataDir, 'remove');
    other.process.kill('SIGKILL');
    expect(await gone(Object.values(other.pids))).toBe(true);
    expect(existsSync(dataDir)).toBe(false);
  });

  it('of the program, a start right away waits for the former servers and goes on with their data', async () => {
    using folder = temporaryFolder();
    using other = await startInOtherProgram(folder.path);
    await storeSomething(other);
    other.process.kill('SIGKILL');
    await once(other.process, 'exit');
    await using servers = await startEmbedded({ ...FREE, dataDir: folder.path });
    expect(await readStored(servers)).toEqual(STORED);
  });

  it('of the program and its keeper, the next start stops the orphans', async () => {
    using folder = temporaryFolder();
    using other = await startInOtherProgram(folder.path);
    await storeSomething(other);
    signalAll([other.pids.keeper], 'SIGKILL');
    other.process.kill('SIGKILL');
    expect(await gone([other.pids.keeper, other.process.pid ?? 0])).toBe(true);
    const orphans = [other.pids.nats, other.pids.postgres];
    expect(orphans.filter(isAlive)).toEqual(orphans);

    const progress: string[] = [];
    await using servers = await startEmbedded({
      ...FREE,
      dataDir: folder.path,
      onProgress: (line) => progress.push(line),
    });
    expect(orphans.filter(isAlive)).toEqual([]);
    expect(progress.join('\n')).toContain(String(other.pids.postgres));
    expect(await readStored(servers)).toEqual(STORED);
  });

  it('of everything at once, the next start recovers the data', async () => {
    using folder = temporaryFolder();
    using other = await startInOtherProgram(folder.path);
    await storeSomething(other);
    const all = [other.pids.keeper, other.pids.nats, other.pids.postgres, other.process.pid ?? 0];
    signalAll(all, 'SIGKILL');
    expect(await gone(all)).toBe(true);
    await using servers = await startEmbedded({ ...FREE, dataDir: folder.path });
    expect(await readStored(servers)).toEqual(STORED);
  });

  it('of the servers, the program is told, and a new start recovers the data while old backends still end', async () => {
    using folder = temporaryFolder();
    const exits = new Map<string, NodeJS.Signals | null>();
    const told = Promise.withResolvers<void>();
    const first = await startEmbedded({
      ...FREE,
      dataDir: folder.path,
      onServerExit: (exit) => {
        exits.set(exit.name, exit.signal);
        if (exits.size === 2) told.resolve();
      },
    });
    await storeSomething(first);
    const busy = query(first.postgresUrl, 'SELECT count(*) FROM generate_series(1, 1000000000)').catch(
      (error: unknown) => error,
    );
    await until(
      async () =>
        (
          await query(
            first.postgresUrl,
            `SELECT 1 FROM pg_stat_activity WHERE query LIKE '%generate_series%' AND pid <> pg_backend_pid()`,
          )
        ).length > 0,
      PATIENCE_MS,
    );
    signalAll([first.pids.nats ?? 0, first.pids.postgres ?? 0], 'SIGKILL');
    await told.promise;
    expect([...exits].sort()).toEqual([
      ['nats-server', 'SIGKILL'],
      ['postgres', 'SIGKILL'],
    ]);
    await first.stop();

    await using second = await startEmbedded({ ...FREE, dataDir: folder.path });
    expect(await readStored(second)).toEqual(STORED);
    expect(await busy).toBeInstanceOf(Error);
  });

  it('of the servers, they are started again on their ports with their data, until a stop', async () => {
    using folder = temporaryFolder();
    const up = new Set<string>();
    const again = Promise.withResolvers<void>();
    const servers = await startEmbedded({
      ...FREE,
      dataDir: folder.path,
      onServerRestart: (name, failure) => {
        if (failure === undefined && up.add(name).size === 2) again.resolve();
      },
    });
    await storeSomething(servers);
    const [before, { ports }] = [servers.pids, servers];
    signalAll([before.nats ?? 0, before.postgres ?? 0], 'SIGKILL');
    await again.promise;
    expect(servers.ports).toMatchObject({ nats: ports.nats, postgres: ports.postgres });
    expect(servers.pids.nats).not.toBe(before.nats);
    expect(servers.pids.postgres).not.toBe(before.postgres);
    expect(await readStored(servers)).toEqual(STORED);
    // A stop right after a kill meets a restart at its beginning.
    const last = Object.values(servers.pids);
    signalAll([servers.pids.nats ?? 0], 'SIGKILL');
    await servers.stop();
    expect(await gone(last)).toBe(true);
  });
});
