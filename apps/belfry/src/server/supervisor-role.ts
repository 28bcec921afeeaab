import { availableParallelism } from 'node:os';
import type { Messenger } from '@belfry/actor-runtime';
import type { Lease, LeaseStore, PlacementStore } from '@belfry/ports';
import { isName, isObject, LIMITS, subjects } from '@belfry/protocol';
import type { Clock, Log } from '@belfry/scheduler';
import { Supervisor, type NodeHeartbeat, type SupervisorEffect } from '@belfry/supervisor';

const LEASE = 'supervisor';
const TICK_MS = 250;

export interface SupervisorRoleOptions {
  readonly node: string;
  readonly shards: number;
  readonly leases: LeaseStore;
  readonly placements: PlacementStore;
  readonly messenger: Messenger;
  readonly clock: Clock;
  readonly log: Log;
  /** What only a leader does, once a minute: trimming, partitions. */
  readonly housekeeping: () => Promise<void>;
}

/**
 * The shell around the supervisor's core: takes and renews the lease, feeds heartbeats, writes placements.
 *
 * Q1. A lease is trusted until `leaseTrustMs` after the last acknowledged renewal was *begun*, on the monotonic clock.
 */
export class SupervisorRole {
  readonly #options: SupervisorRoleOptions;
  readonly #core: Supervisor;
  #lease: Lease | undefined;
  #trustedUntil = -Infinity;
  #renewAt = 0;
  #housekeepAt = 0;
  #busy = false;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  #unlisten: () => void = () => undefined;

  constructor(options: SupervisorRoleOptions) {
    this.#options = options;
    this.#core = new Supervisor(options.shards);
  }

  get leads(): boolean {
    return this.#core.leads;
  }

  nodes(): ReturnType<Supervisor['nodes']> {
    return this.#core.nodes(this.#options.clock.monotonic());
  }

  start(): void {
    this.#unlisten = this.#options.messenger.listen(subjects.nodeHeartbeat, (body) => this.#onHeartbeat(body));
    this.#timer = setInterval(() => void this.#tick(), TICK_MS);
    void this.#tick();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#unlisten();
    const lease = this.#lease;
    this.#lease = undefined;
    if (lease !== undefined) await this.#options.leases.release(LEASE, lease).catch(() => undefined);
  }

  async #tick(): Promise<void> {
    if (this.#busy || this.#stopped) return;
    this.#busy = true;
    try {
      await this.#keepLease();
      const nowMs = this.#options.clock.monotonic();
      await this.#perform(this.#core.step({ kind: 'tick', nowMs }));
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

  async #keepLease(): Promise<void> {
    const { leases, clock, log, node, placements } = this.#options;
    const nowMs = clock.monotonic();
    if (this.#lease !== undefined && nowMs >= this.#trustedUntil) this.#follow('its lease was not renewed in time'); // Q1
    if (nowMs < this.#renewAt) return;
    if (this.#lease === undefined) {
      this.#renewAt = nowMs + 1_000;
      const outcome = await leases.acquire(LEASE, node);
      if (outcome.kind !== 'ok' || this.#stopped) return;
      this.#lease = outcome.value;
      this.#trust(nowMs);
      const placement = await placements.read();
      log.info('this supervisor leads', { term: outcome.value.term });
      await this.#perform(
        this.#core.step({ kind: 'leads', term: outcome.value.term, placement, nowMs: clock.monotonic() }),
      );
      return;
    }
    this.#renewAt = nowMs + LIMITS.leaseRenewMs;
    const outcome = await leases.renew(LEASE, this.#lease);
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
    this.#core.step({ kind: 'follows' });
    this.#options.log.warn('this supervisor leads no longer', { why });
  }

  #onHeartbeat(body: Uint8Array): void {
    const beat = readNodeHeartbeat(body);
    if (beat === undefined) return this.#options.log.warn('a node heartbeat that cannot be read');
    const effects = this.#core.step({ kind: 'heartbeat', beat, nowMs: this.#options.clock.monotonic() });
    void this.#perform(effects);
  }

  async #perform(effects: readonly SupervisorEffect[]): Promise<void> {
    for (const { placement, why } of effects) {
      this.#options.log.info('placing shards', { version: placement.version, term: placement.term, why });
      for (let attempt = 1; attempt <= 5; attempt++) {
        const outcome = await this.#options.placements.write(placement);
        if (outcome.kind === 'ok') break;
        if (outcome.kind === 'refused') {
          this.#follow('a placement of a higher term exists');
          return;
        }
        this.#options.log.warn('a placement could not be written, trying again', { error: outcome.error.message });
      }
    }
  }
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

export function nodeHeartbeat(node: string, owned: readonly number[], leaving: boolean): string {
  return JSON.stringify({ node, cores: availableParallelism(), leaving, owned } satisfies NodeHeartbeat);
}
