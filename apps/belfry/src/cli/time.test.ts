import { describe, expect, it } from 'vitest';

import { duration, instant, parseDuration, parseInstant, relative } from './time.ts';

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['90s', 90_000],
    ['10m', 600_000],
    ['1h30m', 5_400_000],
    ['1.5h', 5_400_000],
    ['2d', 172_800_000],
    ['1w', 604_800_000],
    [' 10M ', 600_000],
  ])('reads %s', (text, ms) => expect(parseDuration(text)).toBe(ms));

  it.each(['', '10', 'm', '-5m', '10 minutes', '1h30', '1e3s', 'NaNs'])('does not read %j', (text) =>
    expect(parseDuration(text)).toBeUndefined(),
  );

  it.each([
    [0, '0 ms'],
    [999, '999 ms'],
    [1_250, '1.25 s'],
    [-1_250, '-1.25 s'],
    [60_000, '1m'],
    [243_000, '4m 3s'],
    [3_600_000, '1h'],
    [3_603_000, '1h'],
    [454_000_000, '5d 6h'],
  ])('writes %d ms', (ms, text) => expect(duration(ms)).toBe(text));
});

describe('instants', () => {
  it.each([
    ['2030-01-31T08:00:00Z', '2030-01-31T08:00:00.000Z'],
    ['2030-01-31T08:00:00.5+02:00', '2030-01-31T06:00:00.500Z'],
    ['2030-01-31 08:00 +0200', '2030-01-31T06:00:00.000Z'],
    ['2030-01-31 08:00', '2030-01-31T08:00:00.000Z'],
    ['2030-01-31', '2030-01-31T00:00:00.000Z'],
    ['1900000000000', '2030-03-17T17:46:40.000Z'],
  ])('reads %s', (text, iso) => expect(new Date(parseInstant(text, true)!).toISOString()).toBe(iso));

  it.each(['', 'tomorrow', '2030-02-30', '2030-13-01', '2030-01-31T25:00', '31.01.2030', '12'])(
    'does not read %j',
    (text) => expect(parseInstant(text, true)).toBeUndefined(),
  );

  it('are written in UTC or in the local zone', () => {
    const ms = Date.parse('2026-11-24T14:44:39.012Z');
    expect(instant(ms, { utc: true, zone: 'UTC' })).toBe('2026-11-24 14:44:39');
    expect(instant(ms, { utc: true, zone: 'UTC' }, true)).toBe('2026-11-24 14:44:39.012');
    expect(instant(NaN, { utc: true, zone: 'UTC' })).toBe('?');
  });

  it.each([
    [0, 'now'],
    [999, 'now'],
    [240_000, 'in 4m'],
    [-10_900_000, '3h ago'],
    [172_800_000, 'in 2d'],
  ])('are %d ms away in words', (apart, text) => expect(relative(1e12 + apart, 1e12)).toBe(text));
});
