import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { postgresBinaries, postgresUser, withSql } from '@belfry/adapter-embedded/testing';

import { freePort, startProgram, untilReady, type Program } from '../bench/programs.ts';
import type { Credentials } from './nats.ts';

const SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '200',
  shared_buffers: '192MB',
  fsync: 'on',
  full_page_writes: 'on',
  synchronous_commit: 'on',
  wal_level: 'replica',
  max_wal_senders: '6',
  wal_keep_size: '512MB',
  max_wal_size: '2GB',
  // When a row was written is checked against when its shard had another owner.
  track_commit_timestamp: 'on',
  hot_standby: 'on',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

/** A Postgres on loopback: a primary, a stand-by of one, or one that was put back to an older state. Its data outlives it. */
export class PostgresNode {
  readonly port: number;
  readonly #data: string;
  readonly #log: string;
  readonly #user: Credentials;
  #program: Program | undefined;

  private constructor(port: number, data: string, user: Credentials) {
    this.port = port;
    this.#data = data;
    this.#log = `${data}.log`;
    this.#user = user;
  }

  static async create(folder: string, name: string, user: Credentials): Promise<PostgresNode> {
    const node = new PostgresNode(await freePort(), path.join(folder, name), user);
    node.#initialize();
    await node.start();
    return node;
  }

  get url(): string {
    return urlOf(this.#user, [this.port]);
  }

  async start(more: Readonly<Record<string, string>> = {}): Promise<void> {
    const settings = Object.entries({ ...SETTINGS, ...more, port: String(this.port) });
    const user = postgresUser(this.#data);
    const program = startProgram(
      postgresBinaries(user).postgres,
      ['-D', '/proc/self/cwd', ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`])],
      { logFile: this.#log, cwd: this.#data, env: { LC_ALL: 'C', TZ: 'UTC' }, ...(user !== undefined && { user }) },
    );
    this.#program = program;
    await untilReady(program, 'Postgres', () => this.#isReady());
  }

  get isRunning(): boolean {
    return this.#program?.isRunning() === true;
  }

  /** As a power failure of the server alone: all its processes at once. */
  async kill(): Promise<void> {
    const program = this.#program;
    if (program === undefined || !program.isRunning()) return;
    const children = childrenOf(program.pid);
    program.signal('SIGKILL');
    for (const pid of children) signalled(pid, 'SIGKILL');
    await program.exited;
  }

  /** Fast shutdown. */
  async stop(): Promise<void> {
    const program = this.#program;
    if (program === undefined || !program.isRunning()) return;
    program.signal('SIGINT');
    await Promise.race([program.exited, delay(20_000, undefined, { ref: false })]);
    await this.kill();
  }

  async sql(statement: string): Promise<readonly { readonly [column: string]: unknown }[]> {
    return await withSql(this.url, (query) => query(statement));
  }

  /** An online base backup into `<name>` beside it: what `pg_basebackup` does, by the functions that it uses. */
  async backUp(name: string): Promise<string> {
    const target = path.join(path.dirname(this.#data), name);
    await withSql(this.url, async (query) => {
      await query(`SELECT pg_backup_start('chaos', true)`);
      copyData(this.#data, target);
      const [stopped] = await query('SELECT labelfile FROM pg_backup_stop(false)');
      rmSync(path.join(target, 'pg_wal'), { recursive: true, force: true });
      copyData(path.join(this.#data, 'pg_wal'), path.join(target, 'pg_wal'));
      this.#write(path.join(target, 'backup_label'), String(stopped?.['labelfile']));
    });
    rmSync(path.join(target, 'postmaster.pid'), { force: true });
    return target;
  }

  /** The server must have ended. Its data is from now on that of the backup, which stays. */
  restore(backup: string): void {
    rmSync(this.#data, { recursive: true, force: true });
    copyData(backup, this.#data);
  }

  /** A streaming stand-by of this one; `synchronous` makes commits wait for it. */
  async standBy(folder: string, name: string): Promise<PostgresNode> {
    const copy = await this.backUp(name);
    const standBy = new PostgresNode(await freePort(), path.join(folder, name), this.#user);
    const { user, password } = this.#user;
    const source = `host=127.0.0.1 port=${this.port} user=${user} password=${password} application_name=standby`;
    appendFileSync(path.join(copy, 'postgresql.auto.conf'), `primary_conninfo = '${source}'\n`);
    standBy.#write(path.join(copy, 'standby.signal'), '');
    await standBy.start();
    await this.sql(`ALTER SYSTEM SET synchronous_standby_names = 'standby'`);
    await this.sql('SELECT pg_reload_conf()');
    await this.#until(`SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'`);
    return standBy;
  }

  async promote(): Promise<void> {
    await this.sql('SELECT pg_promote(true, 30)');
  }

  async #until(statement: string): Promise<void> {
    const deadline = performance.now() + 30_000;
    while ((await this.sql(statement)).length === 0) {
      if (performance.now() > deadline) throw new Error(`never so: ${statement}`);
      await delay(50);
    }
  }

  #initialize(): void {
    const user = postgresUser(this.#data);
    mkdirSync(this.#data, { mode: 0o700 });
    if (user !== undefined) chownSync(this.#data, user.uid, user.gid);
    const password = `${this.#data}.password`;
    writeFileSync(password, `${this.#user.password}\n`, { mode: 0o600 });
    if (user !== undefined) chownSync(password, user.uid, user.gid);
    const input = openSync(password, 'r');
    rmSync(password);
    // Stepped down from root, Postgres may not be allowed through the folders above: it works from inside.
    const access = [`--username=${this.#user.user}`, '--auth=scram-sha-256', '--pwfile=/dev/stdin'];
    const { status, stderr } = spawnSync(
      postgresBinaries(user).initdb,
      ['-D', '/proc/self/cwd', '--encoding=UTF8', '--locale=C', '--no-sync', ...access],
      { cwd: this.#data, stdio: [input, 'ignore', 'pipe'], env: { ...process.env, LC_ALL: 'C' }, ...user },
    );
    closeSync(input);
    if (status !== 0) throw new Error(`initdb failed: ${stderr.toString()}`);
  }

  #isReady(): Promise<boolean> {
    try {
      const lines = readFileSync(path.join(this.#data, 'postmaster.pid'), 'utf8').split('\n');
      const state = lines[7]?.trim();
      return Promise.resolve(lines[0] === String(this.#program?.pid) && (state === 'ready' || state === 'standby'));
    } catch {
      return Promise.resolve(false); // not written yet
    }
  }

  /** A file that the server may read. */
  #write(file: string, text: string): void {
    writeFileSync(file, text, { mode: 0o600 });
    const user = postgresUser(this.#data);
    if (user !== undefined) chownSync(file, user.uid, user.gid);
  }
}

/** For one server or several: whoever connects takes the one that may be written to. */
export function urlOf({ user, password }: Credentials, ports: readonly number[]): string {
  return `postgres://${user}:${password}@${ports.map((port) => `127.0.0.1:${port}`).join(',')}/postgres`;
}

/** Owners and modes as they are; a file that vanishes meanwhile (a temporary one) is no loss. */
function copyData(from: string, to: string): void {
  mkdirSync(to, { recursive: true });
  spawnSync('cp', ['-a', `${from}/.`, to]);
  chmodSync(to, 0o700);
}

function childrenOf(pid: number): number[] {
  try {
    return execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map(Number);
  } catch {
    return []; // has none
  }
}

function signalled(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has gone by itself.
  }
}
