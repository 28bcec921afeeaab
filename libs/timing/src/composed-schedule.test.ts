import { describe, expect, it } from 'vitest';

import { parseCanonical, sameButSlot } from './canonical.ts';
import { parseCalendar, type CalendarSpec } from './read-calendar.ts';
import { parseSchedule, slotsOf, withSlot, type ReadContext } from './read-schedule.ts';
import { nextFire, type Schedule } from './schedule.ts';
import type { CalendarSource, ScheduleSpec } from './schedule-spec.ts';

const CREATED = Date.parse('2026-01-10T08:30:00Z');

function schedule(spec: ScheduleSpec, context?: ReadContext): Schedule {
  const reading = parseSchedule(spec, context);
  if (!reading.ok) throw new Error(`${reading.error.path}: ${reading.error.message}`);
  // Everything here goes through its canonical text, as it does in the program.
  const again = parseCanonical(reading.schedule.canonical);
  expect(again.canonical).toBe(reading.schedule.canonical);
  return again;
}

function calendars(specs: { readonly [name: string]: CalendarSpec }): CalendarSource {
  return (name) => {
    const spec = specs[name];
    if (spec === undefined) return undefined;
    const reading = parseCalendar(spec);
    if (!reading.ok) throw new Error(`${reading.error.path}: ${reading.error.message}`);
    return reading.calendar;
  };
}

/** The next fires as UTC without seconds that are 0; fewer when there are no more. */
function fires(
  spec: ScheduleSpec | Schedule,
  after: string,
  count: number,
  task: { readonly seed?: number; readonly calendars?: CalendarSource; readonly createdMs?: number } = {},
): string[] {
  const of = 'kind' in spec ? spec : schedule(spec);
  const found: string[] = [];
  for (let at = Date.parse(after); found.length < count;) {
    at = nextFire(of, at, { createdMs: CREATED, seed: 1, ...task });
    if (at === Infinity) break;
    found.push(new Date(at).toISOString().replace(':00.000Z', 'Z').replace('.000Z', 'Z'));
  }
  return found;
}

function refusal(spec: unknown): string {
  const reading = parseSchedule(spec as ScheduleSpec);
  if (reading.ok) return `accepted as ${reading.schedule.canonical}`;
  const { code, path, message, position } = reading.error;
  return `${code} ${path} ${position ?? '-'}: ${message}`;
}

describe('intervals on a calendar', () => {
  it('count months from the anchor, and clamp to their ends without drift', () => {
    const monthly = { every: '1mo', anchor: '2026-01-31T09:00:00Z' };
    expect(fires(monthly, '2026-01-01T00:00:00Z', 5)).toEqual([
      '2026-01-31T09:00Z',
      '2026-02-28T09:00Z',
      '2026-03-31T09:00Z',
      '2026-04-30T09:00Z',
      '2026-05-31T09:00Z',
    ]);
    expect(fires({ every: 'P1Y', anchor: '2024-02-29T00:00:00Z' }, '2024-01-01T00:00:00Z', 6)).toEqual([
      '2024-02-29T00:00Z',
      '2025-02-28T00:00Z',
      '2026-02-28T00:00Z',
      '2027-02-28T00:00Z',
      '2028-02-29T00:00Z',
      '2029-02-28T00:00Z',
    ]);
  });

  it('keep the wall time of a zone, where exact ones keep the distance', () => {
    const daily = { every: '1d', anchor: '2026-03-27T08:00:00Z', timezone: 'Europe/Berlin' };
    expect(fires(daily, '2026-03-27T08:00:00Z', 3)).toEqual([
      '2026-03-28T08:00Z',
      '2026-03-29T07:00Z',
      '2026-03-30T07:00Z',
    ]);
    const { timezone: _, ...exact } = daily;
    expect(fires(exact, '2026-03-27T08:00:00Z', 3)).toEqual([
      '2026-03-28T08:00Z',
      '2026-03-29T08:00Z',
      '2026-03-30T08:00Z',
    ]);
  });

  it('move a wall time that is skipped to the end of the gap, and take the first of two', () => {
    const daily = { every: '1d', anchor: '2026-03-27T01:30:00Z', timezone: 'Europe/Berlin' }; // 02:30
    expect(fires(daily, '2026-03-27T12:00:00Z', 3)).toEqual([
      '2026-03-28T01:30Z',
      '2026-03-29T01:00Z',
      '2026-03-30T00:30Z',
    ]);
    expect(fires({ ...daily, gap: 'skip' }, '2026-03-27T12:00:00Z', 2)).toEqual([
      '2026-03-28T01:30Z',
      '2026-03-30T00:30Z',
    ]);
    expect(fires(daily, '2026-10-24T12:00:00Z', 2)).toEqual(['2026-10-25T00:30Z', '2026-10-26T01:30Z']);
    expect(fires({ ...daily, fold: 'last' }, '2026-10-24T12:00:00Z', 2)).toEqual([
      '2026-10-25T01:30Z',
      '2026-10-26T01:30Z',
    ]);
    expect(fires({ ...daily, fold: 'both' }, '2026-10-24T12:00:00Z', 3)).toEqual([
      '2026-10-25T00:30Z',
      '2026-10-25T01:30Z',
      '2026-10-26T01:30Z',
    ]);
  });

  it('skip the day that Apia never had', () => {
    const daily = { every: '1d', anchor: '2011-12-28T22:00:00Z', timezone: 'Pacific/Apia' }; // noon, the 28th
    expect(fires(daily, '2011-12-28T22:00:00Z', 3)).toEqual([
      '2011-12-29T22:00Z',
      '2011-12-30T22:00Z', // the 31st: there was no 30th
      '2011-12-31T22:00Z',
    ]);
  });

  it('count from the creation when they have no anchor, a period later', () => {
    expect(fires({ every: '2w', timezone: 'Europe/Berlin' }, '2026-01-10T08:30:00Z', 2)).toEqual([
      '2026-01-24T08:30Z',
      '2026-02-07T08:30Z',
    ]);
    expect(fires({ every: 'P1DT12H', timezone: 'UTC', anchor: 0 }, '1970-01-01T00:00:00Z', 2)).toEqual([
      '1970-01-02T12:00Z',
      '1970-01-04T00:00Z',
    ]);
  });

  it('end with the year 9999', () => {
    const yearly = schedule({ every: '1y', anchor: '2000-12-31T00:00:00Z' });
    expect(fires(yearly, '9998-12-30T00:00:00Z', 5)).toEqual(['9998-12-31T00:00Z', '9999-12-31T00:00Z']);
  });

  it('are stated as they were', () => {
    for (const [every, again] of [
      ['P1M', '1mo'],
      ['18mo', '18mo'],
      ['24mo', '2y'],
      ['1w', '7d'],
      ['P1DT90M', '1d90m'],
      ['P1DT2H', '1d2h'],
    ] as const) {
      const { spec } = schedule({ every, timezone: 'Europe/Paris' });
      expect(spec.every).toBe(again);
      expect(schedule(spec).spec).toEqual(spec);
    }
  });
});

describe('several expressions', () => {
  it('fire at the instants of all, each once', () => {
    const cron = ['0 9 * * MON-FRI', '0 12 * * *', '0 9 1 * *'];
    expect(fires({ cron, timezone: 'UTC' }, '2026-05-29T10:00:00Z', 5)).toEqual([
      '2026-05-29T12:00Z',
      '2026-05-30T12:00Z',
      '2026-05-31T12:00Z',
      '2026-06-01T09:00Z',
      '2026-06-01T12:00Z',
    ]);
    expect(schedule({ cron }).canonical).toBe(schedule({ cron: cron.toReversed() }).canonical);
    expect(schedule({ cron: ['0 9 * * *'] }).canonical).toBe('c0 9 * * *;UTC');
  });
});

describe('bounds', () => {
  it('let nothing fire before startAt and after endAt, both included', () => {
    const bounded = { cron: '0 * * * *', startAt: '2026-02-01T02:00:00Z', endAt: '2026-02-01T04:00:00Z' };
    expect(fires(bounded, '2026-01-01T00:00:00Z', 9)).toEqual([
      '2026-02-01T02:00Z',
      '2026-02-01T03:00Z',
      '2026-02-01T04:00Z',
    ]);
  });

  it('make startAt the anchor of an interval that has none', () => {
    expect(fires({ every: '90m', startAt: '2026-02-01T02:00:00Z' }, '2026-01-01T00:00:00Z', 2)).toEqual([
      '2026-02-01T02:00Z',
      '2026-02-01T03:30Z',
    ]);
    expect(
      fires(
        { every: '90m', startAt: '2026-02-01T02:00:00Z', anchor: '2026-02-01T00:10:00Z' },
        '2026-01-01T00:00:00Z',
        1,
      ),
    ).toEqual(['2026-02-01T03:10Z']);
  });

  it('count a limit from startAt, or from when the schedule was stated', () => {
    const nowMs = Date.parse('2026-01-10T08:30:00Z');
    const stated = (spec: ScheduleSpec): string[] => fires(schedule(spec, { nowMs }), '2026-01-10T08:30:00Z', 9);
    expect(stated({ cron: '0 * * * *', limit: 2 })).toEqual(['2026-01-10T09:00Z', '2026-01-10T10:00Z']);
    expect(stated({ every: '1h', limit: 2 })).toEqual(['2026-01-10T09:30Z', '2026-01-10T10:30Z']);
    expect(stated({ every: '1mo', limit: 2 })).toEqual(['2026-02-10T08:30Z', '2026-03-10T08:30Z']);
    expect(stated({ every: '1h', startAt: '2026-02-01T02:00:00Z', limit: 2 })).toEqual([
      '2026-02-01T02:00Z',
      '2026-02-01T03:00Z',
    ]);
    const { spec } = schedule({ cron: '0 * * * *', limit: 2 }, { nowMs });
    expect(spec).toEqual({ cron: '0 * * * *', timezone: 'UTC', limit: 2 });
  });
});

describe('jitter', () => {
  const jittery = { cron: '0 9 * * *', jitter: '10m' };

  it('moves all fires of a task by the same amount, within its window', () => {
    const amounts = new Set<number>();
    for (let seed = 0; seed < 200; seed++) {
      const [first, second] = fires(jittery, '2026-01-01T00:00:00Z', 2, { seed: seed * 7_919 }).map(Date.parse);
      const amount = (first as number) - Date.parse('2026-01-01T09:00:00Z');
      expect((second as number) - (first as number)).toBe(86_400_000);
      expect(amount).toBeGreaterThanOrEqual(0);
      expect(amount).toBeLessThanOrEqual(600_000);
      amounts.add(Math.floor(amount / 60_000));
    }
    expect(amounts.size).toBeGreaterThan(8); // spread over the window
  });

  it('fires what was due at an instant before the asked one plus its amount', () => {
    const [first] = fires(jittery, '2026-01-01T00:00:00Z', 1, { seed: 99 });
    const at = Date.parse(first as string);
    expect(nextFire(schedule(jittery), at - 1, { createdMs: 0, seed: 99 })).toBe(at);
    expect(nextFire(schedule(jittery), at, { createdMs: 0, seed: 99 })).toBe(at + 86_400_000);
  });
});

describe('between', () => {
  const nightly = { every: '1d', between: ['23:30', '00:30'], timezone: 'Europe/Berlin' } as const;

  it('fires once a day at the minute that was chosen', () => {
    expect(slotsOf(schedule(nightly))).toBe(60);
    const at = (slot: number): string[] => fires(withSlot(schedule(nightly), slot), '2026-06-01T12:00:00Z', 2);
    expect(at(0)).toEqual(['2026-06-01T21:30Z', '2026-06-02T21:30Z']);
    expect(at(29)).toEqual(['2026-06-01T21:59Z', '2026-06-02T21:59Z']);
    expect(at(30)).toEqual(['2026-06-01T22:00Z', '2026-06-02T22:00Z']);
  });

  it('fires on the days of a cron expression', () => {
    const weekdays = schedule({ cron: '* * * * MON-FRI', between: ['02:00', '04:00'] });
    expect(fires(withSlot(weekdays, 90), '2026-06-05T00:00:00Z', 2)).toEqual([
      '2026-06-05T03:30Z',
      '2026-06-08T03:30Z',
    ]);
  });

  it('takes a minute of the task itself where none was chosen', () => {
    const minutes = new Set(
      [...Array(300).keys()].map((seed) => fires(nightly, '2026-06-01T12:00:00Z', 1, { seed })[0]),
    );
    expect(minutes.size).toBe(60);
  });

  it('is the same schedule whatever the minute', () => {
    const [a, b] = [withSlot(schedule(nightly), 3), withSlot(schedule(nightly), 4)];
    expect(a.canonical).not.toBe(b.canonical);
    expect(sameButSlot(a.canonical, b.canonical)).toBe(true);
    const other = withSlot(schedule({ ...nightly, timezone: 'Europe/Paris' }), 3);
    expect(sameButSlot(a.canonical, other.canonical)).toBe(false);
    expect(sameButSlot('c0 9 * * *;UTC', 'c0 9 * * *;UTC')).toBe(true);
    expect(sameButSlot('c0 9 * * *;UTC', 'c1 9 * * *;UTC')).toBe(false);
    expect(a.spec).toEqual(nightly);
  });

  it('counts a limit at the chosen minute', () => {
    const nowMs = Date.parse('2026-06-01T21:45:00Z'); // 23:45 in Berlin: minute 0 has passed, minute 29 comes
    const reading = parseSchedule({ ...nightly, limit: 2 }, { nowMs });
    if (!reading.ok) throw new Error(reading.error.message);
    const at = (slot: number): string[] =>
      fires(withSlot(reading.schedule, slot, { nowMs }), '2026-06-01T21:45:00Z', 5);
    expect(at(0)).toEqual(['2026-06-02T21:30Z', '2026-06-03T21:30Z']);
    expect(at(29)).toEqual(['2026-06-01T21:59Z', '2026-06-02T21:59Z']);
  });
});

describe('calendars', () => {
  const hourly = { cron: '0 * * * *', calendars: ['freeze'] } as const;
  const source = calendars({
    freeze: { exclude: [{ from: '2026-12-24T18:00', to: '2026-12-24T21:00' }] },
    holidays: { exclude: ['12-25', '2026-12-26', { weekdays: ['SUN'] }], timezone: 'Europe/Berlin' },
    office: { include: [{ daily: ['09:00', '17:00'], weekdays: ['MON', 'TUE', 'WED', 'THU', 'FRI'] }] },
    night: { exclude: [{ daily: ['22:00', '06:00'] }] },
    never: { exclude: [{ daily: ['11:00', '13:00'] }] },
    year: { exclude: [{ from: '2026-01-01', to: '2026-12-31' }] },
    ever: { exclude: [{ weekdays: ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'] }] },
  });
  const at = (spec: ScheduleSpec, after: string, count: number): string[] =>
    fires(spec, after, count, { calendars: source });

  it('leave out what they exclude, the end of a window not included', () => {
    expect(at(hourly, '2026-12-24T16:30:00Z', 3)).toEqual([
      '2026-12-24T17:00Z',
      '2026-12-24T21:00Z',
      '2026-12-24T22:00Z',
    ]);
    const daily = { cron: '0 9 * * *', timezone: 'Europe/Berlin', calendars: ['holidays'] };
    expect(at(daily, '2026-12-24T12:00:00Z', 3)).toEqual([
      '2026-12-28T08:00Z',
      '2026-12-29T08:00Z',
      '2026-12-30T08:00Z',
    ]);
  });

  it('move it to the next allowed instant, several to one', () => {
    expect(at({ ...hourly, onExcluded: 'next', cron: '30 * * * *' }, '2026-12-24T17:00:00Z', 4)).toEqual([
      '2026-12-24T17:30Z',
      '2026-12-24T21:00Z', // of 18:30, 19:30 and 20:30
      '2026-12-24T21:30Z',
      '2026-12-24T22:30Z',
    ]);
    const moved = { ...hourly, onExcluded: 'next', cron: '30 * * * *' } as const;
    // Asked from within the excluded stretch, the answer is the same: what was due in it is still to come.
    expect(at(moved, '2026-12-24T20:59:00Z', 1)).toEqual(['2026-12-24T21:00Z']);
    // Nothing was due in the stretch so far, and nothing comes in the rest of it.
    expect(at({ ...moved, cron: '0 12 * * *' }, '2026-12-24T20:59:00Z', 1)).toEqual(['2026-12-25T12:00Z']);
  });

  it('include windows only, and combine', () => {
    expect(at({ cron: '0 */4 * * *', calendars: ['office'] }, '2026-06-05T00:00:00Z', 3)).toEqual([
      '2026-06-05T12:00Z',
      '2026-06-05T16:00Z',
      '2026-06-08T12:00Z',
    ]);
    expect(at({ cron: '0 */4 * * *', calendars: ['office', 'never'] }, '2026-06-05T00:00:00Z', 2)).toEqual([
      '2026-06-05T16:00Z',
      '2026-06-08T16:00Z',
    ]);
    expect(
      at({ cron: '0 12 * * *', calendars: ['never', 'office'], onExcluded: 'next' }, '2026-06-05T00:00:00Z', 2),
    ).toEqual(['2026-06-05T13:00Z', '2026-06-08T09:00Z']);
  });

  it('cross midnight', () => {
    expect(at({ cron: '0 */2 * * *', calendars: ['night'] }, '2026-06-05T19:00:00Z', 3)).toEqual([
      '2026-06-05T20:00Z',
      '2026-06-06T06:00Z',
      '2026-06-06T08:00Z',
    ]);
  });

  it('let a schedule end that they exclude for ever, and step over a year at once', () => {
    expect(at({ cron: '0 12 * * *', calendars: ['never'] }, '2026-06-05T00:00:00Z', 1)).toEqual([]);
    for (const calendars of [
      ['ever', 'never'],
      ['ever', 'year'],
    ])
      expect(at({ cron: '0 12 * * *', calendars }, '2026-06-05T00:00:00Z', 1)).toEqual([]);
    expect(at({ cron: '* * * * * *', calendars: ['year'] }, '2026-01-05T00:00:00Z', 1)).toEqual(['2027-01-01T00:00Z']);
    expect(at({ cron: '* * * * * *', calendars: ['year'], onExcluded: 'next' }, '2026-01-05T00:00:00Z', 2)).toEqual([
      '2027-01-01T00:00Z',
      '2027-01-01T00:00:01Z',
    ]);
  });

  it('that are not known exclude nothing', () => {
    expect(at({ cron: '0 12 * * *', calendars: ['nowhere'] }, '2026-06-05T00:00:00Z', 1)).toEqual([
      '2026-06-05T12:00Z',
    ]);
  });

  it('are named in the namespace of their task', () => {
    expect(schedule({ cron: '0 12 * * *', calendars: ['b', 'a', 'b'] }, { namespace: 'shop' }).canonical).toBe(
      's{"c":["0 12 * * *"],"z":"UTC","cal":["shop/a","shop/b"]}',
    );
  });
});

describe('exact intervals with a zone', () => {
  it('keep it, to be shown in, and are the same everywhere', () => {
    const hourly = { every: '1h', anchor: '2026-03-28T23:30:00Z', timezone: 'Europe/Berlin' };
    expect(schedule(hourly).spec).toEqual({ ...hourly, anchor: '2026-03-28T23:30:00.000Z' });
    expect(fires(hourly, '2026-03-29T00:00:00Z', 2)).toEqual(['2026-03-29T00:30Z', '2026-03-29T01:30Z']);
    expect(fires({ every: '1h', timezone: 'Europe/Berlin' }, '2026-01-10T08:30:00Z', 1)).toEqual(['2026-01-10T09:30Z']);
  });

  it('are counted without a walk', () => {
    const startAt = '2026-01-01T00:00:00Z';
    const many = schedule({ every: '250ms', startAt, limit: 1_000_000_000 });
    const last = Date.parse(startAt) + 999_999_999 * 250;
    const task = { createdMs: CREATED, seed: 0 };
    expect([nextFire(many, last - 1, task), nextFire(many, last, task)]).toEqual([last, Infinity]);
    expect(fires({ every: '1h', startAt, anchor: '2026-01-01T00:20:00Z', limit: 2 }, startAt, 9)).toEqual([
      '2026-01-01T00:20Z',
      '2026-01-01T01:20Z',
    ]);
    expect(fires(schedule({ every: '1h', limit: 2 }, { nowMs: CREATED }), '2026-01-01T00:00:00Z', 9)).toEqual([
      '2026-01-10T09:30Z',
      '2026-01-10T10:30Z',
    ]);
  });
});

describe('what does not fit together', () => {
  it('is a time that the clocks of a zone skip from now on, which nothing lets run', () => {
    const swallowed = (cron: string, gap?: 'skip' | 'next'): string | undefined => {
      const spec = { cron, timezone: 'America/New_York', ...(gap === undefined ? {} : { gap }) };
      const reading = parseSchedule(spec, { nowMs: CREATED });
      return reading.ok ? undefined : `${reading.error.code}: ${reading.error.message}`;
    };
    const why = 'never fires: the clocks of America/New_York skip each such time, and gap "skip" lets it be';
    expect(swallowed('30 2 ? 3 SUN#2', 'skip')).toBe(`cron_never_fires: "30 2 * 3 SUN#2" ${why}`);
    expect(swallowed('*/30 2 ? 3 SUN#2')).toContain('cron_never_fires: "*/30 2 * 3 SUN#2" never fires');
    expect(parseSchedule({ cron: '0 0 1 1 *' }, { nowMs: Date.UTC(9999, 11, 31) }).ok).toBe(true);
    expect([swallowed('30 2 ? 3 SUN#2'), swallowed('30 2 ? 3 SUN#1', 'skip')]).toEqual([undefined, undefined]);
  });

  it.each([
    [{ at: 5, jitter: '1m' }, 'invalid_schedule jitter -: jitter goes with every and cron, not with at'],
    [{ at: 5, timezone: 'UTC' }, 'a time zone goes with every and cron, not with at'],
    [{ every: '1h', timezone: 'Berlin' }, 'did you mean Europe/Berlin?'],
    [{ every: '1mo', limit: 10_001 }, 'invalid_schedule limit -: limit is a whole number from 1 to 10000'],
    [{ every: '1.5mo' }, 'invalid_every every -: every: a part of a calendar unit'],
    [{ every: '1.5d', timezone: 'UTC' }, 'a part of a calendar unit'],
    [{ every: '1h', gap: 'skip' }, 'invalid_schedule gap -: gap goes with cron and with days'],
    [{ cron: '0 9 * * *', gap: 'maybe' }, 'gap is one of next, skip, not "maybe"'],
    [{ cron: '0 9 * * *', fold: 5 }, 'fold is one of first, last, both, not 5'],
    [{ cron: [] }, 'invalid_cron cron -: 1 to 10 expressions are taken, not 0'],
    [{ cron: Array(11).fill('0 9 * * *') }, '1 to 10 expressions are taken, not 11'],
    [{ cron: ['0 9 * * *', '0 25 * * *'] }, 'invalid_cron cron 2: expression 2: hour "25" at position 2'],
    [{ cron: ['0 9 * * *', 5] }, 'invalid_cron cron -: expression 2: cron is a text'],
    [{ cron: ['0 9 * * *', '0 0 31 2 *'] }, 'cron_never_fires cron -: expression 2: "0 0 31 2 *" never fires'],
    [{ cron: '0 10 * * ? *' }, 'invalid_cron cron 9: month "?" at position 9: ? stands for a day'],
    [{ cron: '0 9 * * *', limit: 0 }, 'invalid_schedule limit -: limit is a whole number from 1 to 10000'],
    [{ cron: '0 9 * * *', limit: 10_001 }, 'limit is a whole number from 1 to 10000'],
    [{ cron: '0 9 * * *', startAt: '2026-01-01' }, 'invalid_schedule startAt 10: startAt: the time is missing'],
    [
      { cron: '0 9 * * *', startAt: '2026-01-02T00:00:00Z', endAt: '2026-01-01T00:00:00Z' },
      'invalid_schedule endAt -: endAt lies before startAt',
    ],
    [{ cron: '0 9 * * *', calendars: [] }, 'invalid_schedule calendars -: a list of 1 to 8 names is needed'],
    [{ cron: '0 9 * * *', calendars: ['a', 'b c'] }, 'invalid_schedule calendars[1] -: a name of 1 to 64 characters'],
    [{ cron: '0 9 * * *', onExcluded: 'next' }, 'onExcluded goes with calendars'],
    [{ cron: '0 9 * * *', jitter: '25h' }, 'jitter: 24 hours at most'],
    [{ cron: '0 9 * * *', jitter: '1mo' }, 'jitter: months and years vary in length'],
    [{ every: '1h', between: ['02:00', '04:00'] }, 'between goes with whole days, weeks, months or years'],
    [{ every: '1d12h', between: ['02:00', '04:00'] }, 'between goes with whole days'],
    [{ cron: '0 9 * * *', between: ['02:00', '04:00'] }, 'with between, minute and hour are chosen: write * for both'],
    [{ every: '1d', between: ['2:00', '04:00'] }, 'two times of day are needed'],
    [{ every: '1d', between: ['02:00', '02:00'] }, 'the window is empty'],
  ])('%j is refused: %s', (spec, expected) => {
    expect(refusal(spec)).toContain(expected);
  });

  it.each([
    [[], ': an object is needed'],
    [{ excludes: [] }, 'excludes: no field of this name'],
    [{ exclude: {} }, 'exclude: a list of rules is needed'],
    [{ exclude: ['2026-02-29'] }, 'exclude[0]: 2026-02 has no day 29'],
    [{ exclude: ['02-30'] }, 'exclude[0]: that month has no day 30'],
    [{ exclude: ['christmas'] }, 'exclude[0]: "christmas" is no date'],
    [{ exclude: [{}] }, 'exclude[0]: a date, from and to, weekdays, or daily is needed'],
    [{ exclude: [{ from: '2026-01-02', to: '2026-01-01' }] }, 'exclude[0].to: 2026-01-01 is not after 2026-01-02'],
    [{ exclude: [{ from: '2026-01-02', to: '2026-01-03T10:00' }] }, 'exclude[0].to: from and to are two dates'],
    [{ exclude: [{ weekdays: ['SA'] }] }, 'exclude[0].weekdays[0]: "SA" is no weekday'],
    [{ exclude: [{ daily: ['22:00'] }] }, 'exclude[0].daily: two times are needed'],
    [{ exclude: [{ daily: ['22:00', '24:00'] }] }, 'exclude[0].daily[1]: "24:00" is no time of day'],
    [{ include: [] }, 'include: an empty list would allow nothing'],
    [{ timezone: 'Berlin' }, 'timezone: "Berlin" is no time zone; did you mean Europe/Berlin?'],
    [{ exclude: Array(1_001).fill('12-25') }, ': 1001 rules; 1000 at most'],
  ])('the calendar %j is refused: %s', (spec, expected) => {
    const reading = parseCalendar(spec);
    expect(reading.ok ? 'accepted' : `${reading.error.path}: ${reading.error.message}`).toContain(expected);
  });
});
