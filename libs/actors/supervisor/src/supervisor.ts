import { LIMITS } from '@belfry/protocol';
import type { Placement } from '@belfry/ports';
import { placeShards, type PlaceableNode } from './placement.ts';

/** A scheduler node's word of itself, every `LIMITS.nodeHeartbeatMs`. */
export interface NodeHeartbeat {
  readonly node: string;
  readonly cores: number;
  /** It hands its shards over and takes none: it stops, or its clock is wrong. */
  readonly leaving: boolean;
  /** Shards that it owns at present. */
  readonly owned: readonly number[];
  /** Its wall clock, ms since 1970: for its peers. */
  readonly atMs?: number;
}

export type SupervisorInput =
  /** This supervisor leads from now on. `placement` is what the last leader left. */
  | { readonly kind: 'leads'; readonly term: number; readonly placement: Placement | undefined; readonly nowMs: number }
  | { readonly kind: 'follows' }
  | { readonly kind: 'heartbeat'; readonly beat: NodeHeartbeat; readonly nowMs: number }
  | { readonly kind: 'tick'; readonly nowMs: number };

/** Write this placement. */
export interface SupervisorEffect {
  readonly kind: 'place';
  readonly placement: Placement;
  readonly why: string;
}

interface KnownNode {
  /** Undefined until it is heard: the last leader placed shards on it. */
  readonly cores: number | undefined;
  readonly leaving: boolean;
  seenAt: number;
}

/**
 * The supervisor: knows the scheduler nodes by their heartbeats and places the shards. It reads no clock; `nowMs` is monotonic.
 *
 * V1. Only a leader places, and only with its own term.
 * V2. A node that the placement names is given up after `LIMITS.nodeSilentMs` of silence, counted from the moment that this supervisor
 *     heard of it at the earliest.
 * V3. When all are silent, it is this supervisor that hears nothing: the placement stays, and silence counts from the next word on.
 */
export class Supervisor {
  readonly #shards: number;
  readonly #nodes = new Map<string, KnownNode>();
  #heardAt = -Infinity;
  #term: number | undefined;
  #placement: Placement | undefined;

  constructor(shards: number) {
    this.#shards = shards;
  }

  get leads(): boolean {
    return this.#term !== undefined;
  }

  get placement(): Placement | undefined {
    return this.#placement;
  }

  /** Nodes that count, with the silence of each; a node that has not been heard yet has 0 cores. */
  nodes(
    nowMs: number,
  ): { readonly node: string; readonly cores: number; readonly leaving: boolean; readonly silentMs: number }[] {
    return [...this.#nodes].map(([node, { cores, leaving, seenAt }]) => ({
      node,
      cores: cores ?? 0,
      leaving,
      silentMs: nowMs - seenAt,
    }));
  }

  step(input: SupervisorInput): SupervisorEffect[] {
    switch (input.kind) {
      case 'leads':
        this.#term = input.term;
        this.#placement = input.placement;
        if (this.#isDeaf(input.nowMs)) this.#listenAnew(input.nowMs);
        for (const node of input.placement?.nodes ?? []) {
          if (!this.#nodes.has(node)) this.#nodes.set(node, { cores: undefined, leaving: false, seenAt: input.nowMs }); // V2
        }
        return this.#place(input.nowMs);
      case 'follows':
        this.#term = undefined;
        return [];
      case 'heartbeat': {
        const { node, cores, leaving } = input.beat;
        if (this.#isDeaf(input.nowMs)) this.#listenAnew(input.nowMs);
        this.#heardAt = input.nowMs;
        const known = this.#nodes.get(node);
        this.#nodes.set(node, { cores: Math.max(1, cores), leaving, seenAt: input.nowMs });
        return known === undefined || known.leaving !== leaving ? this.#place(input.nowMs) : [];
      }
      case 'tick':
        return this.#place(input.nowMs);
      default:
        return input satisfies never;
    }
  }

  /** Whether nobody has been heard for so long that each one's silence says nothing (V3). */
  #isDeaf(nowMs: number): boolean {
    return nowMs - this.#heardAt > LIMITS.nodeSilentMs;
  }

  /** Counts the silence of those that own shards from now on; the others are forgotten until they are heard. */
  #listenAnew(nowMs: number): void {
    const placed = new Set(this.#placement?.nodes);
    for (const [node, known] of this.#nodes) {
      if (placed.has(node)) known.seenAt = nowMs;
      else this.#nodes.delete(node);
    }
  }

  #place(nowMs: number): SupervisorEffect[] {
    if (this.#term === undefined) return [];
    if (this.#isDeaf(nowMs)) return this.#renew();
    for (const [node, { seenAt }] of this.#nodes) if (nowMs - seenAt > LIMITS.nodeSilentMs) this.#nodes.delete(node);
    const before = this.#placement;
    const owners = Array.from({ length: this.#shards }, (_, shard) => before?.nodes[before.assignment[shard] ?? -1]);
    const nodes = weigh(this.#nodes, owners);
    // The last nodes to leave keep their shards: there is nobody to take them.
    if (nodes.length === 0) return [];
    const placed = placeShards(this.#shards, nodes, owners);
    const moved = placed.filter((owner, shard) => owner !== owners[shard]).length;
    if (before !== undefined && moved === 0) return this.#renew();
    const names = nodes.map(({ id }) => id);
    const assignment = placed.map((owner) => names.indexOf(owner as string));
    return this.#issue(names, assignment, `${moved} of ${this.#shards} shards move, ${names.length} nodes`);
  }

  /** Gives the placement that another leader left this leader's term (V1). */
  #renew(): SupervisorEffect[] {
    const before = this.#placement;
    if (before === undefined || before.term === this.#term) return [];
    return this.#issue(before.nodes, before.assignment, 'a new leader, and no shard moves');
  }

  #issue(nodes: readonly string[], assignment: readonly number[], why: string): SupervisorEffect[] {
    const version = (this.#placement?.version ?? 0) + 1;
    this.#placement = { term: this.#term as number, version, nodes, assignment };
    return [{ kind: 'place', placement: this.#placement, why }];
  }
}

/** The nodes that stay, by their cores; one that has not been heard yet has as many as its shards tell beside those of the others. */
function weigh(known: ReadonlyMap<string, KnownNode>, owners: readonly (string | undefined)[]): PlaceableNode[] {
  const heard = { nodes: 0, cores: 0, shards: 0 };
  const owned = new Map<string, number>();
  for (const owner of owners) if (owner !== undefined) owned.set(owner, (owned.get(owner) ?? 0) + 1);
  for (const [id, { cores }] of known) {
    if (cores === undefined) continue;
    heard.nodes++;
    heard.cores += cores;
    heard.shards += owned.get(id) ?? 0;
  }
  const guess = (id: string): number =>
    heard.shards > 0 ? ((owned.get(id) ?? 0) * heard.cores) / heard.shards : heard.cores / heard.nodes;
  return [...known]
    .filter(([, { leaving }]) => !leaving)
    .map(([id, { cores }]) => ({ id, weight: cores ?? Math.max(1, guess(id)) }))
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}
