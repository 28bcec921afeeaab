import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { startProgram, untilReady, type Program } from '../bench/programs.ts';
import type { Death, Order } from './drill.ts';
import type { Moment } from './moments.ts';
import { lackOf, type Fault, type Proxy } from './proxy.ts';
import { RunLog } from './run-log.ts';

const MAIN = fileURLToPath(new URL('../../apps/belfry/src/main.ts', import.meta.url));
const WORKER = fileURLToPath(new URL('worker.ts', import.meta.url));
const DRILL = new URL('drill.ts', import.meta.url).href;

export interface Health {
  readonly ok: boolean;
  readonly parts: {
    readonly nats: string;
    readonly postgres: string;
    readonly scheduler?: {
      readonly owned: readonly number[];
      readonly tasks: number;
      readonly inboxGap?: { readonly shards: readonly number[]; readonly foundMs: number };
    };
    readonly supervisor?: { readonly leads: boolean };
  };
}

/** Where a member's files are, and what it is told of the servers. */
export interface Place {
  readonly folder: string;
  readonly natsUrl: string;
  readonly postgresUrl: string;
  readonly slots: number;
}

/** A program of Belfry, or a worker: started, killed and started again under one name. */
export class Member {
  readonly name: string;
  /** Empty: a worker. */
  readonly roles: string;
  readonly natsProxies: readonly Proxy[];
  readonly postgresProxies: readonly Proxy[];
  /** A file with the ms by which its clock shall be off. */
  readonly clockFile: string;
  readonly logs: RunLog[] = [];
  readonly #place: Place;
  readonly #orderFile: string;
  readonly #toldFile: string;
  readonly #deathFile: string;
  #program: Program | undefined;
  #incarnation = 0;
  #http = 0;

  constructor(name: string, roles: string, place: Place, proxies: { nats: Proxy[]; postgres: Proxy[] }) {
    this.name = name;
    this.roles = roles;
    this.#place = place;
    this.natsProxies = proxies.nats;
    this.postgresProxies = proxies.postgres;
    const file = (what: string): string => path.join(place.folder, `${name}.${what}`);
    this.clockFile = file('clock');
    this.#orderFile = file('order');
    this.#toldFile = file('told');
    this.#deathFile = file('death');
    writeFileSync(this.clockFile, '');
  }

  get isRunning(): boolean {
    return this.#program?.isRunning() === true;
  }

  /** Stopped by a signal, as the system has it. */
  get isStopped(): boolean {
    return this.#program?.isStopped() === true;
  }

  get schedules(): boolean {
    return this.roles.includes('scheduler');
  }

  /** The name of the present process: another one after each start. */
  get incarnation(): string {
    return `${this.name}_${this.#incarnation}`;
  }

  /** Starts it, without waiting. */
  async begin(): Promise<void> {
    if (this.isRunning) return;
    this.#incarnation++;
    rmSync(this.#deathFile, { force: true });
    const { folder, natsUrl, postgresUrl } = this.#place;
    const servers = { BELFRY_NATS_URL: natsUrl, BELFRY_POSTGRES_URL: postgresUrl };
    const logFile = path.join(folder, `${this.incarnation}.log`);
    const isWorker = this.roles === '';
    const runsFile = path.join(folder, `${this.incarnation}.runs`);
    if (isWorker) this.logs.push(new RunLog(this.incarnation, runsFile));
    // A name of its own, so that the supervisor does not take it for one that flaps.
    const named = ['--node-id', this.incarnation, '--json', '--http-port', '0'];
    const server = ['server', '--roles', this.roles, ...named];
    const args = isWorker
      ? [WORKER, runsFile, this.incarnation, String(this.#place.slots)]
      : [MAIN, ...server, '--replicas', String(this.#replicas)];
    this.#program = startProgram(process.execPath, ['--import', DRILL, ...args], {
      logFile,
      env: { ...servers, CHAOS_ORDER: this.#orderFile, BELFRY_CLOCK_DRILL: this.clockFile },
    });
  }

  get #replicas(): number {
    return this.#place.natsUrl.split(',').length >= 3 ? 3 : 1;
  }

  async start(): Promise<void> {
    await this.begin();
    await this.untilReady();
  }

  async untilReady(timeoutMs = 90_000): Promise<void> {
    await untilReady(this.#program as Program, this.name, async () => this.log().includes('{"ready":true'), timeoutMs);
    const ready = /^\{"ready":true.*$/m.exec(this.log())?.[0] ?? '{}';
    this.#http = (JSON.parse(ready) as { readonly http?: number }).http ?? 0;
  }

  signal(name: NodeJS.Signals): void {
    this.#program?.signal(name);
  }

  /** Resolves when it has ended. */
  async exited(): Promise<void> {
    await this.#program?.exited;
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited();
  }

  /** SIGTERM, and SIGKILL where that takes too long. */
  async stop(): Promise<void> {
    this.signal('SIGCONT');
    await this.#program?.stop();
  }

  /** Its drill follows this; one at a time. */
  order(order: Order): void {
    writeFileSync(this.#orderFile, JSON.stringify(order));
    this.signal('SIGUSR2');
  }

  /** It kills itself at the next such moment that is not about `unless`. */
  orderDeath(at: Moment, unless?: string): void {
    this.order({ do: 'die', at, into: this.#deathFile, ...(unless !== undefined && { unless }) });
  }

  /** Of its present process, which was ordered it; undefined: it has not come to that. */
  get death(): Death | undefined {
    return existsSync(this.#deathFile) ? (JSON.parse(readFileSync(this.#deathFile, 'utf8')) as Death) : undefined;
  }

  /** The hash of the state of each shard that it has taken over; of one shard, its state as text. */
  async told<T extends string | Readonly<Record<string, string>>>(shard?: number): Promise<T> {
    rmSync(this.#toldFile, { force: true });
    this.order({ do: 'tell', into: this.#toldFile, ...(shard !== undefined && { shard }) });
    const isThere = (): Promise<boolean> => Promise.resolve(existsSync(this.#toldFile));
    await untilReady(this.#program as Program, `the state of ${this.name}`, isThere);
    return JSON.parse(readFileSync(this.#toldFile, 'utf8')) as T;
  }

  /** Undefined while it does not run. */
  get pid(): number | undefined {
    return this.isRunning ? this.#program?.pid : undefined;
  }

  /** The sum of a gauge's values; undefined when it does not answer, or has no such gauge. */
  async metric(name: string): Promise<number | undefined> {
    const text = await this.#get('/metrics', (response) => response.text());
    if (text === undefined) return undefined;
    const values = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'))];
    return values.length === 0 ? undefined : values.reduce((sum, [, value]) => sum + Number(value), 0);
  }

  /** Between it and all servers of a kind. */
  cut(servers: 'nats' | 'postgres', fault: Fault, delayMs = 0): void {
    for (const proxy of this.#proxies(servers)) proxy.set(fault, delayMs);
  }

  /** What such a cut has not done so far that it should have; undefined when it took effect. */
  cutLacks(servers: 'nats' | 'postgres', fault: Fault, delayMs = 0): string | undefined {
    const effects = this.#proxies(servers).map(({ effect }) => effect);
    return lackOf(fault, delayMs, effects);
  }

  /** Whether it is connected to this one of the NATS nodes, through its proxy. */
  isAt(node: number): boolean {
    return (this.natsProxies[node]?.connections ?? 0) > 0;
  }

  #proxies(servers: 'nats' | 'postgres'): readonly Proxy[] {
    return servers === 'nats' ? this.natsProxies : this.postgresProxies;
  }

  /** Undefined while it does not answer. */
  async health(): Promise<Health | undefined> {
    return await this.#get('/healthz', async (response) => (await response.json()) as Health);
  }

  async #get<T>(page: string, read: (response: Response) => Promise<T>): Promise<T | undefined> {
    if (!this.isRunning) return undefined;
    try {
      return await read(await fetch(`http://127.0.0.1:${this.#http}${page}`, { signal: AbortSignal.timeout(1_000) }));
    } catch {
      return undefined;
    }
  }

  /** What the present process has logged. */
  log(): string {
    const file = path.join(this.#place.folder, `${this.incarnation}.log`);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }
}
