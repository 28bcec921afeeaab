import type { Placement } from '@belfry/ports';
import { LIMITS } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';
import { placeShards, type PlaceableNode } from './placement.ts';
import { Supervisor } from './supervisor.ts';

const SHARDS = 64;

/** A supervisor with the placement that it has written, under a clock that moves when it is told to. */
class World {
  nowMs = 0;
  readonly core: Supervisor;
  readonly shards: number;
  written: Placement | undefined;

  constructor(shards = SHARDS) {
    this.shards = shards;
    this.core = new Supervisor(shards);
  }

  lead(term: number, placement?: Placement): void {
    this.#step({ kind: 'leads', term, placement, nowMs: this.nowMs });
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

  #step(input: Parameters<Supervisor['step']>[0]): void {
    for (const { placement } of this.core.step(input)) {
      if (this.written !== undefined && placement.version <= this.written.version) throw new Error('versions go back');
      this.written = placement;
    }
  }
}

function counts(owners: readonly (string | undefined)[]): Record<string, number> {
  const shares: Record<string, number> = {};
  for (const owner of owners) shares[String(owner)] = (shares[String(owner)] ?? 0) + 1;
  return shares;
}

function led(nodes: Record<string, number>, shards = SHARDS): World {
  const world = new World(shards);
  world.lead(1);
  for (const [node, cores] of Object.entries(nodes)) world.beat(node, { cores });
  world.pass(LIMITS.nodeHeartbeatMs, nodes);
  return world;
}

/** What the last leader left, as it stands in the store. */
const left = (nodes: Record<string, number>): Placement => led(nodes).written as Placement;

describe('shards', () => {
  it('move as little as they must, and are balanced, through joins and losses of nodes of all sizes', () => {
    const random = seeded(7);
    let nodes: PlaceableNode[] = [{ id: 'n0', weight: 2 }];
    let owners = placeShards(256, nodes, []);
    for (let step = 1; step <= 300; step++) {
      const before = { nodes, owners };
      const joins = nodes.length === 1 || (nodes.length < 20 && random() < 0.5);
      const gone = Math.floor(random() * nodes.length);
      nodes = joins
        ? [...nodes, { id: `n${step}`, weight: 1 + Math.floor(random() * 8) }]
        : nodes.filter((_, at) => at !== gone);
      owners = placeShards(256, nodes, before.owners);
      const total = nodes.reduce((sum, { weight }) => sum + weight, 0);
      const shares = counts(owners);
      const room = new Map(nodes.map(({ id, weight }) => [id, Math.ceil((256 * weight) / total)]));
      for (const [owner, share] of Object.entries(shares)) expect(share).toBeLessThanOrEqual(room.get(owner) ?? 0);
      // What has to move: the shards of whoever is gone, and what is over a share that has become smaller.
      const needed = Object.entries(counts(before.owners)).map(([owner, had]) => had - (room.get(owner) ?? 0));
      const moved = owners.filter((owner, shard) => owner !== before.owners[shard]).length;
      expect(moved).toBe(needed.reduce((sum, over) => sum + Math.max(0, over), 0));
    }
  });

  it('are placed by names and sizes alone, not by the order in which nodes are told', () => {
    const nodes = ['a', 'b', 'c'].map((id) => ({ id, weight: 1 }));
    expect(placeShards(SHARDS, nodes.toReversed(), [])).toEqual(placeShards(SHARDS, nodes, []));
  });

  it('are spread over more nodes than there are shards, one each', () => {
    const nodes = Array.from({ length: 10 }, (_, at) => ({ id: `n${at}`, weight: 1 + (at % 3) }));
    expect(Object.values(counts(placeShards(4, nodes, [])))).toEqual([1, 1, 1, 1]);
  });

  it('have no owner where there is no node', () => {
    expect(placeShards(2, [], ['a', 'b'])).toEqual([undefined, undefined]);
  });
});

describe('a leader', () => {
  it('gives nothing to a node that leaves, though others come and go, and everything back when it stays', () => {
    const world = led({ a: 2, b: 2 });
    world.beat('a', { leaving: true });
    expect(world.shares()).toEqual({ b: SHARDS });
    world.beat('c');
    world.beat('a', { leaving: true });
    world.tick();
    expect(Object.keys(world.shares()).toSorted()).toEqual(['b', 'c']);
    world.beat('a');
    expect(Object.keys(world.shares()).toSorted()).toEqual(['a', 'b', 'c']);
  });

  it('gives nothing to a node that is gone, until it is heard again', () => {
    const world = led({ a: 2, b: 2, c: 2 });
    world.pass(LIMITS.nodeSilentMs, { a: 2, b: 2 });
    expect(world.owners()).toContain('c');
    world.pass(LIMITS.nodeHeartbeatMs, { a: 2, b: 2 });
    expect(Object.keys(world.shares()).toSorted()).toEqual(['a', 'b']);
    expect(world.core.nodes(world.nowMs).map(({ node }) => node)).toEqual(['a', 'b']);
    world.beat('c');
    expect(world.shares()['c']).toBeGreaterThan(0);
  });

  it('places by the cores that nodes tell, and again when they tell of others', () => {
    const world = led({ a: 1, b: 3 });
    expect(world.shares()).toEqual({ a: 16, b: 48 });
    world.pass(LIMITS.nodeHeartbeatMs, { a: 3, b: 3 });
    expect(world.shares()).toEqual({ a: 32, b: 32 });
  });

  it('writes nothing while nothing changes', () => {
    const world = led({ a: 2, b: 2 });
    const { written } = world;
    world.pass(60_000, { a: 2, b: 2 });
    expect(world.written).toBe(written);
  });

  it('writes no more once it follows, whatever it hears, and with its next term when it leads again', () => {
    const world = led({ a: 2, b: 2 });
    const { written } = world;
    world.core.step({ kind: 'follows' });
    world.beat('c');
    world.pass(2 * LIMITS.nodeSilentMs, { a: 2 });
    expect(world.written).toBe(written);
    world.lead(5, written);
    expect(world.written).toMatchObject({ term: 5, version: (written?.version ?? 0) + 1, nodes: ['a'] });
  });
});

describe('a leader that hears nobody', () => {
  it('moves nothing, and gives all nodes time again when it hears the first', () => {
    const nodes = { a: 2, b: 2, c: 2 };
    const world = led(nodes);
    const { written } = world;
    world.pass(2 * LIMITS.nodeSilentMs);
    world.beat('b');
    world.tick();
    world.pass(10_000, nodes);
    expect(world.written).toBe(written);
  });

  it('gives up those that stay silent when the others are heard again', () => {
    const world = led({ a: 2, b: 2, c: 2 });
    world.pass(2 * LIMITS.nodeSilentMs);
    world.pass(LIMITS.nodeSilentMs, { a: 2, b: 2 });
    expect(world.owners()).toContain('c');
    world.pass(2 * LIMITS.nodeHeartbeatMs, { a: 2, b: 2 });
    expect(Object.keys(world.shares()).toSorted()).toEqual(['a', 'b']);
  });

  it('does not count nodes that own nothing among those that may come again', () => {
    const world = led({ a: 2 });
    world.beat('b', { leaving: true });
    world.pass(2 * LIMITS.nodeSilentMs);
    world.beat('a');
    expect(world.core.nodes(world.nowMs).map(({ node }) => node)).toEqual(['a']);
  });
});

describe('a new leader', () => {
  it('moves nothing while it hears of the nodes one by one, whatever their sizes', () => {
    const nodes = { a: 2, b: 8, c: 2, d: 4 };
    const placement = left(nodes);
    const world = new World();
    world.lead(2, placement);
    expect(world.written).toEqual({ ...placement, term: 2, version: placement.version + 1 });
    const { written } = world;
    for (const node of ['c', 'a', 'd', 'b'] as const) {
      world.nowMs += 100;
      world.beat(node, { cores: nodes[node] });
      world.tick();
    }
    world.pass(10_000, nodes);
    expect(world.written).toBe(written);
  });

  it('gives a node its share before all the others have been heard', () => {
    const world = new World();
    world.lead(2, left({ a: 2, b: 2 }));
    world.beat('c');
    expect(world.shares()['c']).toBeGreaterThan(SHARDS / 4);
  });

  it('gives time to nodes of which it heard long ago, before it was cut off', () => {
    const world = new World();
    world.pass(LIMITS.nodeHeartbeatMs, { a: 2, b: 2, old: 2 });
    world.nowMs += 60_000;
    world.lead(2, left({ a: 2, b: 2 }));
    const { written } = world;
    world.beat('b');
    world.pass(LIMITS.nodeSilentMs, { b: 2 });
    expect(world.written).toBe(written);
    world.pass(LIMITS.nodeHeartbeatMs, { b: 2 });
    expect(world.shares()).toEqual({ b: SHARDS });
  });

  it('gives up at once a node that was silent while it heard the others as a stand-by', () => {
    const world = new World();
    world.pass(LIMITS.nodeHeartbeatMs, { a: 2, b: 2 });
    world.pass(10_000, { b: 2 });
    world.lead(2, left({ a: 2, b: 2 }));
    expect(world.shares()).toEqual({ b: SHARDS });
  });
});

function seeded(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff) / 0x80000000;
}
