import { describe, expect, it } from 'vitest';
import { explainFire } from './explain-fire.ts';
import { parseCalendar, type CalendarSpec } from './read-calendar.ts';
import { parseSchedule, withSlot } from './read-schedule.ts';
import { nextFire } from './schedule.ts';
import type { ScheduleSpec } from './schedule-spec.ts';

/** The first fire after an instant, with what is said of it. */
function told(spec: ScheduleSpec, after: string, more: { calendar?: CalendarSpec; slot?: number } = {}): string[] {
  const reading = parseSchedule(spec);
  if (!reading.ok) throw new Error(reading.error.message);
  const schedule = more.slot === undefined ? reading.schedule : withSlot(reading.schedule, more.slot);
  const calendar = parseCalendar(more.calendar ?? {});
  if (!calendar.ok) throw new Error(calendar.error.message);
  const task = { createdMs: 0, seed: 7, calendars: () => calendar.calendar };
  const fire = nextFire(schedule, Date.parse(after), task);
  return [new Date(fire).toISOString().replace(':00.000Z', 'Z'), ...explainFire(schedule, fire, task)];
}

describe('a fire is explained', () => {
  const berlin = { timezone: 'Europe/Berlin' };

  it('when a gap moved it, and only then', () => {
    expect(told({ cron: '30 2 * * *', ...berlin }, '2027-03-27T12:00:00Z')).toEqual([
      '2027-03-28T01:00Z',
      'moved by a DST gap: 02:30 does not exist on 2027-03-28',
    ]);
    expect(told({ cron: '0 3 * * *', ...berlin }, '2027-03-27T12:00:00Z')).toEqual(['2027-03-28T01:00Z']);
    expect(told({ cron: '30 2 * * *', ...berlin }, '2027-03-28T12:00:00Z')).toEqual(['2027-03-29T00:30Z']);
    expect(told({ cron: ['0 5 * * *', '20 2 * * *'], ...berlin }, '2027-03-27T12:00:00Z')[1]).toContain('02:20');
  });

  it('on the calendar, from the anchor or from the minute that was chosen', () => {
    const daily = { every: '1d', ...berlin };
    const gap = ['2027-03-28T01:00Z', 'moved by a DST gap: 02:15 does not exist on 2027-03-28'];
    expect(told({ ...daily, anchor: '2027-01-01T01:15:00Z' }, '2027-03-27T12:00:00Z')).toEqual(gap);
    expect(told({ ...daily, between: ['02:00', '04:00'] }, '2027-03-27T12:00:00Z', { slot: 15 })).toEqual(gap);
    expect(told({ ...daily, between: ['02:00', '04:00'] }, '2027-03-27T12:00:00Z', { slot: 60 })).toHaveLength(1);
  });

  it('when its wall time occurs twice', () => {
    const twice = '02:30 occurs twice on 2027-10-31: this is the';
    expect(told({ cron: '30 2 * * *', ...berlin }, '2027-10-30T12:00:00Z')).toEqual([
      '2027-10-31T00:30Z',
      `${twice} first of the two`,
    ]);
    expect(told({ cron: '30 2 * * *', fold: 'last', ...berlin }, '2027-10-30T12:00:00Z')).toEqual([
      '2027-10-31T01:30Z',
      `${twice} last of the two`,
    ]);
    expect(told({ cron: '30 3 * * *', ...berlin }, '2027-10-30T12:00:00Z')).toEqual(['2027-10-31T02:30Z']);
  });

  it('when calendars moved it, with what was excluded, and when jitter did', () => {
    const calendar: CalendarSpec = { exclude: ['12-25', '12-26'], timezone: 'Europe/Berlin' };
    const moved = { cron: '0 9 * * *', ...berlin, calendars: ['holidays'], onExcluded: 'next' } as const;
    expect(told(moved, '2027-12-24T12:00:00Z', { calendar })).toEqual([
      '2027-12-26T23:00Z',
      'moved by the calendar holidays: 09:00 on 2027-12-25 is excluded',
    ]);
    expect(told(moved, '2027-12-27T00:00:00Z', { calendar })).toEqual(['2027-12-27T08:00Z']);
    const [at, why] = told({ cron: '0 9 * * *', jitter: '10m' }, '2027-12-24T12:00:00Z');
    expect(why).toContain("moved by the task's jitter, ");
    expect(at).not.toBe('2027-12-25T09:00Z');
  });

  it('and one that is where its text puts it is not', () => {
    expect(told({ at: '2027-10-31T00:30:00Z' }, '2027-01-01T00:00:00Z')).toHaveLength(1);
    expect(told({ every: '1h' }, '2027-10-31T00:30:00Z')).toHaveLength(1);
    expect(told({ every: '1h', endAt: '2028-01-01T00:00:00Z' }, '2027-10-31T00:30:00Z')).toHaveLength(1);
  });
});
