import { describe, expect, it } from 'vitest';

import { ok } from '@belfry/ports';

import { T0, TestWorld } from './test-world.ts';

const at = (ms: number): string => new Date(ms).toISOString();

describe('schedules.preview', () => {
  it('tells the next fires after an instant, or after now', async () => {
    const world = new TestWorld();
    const schedule = { cron: '30 2 * * *', timezone: 'Europe/Berlin' };
    expect(await world.ask('schedules.preview', { schedule, after: '2027-03-27T12:00:00Z', count: 2 })).toEqual({
      timezone: 'Europe/Berlin',
      items: [
        {
          at: '2027-03-28T01:00:00.000Z',
          local: '2027-03-28T03:00:00+02:00',
          notes: ['moved by a DST gap: 02:30 does not exist on 2027-03-28'],
        },
        { at: '2027-03-29T00:30:00.000Z', local: '2027-03-29T02:30:00+02:00', notes: [] },
      ],
    });
    const hourly = await world.ask('schedules.preview', { schedule: { every: '1h' } });
    expect(hourly['items']).toHaveLength(10);
    expect(hourly['items']).toMatchObject([
      { at: at(T0 + 3_600_000) },
      { at: at(T0 + 7_200_000) },
      {},
      {},
      {},
      {},
      {},
      {},
      {},
      {},
    ]);
  });

  it('knows the calendars of the namespace, and refuses others', async () => {
    const world = new TestWorld();
    const definition = JSON.stringify({ exclude: ['12-25'] });
    world.calendars = [{ namespace: 'acme', name: 'holidays', version: 1, definition, setAt: T0 }];
    const schedule = { cron: '0 9 * * *', calendars: ['holidays'] };
    const ask = { schedule, after: '2026-12-24T12:00:00Z', count: 1 };
    expect(await world.ask('schedules.preview', ask)).toMatchObject({ items: [{ at: '2026-12-26T09:00:00.000Z' }] });
    expect(await world.ask('schedules.preview', { ...ask, schedule: { ...schedule, calendars: ['freeze'] } })).toEqual({
      error: { code: 'not_found', message: 'there is no calendar freeze', path: 'schedule.calendars' },
    });
  });

  it.each([
    [{}, 'missing_field', 'schedule'],
    [{ schedule: 5 }, 'malformed', 'schedule'],
    [{ schedule: {} }, 'missing_field', 'schedule.at'],
    [{ schedule: { cron: '0 9 * * *', queue: 'q' } }, 'unknown_field', 'schedule.queue'],
    [{ schedule: { cron: '0 25 * * *' } }, 'invalid_schedule', 'schedule.cron'],
    [{ schedule: { cron: '0 9 * * *', timezone: 'Berlin' } }, 'invalid_timezone', 'schedule.timezone'],
    [{ schedule: { every: '1h' }, count: 1_001 }, 'invalid_field', 'count'],
    [{ schedule: { every: '1h' }, after: 'soon' }, 'invalid_field', 'after'],
    [{ schedule: { every: '1h' }, more: 1 }, 'unknown_field', 'more'],
  ])('refuses %j', async (request, code, path) => {
    expect(await new TestWorld().ask('schedules.preview', request)).toMatchObject({ error: { code, path } });
  });
});

describe('schedules.lint', () => {
  it('warns, or has nothing to say', async () => {
    const world = new TestWorld();
    expect(await world.ask('schedules.lint', { schedule: { cron: '30 9 31 * *' } })).toMatchObject({
      warnings: [{ code: 'month_lacks_day', path: 'cron' }],
    });
    expect(await world.ask('schedules.lint', { schedule: { cron: '30 9 * * *' } })).toEqual({ warnings: [] });
  });
});

describe('schedules.forecast', () => {
  it('counts the fires of all stored tasks by steps', async () => {
    const world = new TestWorld();
    world.schedules = {
      items: [
        { schedule: 'c0 * * * *;UTC', tasks: 100 },
        { schedule: 'e60000', tasks: 7 },
        { schedule: 'c0 9 * * *;Mars/Olympus', tasks: 3 },
      ],
      instants: [{ atMs: T0 + 90_000, tasks: 5 }],
      leftOut: 2,
    };
    const day = await world.ask('schedules.forecast', {});
    expect(day).toMatchObject({ from: at(T0), stepMs: 60_000, tasks: 112, leftOut: 5, asOf: at(T0) });
    const fires = day['fires'] as number[];
    expect(fires).toHaveLength(1_440);
    expect(fires[1]).toBe(7 + 5);
    const onTheHour = Math.floor((3_600_000 - (T0 % 3_600_000)) / 60_000);
    expect(fires[onTheHour]).toBe(107);
    expect(fires[onTheHour + 1_380]).toBe(107);
    expect(fires.filter((count) => count > 100)).toHaveLength(24);
    const hour = await world.ask('schedules.forecast', { window: 'hour' });
    expect(hour).toMatchObject({ stepMs: 1_000 });
    expect((hour['fires'] as number[])[90]).toBeCloseTo(5 + 7 / 60);
    expect((await world.ask('schedules.forecast', { window: 'month' }))['fires']).toHaveLength(744);
  });

  it('sums up the answers of schedulers, each for all of its shards, and waits for one that is between owners', async () => {
    const world = new TestWorld();
    const asked: number[] = [];
    let away = true;
    world.askShard = (shard, op, body) => {
      expect(op).toBe('schedules');
      const { shards } = JSON.parse(body) as { readonly shards: readonly number[] };
      asked.push(shard);
      if (shard === 2 && away) {
        away = false;
        return Promise.resolve({ kind: 'refused', reason: 'no_owner' });
      }
      const covers = shards.filter((other) => other % 3 === shard % 3);
      const items = [{ schedule: 'c0 * * * *;UTC', tasks: 10 * covers.length }];
      const answer = { covers, items, instants: [{ atMs: T0 + 5_000, tasks: 1 }], leftOut: 1, asOf: T0 - shard };
      return Promise.resolve(ok(new TextEncoder().encode(JSON.stringify(answer))));
    };
    const asking = world.ask('schedules.forecast', {});
    await world.pass(1_000);
    const day = await asking;
    expect(asked).toEqual([0, 1, 2, 2]);
    expect(day).toMatchObject({ tasks: 83, leftOut: 3, asOf: at(T0 - 2) });
    expect((day['fires'] as number[])[0]).toBe(3);
  });

  it('says so when schedulers do not answer, or not what was asked', async () => {
    const world = new TestWorld();
    world.askShard = () => Promise.resolve({ kind: 'refused', reason: 'no_owner' });
    const asking = world.ask('schedules.forecast', {});
    await world.pass(10_000);
    expect(await asking).toMatchObject({ error: { code: 'unavailable', retryable: true } });
    for (const [answer, code] of [
      ['{"error":{"code":"not_found","message":"no task of this id or key"}}', 'unavailable'],
      ['{"error":{"code":"overloaded","message":"busy"}}', 'overloaded'],
      ['[', 'unavailable'],
    ] as const) {
      world.askShard = () => Promise.resolve(ok(new TextEncoder().encode(answer)));
      expect(await world.ask('schedules.forecast', {})).toMatchObject({ error: { code } });
    }
  });

  it('refuses another window', async () => {
    expect(await new TestWorld().ask('schedules.forecast', { window: 'year' })).toMatchObject({
      error: { code: 'invalid_field', path: 'window' },
    });
  });
});
