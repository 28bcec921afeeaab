import { LIMITS } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';
import { placeShards } from './placement.ts';
import { Supervisor, type NodeHeartbeat } from './supervisor.ts';

const nodes = (...ids: string[]) => ids.map((id) => ({ id, weight: 1 }));
const count = (placed: readonly (string | undefined)[], node: string) =>
  placed.filter((owner) => owner === node).length;
const beat = (node: string, leaving = false): NodeHeartbeat => ({ node, cores: 2, leaving, owned: [] });

describe('placeShards', () => {
  it('gives no node more than its share', () => {
    for (let size = 1; size <= 9; size++) {
      const ids = Array.from({ length: size }, (_, at) => `n${at}`);
      const placed = placeShards(256, nodes(...ids), []);
      for (const id of ids) expect(count(placed, id)).toBeLessThanOrEqual(Math.ceil(256 / size));
      expect(placed).not.toContain(undefined);
    }
  });

  it('weighs nodes by their size', () => {
    const placed = placeShards(
      300,
      [
        { id: 'big', weight: 2 },
        { id: 'small', weight: 1 },
      ],
      [],
    );
    expect([count(placed, 'big'), count(placed, 'small')]).toEqual([200, 100]);
  });

  it('moves only what the lost node had', () => {
    const before = placeShards(256, nodes('a', 'b', 'c'), []);
    const after = placeShards(256, nodes('a', 'b'), before);
    const moved = after.filter((owner, shard) => owner !== before[shard]).length;
    expect(moved).toBe(count(before, 'c'));
  });

  it('moves to a new node no more than its share', () => {
    const before = placeShards(256, nodes('a', 'b'), []);
    const after = placeShards(256, nodes('a', 'b', 'c'), before);
    const moved = after.filter((owner, shard) => owner !== before[shard]);
    expect(new Set(moved)).toEqual(new Set(['c']));
    expect(moved.length).toBeLessThanOrEqual(Math.ceil(256 / 3));
  });
});

describe('Supervisor', () => {
  const leading = () => {
    const supervisor = new Supervisor(16);
    supervisor.step({ kind: 'leads', term: 1, placement: undefined, nowMs: 0, wallMs: 0 });
    return supervisor;
  };

  it('places everything on the first node, and shares with the second', () => {
    const supervisor = leading();
    const [first] = supervisor.step({ kind: 'heartbeat', beat: beat('a'), nowMs: 1 });
    expect(first?.placement).toMatchObject({ term: 1, version: 1, nodes: ['a'] });
    const [second] = supervisor.step({ kind: 'heartbeat', beat: beat('b'), nowMs: 2 });
    expect(second?.placement.assignment.filter((node) => node === 1)).toHaveLength(8);
  });

  it('that leads counts the silence of nodes that it never heard from when it began to listen', () => {
    const supervisor = new Supervisor(4);
    const beat = (nowMs: number): void =>
      void supervisor.step({ kind: 'heartbeat', beat: { node: 'b', cores: 2, leaving: false, owned: [] }, nowMs });
    for (let nowMs = 0; nowMs <= 2_000; nowMs += 500) beat(nowMs);
    const placement = { term: 1, version: 1, nodes: ['a'], assignment: [0, 0, 0, 0] };
    supervisor.step({ kind: 'leads', term: 2, placement, nowMs: 2_000, wallMs: 0 });
    const [effect] = supervisor.step({ kind: 'gone', node: 'a', nowMs: 2_000 });
    expect(effect?.placement.nodes).toEqual(['b']);
  });

  it('gives up a silent node, and one that leaves at once', () => {
    const supervisor = leading();
    supervisor.step({ kind: 'heartbeat', beat: beat('a'), nowMs: 0 });
    supervisor.step({ kind: 'heartbeat', beat: beat('b'), nowMs: 0 });
    for (let nowMs = 500; nowMs <= LIMITS.nodeSilentMs; nowMs += 500) {
      supervisor.step({ kind: 'heartbeat', beat: beat('a'), nowMs });
      expect(supervisor.step({ kind: 'tick', nowMs })).toEqual([]);
    }
    const [moved] = supervisor.step({ kind: 'tick', nowMs: LIMITS.nodeSilentMs + 1 });
    expect(moved?.placement.nodes).toEqual(['a']);
    supervisor.step({ kind: 'heartbeat', beat: beat('c'), nowMs: LIMITS.nodeSilentMs + 2 });
    const [left] = supervisor.step({ kind: 'heartbeat', beat: beat('a', true), nowMs: LIMITS.nodeSilentMs + 3 });
    expect(left?.placement.nodes).toEqual(['c']);
  });

  it('lets the last node keep its shards when it leaves', () => {
    const supervisor = leading();
    supervisor.step({ kind: 'heartbeat', beat: beat('a'), nowMs: 0 });
    expect(supervisor.step({ kind: 'heartbeat', beat: beat('a', true), nowMs: 1 })).toEqual([]);
  });

  it('does nothing as a stand-by, and as a new leader gives known nodes time to be heard', () => {
    const supervisor = new Supervisor(4);
    expect(supervisor.step({ kind: 'heartbeat', beat: beat('a'), nowMs: 0 })).toEqual([]);
    const placement = { term: 1, version: 7, nodes: ['a', 'b'], assignment: [0, 1, 0, 1] };
    const [kept] = supervisor.step({ kind: 'leads', term: 2, placement, nowMs: 10, wallMs: 10 });
    expect(kept?.placement).toEqual({ ...placement, term: 2, version: 8 });
    for (let nowMs = 500; nowMs <= LIMITS.nodeSilentMs; nowMs += 500)
      expect(supervisor.step({ kind: 'heartbeat', beat: beat('a'), nowMs })).toEqual([]);
    const [moved] = supervisor.step({ kind: 'tick', nowMs: 10 + LIMITS.nodeSilentMs + 1 });
    expect(moved?.placement.assignment).toEqual([0, 0, 0, 0]);
  });
});
