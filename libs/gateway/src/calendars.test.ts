import type { CalendarRecord, InboxRecord } from '@belfry/protocol';
import type { CalendarRow } from '@belfry/ports';
import { parseSchedule } from '@belfry/timing';
import { describe, expect, it } from 'vitest';

import { hashOfCommand } from './creates.ts';
import { SPEC, T0, TestWorld } from './test-world.ts';

const CALENDAR = { timezone: 'Europe/Berlin', exclude: ['12-25', { from: '2026-12-20', to: '2027-01-02' }] };
const SET = { name: 'holidays', calendar: CALENDAR };

function records(world: TestWorld): CalendarRecord[] {
  return world.records().filter((record): record is CalendarRecord => record.k === 'calendar');
}

/** What a shard answers to a calendar. */
const answered = (outcome: 'set' | 'repeated' | 'superseded', version: number, rearmed = 0) =>
  ({ ok: true, status: 'calendar', outcome, version, rearmed }) as const;

const isCalendar = (record: InboxRecord): record is CalendarRecord => record.k === 'calendar';

describe('calendars.set', () => {
  it('tells every shard, and sums up what they say', async () => {
    const world = new TestWorld({ shards: 8 });
    world.behaviour = (record, shard) => (isCalendar(record) ? answered('set', record.v, shard) : undefined);
    const reply = await world.ask('calendars.set', { ...SET, commandId: 'c' });
    const [first] = records(world);
    expect(reply).toEqual({ name: 'holidays', status: 'set', version: first?.v, rearmed: 28 });
    expect(new Set(world.appends.flat().map(({ shard }) => shard)).size).toBe(8);
    for (const record of records(world))
      expect(record).toMatchObject({ m: first?.m, ns: 'acme', name: 'holidays', d: JSON.stringify(CALENDAR) });
  });

  it('is set again with a greater version where another gateway was quicker', async () => {
    const world = new TestWorld({ shards: 3 });
    const theirs = 2 ** 52;
    world.behaviour = (record, shard) => {
      if (!isCalendar(record)) return undefined;
      return record.v < theirs && shard === 1 ? answered('superseded', theirs) : answered('set', record.v, 1);
    };
    const reply = await world.ask('calendars.set', SET);
    expect(reply).toMatchObject({ status: 'set', rearmed: 5 });
    expect(Number(reply['version'])).toBeGreaterThan(theirs);
    expect(records(world)).toHaveLength(6);
    expect(new Set(records(world).map(({ m }) => m)).size, 'each try is a command of its own').toBe(2);
  });

  it('is set again where a part of the shards had the command, and others were set since', async () => {
    const world = new TestWorld({ shards: 2 });
    const first = hashOfCommand('acme', 'calendars.set', 'c', 'holidays.0');
    world.behaviour = (record, shard) => {
      if (!isCalendar(record)) return undefined;
      return record.m === first && shard === 0 ? answered('repeated', 2 ** 52) : answered('set', record.v);
    };
    expect(await world.ask('calendars.set', { ...SET, commandId: 'c' })).toMatchObject({ status: 'set' });
    expect(records(world).at(-1)?.v).toBeGreaterThan(2 ** 52);
  });

  it('is unchanged when all shards had the command', async () => {
    const world = new TestWorld({ shards: 2 });
    world.behaviour = (_record, shard) => answered('repeated', 5 + shard);
    expect(await world.ask('calendars.set', SET)).toEqual({
      name: 'holidays',
      status: 'unchanged',
      version: 6,
      rearmed: 0,
    });
    expect(records(world)).toHaveLength(2);
  });

  it('gives up when others keep setting it', async () => {
    const world = new TestWorld({ shards: 2 });
    world.behaviour = (record) => (isCalendar(record) ? answered('superseded', record.v + 1) : undefined);
    expect(await world.ask('calendars.set', SET)).toMatchObject({ error: { code: 'overloaded', retryable: true } });
  });

  it('fails with the first shard that fails', async () => {
    const world = new TestWorld({ shards: 2 });
    const error = { code: 'overloaded', message: 'too many', path: 'name' } as const;
    world.behaviour = (record, shard) =>
      shard === 1 ? { ok: false, error } : answered('set', (record as CalendarRecord).v);
    expect(await world.ask('calendars.set', SET)).toEqual({ error });
  });

  it.each([
    [{ calendar: CALENDAR }, 'missing_field', 'name'],
    [{ name: 'a b', calendar: CALENDAR }, 'invalid_name', 'name'],
    [{ name: 'a' }, 'missing_field', 'calendar'],
    [{ name: 'a', calendar: ['12-25'] }, 'invalid_field', 'calendar'],
    [{ name: 'a', calendar: CALENDAR, more: 1 }, 'unknown_field', 'more'],
    [{ name: 'a', calendar: { exclude: ['12-25', '13-25'] } }, 'invalid_field', 'calendar.exclude[1]'],
    [{ name: 'a', calendar: { excludes: [] } }, 'invalid_field', 'calendar.excludes'],
    [{ name: 'a', calendar: { timezone: 'Europe/Berln' } }, 'invalid_timezone', 'calendar.timezone'],
    [{ name: 'a', calendar: { exclude: ['x'.repeat(70_000)] } }, 'too_large', 'calendar'],
  ])('refuses %j', async (request, code, path) => {
    const world = new TestWorld();
    expect(await world.ask('calendars.set', request)).toMatchObject({ error: { code, path } });
    expect(world.appends).toEqual([]);
  });
});

it('refuses a calendar that is many levels deep', async () => {
  const world = new TestWorld();
  const exclude = '['.repeat(20_000) + ']'.repeat(20_000);
  const request = `{"name":"a","calendar":{"exclude":${exclude}}}`;
  const reply = await world.ask('calendars.set', new TextEncoder().encode(request));
  expect(reply).toMatchObject({ error: { code: 'too_large', path: 'calendar' } });
});

describe('calendars.get and calendars.list', () => {
  const row = (name: string, namespace = 'acme'): CalendarRow => ({
    namespace,
    name,
    version: 7,
    definition: JSON.stringify(CALENDAR),
    setAt: T0,
  });

  it('show what is stored of the namespace', async () => {
    const world = new TestWorld();
    world.calendars = [row('holidays'), row('holidays', 'zeta'), row('freeze', 'zeta')];
    const [setAt, asOf] = [new Date(T0).toISOString(), new Date(world.nowMs).toISOString()];
    expect(await world.ask('calendars.get', { name: 'holidays' })).toEqual({
      name: 'holidays',
      calendar: CALENDAR,
      version: 7,
      setAt,
      asOf,
    });
    expect(await world.ask('calendars.list', '')).toEqual({
      items: [{ name: 'holidays', rules: 2, version: 7, setAt }],
      asOf,
    });
    expect(await world.ask('calendars.get', { name: 'freeze' })).toMatchObject({
      error: { code: 'not_found', path: 'name' },
    });
    world.queryError = new Error('away');
    expect(await world.ask('calendars.list', {})).toMatchObject({ error: { code: 'unavailable' } });
  });

  it('tell `tasks.list` what comes next', async () => {
    const world = new TestWorld();
    const spec = { cron: '0 12 * * *', calendars: ['off'] };
    const reading = parseSchedule(spec, { namespace: 'acme' });
    if (!reading.ok) throw new Error(reading.error.message);
    const { canonical } = reading.schedule;
    const tomorrow = new Date(T0 + 86_400_000).toISOString().slice(0, 10);
    world.calendars = [{ ...row('off'), definition: JSON.stringify({ exclude: [tomorrow] }) }];
    const target = '["acme","mail","send",1,3,1000,2,3600000,0.2,300000]';
    const task = { id: 'a'.repeat(32), shard: 0, namespace: 'acme', queue: 'mail', handler: 'send', key: undefined };
    const rest = { payload: 'null', metadata: '{}', traceparent: undefined, createdAt: T0, effectiveFrom: T0 };
    world.tasks = [{ ...task, ...rest, schedule: canonical, target, ended: undefined }];
    const { items } = await world.ask('tasks.list', {});
    expect(items[0]).toMatchObject({ cron: '0 12 * * *', calendars: ['off'] });
    const next = items[0]?.['next'] as string[];
    expect(next[0]).toBe(`${new Date(T0 + 2 * 86_400_000).toISOString().slice(0, 10)}T12:00:00.000Z`);
  });
});

describe('a task that names calendars', () => {
  it('is refused with the place of the one that its shard does not know', async () => {
    const world = new TestWorld();
    const error = { code: 'not_found', message: 'no calendar off', path: 'calendars.off' } as const;
    world.behaviour = () => ({ ok: false, error });
    const spec = { ...SPEC, at: undefined, every: '1h', calendars: ['zzz', 'off'] };
    expect(await world.ask('tasks.create', spec)).toMatchObject({ error: { path: 'calendars[1]' } });
    const { items } = await world.ask('tasks.create', [{ ...spec, calendars: ['off'] }, spec]);
    expect(items.map((item) => item.error.path)).toEqual(['items[0].calendars[0]', 'items[1].calendars[1]']);
    const update = { key: 'k', set: { every: '1h', calendars: ['off'] } };
    expect(await world.ask('tasks.update', update)).toMatchObject({ error: { path: 'set.calendars[0]' } });
  });

  it('keeps the calendars of its own namespace', async () => {
    const world = new TestWorld();
    const spec = { ...SPEC, at: undefined, every: '1h', calendars: ['off'] };
    await world.ask('tasks.create', spec, 'acme');
    await world.ask('tasks.create', spec, 'zeta');
    const texts = world.records().map((record) => (record.k === 'create' ? record.s : ''));
    expect(texts[0]).toContain('"acme/off"');
    expect(texts[1]).toContain('"zeta/off"');
  });
});
