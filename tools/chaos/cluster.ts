import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { Belfry } from '@belfry/sdk';

import { Cleanup } from '../bench/cleanup.ts';
import type { Absence, Run } from './check.ts';
import type { Ownership, StoredEnd, Taken } from './epochs.ts';
import { Member } from './member.ts';
import { NatsNode, newCredentials, type Credentials } from './nats.ts';
import { PostgresNode, urlOf } from './postgres.ts';
import { Proxy } from './proxy.ts';

export const SHARDS = 256;
const FILL_BATCH = 50_000;
const SMALL_DISK_BYTES = 128 * 1024 ** 2;

/** What stands under a case. */
export interface Ground {
  readonly natsNodes: 1 | 3;
  /** Each NATS node has a disk of its own, so small that it can be filled. */
  readonly smallDisks: boolean;
  readonly standBy: boolean;
  /** Each program reaches each server through a proxy of its own, and each NATS node the others. */
  readonly proxies: boolean;
  /** Programs with the roles scheduler and supervisor. */
  readonly schedulers: number;
  readonly gateways: number;
  readonly workers: number;
  /** Executions that a worker runs at a time. */
  readonly slots: number;
}

/** Servers and programs on loopback, which can be broken one by one. */
export class Cluster implements AsyncDisposable {
  readonly ground: Ground;
  readonly folder: string;
  readonly nats: readonly NatsNode[];
  /** The primary, and its stand-by if there is one. */
  readonly postgres: PostgresNode[];
  readonly members: readonly Member[];
  /** For clients that are no part of the experiment: straight to the servers. */
  readonly natsUrl: string;
  readonly absences: Absence[] = [];
  readonly #cleanup: Cleanup;
  /** By shard and epoch. */
  readonly #taken = new Map<string, Taken>();
  #filled = 0;

  private constructor(parts: {
    readonly ground: Ground;
    readonly folder: string;
    readonly nats: readonly NatsNode[];
    readonly postgres: PostgresNode[];
    readonly members: readonly Member[];
    readonly natsUrl: string;
    readonly cleanup: Cleanup;
  }) {
    this.ground = parts.ground;
    this.folder = parts.folder;
    this.nats = parts.nats;
    this.postgres = parts.postgres;
    this.members = parts.members;
    this.natsUrl = parts.natsUrl;
    this.#cleanup = parts.cleanup;
  }

  static async start(ground: Ground): Promise<Cluster> {
    const cleanup = new Cleanup();
    try {
      const folder = cleanup.add(mkdtempSync(path.join(tmpdir(), 'belfry-chaos-')), (it) =>
        process.env['CHAOS_KEEP'] === undefined ? rmSync(it, { recursive: true, force: true }) : undefined,
      );
      const user = newCredentials();
      const [nats, primary] = await Promise.all([
        NatsNode.startAll(folder, ground.natsNodes, user, {
          diskBytes: ground.smallDisks ? SMALL_DISK_BYTES : undefined,
          proxies: ground.proxies,
        }),
        PostgresNode.create(folder, 'postgres', user),
      ]);
      for (const node of nats) cleanup.add(node, (it) => it.abandon());
      cleanup.add(primary, (it) => it.stop());
      const postgres = [primary];
      if (ground.standBy) postgres.push(cleanup.add(await primary.standBy(folder, 'standby'), (it) => it.stop()));
      const members: Member[] = [];
      const wanted: [string, number, string][] = [
        ['s', ground.schedulers, 'scheduler,supervisor'],
        ['g', ground.gateways, 'gateway'],
        ['w', ground.workers, ''],
      ];
      for (const [letter, count, roles] of wanted) {
        for (let i = 1; i <= count; i++) {
          members.push(await placeMember(`${letter}${i}`, roles, { folder, user, ground, nats, postgres }, cleanup));
        }
      }
      for (const member of members) cleanup.add(member, (it) => it.stop());
      const natsUrl = natsUrlOf(user, nats.map(({ port }) => port)); // prettier-ignore
      const cluster = new Cluster({ ground, folder, nats, postgres, members, natsUrl, cleanup });
      await cluster.heal();
      return cluster;
    } catch (error) {
      await cleanup.run().catch(() => undefined);
      throw error;
    }
  }

  /** Tasks that wait far in the future. */
  get filled(): number {
    return this.#filled;
  }

  get primary(): PostgresNode {
    return this.postgres[0] as PostgresNode;
  }

  get schedulers(): Member[] {
    return this.members.filter(({ schedules, isRunning }) => schedules && isRunning);
  }

  get gateways(): Member[] {
    return this.members.filter(({ roles, isRunning }) => roles.includes('gateway') && isRunning);
  }

  get workers(): Member[] {
    return this.members.filter(({ roles, isRunning }) => roles === '' && isRunning);
  }

  member(name: string): Member {
    return this.members.find((member) => member.name === name) as Member;
  }

  async leader(): Promise<Member> {
    for (const member of this.schedulers) {
      if ((await member.health())?.parts.supervisor?.leads === true) return member;
    }
    throw new Error('nobody leads');
  }

  /** Kills a worker, and says so to the checker. */
  async killWorker(worker: Member): Promise<void> {
    this.absences.push({ worker: worker.incarnation, fromMs: Date.now(), untilMs: Infinity });
    await worker.kill();
  }

  /** A worker that crashes by itself, or cannot be heard. */
  absent(worker: Member, fromMs: number, untilMs: number): void {
    this.absences.push({ worker: worker.incarnation, fromMs, untilMs });
  }

  /** Everything is mended, and everybody who should be there is: all shards owned, once, by all schedulers. */
  async heal(timeoutMs = 120_000): Promise<void> {
    for (const node of this.nats) {
      node.signal('SIGCONT');
      node.cut('pass');
      if (!node.isRunning) await node.start();
    }
    for (const node of this.postgres) if (!node.isRunning) await node.start();
    for (const member of this.members) {
      member.signal('SIGCONT');
      member.cut('nats', 'pass');
      member.cut('postgres', 'pass');
      writeFileSync(member.clockFile, '');
    }
    const missing = this.members.filter(({ isRunning }) => !isRunning);
    for (const member of missing) await member.begin();
    await Promise.all(missing.map((member) => member.untilReady()));
    let lacks: string | undefined;
    const isWhole = async (): Promise<boolean> => (lacks = await this.#lacks()) === undefined;
    await this.until('all shards are owned once, and all is healthy', isWhole, timeoutMs).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}: ${lacks}`, { cause: error });
    });
  }

  async until(what: string, holds: () => Promise<boolean> | boolean, timeoutMs = 60_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await holds())) {
      if (performance.now() > deadline) throw new Error(`never came: ${what}`);
      await delay(100);
    }
  }

  /** Of all workers, those that were killed too. */
  runs(): Run[] {
    return this.members.flatMap(({ logs }) => logs.flatMap((log) => log.read()));
  }

  /** How many of them there are: cheap, however many. */
  get begun(): number {
    return this.members.reduce((sum, { logs }) => sum + logs.reduce((of, log) => of + log.read().length, 0), 0);
  }

  /** How executions ended that were due since then, as the history has it. */
  async historySince(fromMs: number): Promise<StoredEnd[]> {
    const rows = await this.primary.sql(
      `SELECT replace(task::text, '-', '') AS task, scheduled_at AS at, state, epoch::float8,
         floor(extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000)::float8 AS stored
       FROM belfry.execution WHERE scheduled_at >= ${fromMs}`,
    );
    return rows.map(({ task, at, state, epoch, stored }) => ({
      execution: `${String(task)}-${Number(at).toString(36)}`,
      succeeded: state === 's',
      epoch: Number(epoch),
      storedMs: stored === null ? undefined : Number(stored),
    }));
  }

  /** Who owns the shards, and who did. What was read once is known also when a database is put back that knows nothing of it. */
  async ownership(): Promise<Ownership> {
    const rows = await this.primary.sql(
      `SELECT shard, o.epoch::float8, o.node, at::float8, s.epoch::float8 AS now, s.node AS owner
       FROM belfry.ownership o JOIN belfry.shard s USING (shard)`,
    );
    const heads = new Map<number, Ownership['heads'][number]>();
    for (const row of rows) {
      const [shard, epoch] = [Number(row['shard']), Number(row['epoch'])];
      this.#taken.set(`${shard} ${epoch}`, { shard, epoch, node: String(row['node']), atMs: Number(row['at']) });
      heads.set(shard, { shard, epoch: Number(row['now']), node: String(row['owner']) });
    }
    const owners = new Map<number, string>();
    for (const member of this.schedulers)
      for (const shard of (await member.health())?.parts.scheduler?.owned ?? []) owners.set(shard, member.incarnation);
    return { taken: [...this.#taken.values()], heads: [...heads.values()], owners };
  }

  async ownedShards(): Promise<Map<string, readonly number[]>> {
    const owned = new Map<string, readonly number[]>();
    for (const member of this.schedulers) {
      owned.set(member.name, (await member.health())?.parts.scheduler?.owned ?? []);
    }
    return owned;
  }

  /** Tasks that wait far in the future: made once, however often it is asked for. */
  async fill(tasks: number, at: number): Promise<void> {
    if (this.#filled >= tasks) return;
    await using client = new Belfry({ url: this.natsUrl });
    for (let from = this.#filled; from < tasks; from += FILL_BATCH) {
      const length = Math.min(FILL_BATCH, tasks - from);
      const specs = Array.from({ length }, (_, i) => ({
        at: at + from + i,
        queue: 'idle',
        handler: 'none',
        payload: from + i,
      }));
      for (const result of await client.scheduleMany(specs)) {
        if ('error' in result) throw new Error(`a task was refused: ${JSON.stringify(result.error)}`);
      }
    }
    this.#filled = tasks;
  }

  /** How many of them are not stored as waiting for their fire, once they should be. */
  async filledLost(): Promise<number> {
    const waiting = `SELECT count(*)::int AS waiting FROM belfry.task JOIN belfry.target ON target.id = task.target
      WHERE target.queue = 'idle' AND ended_state IS NULL`;
    const lost = async (): Promise<number> => this.#filled - Number((await this.primary.sql(waiting))[0]?.['waiting']);
    await this.until('all that wait are stored', async () => (await lost()) === 0).catch(() => undefined);
    return await lost();
  }

  async versions(): Promise<{ readonly natsServer: string; readonly postgres: string }> {
    const natsServer = await (this.nats[0] as NatsNode).version();
    const [row] = await this.primary.sql('SHOW server_version');
    return { natsServer, postgres: String(row?.['server_version']) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanup.run();
  }

  /** What is not as it should be, if anything is not. */
  async #lacks(): Promise<string | undefined> {
    const servers = this.members.filter(({ roles, isRunning }) => roles !== '' && isRunning);
    const healths = await Promise.all(servers.map((member) => member.health()));
    const of = servers.map(({ name }, at) => ({ name, health: healths[at] }));
    const unwell = of.filter(({ health }) => health?.ok !== true);
    if (unwell.length > 0) return `not healthy: ${JSON.stringify(unwell)}`;
    const leaders = of.filter(({ health }) => health?.parts.supervisor?.leads === true);
    if (leaders.length !== 1) return `${leaders.length} lead`;
    const owners = of.flatMap(({ name, health }) =>
      health?.parts.scheduler === undefined ? [] : [{ name, owned: health.parts.scheduler.owned }],
    );
    const all = owners.flatMap(({ owned }) => owned);
    const isRight =
      all.length === SHARDS && new Set(all).size === SHARDS && owners.every(({ owned }) => owned.length > 0);
    return isRight ? undefined : `owned: ${owners.map(({ name, owned }) => `${name} ${owned.length}`).join(', ')}`;
  }
}

interface Surroundings {
  readonly folder: string;
  readonly user: Credentials;
  readonly ground: Ground;
  readonly nats: readonly NatsNode[];
  readonly postgres: readonly PostgresNode[];
}

async function placeMember(name: string, roles: string, around: Surroundings, cleanup: Cleanup): Promise<Member> {
  const { folder, user, ground, nats, postgres } = around;
  mkdirSync(folder, { recursive: true });
  const proxied = async (ports: readonly number[]): Promise<Proxy[]> =>
    ground.proxies
      ? await Promise.all(ports.map(async (port) => cleanup.add(await Proxy.start(port), (it) => it.close())))
      : [];
  const natsPorts = nats.map(({ port }) => port);
  const postgresPorts = postgres.map(({ port }) => port);
  const proxies = { nats: await proxied(natsPorts), postgres: await proxied(postgresPorts) };
  const through = (own: readonly Proxy[], direct: readonly number[]): readonly number[] =>
    own.length === 0 ? direct : own.map(({ port }) => port);
  const place = {
    folder,
    slots: ground.slots,
    natsUrl: natsUrlOf(user, through(proxies.nats, natsPorts)),
    postgresUrl: urlOf(user, through(proxies.postgres, postgresPorts)),
  };
  return new Member(name, roles, place, proxies);
}

function natsUrlOf({ user, password }: Credentials, ports: readonly number[]): string {
  return ports.map((port) => `nats://${user}:${password}@127.0.0.1:${port}`).join(',');
}
