import { LIMITS } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';
import { led, SHARDS, World } from './test-world.ts';

const NODES = { a: 2, b: 2, c: 2 };

describe('a shard that an operator moves', () => {
  it('goes to the named node, no other moves, and it stays there while nodes come and go', () => {
    const world = led(NODES);
    const before = world.owners();
    const shard = before.indexOf('a');
    expect(world.order({ kind: 'move', shard, to: 'b' })).toBeUndefined();
    expect(world.owners()).toEqual(before.with(shard, 'b'));
    world.beat('d');
    world.pass(2 * LIMITS.nodeSilentMs, { a: 2, b: 2, d: 2 });
    expect(world.shares()).not.toHaveProperty('c');
    expect(world.owners()[shard]).toBe('b');
  });

  it('goes to the node that has the least for its cores, when none is named', () => {
    const world = led({ a: 2, b: 2 });
    const shard = world.owners().indexOf('a');
    world.order({ kind: 'move', shard: world.owners().indexOf('b'), to: 'a' });
    expect(world.order({ kind: 'move', shard, to: undefined })).toBeUndefined();
    expect(world.owners()[shard]).toBe('b');
  });

  it('is placed like any other once its node is gone, and once it is unpinned', () => {
    const world = led(NODES);
    const shard = world.owners().indexOf('a');
    world.order({ kind: 'move', shard, to: 'b' });
    world.pass(2 * LIMITS.nodeSilentMs, { a: 2, c: 2 });
    expect(world.written?.pins).toBeUndefined();
    world.order({ kind: 'move', shard, to: 'c' });
    expect(world.written?.pins).toEqual([{ shard, node: 'c' }]);
    expect(world.order({ kind: 'unpin', shard })).toBeUndefined();
    expect(world.written?.pins).toBeUndefined();
  });

  it('stays where it was put under the next leader', () => {
    const world = led(NODES);
    const shard = world.owners().indexOf('a');
    world.order({ kind: 'move', shard, to: 'b' });
    const next = new World();
    next.lead(2, world.written);
    next.pass(10_000, NODES);
    expect(next.written).toEqual({ ...world.written, term: 2, version: (world.written?.version ?? 0) + 1 });
  });
});

describe('a node that is drained', () => {
  it('gives its shards to the others and gets none, also under the next leader, until that is undone', () => {
    const world = led(NODES);
    expect(world.order({ kind: 'drain', node: 'a' })).toBeUndefined();
    expect(Object.keys(world.shares()).toSorted()).toEqual(['b', 'c']);
    expect(world.takes()).toEqual({ a: 'drained', b: 'yes', c: 'yes' });
    const next = new World();
    next.lead(2, world.written);
    next.pass(10_000, { ...NODES, d: 2 });
    expect(Object.keys(next.shares()).toSorted()).toEqual(['b', 'c', 'd']);
    expect(next.order({ kind: 'undrain', node: 'a' })).toBeUndefined();
    expect(next.shares()['a']).toBeGreaterThan(0);
    expect(next.written).not.toHaveProperty('drained');
  });

  it('is written though no shard moves: one that had none stays without', () => {
    const world = new World();
    world.lead(1);
    world.beat('a');
    world.beat('b', { leaving: true });
    expect(world.order({ kind: 'drain', node: 'b' })).toBeUndefined();
    world.beat('b');
    expect(world.shares()).toEqual({ a: SHARDS });
  });

  it('has the shards all the same when it is the last that is there', () => {
    const world = led({ a: 2, b: 2 });
    world.order({ kind: 'drain', node: 'a' });
    world.pass(2 * LIMITS.nodeSilentMs, { a: 2 });
    expect(world.shares()).toEqual({ a: SHARDS });
    world.beat('b');
    expect(world.shares()).toEqual({ b: SHARDS });
  });
});

describe('an order', () => {
  it.each([
    [{ kind: 'move', shard: SHARDS, to: 'b' }, 'invalid_field', 'shard'],
    [{ kind: 'move', shard: 1.5, to: 'b' }, 'invalid_field', 'shard'],
    [{ kind: 'unpin', shard: -1 }, 'invalid_field', 'shard'],
    [{ kind: 'move', shard: 0, to: 'nobody' }, 'not_found', 'to'],
    [{ kind: 'move', shard: 0, to: 'leaving' }, 'conflict', 'to'],
    [{ kind: 'move', shard: 0, to: 'drained' }, 'conflict', 'to'],
    [{ kind: 'move', shard: 0, to: undefined }, 'conflict', undefined],
    [{ kind: 'drain', node: 'nobody' }, 'not_found', 'node'],
    [{ kind: 'drain', node: 'a' }, 'conflict', undefined],
    [{ kind: 'undrain', node: 'a' }, 'not_found', 'node'],
  ] as const)('%j is refused as %s, and changes nothing', (order, code, path) => {
    const world = led({ a: 2, drained: 2 });
    world.order({ kind: 'drain', node: 'drained' });
    world.beat('leaving', { leaving: true });
    const { written } = world;
    expect(world.order(order)).toMatchObject({ code, ...(path === undefined ? {} : { path }) });
    expect(world.written).toBe(written);
  });

  it('is not taken by a supervisor that does not lead', () => {
    const world = led(NODES);
    world.core.step({ kind: 'follows' });
    expect(world.order({ kind: 'drain', node: 'a' })).toMatchObject({ code: 'unavailable', retryable: true });
  });
});

describe('a node whose address nobody serves', () => {
  it('is given up before one that is only silent', () => {
    const world = led(NODES);
    world.pass(LIMITS.nodeGoneMs - LIMITS.nodeHeartbeatMs, { a: 2, b: 2 });
    world.gone('c');
    expect(world.shares()).toHaveProperty('c');
    world.pass(LIMITS.nodeHeartbeatMs, { a: 2, b: 2 });
    world.gone('c');
    expect(Object.keys(world.shares()).toSorted()).toEqual(['a', 'b']);
  });
});

describe('a supervisor that stood still', () => {
  it('holds that time against nobody', () => {
    const world = led(NODES);
    world.pass(LIMITS.nodeGoneMs, { a: 2, b: 2 });
    const { written } = world;
    world.nowMs += LIMITS.nodeSilentMs - LIMITS.nodeHeartbeatMs;
    world.tick();
    world.pass(LIMITS.nodeSilentMs - LIMITS.nodeGoneMs, { a: 2, b: 2 });
    expect(world.written).toBe(written);
    world.pass(LIMITS.nodeHeartbeatMs, { a: 2, b: 2 });
    expect(Object.keys(world.shares()).toSorted()).toEqual(['a', 'b']);
  });
});

describe('a node that is lost again and again', () => {
  /** It is lost, and heard at once after. Returns for how long it then gets no shards, in heartbeat intervals. */
  const loseAndWait = (world: World): number => {
    world.pass(LIMITS.nodeSilentMs + LIMITS.nodeHeartbeatMs, { a: 2, b: 2 });
    expect(world.shares()).not.toHaveProperty('c');
    const lostAt = world.nowMs;
    world.beat('c');
    while (world.shares()['c'] === undefined) world.pass(LIMITS.nodeHeartbeatMs, NODES);
    return world.nowMs - lostAt;
  };

  it('comes back at once the first time, and after a growing delay then', () => {
    const world = led(NODES);
    const delays = Array.from({ length: 8 }, () => loseAndWait(world));
    const { flapHoldMs, flapMaxHoldMs } = LIMITS;
    expect(delays.slice(0, 4)).toEqual([0, flapHoldMs, 2 * flapHoldMs, 4 * flapHoldMs]);
    expect(Math.max(...delays)).toBe(flapMaxHoldMs);
  });

  it('is held back by the next leader too, whose clocks run otherwise', () => {
    const before = led(NODES);
    loseAndWait(before);
    loseAndWait(before);
    before.pass(LIMITS.nodeSilentMs + LIMITS.nodeHeartbeatMs, { a: 2, b: 2 });
    // The wall clock says the same to both; the next leader's own has just begun.
    const next = new World();
    next.lead(2, before.written, before.nowMs);
    for (const node of ['a', 'b', 'c']) next.beat(node);
    expect(next.takes()).toMatchObject({ a: 'yes', c: 'held' });
    next.pass(2 * LIMITS.flapHoldMs + LIMITS.nodeHeartbeatMs, NODES);
    expect(next.shares()).toHaveProperty('c');
    expect(next.written?.losses).toEqual(before.written?.losses);
    // And forgotten in time.
    const late = new World();
    late.lead(3, next.written, before.nowMs + LIMITS.flapWindowMs + 1_000);
    expect(late.written?.losses).toBeUndefined();
  });

  it('is like any other again when it has stayed for the length of the window', () => {
    const world = led(NODES);
    loseAndWait(world);
    expect(loseAndWait(world)).toBe(LIMITS.flapHoldMs);
    world.pass(LIMITS.flapWindowMs, NODES);
    expect(loseAndWait(world)).toBe(0);
  });

  it('has shards all the same where there is no other', () => {
    const world = led(NODES);
    loseAndWait(world);
    loseAndWait(world);
    world.pass(LIMITS.nodeSilentMs + LIMITS.nodeHeartbeatMs, { a: 2, b: 2 });
    world.beat('c');
    expect(world.takes()).toMatchObject({ c: 'held' });
    world.pass(LIMITS.nodeSilentMs + LIMITS.nodeHeartbeatMs, { c: 2 });
    expect(world.shares()).toEqual({ c: SHARDS });
  });

  it('is not held back for going in peace', () => {
    const world = led(NODES);
    for (let stop = 0; stop < 3; stop++) {
      world.beat('c', { leaving: true });
      world.pass(2 * LIMITS.nodeSilentMs, { a: 2, b: 2 });
      world.beat('c');
      expect(world.shares()).toHaveProperty('c');
    }
  });
});
