import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { natsBinary } from '@belfry/adapter-embedded/testing';

import { freePort, startProgram, untilReady, type Program } from '../bench/programs.ts';
import { lackOf, OF_SERVER, Proxy, type Fault } from './proxy.ts';
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
  readonly #routes: Routes;
  #program: Program | undefined;

  private constructor(
    { name, ports, disk, routes }: { name: string; ports: Ports; disk: SmallDisk | undefined; routes: Routes },
    binary: string,
    config: string,
    log: string,
  ) {
    this.name = name;
    this.disk = disk;
    this.#routes = routes;
    this.port = ports.client;
    this.#monitorPort = ports.monitor;
    this.#binary = binary;
    this.#config = config;
    this.#log = log;
  }

  /**
   * Starts `count` of them, as a cluster if there are several. They share the credentials `user`. With `diskBytes`, each has a disk of that
   * size. With `proxies`, they reach each other through proxies, one for each that dials and each that is dialled.
   */
  static async startAll(
    folder: string,
    count: number,
    user: Credentials,
    { diskBytes, proxies = false }: { readonly diskBytes?: number | undefined; readonly proxies?: boolean } = {},
  ): Promise<NatsNode[]> {
    const binary = await natsBinary(() => undefined);
    const ports: Ports[] = [];
    for (let i = 0; i < count; i++) {
      ports.push({ client: await freePort(), monitor: await freePort(), cluster: await freePort() });
    }
    const routes = proxies && count > 1 ? await routesBetween(ports) : ports.map((): Routes => NO_ROUTES);
    const nodes: NatsNode[] = [];
    for (const [at, own] of ports.entries()) {
      const name = `nats-${at + 1}`;
      const home = path.join(folder, name);
      mkdirSync(home, { recursive: true });
      const config = path.join(home, 'nats.conf');
      const mine = routes[at] as Routes;
      const peers =
        count === 1 ? [] : mine === NO_ROUTES ? ports.map(({ cluster }) => cluster) : mine.out.map(({ port }) => port);
      writeFileSync(config, configuration({ name, home, own, peers, user, direct: mine === NO_ROUTES }), {
        mode: 0o600,
      });
      const disk = diskBytes === undefined ? undefined : await SmallDisk.make(storeOf(home), diskBytes);
      const log = path.join(home, 'nats.log');
      nodes.push(new NatsNode({ name, ports: own, disk, routes: mine }, binary.path, config, log));
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

  get isStopped(): boolean {
    return this.#program?.isStopped() === true;
  }

  async stop(): Promise<void> {
    this.signal('SIGCONT');
    await this.#program?.stop(10_000);
  }

  /** It, and its disk with all that it has on it. */
  async abandon(): Promise<void> {
    await this.stop();
    await this.disk?.stop();
    for (const proxy of this.#routes.out) await proxy.close();
  }

  /** Between it and the other nodes; its clients reach it all the same. */
  cut(fault: Fault): void {
    for (const proxy of this.#routes.out) proxy.set(fault);
    for (const proxy of this.#routes.in) proxy.set(OF_SERVER.fault(fault));
  }

  /** What such a cut has not done so far that it should have; undefined when it took effect. */
  cutLacks(fault: Fault): string | undefined {
    const effects = [
      ...this.#routes.out.map(({ effect }) => effect),
      ...this.#routes.in.map(({ effect }) => OF_SERVER.effect(effect)),
    ];
    return lackOf(fault, 0, effects);
  }

  /** How many routes it has, and how many of them it has made past the proxies: to a port at which a node listens itself. */
  async routes(): Promise<{ readonly all: number; readonly direct: number }> {
    const answer = await fetch(`http://127.0.0.1:${this.#monitorPort}/routez`);
    const { routes = [] } = (await answer.json()) as { readonly routes?: readonly { readonly port: number }[] };
    return { all: routes.length, direct: routes.filter(({ port }) => this.#routes.peers.has(port)).length };
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

/** Proxies to other nodes, and from them. */
interface Routes {
  readonly out: readonly Proxy[];
  readonly in: readonly Proxy[];
  /** Where the nodes listen themselves. */
  readonly peers: ReadonlySet<number>;
}

const NO_ROUTES: Routes = { out: [], in: [], peers: new Set() };

async function routesBetween(ports: readonly Ports[]): Promise<Routes[]> {
  const peers = new Set(ports.map(({ cluster }) => cluster));
  const routes = ports.map(() => ({ out: [] as Proxy[], in: [] as Proxy[], peers }));
  for (const [from, { out }] of routes.entries()) {
    for (const [to, { cluster }] of ports.entries()) {
      if (from === to) continue;
      const proxy = await Proxy.start(cluster);
      out.push(proxy);
      routes[to]?.in.push(proxy);
    }
  }
  return routes;
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

function configuration(of: {
  readonly name: string;
  readonly home: string;
  readonly own: Ports;
  /** Where it reaches the other nodes. */
  readonly peers: readonly number[];
  /** They may also learn of each other's addresses. */
  readonly direct: boolean;
  readonly user: Credentials;
}): string {
  const { name, home, own, peers, direct, user } = of;
  const text = JSON.stringify;
  const routes = peers.map((port) => `nats-route://127.0.0.1:${port}`);
  // Nor must nodes learn of each other's: what they tell each other is a port at which nobody listens.
  const advertise = direct ? '' : 'advertise: "127.0.0.1:1", ';
  // Clients must not learn of addresses that go round their proxies.
  const cluster = `cluster { name: chaos, host: "127.0.0.1", port: ${own.cluster}, no_advertise: true, ${advertise}routes: ${text(routes)} }`;
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
