import { LIMITS, wireError, type WireError } from '@belfry/protocol';
import { levelOf, type Placement } from '@belfry/ports';
import { Flapping } from './flapping.ts';
import { chooseAnother, placeShards, type PlaceableNode } from './placement.ts';

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
  | {
      readonly kind: 'leads';
      readonly term: number;
      readonly placement: Placement | undefined;
      readonly nowMs: number;
      /** The wall clock at `nowMs`, ms since 1970: by it, one leader tells the next when nodes were lost. */
      readonly wallMs: number;
    }
  | { readonly kind: 'follows' }
  /** All processes read this level, and the installation knows it: it may be written from now on. */
  | { readonly kind: 'level'; readonly level: number; readonly nowMs: number }
  | { readonly kind: 'heartbeat'; readonly beat: NodeHeartbeat; readonly nowMs: number }
  /** Nobody serves the address of this node: its process has ended, or it is cut off. */
  | { readonly kind: 'gone'; readonly node: string; readonly nowMs: number }
  | { readonly kind: 'tick'; readonly nowMs: number };

/** Write this placement. */
export interface SupervisorEffect {
  readonly kind: 'place';
  readonly placement: Placement;
  readonly why: string;
}

/** What an operator asks for. A move without `to` goes to the node that has the least for its cores. */
export type Order =
  | { readonly kind: 'move'; readonly shard: number; readonly to: string | undefined }
  | { readonly kind: 'unpin'; readonly shard: number }
  | { readonly kind: 'drain'; readonly node: string }
  | { readonly kind: 'undrain'; readonly node: string };

export type OrderOutcome =
  | { readonly kind: 'done'; readonly effects: readonly SupervisorEffect[] }
  | { readonly kind: 'refused'; readonly error: WireError };

/** Whether a node is given shards, and why not. */
export type Takes = 'yes' | 'drained' | 'leaving' | 'held';

interface KnownNode {
  /** Undefined until it is heard: the last leader placed shards on it. */
  readonly cores: number | undefined;
  readonly leaving: boolean;
  seenAt: number;
  /** It gets no shards until then. */
  readonly heldUntil: number;
}

/**
 * The supervisor: knows the scheduler nodes by their heartbeats and places the shards. It reads no clock; `nowMs` is monotonic.
 *
 * V1. Only a leader places, and only with its own term.
 * V2. A node that the placement names is given up after `LIMITS.nodeSilentMs` of silence, counted from the moment at the earliest that this
 *     supervisor listens; after `LIMITS.nodeGoneMs` when nobody serves its address.
 * V3. When all are silent, it is this supervisor that hears nothing: the placement stays, and silence counts from the next word on.
 * V4. Time in which this supervisor was told nothing at all, not even that time passes, is nobody's silence: it stood still itself.
 * V5. What operators have ordered stands in the placement, so that the next leader knows it; and so do the losses of nodes (V6).
 * V6. A node that is lost again and again is held back for longer each time (`Flapping`), and a drained one gets no shards; but shards
 *     are rather with such a node than with none.
 * V7. The level in the placement never goes back, as long as there is a placement.
 */
export class Supervisor {
  readonly #shards: number;
  readonly #nodes = new Map<string, KnownNode>();
  readonly #flapping = new Flapping();
  #heardAt = -Infinity;
  /** Since when others have been heard without a break (V3). */
  #listeningSince = -Infinity;
  #toldAt: number | undefined;
  #term: number | undefined;
  #placement: Placement | undefined;
  /** Wall clock minus ours, when this supervisor began to lead. */
  #wallOffsetMs = 0;

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
  nodes(nowMs: number): {
    readonly node: string;
    readonly cores: number;
    readonly leaving: boolean;
    readonly silentMs: number;
    readonly takes: Takes;
  }[] {
    return [...this.#nodes].map(([node, known]) => ({
      node,
      cores: known.cores ?? 0,
      leaving: known.leaving,
      silentMs: nowMs - known.seenAt,
      takes: this.#takes(node, known, nowMs),
    }));
  }

  step(input: SupervisorInput): SupervisorEffect[] {
    if (input.kind !== 'follows') this.#excuse(input.nowMs);
    switch (input.kind) {
      case 'leads':
        this.#wallOffsetMs = input.wallMs - input.nowMs;
        return this.#lead(input.term, input.placement, input.nowMs);
      case 'follows':
        this.#term = undefined;
        return [];
      case 'heartbeat':
        return this.#hear(input.beat, input.nowMs);
      case 'level':
        return this.#raise(input.level);
      case 'gone': {
        const known = this.#nodes.get(input.node);
        if (this.#term === undefined || known === undefined) return [];
        if (input.nowMs - known.seenAt < LIMITS.nodeGoneMs) return [];
        this.#giveUp(input.node, known, input.nowMs); // V2
        return this.#place(input.nowMs);
      }
      case 'tick':
        return this.#place(input.nowMs);
      default:
        return input satisfies never;
    }
  }

  /** Takes an operator's order. Refused `not_found`, `invalid_field` or `conflict`: nothing has changed. Only a leader is asked. */
  order(order: Order, nowMs: number): OrderOutcome {
    if (this.#term === undefined || this.#placement === undefined)
      return { kind: 'refused', error: wireError('unavailable', 'this supervisor does not lead; try again') };
    const refusal = 'shard' in order ? this.#checkShard(order.shard) : undefined;
    if (refusal !== undefined) return { kind: 'refused', error: refusal };
    const before = this.#placement;
    const pins = new Map((before.pins ?? []).map(({ shard, node }) => [shard, node]));
    const drained = new Set(before.drained);
    const wanted = this.#change(order, { pins, drained }, nowMs);
    if (wanted !== undefined) return { kind: 'refused', error: wanted };
    this.#placement = withOrders(before, drained, pins);
    const effects = this.#place(nowMs);
    if (effects.length > 0) return { kind: 'done', effects };
    // No shard moves, or nobody is there to take them: the order is written all the same (V5).
    return { kind: 'done', effects: this.#issue(before.nodes, before.assignment, `an order: ${order.kind}`) };
  }

  #change(
    order: Order,
    { pins, drained }: { readonly pins: Map<number, string>; readonly drained: Set<string> },
    nowMs: number,
  ): WireError | undefined {
    switch (order.kind) {
      case 'move': {
        const to = order.to ?? chooseAnother(order.shard, this.#placeable(nowMs), this.#owners());
        if (to === undefined) return wireError('conflict', 'no other node takes shards');
        const refusal = this.#checkTarget(to, nowMs);
        if (refusal === undefined) pins.set(order.shard, to);
        return refusal;
      }
      case 'unpin':
        pins.delete(order.shard);
        return undefined;
      case 'drain':
        return this.#drain(order.node, drained, pins);
      case 'undrain':
        if (!drained.delete(order.node)) return wireError('not_found', 'no such node is drained', 'node');
        return undefined;
      default:
        return order satisfies never;
    }
  }

  #drain(node: string, drained: Set<string>, pins: Map<number, string>): WireError | undefined {
    if (!this.#nodes.has(node)) return wireError('not_found', 'no scheduler of this name is there', 'node');
    const others = [...this.#nodes].filter(([id, { leaving }]) => id !== node && !leaving && !drained.has(id));
    if (others.length === 0) return wireError('conflict', 'no other node takes shards: nobody would have them');
    if (drained.size >= LIMITS.drainedNodes)
      return wireError('overloaded', `${LIMITS.drainedNodes} nodes are drained already: undo some`);
    drained.add(node);
    for (const [shard, at] of pins) if (at === node) pins.delete(shard);
    return undefined;
  }

  #checkShard(shard: number): WireError | undefined {
    if (Number.isInteger(shard) && shard >= 0 && shard < this.#shards) return undefined;
    return wireError('invalid_field', `must be a shard: 0 to ${this.#shards - 1}`, 'shard');
  }

  #checkTarget(node: string, nowMs: number): WireError | undefined {
    const known = this.#nodes.get(node);
    if (known === undefined) return wireError('not_found', 'no scheduler of this name is there', 'to');
    const takes = this.#takes(node, known, nowMs);
    return takes === 'yes' ? undefined : wireError('conflict', `this node takes no shards: it is ${takes}`, 'to');
  }

  #takes(node: string, { leaving, heldUntil }: KnownNode, nowMs: number): Takes {
    if (leaving) return 'leaving';
    if (this.#placement?.drained?.includes(node) === true) return 'drained';
    return nowMs < heldUntil ? 'held' : 'yes';
  }

  #lead(term: number, placement: Placement | undefined, nowMs: number): SupervisorEffect[] {
    this.#term = term;
    this.#placement = placement;
    this.#flapping.learn(placement?.losses ?? {}, this.#wallOffsetMs, nowMs);
    if (this.#isDeaf(nowMs)) this.#listenAnew(nowMs);
    for (const node of placement?.nodes ?? []) {
      if (this.#nodes.has(node)) continue;
      this.#nodes.set(node, { cores: undefined, leaving: false, seenAt: this.#listeningSince, heldUntil: -Infinity }); // V2
    }
    return this.#place(nowMs);
  }

  #hear({ node, cores, leaving }: NodeHeartbeat, nowMs: number): SupervisorEffect[] {
    if (this.#isDeaf(nowMs)) this.#listenAnew(nowMs);
    this.#heardAt = nowMs;
    const known = this.#nodes.get(node);
    const heldUntil = known?.heldUntil ?? this.#flapping.heldUntil(node, nowMs); // V6
    this.#nodes.set(node, { cores: Math.max(1, cores), leaving, seenAt: nowMs, heldUntil });
    return known === undefined || known.leaving !== leaving ? this.#place(nowMs) : [];
  }

  /** V7. */
  #raise(level: number): SupervisorEffect[] {
    const before = this.#placement;
    if (this.#term === undefined || before === undefined || level <= levelOf(before)) return [];
    this.#placement = { ...before, level };
    return this.#issue(before.nodes, before.assignment, `all processes read level ${level}`);
  }

  /** V4. */
  #excuse(nowMs: number): void {
    const stoodStillMs = nowMs - (this.#toldAt ?? nowMs);
    this.#toldAt = nowMs;
    if (stoodStillMs <= LIMITS.nodeHeartbeatMs || this.#isDeaf(nowMs)) return;
    for (const known of this.#nodes.values()) known.seenAt += stoodStillMs;
    this.#listeningSince += stoodStillMs;
  }

  /** Whether nobody has been heard for so long that each one's silence says nothing (V3). */
  #isDeaf(nowMs: number): boolean {
    return nowMs - this.#heardAt > LIMITS.nodeSilentMs;
  }

  /** Counts the silence of those that own shards from now on; the others are forgotten until they are heard. */
  #listenAnew(nowMs: number): void {
    this.#listeningSince = nowMs;
    const placed = new Set(this.#placement?.nodes);
    for (const [node, known] of this.#nodes) {
      if (placed.has(node)) known.seenAt = nowMs;
      else this.#nodes.delete(node);
    }
  }

  #giveUp(node: string, { leaving }: KnownNode, nowMs: number): void {
    this.#nodes.delete(node);
    if (!leaving) this.#flapping.lost(node, nowMs);
  }

  #owners(): (string | undefined)[] {
    const before = this.#placement;
    return Array.from({ length: this.#shards }, (_, shard) => before?.nodes[before.assignment[shard] ?? -1]);
  }

  /** The nodes to place on: those that take shards; where there is none, those that are held back; else those that are drained (V6). */
  #placeable(nowMs: number): PlaceableNode[] {
    const weighed = weigh(this.#nodes, this.#owners());
    for (const wanted of ['yes', 'held', 'drained'] as const) {
      const nodes = weighed.filter(({ id }) => this.#takes(id, this.#nodes.get(id) as KnownNode, nowMs) === wanted);
      if (nodes.length > 0) return nodes;
    }
    return [];
  }

  #place(nowMs: number): SupervisorEffect[] {
    if (this.#term === undefined) return [];
    if (this.#isDeaf(nowMs)) return this.#renew();
    for (const [node, known] of this.#nodes)
      if (nowMs - known.seenAt > LIMITS.nodeSilentMs) this.#giveUp(node, known, nowMs);
    const nodes = this.#placeable(nowMs);
    // The last nodes to leave keep their shards: there is nobody to take them.
    if (nodes.length === 0) return [];
    const names = nodes.map(({ id }) => id);
    const pins = new Map((this.#placement?.pins ?? []).map(({ shard, node }) => [shard, node]));
    for (const [shard, node] of pins) if (!names.includes(node)) pins.delete(shard);
    const owners = this.#owners();
    const placed = placeShards(this.#shards, nodes, owners, pins);
    const moved = placed.filter((owner, shard) => owner !== owners[shard]).length;
    const before = this.#placement;
    if (before !== undefined && moved === 0) return this.#renew();
    if (before !== undefined) this.#placement = withOrders(before, new Set(before.drained), pins);
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
    const { drained, level, pins } = this.#placement ?? {};
    const losses = this.#flapping.told(this.#wallOffsetMs);
    const told = {
      ...(level === undefined ? {} : { level }),
      ...(drained === undefined ? {} : { drained }),
      ...(pins === undefined ? {} : { pins }),
      ...(losses === undefined ? {} : { losses }),
    }; // V5
    const version = (this.#placement?.version ?? 0) + 1;
    this.#placement = { term: this.#term as number, version, nodes, assignment, ...told };
    return [{ kind: 'place', placement: this.#placement, why }];
  }
}

/** The placement with these orders and no others. */
function withOrders(
  { term, version, nodes, assignment, level }: Placement,
  drained: ReadonlySet<string>,
  pins: ReadonlyMap<number, string>,
): Placement {
  return {
    term,
    version,
    nodes,
    assignment,
    ...(level === undefined ? {} : { level }),
    ...(drained.size === 0 ? {} : { drained: [...drained].toSorted() }),
    ...(pins.size === 0
      ? {}
      : { pins: Array.from(pins, ([shard, node]) => ({ shard, node })).toSorted((a, b) => a.shard - b.shard) }),
  };
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
