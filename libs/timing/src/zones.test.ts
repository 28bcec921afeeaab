import { describe, expect, it } from 'vitest';
import { civilDate, dayNumber, monthLength, weekday } from './civil.ts';
import { seeded } from './testing.ts';
import { findZone, newSpan, type Zone } from './zones.ts';

const DAY_S = 86_400;

/** Seconds east of UTC, from the wall time that Intl writes. */
function offsetByIntl(name: string): (instant: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: name,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  return (instant) => {
    const [month, day, year, hour, minute, second] = (format.format(instant * 1000).match(/\d+/g) ?? []).map(Number);
    return Date.UTC(year as number, (month as number) - 1, day, hour, minute, second) / 1000 - instant;
  };
}

describe('Zone', () => {
  it('knows the offsets that Intl knows, at random instants up to the year 9999', () => {
    const random = seeded(42);
    const names = Intl.supportedValuesOf('timeZone');
    for (let round = 0; round < 80; round++) {
      const name = names[Math.floor(random() * names.length)] as string;
      const zone = findZone(name) as Zone;
      const truth = offsetByIntl(name);
      for (let n = 0; n < 60; n++) {
        const years = n < 40 ? 70 : 8_029;
        const instant = Math.floor(random() * years * 365.2425) * DAY_S + Math.floor(random() * DAY_S);
        expect(zone.offsetAt(instant), `${name} at ${new Date(instant * 1000).toISOString()}`).toBe(truth(instant));
      }
    }
  });

  it('cuts time into spans that begin and end at the changes', () => {
    const span = newSpan();
    for (const name of ['America/New_York', 'Africa/Casablanca', 'Africa/Monrovia', 'Pacific/Apia', 'Asia/Gaza']) {
      const zone = findZone(name) as Zone;
      const truth = offsetByIntl(name);
      let offset = truth(0);
      for (let at = 0; at < Date.UTC(2030, 0, 1) / 1000; at = span.end) {
        zone.span(at, span);
        expect(span.end).toBeGreaterThan(at);
        expect([span.offset, truth(at), truth(span.end - 1)]).toEqual([span.offset, span.offset, span.offset]);
        if (span.offset !== offset) expect([span.start, span.before]).toEqual([at, offset]);
        offset = span.offset;
      }
    }
  });

  it('says what the offset was before, for a day and more after a change', () => {
    const span = newSpan();
    const change = Date.UTC(2024, 2, 10, 7) / 1000;
    for (const after of [0, 1, 3 * 3_600, DAY_S]) {
      (findZone('America/New_York') as Zone).span(change + after, span);
      expect([span.start, span.before, span.offset]).toEqual([change, -5 * 3_600, -4 * 3_600]);
    }
    (findZone('America/New_York') as Zone).span(change - 1, span);
    expect([span.end, span.offset]).toEqual([change, -5 * 3_600]);
  });

  it('finds changes that undo each other within a week', () => {
    for (const [name, from, to] of [
      ['America/Recife', Date.UTC(2000, 8, 20), Date.UTC(2000, 9, 25)],
      ['America/Noronha', Date.UTC(2000, 8, 20), Date.UTC(2000, 9, 25)],
      ['Asia/Gaza', Date.UTC(2040, 9, 10), Date.UTC(2040, 10, 5)],
    ] as const) {
      const zone = findZone(name) as Zone;
      const truth = offsetByIntl(name);
      const offsets = new Set<number>();
      for (let at = from / 1000; at < to / 1000; at += 1_800) {
        expect(zone.offsetAt(at), `${name} at ${new Date(at * 1000).toISOString()}`).toBe(truth(at));
        offsets.add(zone.offsetAt(at));
      }
      expect(offsets.size, name).toBe(2);
    }
  });

  it('has no zone by other names', () => {
    for (const name of ['', 'Mars/Olympus', 'local', 'CEST+1']) expect(findZone(name)).toBeUndefined();
  });
});

describe('civil dates', () => {
  it('are those of Date', () => {
    const date = { year: 0, month: 0, day: 0 };
    for (let day = dayNumber(1600, 1, 1); day < dayNumber(2500, 1, 1); day += 1) {
      civilDate(day, date);
      if (dayNumber(date.year, date.month, date.day) !== day) throw new Error(`day ${day}`);
    }
    const random = seeded(1);
    for (let n = 0; n < 5_000; n++) {
      const day = Math.floor(random() * 2_932_000);
      const truth = new Date(day * DAY_S * 1000);
      civilDate(day, date);
      expect([date.year, date.month, date.day, weekday(day)]).toEqual([
        truth.getUTCFullYear(),
        truth.getUTCMonth() + 1,
        truth.getUTCDate(),
        truth.getUTCDay(),
      ]);
    }
    expect([monthLength(2024, 2), monthLength(2100, 2), monthLength(2000, 2), monthLength(2023, 4)]).toEqual([
      29, 28, 29, 30,
    ]);
  });
});
