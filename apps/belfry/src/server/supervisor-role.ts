import { availableParallelism } from 'node:os';
import type { Messenger } from '@belfry/actor-runtime';
import {
  levelOf,
  type Lease,
  type LeaseStore,
  type Placement,
  type PlacementStore,
  type WorkQueue,
} from '@belfry/ports';
import { isName, isObject, LIMITS, subjects, wireError, type WireError } from '@belfry/protocol';
import type { Clock, Log } from '@belfry/scheduler';
import {
  LeaderWatch,
  Levels,
  Supervisor,
  type NodeHeartbeat,
  type Order,
  type SupervisorEffect,
} from '@belfry/supervisor';
import { LeaseKeeper } from './lease-keeper.ts';
import { OperatorsDesk } from './operators/desk.ts';

const LEASE = 'supervisor';
const TICK_MS = 250;
/** How often a stand-by asks for the lease. */
const STAND_BY_MS = 500;
/** How long a silent node is waited for when it is asked whether it is there. */
const PING_MS = 1_000;
const FIRST_LOOK_MS = 250;

export interface SupervisorRoleOptions {
  readonly node: string;
  readonly shards: number;
  readonly leases: LeaseStore;
  readonly placements: PlacementStore;
  readonly work: Pick<WorkQueue, 'leases' | 'setLease'>;
  readonly messenger: Messenger;
  readonly clock: Clock;
  /** Whether nothing of the broker is heard: one that tells that it leads, and hears nothing, keeps others from leading. */
  readonly isDeaf: () => boolean;
  readonly log: Log;
  /** Writes down, for programs that start, that this level may be written from now on. */
  readonly raiseLevel: (level: number) => Promise<void>;
  /** What only a leader does, once a minute: trimming, partitions. */
  readonly housekeeping: () => Promise<void>;
}

/**
 * The shell around the supervisor's core: takes and renews the lease, feeds heartbeats, writes placements.
 *
 * Q1. A lease is trusted until `leaseTrustMs` after the last acknowledged renewal was *begun*, on the monotonic clock.
 * Q2. One placement is written at a time, the latest, until it is written or this supervisor follows.
 * Q3. Whoever holds the lease and does not lead yet, since the last placement could not be read, tries again each round.
 * Q4. A leader tells that it is there. A stand-by that hears others and not the leader takes its lease without waiting for its end:
 *     two that lead for a moment do no harm, as only the placement of the higher term counts.
 * Q5. A silent node is asked at its address. Where nobody serves that, its process has ended, and the core is told; where it does not
 *     answer, it may be busy, and is given the whole time. A node that is heard and never said it has an address (an older version) is not
 *     asked.
 * Q6. A stand-by asks a silent leader in the same way. A new leader has asked the silent nodes before it writes its first placement, or has
 *     waited for `FIRST_LOOK_MS`: shards are not placed twice after all have been started anew.
 * Q7. A level is in the placement only after it stands in the installation: whoever meets what was written at it finds it there.
 */
export class SupervisorRole {
  readonly #options: SupervisorRoleOptions;
  readonly #core: Supervisor;
  readonly #watch = new LeaderWatch();
  readonly #levels = new Levels();
  #lease: Lease | undefined;
  #trustedUntil = -Infinity;
  #renewAt = 0;
  #housekeepAt = 0;
  #unwritten: Placement | undefined;
  #writing: Promise<void> | undefined;
  #agreed: number | undefined;
  #raising: Promise<void> | undefined;
  #busy = false;
  #stopped = false;
  #timers: NodeJS.Timeout[] = [];
  #unlisten: (() => void)[] = [];
  readonly #desk: OperatorsDesk;
  readonly #leaseKeeper: LeaseKeeper;
  readonly #pinging = new Set<string>();

  constructor(options: SupervisorRoleOptions) {
    this.#options = options;
    this.#core = new Supervisor(options.shards);
    const { shards, messenger, log, clock, work } = options;
    const monotonic = (): number => clock.monotonic();
    this.#leaseKeeper = new LeaseKeeper({ work, log, monotonic });
    const onWorker = (namespace: string, beat: unknown): void => this.#leaseKeeper.heard(namespace, beat);
    this.#desk = new OperatorsDesk({ shards, messenger, log, monotonic, onWorker });
  }

  get leads(): boolean {
    return this.#core.leads;
  }

  nodes(): ReturnType<Supervisor['nodes']> {
    return this.#core.nodes(this.#options.clock.monotonic());
  }

  start(): void {
    const { messenger } = this.#options;
    this.#unlisten = [
      messenger.listen(subjects.nodeHeartbeat, (body) => this.#onHeartbeat(body)),
      messenger.listen(subjects.leaderHeartbeat, (body) => this.#onLeader(body)),
      messenger.listen(subjects.processHeartbeat, (body) => this.#onProcess(body)),
    ];
    this.#timers = [
      setInterval(() => void this.#tick(), TICK_MS),
      setInterval(() => this.#tellLead(), LIMITS.nodeHeartbeatMs), // of its own: a round may take long
    ];
    void this.#tick();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    for (const unlisten of this.#unlisten) unlisten();
    this.#desk.close();
    this.#leaseKeeper.end();
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease !== undefined) await this.#options.leases.release(LEASE, lease).catch(() => undefined);
  }

  async #tick(): Promise<void> {
    if (this.#stopped) return;
    this.#lookAround(); // though the servers let a round wait: time passes
    if (this.#busy) return;
    this.#busy = true;
    try {
      await this.#keepLease();
      // The lease does not wait for the database.
      this.#raising ??= this.#raiseLevel().finally(() => (this.#raising = undefined));
      await this.#write();
      void this.#leaseKeeper.round(); // it may take long, and the lease of this supervisor must not
      const nowMs = this.#options.clock.monotonic();
      if (this.#core.leads && nowMs >= this.#housekeepAt) {
        this.#housekeepAt = nowMs + 60_000;
        await this.#options.housekeeping();
      }
    } catch (error) {
      this.#options.log.warn('the supervisor could not do its round', { error: String(error) });
    } finally {
      this.#busy = false;
    }
  }

  /** Tells the core that time passes, and asks the silent whether they are there. */
  #lookAround(): void {
    const nowMs = this.#options.clock.monotonic();
    this.#agreed = this.#levels.agreed(nowMs);
    this.#perform(this.#core.step({ kind: 'tick', nowMs }));
    if (this.#core.leads) for (const node of this.#silentNodes(nowMs)) void this.#ping(node);
  }

  /** Those that are to be asked (Q5). */
  #silentNodes(nowMs: number): string[] {
    const nodes = this.#core.nodes(nowMs).filter(({ silentMs }) => silentMs >= LIMITS.nodeGoneMs);
    return nodes.flatMap(({ node, cores }) => (cores === 0 || this.#desk.processes.has(node) ? [node] : []));
  }

  /** False when nobody serves the address of this process; a silent one may be there. */
  async #isThere(node: string): Promise<boolean> {
    try {
      await this.#options.messenger.ask(subjects.operatorsOfNode(node, 'ping'), '', PING_MS);
      return true;
    } catch (error) {
      return (error as { code?: unknown }).code !== 'no_owner';
    }
  }

  /** Q5. Never rejects. */
  async #ping(node: string): Promise<void> {
    if (this.#pinging.has(node)) return;
    this.#pinging.add(node);
    const { clock, log } = this.#options;
    try {
      if (await this.#isThere(node)) return;
      const effects = this.#core.step({ kind: 'gone', node, nowMs: clock.monotonic() });
      if (effects.length > 0) log.warn('a node is gone: nobody serves its address', { node });
      this.#perform(effects);
      await this.#write();
    } finally {
      this.#pinging.delete(node);
    }
  }

  /** Q7. What could not be written now is tried again in the next round. Never rejects. */
  async #raiseLevel(): Promise<void> {
    const level = this.#agreed;
    const { placement } = this.#core;
    if (!this.#core.leads || level === undefined || placement === undefined || level <= levelOf(placement)) return;
    const { clock, log, raiseLevel } = this.#options;
    try {
      await raiseLevel(level);
    } catch (error) {
      return log.warn('the level of the cluster could not be written down', {
        clusterLevel: level,
        error: String(error),
      });
    }
    if (!this.#core.leads) return;
    log.info('the level of the cluster rises', { clusterLevel: level });
    this.#perform(this.#core.step({ kind: 'level', level, nowMs: clock.monotonic() }));
  }

  /** An operator's order: performed and written. Returns why not. */
  async #order(order: Order): Promise<WireError | undefined> {
    const outcome = this.#core.order(order, this.#options.clock.monotonic());
    if (outcome.kind === 'refused') return outcome.error;
    this.#perform(outcome.effects);
    await this.#write();
    if (this.#unwritten !== undefined) await this.#write(); // what was under way may have ended without it
    if (this.#core.leads && this.#unwritten === undefined) return undefined;
    return wireError('unavailable', 'the order could not be written yet; look whether it was, and try again');
  }

  async #keepLease(): Promise<void> {
    const nowMs = this.#options.clock.monotonic();
    if (this.#lease !== undefined && nowMs >= this.#trustedUntil) this.#follow('its lease was not renewed in time'); // Q1
    if (nowMs >= this.#renewAt)
      await (this.#lease === undefined
        ? this.#acquire(nowMs, this.#watch.silentTerm(nowMs))
        : this.#renew(this.#lease, nowMs));
    if (this.#lease !== undefined && !this.#core.leads) await this.#lead(this.#lease); // Q3
  }

  async #acquire(nowMs: number, silentTerm: number | undefined): Promise<void> {
    const { leases, log, node } = this.#options;
    this.#renewAt = nowMs + STAND_BY_MS;
    const outcome = await leases.acquire(LEASE, node, silentTerm);
    if (outcome.kind === 'refused') {
      const held = await leases.read(LEASE);
      if (held.kind === 'ok' && held.value !== undefined) this.#onHolder(held.value);
    }
    if (outcome.kind !== 'ok') return;
    if (silentTerm !== undefined) log.warn('the leading supervisor is silent: its lease is taken over', { silentTerm });
    if (this.#stopped) return await leases.release(LEASE, outcome.value);
    this.#lease = outcome.value;
    this.#trust(nowMs);
  }

  /** Q6. */
  #onHolder({ term, holder }: Lease): void {
    const nowMs = this.#options.clock.monotonic();
    this.#watch.holds(term, nowMs);
    if (!this.#watch.isToBeAsked(nowMs)) return;
    void this.#isThere(holder).then((isThere) => {
      if (isThere) return;
      this.#watch.gone(term);
      this.#renewAt = 0;
    });
  }

  async #lead({ term }: Lease): Promise<void> {
    const { clock, log, placements } = this.#options;
    const placement = await placements.read();
    const gone = await this.#gone(placement?.nodes ?? []);
    if (this.#stopped || this.#lease?.term !== term) return;
    log.info('this supervisor leads', { term, gone });
    const nowMs = clock.monotonic();
    this.#perform(this.#core.step({ kind: 'leads', term, placement, nowMs, wallMs: clock.now() }));
    for (const node of gone) this.#perform(this.#core.step({ kind: 'gone', node, nowMs }));
    const { node } = this.#options;
    const core = this.#core;
    this.#leaseKeeper.begin();
    this.#desk.open({
      node,
      term,
      get placement() {
        return core.placement;
      },
      nodes: () => this.nodes(),
      order: (order) => this.#order(order),
    });
  }

  /** Those of the nodes that are silent, and whose addresses nobody serves, as far as that is known soon (Q6). */
  async #gone(nodes: readonly string[]): Promise<readonly string[]> {
    const known = this.#core.nodes(this.#options.clock.monotonic());
    const heard = new Set(known.flatMap(({ node, silentMs }) => (silentMs < LIMITS.nodeGoneMs ? [node] : [])));
    const gone: string[] = [];
    const asked = nodes
      .filter((node) => !heard.has(node))
      .map(async (node) => (await this.#isThere(node)) || gone.push(node));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, FIRST_LOOK_MS)));
    await Promise.race([Promise.all(asked), late]);
    clearTimeout(timer);
    return [...gone];
  }

  async #renew(lease: Lease, nowMs: number): Promise<void> {
    this.#renewAt = nowMs + LIMITS.leaseRenewMs;
    const outcome = await this.#options.leases.renew(LEASE, lease);
    if (this.#lease === undefined) return;
    if (outcome.kind === 'ok') {
      this.#lease = outcome.value;
      this.#trust(nowMs);
    } else if (outcome.kind === 'refused') {
      this.#follow('somebody else holds its lease');
    } else {
      this.#renewAt = nowMs + 500;
    }
  }

  #trust(begunMs: number): void {
    this.#trustedUntil = begunMs + LIMITS.leaseTrustMs;
    this.#renewAt = begunMs + LIMITS.leaseRenewMs;
  }

  #follow(why: string): void {
    this.#lease = undefined;
    this.#unwritten = undefined; // Q2
    this.#core.step({ kind: 'follows' });
    this.#desk.close();
    this.#leaseKeeper.end();
    this.#options.log.warn('this supervisor leads no longer', { why });
  }

  #tellLead(): void {
    const { clock, isDeaf, messenger } = this.#options;
    if (isDeaf() || this.#lease === undefined || clock.monotonic() >= this.#trustedUntil) return;
    messenger.tell(subjects.leaderHeartbeat, JSON.stringify({ term: this.#lease.term })); // Q4
  }

  #onLeader(body: Uint8Array): void {
    const term = readLeaderHeartbeat(body);
    if (term === undefined) return this.#options.log.warn("a leader's heartbeat that cannot be read");
    this.#watch.leads(term, this.#options.clock.monotonic());
  }

  #onProcess(body: Uint8Array): void {
    const { clock, log } = this.#options;
    const beat = this.#desk.processes.heard(body, clock.monotonic());
    if (beat === undefined) return log.warn("a process's heartbeat that cannot be read");
    this.#levels.heard(beat.node, beat.level, clock.monotonic());
  }

  #onHeartbeat(body: Uint8Array): void {
    const beat = readNodeHeartbeat(body);
    if (beat === undefined) return this.#options.log.warn('a node heartbeat that cannot be read');
    const nowMs = this.#options.clock.monotonic();
    this.#watch.heard(nowMs);
    this.#perform(this.#core.step({ kind: 'heartbeat', beat, nowMs }));
    void this.#write();
  }

  #perform(effects: readonly SupervisorEffect[]): void {
    for (const { placement, why } of effects) {
      this.#options.log.info('placing shards', { version: placement.version, term: placement.term, why });
      this.#unwritten = placement; // Q2
    }
  }

  /** What could not be written now is tried again in the next round. Never rejects. */
  #write(): Promise<void> {
    this.#writing ??= this.#writeAll().finally(() => (this.#writing = undefined));
    return this.#writing;
  }

  async #writeAll(): Promise<void> {
    try {
      for (let placement = this.#unwritten; placement !== undefined; placement = this.#unwritten) {
        const outcome = await this.#options.placements.write(placement);
        if (outcome.kind === 'retry') throw outcome.error;
        if (outcome.kind === 'refused' && this.#lease !== undefined)
          this.#follow('a placement of a higher term exists');
        if (this.#unwritten === placement) this.#unwritten = undefined;
      }
    } catch (error) {
      this.#options.log.warn('a placement could not be written, trying again', { error: String(error) });
    }
  }
}

function readLeaderHeartbeat(body: Uint8Array): number | undefined {
  let beat: unknown;
  try {
    beat = JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
  return isObject(beat) && Number.isSafeInteger(beat['term']) ? (beat['term'] as number) : undefined;
}

function readNodeHeartbeat(body: Uint8Array): NodeHeartbeat | undefined {
  let beat: unknown;
  try {
    beat = JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
  if (!isObject(beat)) return undefined;
  const { node, cores, leaving, owned } = beat;
  if (!isName(node) || typeof cores !== 'number' || !Number.isFinite(cores) || !Array.isArray(owned)) return undefined;
  return {
    node,
    cores,
    leaving: leaving === true,
    owned: owned.filter((shard) => Number.isInteger(shard)) as number[],
  };
}

export function nodeHeartbeat(node: string, owned: readonly number[], leaving: boolean, atMs: number): string {
  return JSON.stringify({ node, cores: availableParallelism(), leaving, owned, atMs } satisfies NodeHeartbeat);
}
