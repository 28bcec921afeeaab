import { once } from 'node:events';
import { chmodSync, existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';

import { describe, expect, it, vi } from 'vitest';

import { readDevFile, startEmbedded, writeDevFile } from './index.ts';
import { isAlive, until } from './processes.ts';
import { natsRequest, query, readStored, storeSomething, STORED, temporaryFolder } from './test-fixtures.ts';
import { createTestDatabase, startTestServers, withServers } from './testing.ts';

// Recovery and initdb on a busy machine take longer than a test's usual time.
vi.setConfig({ testTimeout: 60_000 });

const FREE = { natsPort: 0, postgresPort: 0 } as const;

describe('the embedded servers', () => {
  it('start on an empty folder, and find their data again after a restart', async () => {
    using folder = temporaryFolder();
    const dataDir = path.join(folder.path, 'not', 'there', 'yet');
    const first = await startEmbedded({ ...FREE, dataDir });
    await storeSomething(first);
    await first.stop();
    await using second = await startEmbedded({ ...FREE, dataDir });
    expect(await readStored(second)).toEqual(STORED);
  });

  it('fsync what they acknowledge, and listen on loopback with passwords that only we can read', async () => {
    await withServers(async (servers) => {
      const settings = await query(
        servers.postgresUrl,
        `SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', 'listen_addresses', 'TimeZone') ORDER BY name`,
      );
      expect(settings).toEqual([
        { name: 'TimeZone', setting: 'UTC' },
        { name: 'fsync', setting: 'on' },
        { name: 'listen_addresses', setting: '127.0.0.1' },
        { name: 'synchronous_commit', setting: 'on' },
      ]);
      const jetStream = (await (await fetch(`${servers.natsMonitorUrl}/jsz`)).json()) as {
        config: Record<string, unknown>;
      };
      expect(jetStream.config).toMatchObject({ sync_always: true });
      const variables = (await (await fetch(`${servers.natsMonitorUrl}/varz`)).json()) as Record<string, unknown>;
      expect(variables).toMatchObject({ host: '127.0.0.1', auth_required: true });

      await expect(natsRequest(servers.natsUrl.replace(/:[^:@]*@/, ':wrong@'), 'a', '')).rejects.toThrow(
        'Authorization Violation',
      );
      await expect(query(servers.postgresUrl.replace(/:[^:@]*@/, ':wrong@'), 'SELECT 1')).rejects.toThrow(
        'password authentication failed',
      );
      for (const file of ['credentials.json', 'nats.conf'])
        expect(statSync(path.join(servers.dataDir, file)).mode & 0o777).toBe(0o600);
    });
  });

  it('leave no process, port or file behind when they stop, however often they are told to', async () => {
    const servers = await startTestServers();
    const pids = Object.values(servers.pids);
    expect(pids.length).toBe(3);
    await Promise.all([servers.stop(), servers.stop(), servers[Symbol.asyncDispose]()]);
    await servers.stop();
    expect(pids.filter(isAlive)).toEqual([]);
    expect(existsSync(servers.dataDir)).toBe(false);
  });

  it('can be started singly', async () => {
    await withServers(
      async (servers) => {
        expect(await query(servers.postgresUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
        expect(servers.pids.nats).toBeUndefined();
        expect(() => servers.natsUrl).toThrow(expect.objectContaining({ code: 'not_started' }));
        await Promise.resolve();
      },
      { servers: { nats: false } },
    );
  });

  it('refuse a second start on the same folder, and name the process that has it', async () => {
    await withServers(async (servers) => {
      const second = startEmbedded({ ...FREE, dataDir: servers.dataDir });
      await expect(second).rejects.toMatchObject({
        code: 'already_running',
        message: expect.stringContaining(String(process.pid)),
      });
      expect(await query(servers.postgresUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    });
  });

  it.each([
    { option: 'natsPort', flag: '--nats-port' },
    { option: 'postgresPort', flag: '--postgres-port' },
  ])('say which port is busy and that $flag gives another one', async ({ option, flag }) => {
    using folder = temporaryFolder();
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    try {
      const start = startEmbedded({ ...FREE, dataDir: folder.path, [option]: port });
      await expect(start).rejects.toMatchObject({
        code: 'port_in_use',
        message: expect.stringMatching(new RegExp(`port ${port}.*${flag}`)),
      });
    } finally {
      other.close();
    }
    expect(readdirSync(folder.path)).not.toContain('lock');
  });

  it('quote the log of a server that does not start, and stop the other one', async () => {
    using folder = temporaryFolder();
    const first = await startEmbedded({ ...FREE, dataDir: folder.path });
    await first.stop();
    const file = path.join(folder.path, 'postgres', 'postgresql.conf');
    writeFileSync(file, 'no_such_setting = on\n', { flag: 'a' });
    const start = startEmbedded({ ...FREE, dataDir: folder.path });
    await expect(start).rejects.toMatchObject({
      code: 'start_failed',
      message: expect.stringContaining('no_such_setting'),
    });
    expect(readdirSync(folder.path)).not.toContain('lock');
  });

  it('do not start on a database whose password is lost', async () => {
    using folder = temporaryFolder();
    const first = await startEmbedded({ ...FREE, dataDir: folder.path, servers: { nats: false } });
    await first.stop();
    rmSync(path.join(folder.path, 'credentials.json'));
    await expect(startEmbedded({ ...FREE, dataDir: folder.path })).rejects.toMatchObject({ code: 'data_dir_mismatch' });
  });

  it('refuse the nats-server that was named when it is too old', async () => {
    using folder = temporaryFolder();
    const old = path.join(folder.path, 'nats-server');
    writeFileSync(old, '#!/bin/sh\necho "nats-server: v2.10.27"\n');
    chmodSync(old, 0o755);
    const before = process.env['BELFRY_NATS_SERVER'];
    process.env['BELFRY_NATS_SERVER'] = old;
    try {
      const start = startEmbedded({ ...FREE, dataDir: path.join(folder.path, 'data'), servers: { postgres: false } });
      await expect(start).rejects.toMatchObject({ code: 'nats_too_old', message: expect.stringContaining('2.10.27') });
    } finally {
      if (before === undefined) delete process.env['BELFRY_NATS_SERVER'];
      else process.env['BELFRY_NATS_SERVER'] = before;
    }
  });
});

describe('the dev file', () => {
  it('is there for our eyes only while the program runs, and gone after the stop', async () => {
    using folder = temporaryFolder();
    const servers = await startEmbedded({ ...FREE, dataDir: folder.path });
    const content = {
      natsUrl: servers.natsUrl,
      postgresUrl: servers.postgresUrl,
      pid: process.pid,
      ports: { nats: servers.ports.nats ?? 0, http: 8080 },
    };
    writeDevFile(folder.path, content);
    expect(readDevFile(folder.path)).toEqual(content);
    expect(statSync(path.join(folder.path, 'dev.json')).mode & 0o777).toBe(0o600);
    await servers.stop();
    expect(readDevFile(folder.path)).toBeUndefined();
    expect(existsSync(path.join(folder.path, 'dev.json'))).toBe(false);
  });
});

describe('a test database', () => {
  it('is empty, apart from others, and can be dropped while somebody is connected', async () => {
    await withServers(
      async ({ postgresUrl }) => {
        const [one, two] = await Promise.all([createTestDatabase(postgresUrl), createTestDatabase(postgresUrl)]);
        await query(one.url, 'CREATE TABLE t (n int)');
        await expect(query(two.url, 'SELECT * FROM t')).rejects.toThrow('does not exist');
        const busy = query(one.url, 'SELECT pg_sleep(60)').catch((error: unknown) => error);
        const isConnected = async (): Promise<boolean> =>
          (await query(postgresUrl, `SELECT 1 FROM pg_stat_activity WHERE datname = '${one.name}'`)).length > 0;
        expect(await until(isConnected, 15_000)).toBe(true);
        await Promise.all([one.drop(), two.drop()]);
        expect(await busy).toBeInstanceOf(Error);
        expect(await query(postgresUrl, `SELECT 1 FROM pg_database WHERE datname LIKE 'test_%'`)).toEqual([]);
      },
      { servers: { nats: false } },
    );
  });
});
