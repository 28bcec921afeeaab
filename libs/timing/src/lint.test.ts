import { describe, expect, it } from 'vitest';

import { lint } from './lint.ts';
import { parseSchedule } from './read-schedule.ts';
import type { ScheduleSpec } from './schedule-spec.ts';

const NOW = Date.parse('2026-11-27T00:00:00Z');

function warnings(spec: ScheduleSpec): ReturnType<typeof lint> {
  const reading = parseSchedule(spec);
  if (!reading.ok) throw new Error(reading.error.message);
  return lint(reading.schedule, NOW);
}

describe('lint', () => {
  it.each<[ScheduleSpec, string[]]>([
    [{ cron: '15 9 13 * FRI' }, ['day_or_weekday']],
    [{ cron: '15 9 * * FRI' }, []],
    [{ cron: '15 9 31 * *' }, ['month_lacks_day']],
    [{ cron: '15 9 31 JAN,MAR *' }, []],
    [{ cron: '15 9 30 * *' }, ['month_lacks_day']],
    [{ cron: '15 9 29 * *' }, ['month_lacks_day']],
    [{ cron: '15 9 1,31 * *' }, []],
    [{ cron: '15 9 L * *' }, []],
    [{ cron: '15 9 29 2 *' }, ['leap_day']],
    [{ cron: '*/7 * * * *' }, ['uneven_step']],
    [{ cron: '3 */5 * * *' }, ['uneven_step']],
    [{ cron: '*/15 * * * *' }, []],
    [{ cron: '15 9 */2 * *' }, ['uneven_step']],
    [{ cron: '*/10 * * * * *' }, ['sub_minute']],
    [{ cron: '5 15 9 * * *' }, []],
    [{ cron: '* 9 * * *' }, ['every_minute']],
    [{ cron: '@daily' }, ['midnight_pile_up']],
    [{ cron: '@daily', jitter: '10m' }, []],
    [{ cron: '@hourly' }, ['top_of_hour']],
    [{ cron: '0 9 * * *' }, []],
    [{ every: '1d' }, ['exact_day']],
    [{ every: '1d', timezone: 'Europe/Berlin' }, []],
    [{ every: '1mo', anchor: '2027-01-31T00:00:00Z' }, ['month_end']],
    [{ every: '90s' }, []],
    [{ at: '2026-11-26T00:00:00Z' }, ['at_in_past']],
    [{ at: '2026-11-28T00:00:00Z' }, []],
    [{ cron: '15 9 * * *', endAt: '2026-11-01T00:00:00Z' }, ['no_more_fires']],
  ])('%j: %j', (spec, codes) => {
    expect(warnings(spec).map(({ code }) => code)).toEqual(codes);
  });

  it('says where in the expression', () => {
    expect(warnings({ cron: '15 9 31 * *' })).toEqual([
      {
        code: 'month_lacks_day',
        path: 'cron',
        message: 'it leaves out FEB, APR, JUN, SEP, NOV, which have no 31st; "L" is the last day of a month',
        position: 5,
      },
    ]);
  });

  it('names the wall times that the clock skips and repeats, and what becomes of them', () => {
    const [skipped, ...others] = warnings({ cron: '30 2 * * *', timezone: 'America/New_York' });
    expect(others).toEqual([]);
    expect(skipped).toMatchObject({ code: 'skipped_time', path: 'cron' });
    expect(skipped?.message).toMatch(
      /^2027-03-14 02:30, .* and later ones do not exist in America\/New_York: it runs at/,
    );
    expect(warnings({ cron: '30 1 * * *', timezone: 'America/New_York', fold: 'both' })).toMatchObject([
      { code: 'repeated_time', message: expect.stringMatching(/^2027-11-07 01:30.*runs both times$/) },
    ]);
  });

  it('tells the same of intervals on the calendar', () => {
    const timezone = 'America/New_York';
    // 02:30 on a day of each month; the clock goes ahead on 14 March 2027, 12 March 2028, ..., and back on 7 November 2027, ...
    const skipped = { every: '1d', anchor: '2026-01-01T07:30:00Z', timezone };
    expect(warnings(skipped)).toMatchObject([
      {
        code: 'skipped_time',
        path: 'every',
        message: expect.stringMatching(/^2027-03-14 02:30, 2028-03-12 02:30, .*after the gap$/),
      },
    ]);
    expect(warnings({ ...skipped, gap: 'skip' })).toMatchObject([
      { message: expect.stringMatching(/does not run then$/) },
    ]);
    const repeated = { every: '1w', anchor: '2026-01-04T06:30:00Z', timezone, fold: 'both' } as const;
    expect(warnings(repeated)).toMatchObject([
      { code: 'repeated_time', path: 'every', message: expect.stringMatching(/^2027-11-07 01:30, .*runs both times$/) },
    ]);
    expect(warnings({ ...repeated, anchor: '2026-01-05T06:30:00Z' })).toEqual([]); // on Mondays
    expect(warnings({ every: '1mo', anchor: '2026-01-14T07:30:00Z', timezone })).toMatchObject([
      { message: expect.stringMatching(/^2027-03-14 02:30 do not/) },
    ]);
    expect(warnings({ every: '1h', anchor: '2026-01-14T07:30:00Z', timezone })).toEqual([]);
    expect(warnings({ every: '24h', timezone }).map(({ code }) => code)).toEqual(['exact_day']);
  });

  it('does not warn of what follows real time, nor where clocks do not change', () => {
    expect(warnings({ cron: '*/30 * * * *', timezone: 'America/New_York' })).toEqual([]);
    expect(warnings({ cron: '30 2 * * *', timezone: 'Asia/Tokyo' })).toEqual([]);
  });
});
