import { describe, expect, it } from 'vitest';
import { Scanner } from './cron-scanner.ts';
import { parseSchedule } from './read-schedule.ts';
import { CronSchedule } from './schedule.ts';
import { seeded } from './testing.ts';
import { findZone, type Zone } from './zones.ts';

const DAY_MS = 86_400_000;

function cron(text: string, timezone = 'UTC'): CronSchedule {
  const reading = parseSchedule({ cron: text, timezone });
  if (!reading.ok) throw new Error(`${text}: ${reading.error.message}`);
  if (!(reading.schedule instanceof CronSchedule)) throw new Error(`${text} is not one expression`);
  return reading.schedule;
}

function firesWithin(schedule: CronSchedule, afterMs: number, untilMs: number): number[] {
  const fires: number[] = [];
  for (let at = schedule.next(afterMs); at <= untilMs; at = schedule.next(at)) fires.push(at);
  return fires;
}

/** The next fires, as UTC without the year's first digits and without seconds that are 0. */
function next(text: string, timezone: string, after: string, count: number): string[] {
  const schedule = cron(text, timezone);
  const fires: string[] = [];
  for (let at = Date.parse(after); fires.length < count;) {
    at = schedule.next(at);
    fires.push(new Date(at).toISOString().replace(':00.000Z', 'Z').replace('.000Z', 'Z'));
  }
  return fires;
}

/** Changes of offset between two instants. */
function changes(zone: Zone, fromMs: number, toMs: number): number[] {
  const found: number[] = [];
  for (let at = fromMs; at < toMs; at += DAY_MS)
    if (zone.offsetAt(at / 1000) !== zone.offsetAt((at + DAY_MS) / 1000)) found.push(at);
  return found;
}

const ZONES = (
  'America/New_York Europe/London Australia/Lord_Howe Pacific/Apia Antarctica/Troll Africa/Casablanca ' +
  'Pacific/Chatham America/St_Johns America/Sao_Paulo Asia/Kolkata Asia/Kathmandu Asia/Tehran Asia/Gaza ' +
  'Asia/Amman Asia/Beirut Asia/Pyongyang Asia/Tokyo Asia/Dhaka Asia/Colombo Asia/Yangon Africa/Cairo ' +
  'Africa/Tripoli Africa/Windhoek Africa/Juba America/Caracas America/Havana America/Asuncion ' +
  'America/Santiago America/Nuuk America/Scoresbysund America/Phoenix America/Mexico_City Antarctica/Casey ' +
  'Antarctica/Macquarie Atlantic/Azores Australia/Eucla Europe/Dublin Europe/Istanbul Europe/Moscow ' +
  'Europe/Volgograd Pacific/Kwajalein Pacific/Kiritimati Pacific/Norfolk Pacific/Marquesas UTC'
).split(' ');

/** Expressions whose every feature meets the changes of clocks, which mostly lie between 0 and 4 o'clock. */
function someCron(random: () => number): string {
  const pick = <T>(...of: T[]): T => of[Math.floor(random() * of.length)] as T;
  const below = (limit: number): number => Math.floor(random() * limit);
  const hour = pick(
    '*',
    '*',
    '?',
    '1',
    '2',
    '0-3',
    '2,3',
    '*/2',
    '1-3/2',
    '0',
    '23',
    `${below(24)}`,
    '22-23,0-2',
    '9-17,12',
    '1/3',
  );
  const minute = pick('*', '0', '30', '*/15', '*/15,30', '0,0', '15,45', `${below(60)}`, '5/20', '20-40', '59');
  const day = pick(
    '*',
    '*',
    '*',
    '?',
    '1',
    '*/2',
    '15,31',
    'L',
    'L-3',
    'LW',
    '15W',
    '1W,31W',
    `${1 + below(28)}`,
    '25-31',
    'L,10',
  );
  const month = pick('*', '*', '*', '*/2', 'MAR-NOV', '3,4,10,11', '9', 'Dec', '3/7');
  const weekday = pick(
    '*',
    '*',
    '*',
    '?',
    'SUN',
    '0',
    '7',
    'MON-FRI',
    '6-7',
    '5L',
    'SUN#2',
    'sun#1,sunL',
    '*/3',
    '1/2',
    'SUN,3#5',
    '0-7/7',
  );
  return `${minute} ${hour} ${day} ${month} ${weekday}`;
}

describe('cron', () => {
  it('agrees with the brute-force scanner around changes of clocks and elsewhere, in 45 zones', () => {
    const random = seeded(20_260_101);
    for (const name of ZONES) {
      const zone = findZone(name) as Zone;
      const all = changes(zone, Date.UTC(1990, 0, 1), Date.UTC(2040, 0, 1));
      for (let round = 0; round < 6; round++) {
        const change = all[Math.floor(random() * all.length)];
        const start =
          change === undefined || round % 4 === 3
            ? Date.UTC(1990, 0, 1) + Math.floor(random() * 50 * 365) * DAY_MS
            : change - DAY_MS;
        const after = start + Math.floor(random() * DAY_MS);
        const until = after + 3 * DAY_MS;
        const text = someCron(random);
        const found = firesWithin(cron(text, name), after, until);
        expect(found, `${text} in ${name} after ${new Date(after).toISOString()}`).toEqual(
          new Scanner(text, name).fires(after, until),
        );
      }
    }
  });

  it('agrees with the brute-force scanner at seconds, in the hours around a change', () => {
    const random = seeded(77);
    for (const name of [
      'America/New_York',
      'Australia/Lord_Howe',
      'Antarctica/Troll',
      'Pacific/Chatham',
      'Africa/Casablanca',
    ]) {
      const all = changes(findZone(name) as Zone, Date.UTC(2006, 0, 1), Date.UTC(2040, 0, 1));
      for (let round = 0; round < 4; round++) {
        const day = all[Math.floor(random() * all.length)] as number;
        const scope = firesWithin(cron('0 * * * *', name), day, day + DAY_MS);
        const moved = scope.find(
          (at) => (findZone(name) as Zone).offsetAt(at / 1000) !== (findZone(name) as Zone).offsetAt(day / 1000),
        );
        const after = (moved ?? day) - 2.5 * 3_600_000;
        const second = ['30', '*/7', '0,59', '10-20/3'][round] as string;
        const text = `${second} ${['59,0', '*', '29-31', '0/30'][Math.floor(random() * 4)]} ${random() < 0.5 ? '*' : '0-4'} * * *`;
        const until = after + 3 * 3_600_000;
        expect(firesWithin(cron(text, name), after, until), `${text} in ${name}`).toEqual(
          new Scanner(text, name).fires(after, until),
        );
      }
    }
  });

  it('agrees with the brute-force scanner on days, over ten years each', () => {
    const random = seeded(9);
    for (let round = 0; round < 40; round++) {
      const text = someCron(random).replace(/^\S+ \S+/, '0 0');
      const after = Date.UTC(1990 + Math.floor(random() * 40), 0, 1) - 1;
      const until = after + 3_653 * DAY_MS;
      expect(firesWithin(cron(text), after, until), text).toEqual(new Scanner(text, 'UTC', DAY_MS).fires(after, until));
    }
  });

  it('gives the same answer however one gets there', () => {
    const random = seeded(5);
    for (let round = 0; round < 300; round++) {
      const text = someCron(random);
      const schedule = cron(text, ZONES[round % ZONES.length]);
      const after = Date.UTC(1990, 0, 1) + Math.floor(random() * 50 * 365 * DAY_MS);
      const fire = schedule.next(after);
      expect(fire).toBeGreaterThan(after);
      for (const between of [fire - 1, fire - 1_000, after + Math.floor(random() * (fire - after))])
        expect(schedule.next(between), `${text} ${schedule.canonical}`).toBe(
          between < fire ? fire : schedule.next(fire),
        );
    }
  });

  it('answers for instants within a second, before 1970 and at the end of time', () => {
    const minutely = cron('* * * * *');
    expect([-5_000, -1, 0, 1, 59_999, 60_000].map((at) => minutely.next(at))).toEqual([
      0, 0, 60_000, 60_000, 60_000, 120_000,
    ]);
    const end = Date.UTC(9999, 11, 31, 23, 59);
    expect([minutely.next(end - 1), minutely.next(end), minutely.next(Infinity)]).toEqual([end, Infinity, Infinity]);
    expect(cron('59 59 23 31 12 *', 'America/New_York').next(end)).toBe(Infinity);
  });

  it('finds sparse dates over centuries', () => {
    expect(next('0 0 29 2 *', 'UTC', '2096-03-01T00:00Z', 2)).toEqual(['2104-02-29T00:00Z', '2108-02-29T00:00Z']);
    expect(next('0 0 ? 2 MON#5', 'UTC', '2072-03-01T00:00Z', 1)).toEqual(['2112-02-29T00:00Z']);
    // The rules of New York carry on for ever.
    expect(next('0 12 4 7 *', 'America/New_York', '5000-01-01T00:00Z', 1)).toEqual(['5000-07-04T16:00Z']);
    expect(next('0 12 4 1 *', 'America/New_York', '9998-12-01T00:00Z', 1)).toEqual(['9999-01-04T17:00Z']);
  });
});

describe('cron where the clock is changed', () => {
  it('New York, forward: a skipped fixed time runs at the first instant after the gap, once', () => {
    expect(next('30 2 * * *', 'America/New_York', '2024-03-09T12:00Z', 2)).toEqual([
      '2024-03-10T07:00Z',
      '2024-03-11T06:30Z',
    ]);
    expect(next('0,15,30,45 2 * * *', 'America/New_York', '2024-03-10T06:00Z', 2)).toEqual([
      '2024-03-10T07:00Z',
      '2024-03-11T06:00Z',
    ]);
    expect(next('30 2,3 * * *', 'America/New_York', '2024-03-10T06:00Z', 2)).toEqual([
      '2024-03-10T07:00Z',
      '2024-03-10T07:30Z',
    ]);
    // Also with one that is due at that instant.
    expect(next('0 2,3 * * *', 'America/New_York', '2024-03-10T06:00Z', 2)).toEqual([
      '2024-03-10T07:00Z',
      '2024-03-11T06:00Z',
    ]);
  });

  it('New York, forward: an interval job goes on in real time', () => {
    expect(next('30 * * * *', 'America/New_York', '2024-03-10T06:00Z', 2)).toEqual([
      '2024-03-10T06:30Z',
      '2024-03-10T07:30Z',
    ]);
    expect(next('*/30 2 * * *', 'America/New_York', '2024-03-10T06:00Z', 1)).toEqual(['2024-03-11T06:00Z']);
  });

  it('New York, back: a repeated fixed time runs in the first pass, an interval job in both', () => {
    expect(next('30 1 * * *', 'America/New_York', '2024-11-03T00:00Z', 2)).toEqual([
      '2024-11-03T05:30Z',
      '2024-11-04T06:30Z',
    ]);
    expect(next('30 1 * * *', 'America/New_York', '2024-11-03T05:45Z', 1)).toEqual(['2024-11-04T06:30Z']);
    expect(next('30 * * * *', 'America/New_York', '2024-11-03T05:00Z', 3)).toEqual([
      '2024-11-03T05:30Z',
      '2024-11-03T06:30Z',
      '2024-11-03T07:30Z',
    ]);
    expect(next('0 1,2 * * *', 'America/New_York', '2024-11-03T04:30Z', 2)).toEqual([
      '2024-11-03T05:00Z',
      '2024-11-03T07:00Z',
    ]);
  });

  it('London', () => {
    expect(next('30 1 * * *', 'Europe/London', '2024-03-30T12:00Z', 2)).toEqual([
      '2024-03-31T01:00Z',
      '2024-04-01T00:30Z',
    ]);
    expect(next('30 1 * * *', 'Europe/London', '2024-10-26T12:00Z', 2)).toEqual([
      '2024-10-27T00:30Z',
      '2024-10-28T01:30Z',
    ]);
    expect(next('*/30 1 * * *', 'Europe/London', '2024-10-27T00:00Z', 4)).toEqual([
      '2024-10-27T00:30Z',
      '2024-10-27T01:00Z',
      '2024-10-27T01:30Z',
      '2024-10-28T01:00Z',
    ]);
  });

  it('Lord Howe: half an hour', () => {
    expect(next('15 2 * * *', 'Australia/Lord_Howe', '2024-10-05T00:00Z', 2)).toEqual([
      '2024-10-05T15:30Z',
      '2024-10-06T15:15Z',
    ]);
    expect(next('45 1 * * *', 'Australia/Lord_Howe', '2024-04-06T00:00Z', 2)).toEqual([
      '2024-04-06T14:45Z',
      '2024-04-07T15:15Z',
    ]);
    expect(next('*/15 * * * *', 'Australia/Lord_Howe', '2024-04-06T14:30Z', 4)).toEqual([
      '2024-04-06T14:45Z',
      '2024-04-06T15:00Z',
      '2024-04-06T15:15Z',
      '2024-04-06T15:30Z',
    ]);
    expect(next('0 * * * *', 'Australia/Lord_Howe', '2024-10-05T14:30Z', 2)).toEqual([
      '2024-10-05T16:00Z',
      '2024-10-05T17:00Z',
    ]);
  });

  it('Apia: 30 December 2011 does not exist, and is no daylight saving', () => {
    expect(next('0 9 * * *', 'Pacific/Apia', '2011-12-29T00:00Z', 2)).toEqual([
      '2011-12-29T19:00Z',
      '2011-12-30T19:00Z',
    ]);
    expect(next('0 9 30 12 *', 'Pacific/Apia', '2011-12-01T00:00Z', 1)).toEqual(['2012-12-29T19:00Z']);
    expect(next('0 * * * *', 'Pacific/Apia', '2011-12-30T09:00Z', 2)).toEqual([
      '2011-12-30T10:00Z',
      '2011-12-30T11:00Z',
    ]);
  });

  it('Troll: two hours', () => {
    expect(next('30 1 * * *', 'Antarctica/Troll', '2024-03-30T12:00Z', 2)).toEqual([
      '2024-03-31T01:00Z',
      '2024-03-31T23:30Z',
    ]);
    expect(next('30 1,2 * * *', 'Antarctica/Troll', '2024-10-26T12:00Z', 4)).toEqual([
      '2024-10-26T23:30Z',
      '2024-10-27T00:30Z',
      '2024-10-28T01:30Z',
      '2024-10-28T02:30Z',
    ]);
  });

  it('Casablanca: Ramadan takes the hour back and gives it again', () => {
    expect(next('30 2 * * *', 'Africa/Casablanca', '2024-03-09T12:00Z', 2)).toEqual([
      '2024-03-10T01:30Z',
      '2024-03-11T02:30Z',
    ]);
    expect(next('30 2 * * *', 'Africa/Casablanca', '2024-04-13T12:00Z', 2)).toEqual([
      '2024-04-14T02:00Z',
      '2024-04-15T01:30Z',
    ]);
  });

  it('Chatham: quarters of an hour go on through the change', () => {
    expect(next('*/15 * * * *', 'Pacific/Chatham', '2022-04-02T13:40Z', 3)).toEqual([
      '2022-04-02T13:45Z',
      '2022-04-02T14:00Z',
      '2022-04-02T14:15Z',
    ]);
  });
});
