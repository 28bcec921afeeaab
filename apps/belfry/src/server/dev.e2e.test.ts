import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';

import { describe, expect, it, vi } from 'vitest';

import { runCommand, startDev, temporaryFolder } from '../testing/program.ts';

vi.setConfig({ testTimeout: 120_000 });
const PATIENCE = { timeout: 60_000, interval: 100 };

function isAlive(pid: number | undefined): boolean {
  try {
    return process.kill(pid as number, 0);
  } catch {
    return false;
  }
}

describe('belfry dev', () => {
  it('leaves nothing running when it alone is killed: no server, no worker', async () => {
    using folder = temporaryFolder();
    const dev = await startDev(folder.path, '--allow-shell');
    const pids = Object.values(dev.pids);
    expect(Object.keys(dev.pids).sort()).toEqual(['keeper', 'nats', 'postgres', 'worker']);
    expect(pids.every(isAlive)).toBe(true);
    process.kill(dev.pid, 'SIGKILL');
    await vi.waitFor(() => expect(pids.filter(isAlive)).toEqual([]), PATIENCE);
  });

  it('says that the port of health and metrics is taken, before it makes anything', async () => {
    using folder = temporaryFolder();
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const ports = ['--nats-port', '0', '--postgres-port', '0', '--http-port', String(port)];
    const { code, stderr } = await runCommand(['dev', '--data-dir', folder.path, ...ports]);
    other.close();
    expect(code).toBe(1);
    expect(stderr).toContain(`port ${port}, where health and metrics should listen, is in use by another program`);
    expect(stderr).toContain('--http-port');
    expect(existsSync(path.join(folder.path, 'postgres'))).toBe(false);
  });
});
