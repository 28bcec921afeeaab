import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { Cleanup } from '../cleanup.ts';
import { freePort, startProgram, untilReady } from '../programs.ts';

/** Undefined if there is none on PATH. */
export function redisVersion(): string | undefined {
  try {
    return /v=(\S+)/.exec(execFileSync('redis-server', ['--version'], { encoding: 'utf8' }))?.[1];
  } catch {
    return undefined;
  }
}

/**
 * `always`: an acknowledged command is on disk, as with Belfry and Postgres. `everysec`: Redis' default for its append-only
 * file; a power failure loses up to a second.
 */
export type Fsync = 'always' | 'everysec';

/** A Redis on loopback with data of its own; returns its port. */
export async function startRedis(fsync: Fsync, cleanup: Cleanup): Promise<number> {
  const folder = cleanup.add(mkdtempSync(path.join(tmpdir(), 'belfry-bench-redis-')), (it) =>
    rmSync(it, { recursive: true, force: true }),
  );
  const port = await freePort();
  const durability = ['--appendonly', 'yes', '--appendfsync', fsync, '--save', ''];
  // BullMQ asks for a Redis that never evicts.
  const flags = ['--bind', '127.0.0.1', '--port', String(port), '--maxmemory-policy', 'noeviction', '--dir', folder];
  const program = startProgram('redis-server', [...flags, ...durability], { logFile: path.join(folder, 'redis.log') });
  cleanup.add(program, (it) => it.stop());
  await untilReady(program, 'redis-server', () => answersPing(port));
  return port;
}

function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: '127.0.0.1', port });
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1_000, () => settle(false));
    socket.once('error', () => settle(false));
    socket.once('connect', () => socket.write('PING\r\n'));
    socket.once('data', (data) => settle(data.toString('latin1').startsWith('+PONG')));
  });
}
