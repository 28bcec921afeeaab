import { describe, expect, it } from 'vitest';

import { parseCalendar } from './read-calendar.ts';
import { parseSchedule } from './read-schedule.ts';
import { preview } from './preview.ts';
import type { Schedule } from './schedule.ts';
import type { ScheduleSpec } from './schedule-spec.ts';

function read(spec: ScheduleSpec): Schedule {
  const reading = parseSchedule(spec);
  if (!reading.ok) throw new Error(reading.error.message);
  return reading.schedule;
}

function shown(spec: ScheduleSpec, after: string, count: number): unknown[] {
  const afterMs = Date.parse(after);
  return preview(read(spec), afterMs, count, { createdMs: afterMs, seed: 7 }).map(({ atMs, local, notes }) => [
    new Date(atMs).toISOString(),
    local,
    notes.length,
  ]);
}

describe('preview', () => {
  it('shows the wall clock with its offset, and why a fire has moved', () => {
    const fires = preview(
      read({ cron: '30 2 * * *', timezone: 'Europe/Berlin' }),
      Date.parse('2027-03-27T00:00:00Z'),
      3,
      {
        createdMs: 0,
        seed: 0,
      },
    );
    expect(fires.map(({ local }) => local)).toEqual([
      '2027-03-27T02:30:00+01:00',
      '2027-03-28T03:00:00+02:00',
      '2027-03-29T02:30:00+02:00',
    ]);
    expect(fires.map(({ notes }) => notes.join())).toEqual([
      '',
      'moved by a DST gap: 02:30 does not exist on 2027-03-28',
      '',
    ]);
  });

  it('tells the passes of a repeated hour apart', () => {
    const spec = { cron: '*/30 * * * *', timezone: 'America/New_York' };
    expect(shown(spec, '2026-11-01T05:15:00Z', 3)).toEqual([
      ['2026-11-01T05:30:00.000Z', '2026-11-01T01:30:00-04:00', 1],
      ['2026-11-01T06:00:00.000Z', '2026-11-01T01:00:00-05:00', 1],
      ['2026-11-01T06:30:00.000Z', '2026-11-01T01:30:00-05:00', 1],
    ]);
  });

  it('tells jitter and calendars', () => {
    const reading = parseCalendar({ exclude: ['2026-12-25'] });
    if (!reading.ok) throw new Error('no calendar');
    const schedule = read({ cron: '0 12 * * *', calendars: ['off'], onExcluded: 'next', jitter: '1m' });
    const [fire] = preview(schedule, Date.parse('2026-12-24T13:00:00Z'), 1, {
      createdMs: 0,
      seed: 7,
      calendars: () => reading.calendar,
    });
    expect(fire?.notes).toEqual([
      expect.stringMatching(/jitter/),
      expect.stringMatching(/calendar off: 12:00 on 2026-12-25/),
    ]);
  });

  it('ends with the schedule, and shows milliseconds where there are any', () => {
    expect(shown({ at: '2030-01-01T00:00:00.250Z' }, '2026-01-01T00:00:00Z', 5)).toEqual([
      ['2030-01-01T00:00:00.250Z', '2030-01-01T00:00:00.250+00:00', 0],
    ]);
  });
});
