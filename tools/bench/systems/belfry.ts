import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import type { EmbeddedServers } from '@belfry/adapter-embedded';
import { startTestServers } from '@belfry/adapter-embedded/testing';

import type { Cleanup } from '../cleanup.ts';
import type { DriverConfig } from '../driver.ts';
import { profileFlags } from '../plan.ts';
import { freePort, startProgram, untilReady, type Program } from '../programs.ts';
import type { RunningSystem, System } from '../system.ts';

const MAIN = fileURLToPath(new URL('../../../apps/belfry/src/main.ts', import.meta.url));
const ALL_ROLES = 'gateway,scheduler,supervisor';
/** Executions that the one worker process runs at a time. */
const CONCURRENCY = 4_000;

export interface ServerFlags {
  readonly roles?: string;
  /** The same name after a restart takes its shards back at once. */
  readonly nodeId?: string;
  readonly nodeFlags?: readonly string[];
}

/** A `belfry server` process. */
export interface BelfryServer extends Program {
  readonly httpPort: number;
  readonly logFile: string;
}

/** Belfry's servers: embedded NATS and Postgres with fsync on, and no `belfry server` yet. */
export class BelfryGround {
  readonly natsUrl: string;
  readonly #folder: string;
  readonly #postgresUrl: string;
  readonly #natsMonitorUrl: string;
  readonly #cleanup: Cleanup;
  #started = 0;

  private constructor(servers: EmbeddedServers, cleanup: Cleanup) {
    this.#natsMonitorUrl = servers.natsMonitorUrl;
    this.natsUrl = servers.natsUrl;
    this.#postgresUrl = servers.postgresUrl;
    this.#folder = servers.dataDir;
    this.#cleanup = cleanup;
  }

  static async start(cleanup: Cleanup): Promise<BelfryGround> {
    return new BelfryGround(
      cleanup.add(await startTestServers(), (it) => it.stop()),
      cleanup,
    );
  }

  /** Starts a server process, without waiting for anything. */
  async spawnServer(flags: ServerFlags = {}): Promise<BelfryServer> {
    const httpPort = await freePort();
    const logFile = path.join(this.#folder, `belfry-${++this.#started}.log`);
    const own = ['--roles', flags.roles ?? ALL_ROLES, '--http-port', String(httpPort), '--json'];
    const named = flags.nodeId === undefined ? [] : ['--node-id', flags.nodeId];
    const program = startProgram(process.execPath, [...(flags.nodeFlags ?? []), MAIN, 'server', ...own, ...named], {
      logFile,
      env: { BELFRY_NATS_URL: this.natsUrl, BELFRY_POSTGRES_URL: this.#postgresUrl },
    });
    this.#cleanup.add(program, (it) => it.stop());
    return { ...program, httpPort, logFile };
  }

  /** Starts server processes, and settles when they own their shards. */
  async startServers(...processes: readonly ServerFlags[]): Promise<BelfryServer[]> {
    const servers = await Promise.all(processes.map((flags) => this.spawnServer(flags)));
    await Promise.all(
      servers.map((server) => untilReady(server, 'belfry server', () => Promise.resolve(saysReady(server)))),
    );
    return servers;
  }

  /** As the servers themselves say. */
  async versions(): Promise<{ natsServer: string; postgres: string }> {
    const answer = await fetch(`${this.#natsMonitorUrl}/varz`);
    const { version: natsServer } = (await answer.json()) as { version: string };
    const log = readFileSync(path.join(this.#folder, 'postgres.log'), 'utf8');
    return { natsServer, postgres: /starting PostgreSQL (\S+)/.exec(log)?.[1] ?? 'unknown' };
  }

  driver(queue: string): DriverConfig {
    return { driver: 'belfry', natsUrl: this.natsUrl, queue, concurrency: CONCURRENCY };
  }
}

function saysReady(server: BelfryServer): boolean {
  return readFileSync(server.logFile, 'utf8').includes('{"ready":true');
}

/** Belfry as a system to compare: one server process with all roles. */
export function belfry(profileDir: string | undefined): System {
  return {
    name: 'Belfry',
    settings:
      'one server process with all roles, NATS with sync_interval always, Postgres with fsync and synchronous_commit on; ' +
      'tasks that come due have precision high',
    isPeer: false,
    inFlight: 4,
    async start(cleanup): Promise<RunningSystem> {
      const ground = await BelfryGround.start(cleanup);
      await ground.startServers({ nodeFlags: profileDir === undefined ? [] : profileFlags(profileDir, 'server') });
      return { driver: (queue) => ground.driver(queue) };
    },
  };
}
