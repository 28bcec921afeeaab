import { encodeTarget, type CreateRecord } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { Tally, type TallyRequest, type TallyResult } from './tally.ts';
import { keyed, T0, TARGET, TestShard } from './test-world.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const REQUEST: TallyRequest = { namespace: 'acme', fromMs: T0 };

function create(shard: TestShard, key: string, s: string, change: Partial<CreateRecord> = {}): void {
  shard.create({ key, s, ...change });
}

/** In steps of so many slots, with something that happens between them. */
function count(
  { core }: TestShard,
  step = 1_000,
  request = REQUEST,
  between: () => void = () => undefined,
  chars = 1e6,
): TallyResult {
  const tally = new Tally(request);
  for (let slot: number | undefined = 0; slot !== undefined; between()) slot = core.tally(tally, slot, step);
  return tally.result(chars);
}

describe('a tally', () => {
  it('counts live tasks of the namespace by their schedules, in steps of any size', async () => {
    const shard = await TestShard.start();
    for (let n = 0; n < 5; n++) create(shard, `e${n}`, 'e60000');
    for (let n = 0; n < 2; n++) create(shard, `c${n}`, 'c0 9 * * *;UTC');
    create(shard, 'other', 'e60000', { t: encodeTarget({ ...TARGET, namespace: 'globex' }) });
    shard.cancel(keyed('e4'));
    const expected = {
      items: [
        { schedule: 'e60000', tasks: 4 },
        { schedule: 'c0 9 * * *;UTC', tasks: 2 },
      ],
      leftOut: 0,
      instants: [],
    };
    for (const step of [1, 3, 1_000]) expect(count(shard, step)).toEqual(expected);
    expect(count(shard, 1, { ...REQUEST, namespace: 'initech' }).items).toEqual([]);
  });

  it('puts one-time tasks together by seconds, minutes and hours, and leaves out what is past or far', async () => {
    const shard = await TestShard.start();
    const ahead = [1_500, 1_999, 2_000, HOUR_MS + 61_000, HOUR_MS + 70_000, 2 * DAY_MS + 5, 40 * DAY_MS];
    for (const [n, ms] of ahead.entries()) create(shard, `a${n}`, `a${T0 + ms}`);
    expect(count(shard).instants).toEqual([
      { atMs: T0 + 1_000, tasks: 2 },
      { atMs: T0 + 2_000, tasks: 1 },
      { atMs: T0 + HOUR_MS + 60_000, tasks: 2 },
      { atMs: T0 + 2 * DAY_MS, tasks: 1 },
    ]);
    expect(count(shard, 1_000, { ...REQUEST, fromMs: T0 + 3 * DAY_MS }).instants).toEqual([]);
  });

  it('names some tasks of the schedules that were asked for', async () => {
    const shard = await TestShard.start();
    for (let n = 0; n < 25; n++) create(shard, `e${n}`, 'e60000');
    create(shard, 'c', 'c0 9 * * *;UTC');
    const { items } = count(shard, 7, { ...REQUEST, idsOf: ['e60000'] });
    expect(items.map(({ schedule, tasks, ids }) => [schedule, tasks, ids?.length])).toEqual([
      ['e60000', 25, 20],
      ['c0 9 * * *;UTC', 1, undefined],
    ]);
    expect(items[0]?.ids).toContain(keyed('e0'));
  });

  it('keeps schedules apart when a reference comes to mean another one between two steps', async () => {
    const shard = await TestShard.start();
    create(shard, 'a', 'e60000');
    create(shard, 'b', 'e90000');
    let changed = false;
    const { items } = count(shard, 1, REQUEST, () => {
      if (changed) return;
      changed = true;
      // The first task is looked at already; its schedule goes, and its reference is given to another one.
      shard.update(keyed('a'), { s: 'e30000' });
      create(shard, 'c', 'e45000');
    });
    expect(new Map(items.map(({ schedule, tasks }) => [schedule, tasks]))).toEqual(
      new Map([
        ['e60000', 1],
        ['e90000', 1],
        ['e45000', 1],
      ]),
    );
  });

  it('leaves out what finds no room, those of fewest tasks first', async () => {
    const shard = await TestShard.start();
    create(shard, 'rare', 'c0 9 * * *;UTC');
    for (let n = 0; n < 3; n++) create(shard, `e${n}`, 'e60000');
    expect(count(shard, 1_000, REQUEST, undefined, 60)).toMatchObject({
      items: [{ schedule: 'e60000', tasks: 3 }],
      leftOut: 1,
    });
  });
});
