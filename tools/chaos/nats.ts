import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { natsBinary } from '@belfry/adapter-embedded/testing';

import { freePort, startProgram, untilReady, type Program } from '../bench/programs.ts';
import { SmallDisk } from './small-disk.ts';

/** A nats-server with JetStream on loopback, alone or one of three, with a data folder that outlives it. */
export class NatsNode {
  readonly name: string;
  readonly port: number;
  readonly #monitorPort: number;
  readonly #binary: string;
  readonly #config: string;
  readonly #log: string;
  /** Where its data is, if that is a disk of its own. */
  readonly disk: SmallDisk | undefined;
  #program: Program | undefined;

  private constructor(
    { name, ports, disk }: { name: string; ports: Ports; disk: SmallDisk | undefined },
    binary: string,
    config: string,
    log: string,
  ) {
    this.name = name;
    this.disk = disk;
    this.port = ports.client;
    this.#monitorPort = ports.monitor;
    this.#binary = binary;
    this.#config = config;
    this.#log = log;
  }

  /**
   * Starts `count` of them, as a cluster if there are several. They share the credentials `user`. With `diskBytes`, each has a disk of that size.
   */
  static async startAll(folder: string, count: number, user: Credentials, diskBytes?: number): Promise<NatsNode[]> {
    const binary = await natsBinary(() => undefined);
    const ports: Ports[] = [];
    for (let i = 0; i < count; i++) {
      ports.push({ client: await freePort(), monitor: await freePort(), cluster: await freePort() });
    }
    const nodes: NatsNode[] = [];
    for (const [at, own] of ports.entries()) {
      const name = `nats-${at + 1}`;
      const home = path.join(folder, name);
      mkdirSync(home, { recursive: true });
      const config = path.join(home, 'nats.conf');
      writeFileSync(config, configuration(name, home, own, count === 1 ? [] : ports, user), { mode: 0o600 });
      const disk = diskBytes === undefined ? undefined : await SmallDisk.make(storeOf(home), diskBytes);
      nodes.push(new NatsNode({ name, ports: own, disk }, binary.path, config, path.join(home, 'nats.log')));
    }
    await Promise.all(nodes.map((node) => node.start()));
    return nodes;
  }

  get isRunning(): boolean {
    return this.#program?.isRunning() === true;
  }

  /** Starts it, and waits until JetStream serves: in a cluster, until it has caught up. */
  async start(timeoutMs = 60_000): Promise<void> {
    this.begin();
    await untilReady(this.#program as Program, this.name, () => this.isHealthy(), timeoutMs);
  }

  /** Starts it without waiting: where a quorum is missing it does not become ready. */
  begin(): void {
    if (this.isRunning) return;
    const args = ['--config', this.#config];
    const [command, words] = this.disk?.enter(this.#binary, args) ?? [this.#binary, args];
    this.#program = startProgram(command, words, { logFile: this.#log });
  }

  async untilHealthy(timeoutMs = 60_000): Promise<void> {
    await untilReady(this.#program as Program, this.name, () => this.isHealthy(), timeoutMs);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.#program?.exited;
  }

  signal(name: NodeJS.Signals): void {
    this.#program?.signal(name);
  }

  async stop(): Promise<void> {
    this.signal('SIGCONT');
    await this.#program?.stop(10_000);
  }

  /** It, and its disk with all that it has on it. */
  async abandon(): Promise<void> {
    await this.stop();
    await this.disk?.stop();
  }

  async version(): Promise<string> {
    const answer = await fetch(`http://127.0.0.1:${this.#monitorPort}/varz`);
    return ((await answer.json()) as { version: string }).version;
  }

  /** What it has logged, over all its starts. */
  log(): string {
    return readFileSync(this.#log, 'utf8');
  }

  /** Whether it says so itself, as operators ask it. */
  async isHealthy(): Promise<boolean> {
    const signal = AbortSignal.timeout(2_000);
    try {
      const response = await fetch(`http://127.0.0.1:${this.#monitorPort}/healthz`, { signal });
      await response.arrayBuffer();
      return response.ok;
    } catch {
      await delay(50);
      return false;
    }
  }
}

interface Ports {
  readonly client: number;
  readonly monitor: number;
  readonly cluster: number;
}

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

export function newCredentials(): Credentials {
  return { user: 'belfry', password: randomBytes(12).toString('hex') };
}

/** Not what fits the disk: what the streams reserve does not count, what is written does. */
const MAX_STORE_BYTES = 2 ** 40;

function storeOf(home: string): string {
  return path.join(home, 'store');
}

function configuration(name: string, home: string, own: Ports, peers: readonly Ports[], user: Credentials): string {
  const text = JSON.stringify;
  const routes = peers.map(({ cluster }) => `nats-route://127.0.0.1:${cluster}`);
  // Clients must not learn of addresses that go round their proxies.
  const cluster = `cluster { name: chaos, host: "127.0.0.1", port: ${own.cluster}, no_advertise: true, routes: ${text(routes)} }`;
  return `server_name: ${name}
host: "127.0.0.1"
port: ${own.client}
http: "127.0.0.1:${own.monitor}"
max_payload: 1048576
max_pending: 268435456
authorization { user: ${text(user.user)}, password: ${text(user.password)} }
jetstream { store_dir: ${text(storeOf(home))}, sync_interval: always, max_file_store: ${MAX_STORE_BYTES} }
${peers.length === 0 ? '' : cluster}
`;
}
