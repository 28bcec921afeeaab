import { describe, expect, it } from 'vitest';

import { lint } from './lint.ts';
import { preview } from './preview.ts';
import { parseCalendar } from './read-calendar.ts';
import { parseSchedule } from './read-schedule.ts';
import type { Schedule } from './schedule.ts';
import type { ScheduleSpec } from './schedule-spec.ts';

const NOW = Date.parse('2026-11-27T10:00:00Z');

function schedule(spec: ScheduleSpec): Schedule {
  const reading = parseSchedule(spec, { nowMs: NOW });
  if (!reading.ok) throw new Error(reading.error.message);
  return reading.schedule;
}

function shown(spec: ScheduleSpec, after: string, count: number, calendars = {}): string[] {
  const task = { createdMs: NOW, seed: 5, ...calendars };
  return preview(schedule(spec), Date.parse(after), count, task).map(({ local, notes }) =>
    [local, ...notes].join(' | '),
  );
}

describe('a preview', () => {
  it('shows local times with their offsets, and what a change of the clock does', () => {
    const at230 = { cron: '30 2 * * *', timezone: 'Europe/Berlin' };
    expect(shown(at230, '2027-03-27T00:00:00Z', 3)).toEqual([
      '2027-03-27T02:30:00+01:00',
      '2027-03-28T03:00:00+02:00 | moved by a gap: the clock skips 02:00 to 03:00 on that day',
      '2027-03-29T02:30:00+02:00',
    ]);
    expect(shown({ ...at230, fold: 'both' }, '2026-10-25T00:00:00Z', 3)).toEqual([
      '2026-10-25T02:30:00+02:00 | first pass: this wall time comes twice on that day',
      '2026-10-25T02:30:00+01:00 | second pass: this wall time came before on that day',
      '2026-10-26T02:30:00+01:00',
    ]);
    expect(
      shown({ every: '1d', anchor: '2027-03-27T01:30:00Z', timezone: 'Europe/Berlin' }, '2027-03-27T02:00:00Z', 1),
    ).toEqual(['2027-03-28T03:00:00+02:00 | moved by a gap: the clock skips 02:00 to 03:00 on that day']);
    // 03:00 is its own time.
    expect(shown({ cron: '0 3 * * *', timezone: 'Europe/Berlin' }, '2027-03-27T12:00:00Z', 1)).toEqual([
      '2027-03-28T03:00:00+02:00',
    ]);
  });

  it('tells what calendars and jitter have moved', () => {
    const reading = parseCalendar({ exclude: ['12-25'] });
    if (!reading.ok) throw new Error(reading.error.message);
    const calendars = { calendars: () => reading.calendar };
    expect(
      shown({ cron: '0 9 * * *', calendars: ['holidays'], onExcluded: 'next' }, '2026-12-24T12:00:00Z', 2, calendars),
    ).toEqual([
      '2026-12-26T00:00:00+00:00 | moved here by the calendars holidays, which exclude its own time',
      '2026-12-26T09:00:00+00:00',
    ]);
    const [first] = shown({ cron: '0 9 * * *', jitter: '10s' }, '2026-12-24T12:00:00Z', 1);
    expect(first).toMatch(/^2026-12-25T09:00:0[\d.]+\+00:00 \| jitter \+[\d.]+ s$/);
  });

  it('ends when the schedule does', () => {
    expect(shown({ at: '2027-01-01T00:00:00Z' }, '2026-12-24T12:00:00Z', 5)).toEqual(['2027-01-01T00:00:00+00:00']);
    expect(
      shown(
        { every: '1500ms', endAt: '2026-12-24T12:00:02Z', anchor: '2026-12-24T12:00:00Z' },
        '2026-12-24T12:00:00Z',
        5,
      ),
    ).toEqual(['2026-12-24T12:00:01.500+00:00']);
  });
});

describe('lint', () => {
  const codes = (spec: ScheduleSpec): string[] => lint(schedule(spec), NOW).map(({ code }) => code);

  it.each<[ScheduleSpec, string[]]>([
    [{ cron: '30 9 * * MON-FRI' }, []],
    [{ every: '15m' }, []],
    [{ at: '2027-01-01T00:00:00Z' }, []],
    [{ cron: '30 9 13 * FRI' }, ['day_or_weekday']],
    [{ cron: '30 9 31 * *' }, ['short_months']],
    [{ cron: '30 9 29,30 * *' }, ['short_months']],
    [{ cron: '30 9 31 JAN *' }, []],
    [{ cron: '30 9 L * *' }, []],
    [{ cron: '30 9 29 2 *' }, ['leap_day']],
    [{ cron: '*/10 30 9 * * *' }, ['sub_minute']],
    [{ every: '5s' }, ['sub_minute']],
    [{ cron: '* 9 * * *' }, ['minute_of_hour']],
    [{ cron: '*/7 * * * *' }, ['uneven_step']],
    [{ cron: '30 */5 * * *' }, ['uneven_step']],
    [{ cron: '@daily' }, ['midnight']],
    [{ cron: '@daily', jitter: '10m' }, []],
    [{ cron: '* * * * *', between: ['00:00', '04:00'] }, []],
    [{ cron: '30 2 * * *', timezone: 'Europe/Berlin' }, ['skipped_time', 'repeated_time']],
    [{ cron: '30 1 * * *', timezone: 'America/New_York' }, ['repeated_time']],
    [{ cron: '*/30 * * * *', timezone: 'Europe/Berlin' }, []],
    [{ cron: '30 9 * * *', endAt: '2026-11-01T00:00:00Z' }, ['never_again']],
    [{ cron: ['30 9 31 * *', '@daily'] }, ['midnight', 'short_months']],
  ])('of %j: %j', (spec, expected) => expect(codes(spec).sort()).toEqual([...expected].sort()));

  it('names the dates, and what will happen', () => {
    const [gap, fold] = lint(schedule({ cron: '30 2 * * *', timezone: 'Europe/Berlin' }), NOW);
    expect(gap?.message).toBe(
      '02:30 does not exist on 2027-03-28, 2028-03-26 (the clock skips 02:00 to 03:00): it runs at the first instant after the gap',
    );
    expect(fold?.message).toBe('02:30 comes twice on 2027-10-31, 2028-10-29: it runs the first time only');
  });
});
