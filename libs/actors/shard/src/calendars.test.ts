import { LIMITS, type Answer, type CalendarRecord } from '@belfry/protocol';
import { parseSchedule, withSlot, type ScheduleSpec } from '@belfry/timing';
import { beforeEach, describe, expect, it } from 'vitest';
import { Interned } from './intern.ts';
import { fire, keyed, T0, target, TestShard } from './test-world.ts';

const HOUR = 3_600_000;
/** T0 is 14:13:20 in UTC. */
const AFTERNOON = '{"exclude":[{"from":"2026-09-21T15:00","to":"2026-09-21T17:00"}]}';
const EVENING = '{"exclude":[{"from":"2026-09-21T16:00","to":"2026-09-21T20:00"}]}';
const NEVER = '{"exclude":[{"weekdays":["SUN","MON","TUE","WED","THU","FRI","SAT"]}]}';

function canonical(spec: ScheduleSpec = { calendars: ['busy'] }, namespace = 'acme'): string {
  const reading = parseSchedule({ every: '1h', anchor: T0, ...spec }, { namespace });
  if (!reading.ok) throw new Error(reading.error.message);
  return reading.schedule.canonical;
}

describe('calendars of a shard', () => {
  let shard: TestShard;
  let version: number;
  beforeEach(async () => {
    shard = await TestShard.start();
    version = 0;
  });

  const record = (d: string, change: Partial<CalendarRecord> = {}): CalendarRecord => {
    version++;
    return { k: 'calendar', c: 1, m: shard.nextCommand(), ns: 'acme', name: 'busy', v: version, d, ...change };
  };
  const set = (d: string, change: Partial<CalendarRecord> = {}): Answer => shard.send(record(d, change));
  const hours = (id: string): number[] => (shard.core.glance(id, 'acme')?.next ?? []).map((ms) => (ms - T0) / HOUR);
  const answer = (outcome: string, of: number, rearmed = 0): unknown =>
    expect.objectContaining({ ok: true, outcome, version: of, rearmed });
  /** With what is replayed left in the inbox, and again with all of it in the checkpoint. */
  const afterCrashes = async (look: () => void): Promise<void> => {
    look();
    await shard.crash();
    look();
    await shard.checkpoint();
    await shard.crash();
    look();
  };

  it('keep their tasks from firing, also after a crash', async () => {
    set(AFTERNOON);
    const id = shard.create({ s: canonical() });
    await afterCrashes(() => expect(hours(id)).toEqual([3, 4, 5]));
    const moved = shard.create({ s: canonical({ calendars: ['busy'], onExcluded: 'next' }) });
    await afterCrashes(() => expect(shard.core.pointerOf(moved)).toBe(Date.parse('2026-09-21T17:00Z')));
  });

  it('that are heard of late run nothing again that ran meanwhile', () => {
    set('{}');
    const id = shard.create({ s: canonical({ every: '10s', calendars: ['busy'] }) });
    shard.append(record(AFTERNOON));
    shard.pass(10_000);
    const ran = shard.dispatch();
    shard.pass(10_000);
    ran.push(...shard.dispatch());
    expect(ran).toEqual([10_000, 20_000].map((at) => `${fire(id, at)}.1`));
    for (const line of ran) {
      const x = line.slice(0, -2);
      shard.append({ k: 'result', c: 1, x, ns: 'acme', a: 1, o: 'succeeded', w: 'w', dl: 0, st: 0, fi: 0 });
      shard.ack(x, 1);
    }
    shard.catchUp();
    expect(shard.dispatch()).toEqual([]);
    shard.pass(10_000);
    expect(shard.dispatch()).toEqual([`${fire(id, 30_000)}.1`]);
  });

  it('are asked for before the tasks that name them', () => {
    const refused = shard.send(shard.createRecord({ key: 'k', s: canonical({ calendars: ['busy', 'off'] }) }));
    const error = expect.objectContaining({ code: 'not_found', path: 'calendars.busy' });
    expect(refused).toEqual({ ok: false, error });
    expect(shard.core.tasks).toBe(0);
    const plain = shard.create({ s: canonical({}) });
    expect(shard.update(plain, { s: canonical() })).toEqual({ ok: false, error });
    expect(hours(plain)).toEqual([1, 2, 3]);
    set(AFTERNOON);
    expect(shard.update(plain, { s: canonical() })).toMatchObject({ ok: true, status: 'updated' });
    expect(hours(plain)).toEqual([3, 4, 5]);
  });

  it('arm their tasks anew when they change, and no others', async () => {
    set(AFTERNOON);
    const id = shard.create({ s: canonical() });
    const other = shard.create({ s: canonical({}) });
    await shard.checkpoint();
    expect(set(EVENING)).toEqual(answer('set', 2, 1));
    await afterCrashes(() => {
      expect(hours(id)).toEqual([1, 6, 7]);
      expect(hours(other)).toEqual([1, 2, 3]);
    });
    expect(set('{}')).toEqual(answer('set', 3, 1));
    await afterCrashes(() => expect(hours(id)).toEqual([1, 2, 3]));
  });

  it('let what is due by then run all the same', async () => {
    set('{}');
    const id = shard.create({ s: canonical({ every: '10s', calendars: ['busy'] }) });
    await shard.checkpoint();
    shard.pass(25_000);
    set(NEVER);
    await afterCrashes(() => {
      expect(hours(id)).toEqual([]);
      expect(shard.under(id)).toHaveLength(2);
    });
    shard.pass(1);
    expect(shard.dispatch()).toEqual([`${fire(id, 10_000)}.1`, `${fire(id, 20_000)}.1`]);
  });

  it('do not take a fire back that was dispatched before the change was applied', async () => {
    set('{}');
    const id = shard.create({ s: canonical() });
    await shard.checkpoint();
    // The record's stored time lies before the fire, its application after it.
    const change = record(AFTERNOON);
    shard.nowMs += HOUR - 5;
    shard.append(change);
    shard.nowMs += 10;
    shard.core.advance(shard.nowMs, Infinity);
    expect(shard.dispatch()).toEqual([`${fire(id, HOUR)}.1`]);
    shard.catchUp();
    expect(hours(id)).toEqual([3, 4, 5]);
    await shard.crash();
    expect(shard.under(id)).toEqual([`${HOUR} dispatched 1`]);
    expect(hours(id)).toEqual([3, 4, 5]);
    expect(shard.result(fire(id, HOUR), 1, 'succeeded')).toMatchObject({ ok: true });
    await shard.checkpoint();
    expect(shard.history()).toEqual([`${HOUR} succeeded`]);
  });

  it('fire nothing twice when they change while it is under way', () => {
    set('{}');
    const id = shard.create({ s: canonical() });
    const change = record('{"exclude":["2026-12-25"]}');
    shard.nowMs += HOUR - 5;
    shard.append(change);
    shard.nowMs += 10;
    shard.core.advance(shard.nowMs, Infinity);
    shard.dispatch();
    shard.catchUp();
    expect(hours(id)).toEqual([2, 3, 4]);
    expect(shard.dispatch()).toEqual([]);
  });

  it('that exclude everything put tasks to sleep, and do not end them', async () => {
    set('{}');
    const id = shard.create({ key: 'k', s: canonical() });
    const ending = shard.create({ s: canonical({ calendars: ['busy'], endAt: T0 + 90 * 60_000 }) });
    set(NEVER);
    await afterCrashes(() => {
      expect(shard.core.glance(id, 'acme')).toMatchObject({ state: 'waiting', next: [] });
      expect(hours(ending)).toEqual([]);
    });
    shard.pass(2 * HOUR);
    set('{}');
    await afterCrashes(() => expect(hours(id)).toEqual([3, 4, 5]));
    expect(shard.core.glance(ending, 'acme'), 'its schedule is over').toBeUndefined();
  });

  it('let a task end whose schedule is over', () => {
    set(AFTERNOON);
    const id = shard.create({ s: canonical({ calendars: ['busy'], endAt: T0 + 3 * HOUR }) });
    shard.pass(3 * HOUR);
    shard.dispatch();
    shard.result(fire(id, 3 * HOUR), 1, 'succeeded');
    expect(shard.core.tasks).toBe(0);
  });

  it('of one name in two namespaces are two', async () => {
    set(AFTERNOON);
    set(EVENING, { ns: 'zeta' });
    const acme = shard.create({ s: canonical() });
    const zeta = shard.create({ s: canonical(undefined, 'zeta'), t: target({ namespace: 'zeta' }) });
    await afterCrashes(() => {
      expect(hours(acme)).toEqual([3, 4, 5]);
      expect(shard.core.glance(zeta, 'zeta')?.next[1]).toBe(T0 + 6 * HOUR);
    });
    expect(set('{}')).toEqual(answer('set', 3, 1));
  });

  it('are set once by a command, and keep the greatest version', async () => {
    const first = record(AFTERNOON, { v: 10 });
    expect(shard.send(first)).toEqual(answer('set', 10));
    expect(shard.send(first)).toEqual(answer('repeated', 10));
    const late = record(EVENING, { v: 9 });
    expect(shard.send(late)).toEqual(answer('superseded', 10));
    expect(shard.send(late), 'it learns the same again').toEqual(answer('superseded', 10));
    expect(set(EVENING, { v: 10 })).toEqual(answer('superseded', 10));
    expect(set(AFTERNOON, { v: 10 })).toEqual(answer('set', 10));
    const id = shard.create({ s: canonical() });
    expect(set(AFTERNOON, { v: 11 }), 'nothing to arm anew').toEqual(answer('set', 11));
    await afterCrashes(() => {
      expect(hours(id)).toEqual([3, 4, 5]);
      expect(shard.send(first)).toEqual(answer('repeated', 11));
    });
  });

  it('are no more than a namespace may have', () => {
    for (let i = 0; i < LIMITS.calendars; i++) set('{}', { name: `c${i}` });
    expect(set('{}')).toMatchObject({ ok: false, error: { code: 'overloaded', path: 'name' } });
    expect(set(AFTERNOON, { name: 'c7' })).toMatchObject({ outcome: 'set' });
    expect(set('{}', { ns: 'zeta' })).toMatchObject({ outcome: 'set' });
  });

  it('that this version cannot read are refused', () => {
    expect(set('{"phases":["full moon"]}')).toMatchObject({ ok: false, error: { code: 'unsupported' } });
    expect(shard.send(shard.createRecord({ s: canonical() }))).toMatchObject({ ok: false });
  });

  it('do not make a keyed task another one', () => {
    set(AFTERNOON);
    const make = () => shard.send(shard.createRecord({ key: 'k', s: canonical() }));
    expect(make()).toMatchObject({ status: 'created' });
    set(EVENING);
    expect(make()).toMatchObject({ status: 'unchanged' });
    expect(hours(keyed('k'))).toEqual([1, 6, 7]);
  });
});

describe('a schedule that shards share', () => {
  it('answers each by its own calendars', () => {
    const interned = new Interned();
    const schedule = interned.schedules.get(interned.schedules.take(canonical()));
    const calendarOf = (text: string) => interned.calendars.get(interned.calendars.take(text));
    const [afternoon, evening] = [calendarOf(AFTERNOON), calendarOf(EVENING)];
    const hour = (source: Parameters<typeof schedule.next>[3]) => (schedule.next(T0, T0, 0, source) - T0) / HOUR;
    for (let round = 0; round < 2; round++) {
      expect(hour(() => afternoon)).toBe(3);
      expect(hour(() => evening)).toBe(1);
      expect(hour(() => undefined)).toBe(1);
    }
  });
});

describe('a limit that counts from when it was stated', () => {
  it('goes on counting when the same task is stated again', async () => {
    const shard = await TestShard.start();
    const make = (limit: number) => {
      const reading = parseSchedule({ every: '1h', limit }, { nowMs: shard.nowMs });
      if (!reading.ok) throw new Error(reading.error.message);
      return shard.send(shard.createRecord({ key: 'k', s: reading.schedule.canonical }));
    };
    const fires = [1, 2, 3].map((hour) => T0 + hour * HOUR);
    expect(make(3)).toMatchObject({ status: 'created', next: fires });
    shard.nowMs += 600_000;
    expect(make(3)).toMatchObject({ status: 'unchanged', next: fires });
    expect(make(2)).toMatchObject({
      status: 'updated',
      next: [fires[0], fires[1]].map((ms) => (ms as number) + 600_000),
    });
  });
});

describe('the minute that was chosen for a task', () => {
  const slotted = (slot: number, change: object = {}): string => {
    const spec = { every: '1d', between: ['02:00', '04:00'] as const, timezone: 'UTC', ...change };
    const reading = parseSchedule(spec);
    if (!reading.ok) throw new Error(reading.error.message);
    return withSlot(reading.schedule, slot).canonical;
  };
  const minute = (shard: TestShard, id: string) => new Date(shard.core.pointerOf(id)).toISOString().slice(11, 16);

  it('stays when the same task is stated again, whatever is chosen then', async () => {
    const shard = await TestShard.start();
    const make = (slot: number, change: object = {}) =>
      shard.send(shard.createRecord({ key: 'k', s: slotted(slot, change) }));
    expect(make(7)).toMatchObject({ status: 'created' });
    expect(make(90)).toMatchObject({ status: 'unchanged' });
    expect(shard.update(keyed('k'), { s: slotted(30) })).toMatchObject({ status: 'updated' });
    expect(minute(shard, keyed('k'))).toBe('02:07');
    expect(make(31, { every: '1w' })).toMatchObject({ status: 'updated' });
    expect(minute(shard, keyed('k')), 'the window is the same').toBe('02:07');
    expect(make(32, { between: ['05:00', '06:00'] })).toMatchObject({ status: 'updated' });
    expect(minute(shard, keyed('k'))).toBe('05:32');
  });
});
