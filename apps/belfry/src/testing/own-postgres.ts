import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import path from 'node:path';

import { postgresUser, type User } from '@belfry/adapter-embedded/testing';

/** Where distributions put a server beside its tools. */
const PLACES = '/usr/lib/postgresql';
const TOOLS = ['initdb', 'pg_ctl', 'pg_basebackup', 'pg_dump', 'pg_restore', 'psql'];

/** The newest Postgres of this machine that has its tools; undefined without one. (The embedded one has none.) */
export function installedPostgres(): string | undefined {
  if (!existsSync(PLACES)) return undefined;
  const versions = readdirSync(PLACES).toSorted((a, b) => Number(b) - Number(a));
  const folders = versions.map((version) => path.join(PLACES, version, 'bin'));
  return folders.find((folder) => TOOLS.every((tool) => existsSync(path.join(folder, tool))));
}

/** A Postgres as an operator has it: a data folder that `pg_ctl` starts, with its tools on the path. */
export class OwnPostgres implements AsyncDisposable {
  readonly url: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #folder: string;
  readonly #user: User | undefined;

  private constructor(folder: string, bin: string, port: number, user: User | undefined) {
    this.url = `postgres://belfry@127.0.0.1:${port}/postgres`;
    this.#folder = folder;
    this.#user = user;
    const PATH = `${bin}:${process.env['PATH'] ?? ''}`;
    this.#env = { PATH, LC_ALL: 'C', HOME: folder, PGDATA: path.join(folder, 'data'), BELFRY_POSTGRES_URL: this.url };
  }

  static async start(parent: string, bin: string): Promise<OwnPostgres> {
    const folder = path.join(parent, 'postgres');
    const user = postgresUser(folder);
    mkdirSync(folder);
    if (user !== undefined) chownSync(folder, user.uid, user.gid);
    const postgres = new OwnPostgres(folder, bin, await freePort(), user);
    await postgres.run('initdb --username=belfry --auth=trust --encoding=UTF8 --no-sync');
    const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', port: new URL(postgres.url).port };
    for (const [name, value] of Object.entries(settings))
      appendFileSync(path.join(folder, 'data', 'postgresql.conf'), `${name} = '${value}'\n`);
    await postgres.run('pg_ctl start --pgdata="$PGDATA" --log="$PGDATA.log" --wait');
    return postgres;
  }

  /** Runs shell commands as the server's user, in a folder beside its data. Throws with what they say when one fails. */
  async run(commands: string): Promise<void> {
    const child = spawn('sh', ['-ec', commands], {
      ...{ cwd: this.#folder, env: this.#env, ...this.#user },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`${commands}\nended with ${code}: ${said}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const args = ['-c', 'pg_ctl stop --pgdata="$PGDATA" --mode=immediate'];
    spawnSync('sh', args, { cwd: this.#folder, env: this.#env, ...this.#user, stdio: 'ignore' });
    await Promise.resolve();
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
