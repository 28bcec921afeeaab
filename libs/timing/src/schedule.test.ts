import { describe, expect, it } from 'vitest';
import { parseCanonical } from './canonical.ts';
import { parseSchedule } from './read-schedule.ts';
import { nextFire, type Schedule } from './schedule.ts';
import type { ScheduleSpec } from './schedule-spec.ts';

function schedule(spec: ScheduleSpec): Schedule {
  const reading = parseSchedule(spec);
  if (!reading.ok) throw new Error(reading.error.message);
  return reading.schedule;
}

function next(of: Schedule, afterMs: number, createdMs = 0): number {
  return nextFire(of, afterMs, { createdMs, seed: 0 });
}

function refusal(spec: unknown): string {
  const reading = parseSchedule(spec as ScheduleSpec);
  if (reading.ok) return `accepted as ${reading.schedule.canonical}`;
  const { code, path, message, position } = reading.error;
  return `${code} ${path} ${position ?? '-'}: ${message}`;
}

describe('at', () => {
  it.each([
    ['2030-01-31T09:00:00Z', Date.UTC(2030, 0, 31, 9)],
    ['2030-01-31t09:00:00z', Date.UTC(2030, 0, 31, 9)],
    ['2030-01-31 09:00:00.250+05:30', Date.UTC(2030, 0, 31, 3, 30, 0, 250)],
    ['2024-02-29T23:59:59-12:00', Date.UTC(2024, 2, 1, 11, 59, 59)],
    ['2030-01-31T09:00:00.0001Z', Date.UTC(2030, 0, 31, 9) + 1],
    ['2030-01-31T09:00:00.9999Z', Date.UTC(2030, 0, 31, 9, 0, 1)],
    ['2030-01-31T09:00:00.1230000Z', Date.UTC(2030, 0, 31, 9) + 123],
    ['1970-01-01T00:00:00Z', 0],
    ['9999-12-31T23:59:59.999Z', 253_402_300_799_999],
    [1_767_225_600_000, 1_767_225_600_000],
  ])('reads %s', (at, expected) => {
    const parsed = schedule({ at });
    expect(next(parsed, expected - 1)).toBe(expected);
    expect(next(parsed, expected)).toBe(Infinity);
    expect(next(parsed, -1, 5)).toBe(expected);
  });

  it.each([
    ['2030-01-31T09:00:00', 'invalid_at at 19: at: the offset is missing; did you mean 2030-01-31T09:00:00Z?'],
    ['2030-01-31', 'invalid_at at 10: at: the time is missing; did you mean 2030-01-31T00:00:00Z?'],
    ['2030-01-31T09:00Z', 'invalid_at at 16: at: the seconds are missing'],
    ['2030-01-31T09:00:00+0200', 'invalid_at at 19: at: an offset has hours and minutes with a colon'],
    ['2030-13-01T00:00:00Z', 'invalid_at at 5: at: there is no month 13'],
    ['2030-02-29T00:00:00Z', 'invalid_at at 8: at: 2030-02 has no day 29'],
    ['2030-01-01T24:00:00Z', 'invalid_at at 11: at: there is no hour 24'],
    ['2030-01-01T00:60:00Z', 'invalid_at at 14'],
    ['2016-12-31T23:59:60Z', 'invalid_at at 17: at: leap seconds are not counted'],
    ['2030-01-01T00:00:00+24:00', 'invalid_at at 19: at: there is no offset +24:00'],
    ['1767225600000', 'invalid_at at 0: at: milliseconds since 1970 are a number, not a text'],
    ['tomorrow', 'invalid_at at 0: at: it is no RFC 3339 instant'],
    ['', 'invalid_at at 0: at: it is empty'],
    ['1969-12-31T23:59:59Z', 'invalid_at at -: at: it lies before 1970'],
    ['9999-12-31T23:59:59-01:00', 'invalid_at at -: at: it lies beyond the year 9999'],
    [1.5, 'whole number'],
    [NaN, 'whole number'],
    [-1, 'before 1970'],
    [1e18, 'perhaps these are not milliseconds'],
    [null, 'an RFC 3339 text or whole milliseconds'],
  ])('refuses %s', (at, expected) => {
    expect(refusal({ at })).toContain(expected);
  });
});

describe('every', () => {
  it.each([
    ['90s', 90_000],
    ['15m', 900_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['0.3s', 300],
    ['500ms', 500],
    ['1d', 86_400_000],
    ['2w', 1_209_600_000],
    ['PT15M', 900_000],
    ['P1DT12H', 129_600_000],
    ['P1W', 604_800_000],
    ['PT0.5S', 500],
    ['pt1,5s', 1_500],
    [100, 100],
    [86_400_000, 86_400_000],
  ])('reads %s', (every, ms) => {
    expect(schedule({ every }).canonical).toBe(`e${ms}`);
    expect(schedule(schedule({ every }).spec).canonical).toBe(`e${ms}`);
  });

  it.each([
    ['90', 'invalid_every every 2: every: the unit is missing; did you mean 90s'],
    ['15 min', 'did you mean 15m?'],
    ['15M', 'did you mean 15m?'],
    ['2 hours', 'did you mean 2h?'],
    ['2 months', 'did you mean 2mo?'],
    ['1.5mo', 'a part of a calendar unit is no stretch of time'],
    ['P1Y1.5M', 'a part of a calendar unit'],
    ['P', 'no ISO 8601 duration'],
    ['P1DT', 'no ISO 8601 duration'],
    ['PT', 'no ISO 8601 duration'],
    ['*/5 * * * *', 'it looks like cron; use the field "cron"'],
    ['99ms', '100 ms at least'],
    ['-5m', 'longer than 0'],
    ['', 'it is empty'],
    ['5m 3s', 'invalid_every every 2: every: it is no period'],
    ['1.0001s', 'whole number of milliseconds'],
    [0, 'longer than 0'],
    [50, '100 ms at least'],
    [100.5, 'whole number of milliseconds'],
    [Infinity, 'longer than 0'],
    [1e15, 'before the year 9999'],
    [true, 'a text such as "15m"'],
  ])('refuses %s', (every, expected) => {
    expect(refusal({ every })).toContain(expected);
  });

  it('counts from the creation, a period later, without drift', () => {
    const hourly = schedule({ every: '1h' });
    const created = 1_700_000_000_123;
    expect(
      [created - 1, created, created + 3_599_999, created + 3_600_000].map((at) => next(hourly, at, created) - created),
    ).toEqual([3_600_000, 3_600_000, 3_600_000, 7_200_000]);
    expect(next(schedule({ every: 700 }), created + 700 * 1e9, created)).toBe(created + 700 * (1e9 + 1));
    expect(next(schedule({ every: '3650d' }), 253_402_000_000_000, created)).toBe(Infinity);
    expect(next(schedule({ every: 253_402_300_000_000 }), created, created)).toBe(Infinity);
  });

  it('keeps to its own anchor, and begins there', () => {
    const quarterly = schedule({ every: '15m', anchor: '2030-01-01T00:05:00Z' });
    const anchor = Date.UTC(2030, 0, 1, 0, 5);
    expect(next(quarterly, 0, 1_700_000_000_123)).toBe(anchor);
    expect(next(quarterly, anchor, 7)).toBe(anchor + 900_000);
    expect(next(quarterly, anchor + 900_000 * 7 + 1)).toBe(anchor + 900_000 * 8);
    expect(quarterly.canonical).toBe(`e900000@${anchor}`);
    expect(quarterly.spec).toEqual({ every: '15m', anchor: '2030-01-01T00:05:00.000Z' });
    expect(refusal({ every: '15m', anchor: '2030-01-01' })).toContain(
      'invalid_anchor anchor 10: anchor: the time is missing',
    );
  });
});

describe('time zones', () => {
  it.each([
    [undefined, 'UTC'],
    ['utc', 'UTC'],
    ['Etc/UTC', 'UTC'],
    ['europe/berlin', 'Europe/Berlin'],
    // Intl itself would make an outdated name of this one.
    ['Asia/Kolkata', 'Asia/Kolkata'],
    ['+05:30', '+05:30'],
  ])('%s is %s', (timezone, name) => {
    const parsed = schedule({ cron: '0 9 * * *', ...(timezone === undefined ? {} : { timezone }) });
    expect(parsed.canonical).toBe(`c0 9 * * *;${name}`);
    expect(parsed.spec).toEqual({ cron: '0 9 * * *', timezone: name });
  });

  it('are refused with the likely one', () => {
    const zone = (timezone: unknown): string => refusal({ cron: '* * * * *', timezone });
    expect(zone('New York')).toBe(
      'invalid_timezone timezone 0: timezone: "New York" is no time zone; did you mean America/New_York?',
    );
    expect(zone('Europe/Berln')).toContain('names are those of the IANA database');
    expect(zone('')).toContain('invalid_timezone');
    expect(zone(5)).toContain('invalid_timezone');
    expect(zone('x'.repeat(1_000))).toContain('invalid_timezone');
  });
});

describe('schedules', () => {
  it('are read back from their canonical text', () => {
    for (const spec of [
      { at: 1_767_225_600_000 },
      { every: '90s' },
      { every: '1d', anchor: 5 },
      { cron: '*/5 9-17 ? JAN MON#2,5L', timezone: 'Europe/London' },
      { cron: '@daily' },
    ]) {
      const parsed = schedule(spec);
      const again = parseCanonical(parsed.canonical);
      expect(again.canonical).toBe(parsed.canonical);
      expect(again.kind).toBe(parsed.kind);
      expect(next(again, 1.7e12, 1.6e12)).toBe(next(parsed, 1.7e12, 1.6e12));
      expect(schedule(parsed.spec).canonical).toBe(parsed.canonical);
    }
    for (const text of ['', 'a', 'ax', 'e0', 'x1', 'c* * * * *', 'c* * * * *;Mars/Olympus', 'c* * * *;UTC'])
      expect(() => parseCanonical(text)).toThrow();
  });

  it('are exactly one of three', () => {
    expect(refusal({})).toBe('invalid_schedule at -: one of at, every and cron is needed');
    expect(refusal({ at: 5, cron: '* * * * *' })).toBe('invalid_schedule cron -: at and cron exclude each other');
    expect(refusal({ at: 5, timezone: 'UTC' })).toBe(
      'invalid_schedule timezone -: a time zone goes with every and cron, not with at',
    );
    expect(refusal({ cron: '* * * * *', anchor: 5 })).toBe(
      'invalid_schedule anchor -: an anchor goes with every, not with cron',
    );
    expect(refusal({ cron: 5 })).toContain('invalid_cron cron -: cron is a text');
  });
});
