import { describe, expect, it } from 'vitest';

import { Forecast } from './forecast.ts';
import { parseSchedule } from './read-schedule.ts';
import type { Schedule } from './schedule.ts';
import type { ScheduleSpec } from './schedule-spec.ts';

const FROM = Date.parse('2026-11-27T00:00:00Z');

function read(spec: ScheduleSpec): Schedule {
  const reading = parseSchedule(spec);
  if (!reading.ok) throw new Error(reading.error.message);
  return reading.schedule;
}

function sum(counts: Float64Array): number {
  return counts.reduce((total, count) => total + count, 0);
}

function forecastOf(spec: ScheduleSpec, count: number): Forecast {
  const forecast = new Forecast(FROM);
  forecast.add(read(spec), { count });
  return forecast;
}

describe('forecast', () => {
  it('counts an instant in each window that holds it', () => {
    const forecast = new Forecast(FROM);
    forecast.addInstant(FROM + 61_000, 3);
    forecast.addInstant(FROM + 3_600_000);
    forecast.addInstant(FROM - 1);
    expect([forecast.seconds[61], sum(forecast.seconds)]).toEqual([3, 3]);
    expect([forecast.minutes[1], forecast.minutes[60], sum(forecast.minutes)]).toEqual([3, 1, 4]);
    expect([forecast.hours[0], forecast.hours[1]]).toEqual([3, 1]);
  });

  it('counts a sparse cron exactly, for all its tasks', () => {
    const { seconds, minutes, hours } = forecastOf({ cron: '30 */6 * * *' }, 2_000);
    expect([seconds[1_800], sum(seconds)]).toEqual([2_000, 2_000]);
    expect([minutes[30], minutes[390], sum(minutes)]).toEqual([2_000, 2_000, 8_000]);
    expect([hours[0], hours[1], sum(hours)]).toEqual([2_000, 0, 31 * 4 * 2_000]);
  });

  it('counts a dense cron with few steps', () => {
    const minutely = forecastOf({ cron: '* * * * *' }, 10);
    expect([sum(minutely.seconds), sum(minutely.minutes), sum(minutely.hours)]).toEqual([600, 14_400, 446_400]);
    const secondly = forecastOf({ cron: '* * * * * *' }, 1);
    expect(sum(secondly.seconds)).toBe(3_600);
    expect(sum(secondly.minutes)).toBe(86_400);
    expect(sum(secondly.hours)).toBeCloseTo(31 * 86_400, -4);
  });

  it('counts intervals without walking them', () => {
    const grid = forecastOf({ every: '10s', anchor: '2026-11-27T00:00:05Z' }, 5);
    expect([grid.seconds[4], grid.seconds[5], grid.seconds[15]]).toEqual([0, 5, 5]);
    expect([sum(grid.seconds), sum(grid.minutes), sum(grid.hours)]).toEqual([1_800, 43_200, 1_339_200]);
    const loose = forecastOf({ every: '100ms' }, 7);
    expect(loose.seconds[99]).toBeCloseTo(70);
    const one = new Forecast(FROM);
    one.add(read({ every: '1h' }), { count: 1, task: { createdMs: FROM + 1_000, seed: 0 } });
    expect([sum(one.seconds), one.minutes[60]]).toEqual([0, 1]);
  });

  it('spreads jitter', () => {
    const { seconds } = forecastOf({ cron: '0 * * * *', jitter: '30m' }, 1_600);
    expect(Math.max(...seconds)).toBeLessThanOrEqual(200);
    expect(sum(seconds)).toBeGreaterThan(1_500);
  });

  it('its work grows with the schedules and not with their tasks', () => {
    let asked = 0;
    const schedule = read({ cron: '0 9 * * *', calendars: ['none'] });
    const calendars = (): undefined => void asked++;
    new Forecast(FROM).add(schedule, { count: 1, calendars });
    const once = asked;
    new Forecast(FROM).add(schedule, { count: 20_000_000, calendars });
    expect(once).toBeGreaterThan(0);
    expect(asked).toBe(2 * once);
  });
});
