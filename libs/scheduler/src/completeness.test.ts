import { LIMITS } from '@belfry/protocol';
import { NO_FIRES } from '@belfry/ports';
import type { MissedFire } from '@belfry/shard';
import { describe, expect, it } from 'vitest';
import { Completeness, nodeLedger } from './completeness.ts';

const MISSING: MissedFire = { task: 'ab'.repeat(16), scheduledAt: 1_790_000_000_000, place: 'idle' };

/** A shard of so many tasks, of which the audit finds one missing at the slot that is told. */
function shardOf(shard: number, tasks: number, missingAt = -1) {
  const slices: number[] = [];
  const core = {
    shard,
    imbalance: 0,
    expected: 9,
    waitingFires: 1,
    counters: { ...NO_FIRES, fired: 7, finished: 6, dead: 1, cancelled: 2, skipped: 1 },
    isReady: true,
    audit(from: number, limit: number) {
      const end = Math.min(tasks, from + limit);
      if (!core.isReady) return { next: from, looked: 0, found: [] };
      slices.push(from);
      const found = missingAt >= from && missingAt < end ? [MISSING] : [];
      return { next: end < tasks ? end : 0, looked: end - from, found };
    },
  };
  return { leaving: false, core, slices };
}

function listening() {
  const lines: [string, Record<string, unknown> | undefined][] = [];
  const error = (message: string, fields?: Record<string, unknown>): void => void lines.push([message, fields]);
  return { lines, completeness: new Completeness({ info: () => undefined, warn: () => undefined, error }) };
}

const guard = (_host: unknown, act: () => void): void => act();

describe('the audit of a node', () => {
  it('goes from shard to shard, a bounded slice in each tick', () => {
    const { completeness } = listening();
    const hosts = [shardOf(0, 2 * LIMITS.auditTasks + 1), shardOf(1, 0), shardOf(2, 1)];
    for (let tick = 0; tick < 6; tick++) completeness.tick(hosts, guard);
    expect(hosts.map(({ slices }) => slices)).toEqual([[0, LIMITS.auditTasks, 2 * LIMITS.auditTasks, 0], [0], [0]]);
  });

  it('leaves a shard for later that is on its way out, or has not come to now', () => {
    const { completeness } = listening();
    const hosts = [shardOf(0, 1), shardOf(1, 1), shardOf(2, 1)] as const;
    hosts[0].leaving = true;
    hosts[1].core.isReady = false;
    for (let tick = 0; tick < 3; tick++) completeness.tick(hosts, guard);
    expect(hosts.map(({ slices }) => slices.length)).toEqual([0, 0, 1]);
  });

  it('tells which fire is missing, and where its task stands', () => {
    const { lines, completeness } = listening();
    completeness.tick([shardOf(3, 5, 4)], guard);
    expect(lines).toEqual([
      [
        'a fire is missing: it waits for nothing, though its schedule has a fire',
        { shard: 3, task: MISSING.task, scheduledAt: '2026-09-21T14:13:20.000Z', place: 'idle' },
      ],
    ]);
  });

  it('tells once for each number that a ledger does not balance', () => {
    const { lines, completeness } = listening();
    const host = shardOf(0, 1);
    for (const imbalance of [0, 2, 2, 2, 3, 0, 0]) {
      host.core.imbalance = imbalance;
      completeness.tick([host], guard);
    }
    expect(lines.map(([, fields]) => fields?.['imbalance'])).toEqual([2, 3, 0]);
  });

  it('leaves what goes wrong in it to the guard', () => {
    const { completeness } = listening();
    const host = shardOf(0, 1);
    host.core.audit = () => {
      throw new Error('boom');
    };
    const faults: unknown[] = [];
    completeness.tick([host], (_host, act) => {
      try {
        act();
      } catch (error) {
        faults.push(error);
      }
    });
    expect(faults).toEqual([new Error('boom')]);
  });
});

it('adds up the ledgers of shards so that each fire is in one account', () => {
  const { expected, ...accounts } = nodeLedger([shardOf(0, 1), shardOf(1, 1)]);
  expect([expected, Object.values(accounts).reduce((sum, count) => sum + count)]).toEqual([18, 18]);
  expect(accounts).toMatchObject({ waiting: 2, dispatched: 2, succeeded: 6, dead: 2, cancelled: 4, skipped: 2 });
});
