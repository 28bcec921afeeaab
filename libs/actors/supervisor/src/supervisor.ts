import { LIMITS } from '@belfry/protocol';
import type { Placement } from '@belfry/ports';
import { placeShards } from './placement.ts';

/** A scheduler node's word of itself, every `LIMITS.nodeHeartbeatMs`. */
export interface NodeHeartbeat {
  readonly node: string;
  readonly cores: number;
  /** It hands its shards over and stops. */
  readonly leaving: boolean;
  /** Shards that it owns at present. */
  readonly owned: readonly number[];
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
  readonly cores: number;
  readonly leaving: boolean;
  seenAt: number;
}

/**
 * The supervisor: knows the scheduler nodes by their heartbeats and places the shards. It reads no clock; `nowMs` is monotonic.
 *
 * V1. Only a leader places, and only with its own term.
 * V2. A node that the placement names is given up after `LIMITS.nodeSilentMs` of silence, counted from the leader's first moment at the earliest.
 */
export class Supervisor {
  readonly #shards: number;
  readonly #nodes = new Map<string, KnownNode>();
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

  /** Nodes that count, with the silence of each. */
  nodes(
    nowMs: number,
  ): { readonly node: string; readonly cores: number; readonly leaving: boolean; readonly silentMs: number }[] {
    return [...this.#nodes].map(([node, { cores, leaving, seenAt }]) => ({
      node,
      cores,
      leaving,
      silentMs: nowMs - seenAt,
    }));
  }

  step(input: SupervisorInput): SupervisorEffect[] {
    switch (input.kind) {
      case 'leads':
        this.#term = input.term;
        this.#placement = input.placement;
        for (const node of input.placement?.nodes ?? []) {
          if (!this.#nodes.has(node)) this.#nodes.set(node, { cores: 1, leaving: false, seenAt: input.nowMs });
        }
        return this.#place(input.nowMs);
      case 'follows':
        this.#term = undefined;
        return [];
      case 'heartbeat': {
        const { node, cores, leaving } = input.beat;
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

  #place(nowMs: number): SupervisorEffect[] {
    if (this.#term === undefined) return [];
    for (const [node, { seenAt }] of this.#nodes) if (nowMs - seenAt > LIMITS.nodeSilentMs) this.#nodes.delete(node);
    const staying = [...this.#nodes].filter(([, { leaving }]) => !leaving);
    // The last nodes to leave keep their shards: there is nobody to take them.
    if (staying.length === 0) return [];
    const nodes = staying.map(([id, { cores }]) => ({ id, weight: cores })).sort((a, b) => (a.id < b.id ? -1 : 1));
    const before = this.#placement;
    const owners = Array.from({ length: this.#shards }, (_, shard) => before?.nodes[before.assignment[shard] ?? -1]);
    const placed = placeShards(this.#shards, nodes, owners);
    const moved = placed.filter((owner, shard) => owner !== owners[shard]).length;
    if (before !== undefined && moved === 0 && before.term === this.#term) return [];
    const names = nodes.map(({ id }) => id);
    this.#placement = {
      term: this.#term,
      version: (before?.version ?? 0) + 1,
      nodes: names,
      assignment: placed.map((owner) => names.indexOf(owner as string)),
    };
    return [
      {
        kind: 'place',
        placement: this.#placement,
        why: `${moved} of ${this.#shards} shards move, ${names.length} nodes`,
      },
    ];
  }
}
