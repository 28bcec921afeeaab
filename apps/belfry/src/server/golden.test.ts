import { levelOf, type Placement } from '@belfry/ports';
import { LEVELS } from '@belfry/protocol';
import { GOLDEN } from '@belfry/protocol/testing';
import { Supervisor } from '@belfry/supervisor';
import { describe, expect, it } from 'vitest';

import { ProcessTable } from './operators/process-table.ts';
import { nodeHeartbeat } from './supervisor-role.ts';

const parsed = (text: string): Placement => JSON.parse(text) as Placement;

describe('what processes of the first level say', () => {
  it('is a placement that the next leader takes over, level and orders and all', () => {
    for (const text of Object.values(GOLDEN.placement)) {
      const left = parsed(text);
      const leader = new Supervisor(2);
      const wallMs = 1_790_000_001_000;
      const [effect] = leader.step({ kind: 'leads', term: 8, placement: left, nowMs: 0, wallMs });
      expect(effect?.placement).toEqual({ ...left, term: 8, version: 32 });
    }
    expect(levelOf(parsed(GOLDEN.placement[1]))).toBe(LEVELS.oldest);
    expect(levelOf(parsed(GOLDEN.placement[2]))).toBe(2);
  });

  it('is written as it always was, until a level is agreed', () => {
    const leader = new Supervisor(2);
    leader.step({ kind: 'leads', term: 7, placement: parsed(GOLDEN.placement[1]), nowMs: 0, wallMs: 0 });
    const [raised] = leader.step({ kind: 'level', level: 2, nowMs: 0 });
    expect(JSON.stringify({ ...raised?.placement, version: 31, losses: { n3: [1_790_000_000_000] } })).toBe(
      GOLDEN.placement[2],
    );
    expect(leader.step({ kind: 'level', level: 2, nowMs: 0 })).toEqual([]);
    expect(leader.step({ kind: 'level', level: 1, nowMs: 0 })).toEqual([]);
  });

  it("is a node's heartbeat", () => {
    const { cores } = JSON.parse(nodeHeartbeat('n1', [], false, 0)) as { cores: number };
    const told = nodeHeartbeat('n1', [0, 1], false, 1_790_000_000_000);
    expect(told).toBe(GOLDEN.heartbeats.node.replace('"cores":2', `"cores":${cores}`));
  });

  it('is a heartbeat, with a level or without, and with what is added later', () => {
    const table = new ProcessTable();
    const { process } = GOLDEN.heartbeats;
    const heard = (text: string) => table.heard(Buffer.from(text), 0);
    expect(heard(process[1])).toMatchObject({ node: 'n1', pid: 41 });
    expect(heard(process[1])?.level).toBeUndefined();
    expect(heard(process[2])?.level).toBe(2);
    expect(heard(process[2].replace('"level":2', '"level":3,"later":[]'))?.level).toBe(3);
    expect(heard(process[2].replace('"roles":["scheduler"]', '"roles":["scheduler","later"]'))?.roles).toEqual([
      'scheduler',
    ]);
    expect(heard(process[2].replace('"level":2', '"level":"2"'))).toBeUndefined();
  });
});
