import type { Placement } from '@belfry/ports';
import { LIMITS, type WireError } from '@belfry/protocol';
import { Supervisor, type Order, type SupervisorEffect, type Takes } from './supervisor.ts';

export const SHARDS = 64;

/** A supervisor with the placement that it has written, under a clock that moves when it is told to. */
export class World {
  nowMs = 0;
  readonly core: Supervisor;
  readonly shards: number;
  written: Placement | undefined;

  constructor(shards = SHARDS) {
    this.shards = shards;
    this.core = new Supervisor(shards);
  }

  lead(term: number, placement?: Placement, wallMs = this.nowMs): void {
    this.#step({ kind: 'leads', term, placement, nowMs: this.nowMs, wallMs });
  }

  beat(node: string, { cores = 2, leaving = false } = {}): void {
    this.#step({ kind: 'heartbeat', beat: { node, cores, leaving, owned: [] }, nowMs: this.nowMs });
  }

  tick(): void {
    this.#step({ kind: 'tick', nowMs: this.nowMs });
  }

  /** Time passes in heartbeat intervals: these nodes are heard, the others are silent. */
  pass(ms: number, nodes: Record<string, number> = {}): void {
    for (const end = this.nowMs + ms; this.nowMs < end; this.tick()) {
      this.nowMs = Math.min(end, this.nowMs + LIMITS.nodeHeartbeatMs);
      for (const [node, cores] of Object.entries(nodes)) this.beat(node, { cores });
    }
  }

  owners(): (string | undefined)[] {
    return (this.written?.assignment ?? []).map((at) => this.written?.nodes[at]);
  }

  /** Shards of each node. */
  shares(): Record<string, number> {
    return counts(this.owners());
  }

  gone(node: string): void {
    this.#step({ kind: 'gone', node, nowMs: this.nowMs });
  }

  /** Undefined when it was taken; else why not. */
  order(order: Order): WireError | undefined {
    const outcome = this.core.order(order, this.nowMs);
    if (outcome.kind === 'refused') return outcome.error;
    this.#perform(outcome.effects);
    return undefined;
  }

  /** Whether each node takes shards. */
  takes(): Record<string, Takes> {
    return Object.fromEntries(this.core.nodes(this.nowMs).map(({ node, takes }) => [node, takes]));
  }

  #step(input: Parameters<Supervisor['step']>[0]): void {
    this.#perform(this.core.step(input));
  }

  #perform(effects: readonly SupervisorEffect[]): void {
    for (const { placement } of effects) {
      if (this.written !== undefined && placement.version <= this.written.version) throw new Error('versions go back');
      this.written = placement;
    }
  }
}

export function counts(owners: readonly (string | undefined)[]): Record<string, number> {
  const shares: Record<string, number> = {};
  for (const owner of owners) shares[String(owner)] = (shares[String(owner)] ?? 0) + 1;
  return shares;
}

export function led(nodes: Record<string, number>, shards = SHARDS): World {
  const world = new World(shards);
  world.lead(1);
  for (const [node, cores] of Object.entries(nodes)) world.beat(node, { cores });
  world.pass(LIMITS.nodeHeartbeatMs, nodes);
  return world;
}

/** What the last leader left, as it stands in the store. */
export const left = (nodes: Record<string, number>): Placement => led(nodes).written as Placement;
