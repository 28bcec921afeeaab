import { LIMITS } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';
import { placeShards, type PlaceableNode } from './placement.ts';
import { counts, led, left, SHARDS, World } from './test-world.ts';

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

  it('that are pinned go to their nodes, and no other moves for it', () => {
    const nodes = ['a', 'b', 'c'].map((id) => ({ id, weight: 1 }));
    const before = placeShards(SHARDS, nodes, []);
    const moved = before.flatMap((owner, shard) => (owner === 'a' ? [shard] : [])).slice(0, 4);
    const pins = new Map(moved.map((shard) => [shard, 'b']));
    const after = placeShards(SHARDS, nodes, before, pins);
    expect(after).toEqual(before.map((owner, shard) => pins.get(shard) ?? owner));
    expect(placeShards(SHARDS, nodes.slice(0, 1), after, pins)).toEqual(new Array(SHARDS).fill('a'));
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
