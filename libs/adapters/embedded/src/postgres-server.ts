import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';

import type { Credentials, DataDir } from './data-dir.ts';
import { EmbeddedError, errnoOf, messageOf } from './errors.ts';
import { LOOPBACK } from './ports.ts';
import { postgresBinaries } from './postgres-binaries.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import { pidExists } from './processes.ts';
import { ServerProcess } from './server-process.ts';
import { postgresUser } from './step-down.ts';
import type { User } from './step-down.ts';

const MAJOR_VERSION = '18';

/** For one developer's machine with a few cores; durability as in production. */
const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: LOOPBACK,
  unix_socket_directories: '',
  max_connections: '100',
  shared_buffers: '192MB',
  effective_cache_size: '1GB',
  work_mem: '8MB',
  maintenance_work_mem: '128MB',
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  max_wal_size: '2GB',
  min_wal_size: '256MB',
  checkpoint_timeout: '10min',
  checkpoint_completion_target: '0.9',
  wal_level: 'minimal',
  max_wal_senders: '0',
  jit: 'off',
  random_page_cost: '1.1',
  max_parallel_workers_per_gather: '1',
  autovacuum_max_workers: '2',
  autovacuum_naptime: '20s',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_checkpoints: 'off',
  log_line_prefix: '%m [%p] %q%u@%d ',
};

/** SIGINT is Postgres's fast shutdown: open transactions are rolled back, and a checkpoint is written. */
export const POSTGRES_STOP_SIGNAL = 'SIGINT';

export interface PostgresStart {
  readonly dir: DataDir;
  readonly credentials: Credentials;
  readonly port: number;
  readonly timeoutMs: number;
  readonly onSpawn: (server: ServerProcess) => void;
  readonly onProgress: (line: string) => void;
}

/**
 * How Postgres is told where its data is. Stepped down from root it may not be allowed through the folders above
 * (/root), so it is started inside the folder, and finds it as its working directory.
 */
function dataPath(dir: DataDir, user: User | undefined): string {
  return user === undefined ? dir.postgres : '/proc/self/cwd';
}

function environment(): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !name.startsWith('PG') && !name.startsWith('LC_') && name !== 'LANG',
  );
  return { ...Object.fromEntries(inherited), LC_ALL: 'C', TZ: 'UTC' };
}

/** Starts Postgres on its data, made first if there is none; ready to accept connections when this settles. */
export async function startPostgres(start: PostgresStart): Promise<ServerProcess> {
  const { dir } = start;
  const user = postgresUser(dir.postgres);
  const binaries = postgresBinaries(user);
  if (existsSync(dir.postgres)) checkData(dir);
  else await initialize(start, binaries, user);
  const settings = Object.entries({ ...SETTINGS, port: String(start.port), cluster_name: postgresMark(dir) }).flatMap(
    ([name, value]) => ['-c', `${name}=${value}`],
  );
  const server = await ServerProcess.launch({
    name: 'postgres',
    command: binaries.postgres,
    args: ['-D', dataPath(dir, user), ...settings],
    cwd: dir.postgres,
    env: environment(),
    logFile: dir.postgresLog,
    stopSignal: POSTGRES_STOP_SIGNAL,
    user,
  });
  start.onSpawn(server);
  await server.waitReady(() => isReady(dir, server.pid), start.timeoutMs);
  return server;
}

/** The server writes its state into postmaster.pid; line 8 says `ready` (pg_ctl waits for the same). */
function isReady(dir: DataDir, pid: number): boolean {
  try {
    const lines = readFileSync(path.join(dir.postgres, 'postmaster.pid'), 'utf8').split('\n');
    return lines[0] === String(pid) && lines[7]?.trim() === 'ready';
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
}

function checkData(dir: DataDir): void {
  const file = path.join(dir.postgres, 'PG_VERSION');
  let version: string;
  try {
    version = readFileSync(file, 'utf8').trim();
  } catch (error) {
    const hint =
      errnoOf(error) === 'EACCES' ? ' (was it made by root? then run as root, or use another data directory)' : '';
    throw new EmbeddedError(
      'data_dir_unusable',
      `the database in ${dir.postgres} cannot be read: ${messageOf(error)}${hint}`,
      { cause: error },
    );
  }
  if (version !== MAJOR_VERSION) {
    throw new EmbeddedError(
      'data_dir_mismatch',
      `the database in ${dir.postgres} is of Postgres ${version}, and this is ${MAJOR_VERSION}; use another data directory`,
    );
  }
}

/**
 * What tells a Postgres on this data, its backends included, from all other processes: the cluster name stands in the
 * title of each. A path would be too long for that, and is not in the arguments of a server that stepped down.
 */
export function postgresMark(dir: DataDir): string {
  return `belfry-${createHash('sha256').update(dir.postgres).digest('hex').slice(0, 16)}`;
}

/**
 * Postgres believes the process id in its pid file, if there is such a process; by now that may be a zombie, or another
 * program. Only for the holder of the data directory's lock, once no process has our mark.
 */
export function forgetDeadPostgres(dir: DataDir): void {
  const file = path.join(dir.postgres, 'postmaster.pid');
  try {
    if (pidExists(Number.parseInt(readFileSync(file, 'utf8'), 10))) rmSync(file);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' && errnoOf(error) !== 'EACCES') throw error;
  }
}

/** Makes the database aside and renames it into place: it is whole or absent. */
async function initialize(start: PostgresStart, binaries: PostgresBinaries, user: User | undefined): Promise<void> {
  const { dir } = start;
  start.onProgress('Creating the database');
  const prefix = `${path.basename(dir.postgres)}.new`;
  for (const entry of readdirSync(dir.root)) {
    if (entry.startsWith(prefix)) rmSync(path.join(dir.root, entry), { recursive: true, force: true });
  }
  const aside = path.join(dir.root, prefix);
  const passwordFile = path.join(dir.root, `${prefix}.password`);
  mkdirSync(aside, { mode: 0o700 });
  writeFileSync(passwordFile, `${start.credentials.postgresPassword}\n`, { mode: 0o600 });
  if (user !== undefined) {
    chownSync(aside, user.uid, user.gid);
    chownSync(passwordFile, user.uid, user.gid);
  }
  const passwordFd = openSync(passwordFile, 'r');
  try {
    const target = user === undefined ? aside : '/proc/self/cwd';
    const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
    const access = [`--username=${start.credentials.user}`, '--auth=scram-sha-256', '--pwfile=/dev/fd/3'];
    await run(binaries.initdb, ['-D', target, ...locale, ...access], aside, passwordFd, user, start.timeoutMs);
    renameSync(aside, dir.postgres);
  } finally {
    closeSync(passwordFd);
    rmSync(passwordFile, { force: true });
    rmSync(aside, { recursive: true, force: true });
  }
}

/** Runs a program to its end; its output is quoted if it fails. */
async function run(
  command: string,
  args: readonly string[],
  cwd: string,
  fd3: number,
  user: User | undefined,
  timeoutMs: number,
): Promise<void> {
  const child = spawn(command, args, {
    cwd,
    env: environment(),
    stdio: ['ignore', 'pipe', 'pipe', fd3],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
    ...user,
  });
  let output = '';
  const collect = (chunk: Buffer): void => {
    output = (output + chunk.toString('utf8')).slice(-4_000);
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  const code = await new Promise<number | string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (exitCode, signal) => resolve(exitCode ?? signal ?? 'unknown'));
  });
  if (code !== 0)
    throw new EmbeddedError('start_failed', `${path.basename(command)} failed (${code}):\n${output.trimEnd()}`);
}
