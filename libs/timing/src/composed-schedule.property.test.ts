/** Schedules against scanners that look at every minute, ask Intl for the wall time, and share no code with the engine. */
import { describe, expect, it } from 'vitest';

import { parseCalendar, type CalendarSpec } from './read-calendar.ts';
import { parseSchedule } from './read-schedule.ts';
import { nextFire, type Schedule } from './schedule.ts';
import type { ScheduleSpec } from './schedule-spec.ts';
import { seeded } from './testing.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const LARGEST_SHIFT_MS = 3 * HOUR_MS;
const ZONES = [
  ...['America/New_York', 'Europe/London', 'Australia/Lord_Howe', 'Pacific/Apia', 'Antarctica/Troll'],
  ...['Africa/Casablanca', 'Pacific/Chatham', 'UTC'],
];
/** Around changes of the clock, and a day or so without any. */
const WINDOWS = [
  ...['2011-12-29T00:00:00Z', '2023-03-11T00:00:00Z', '2023-03-25T00:00:00Z'],
  ...['2023-04-22T00:00:00Z', '2023-10-28T00:00:00Z', '2024-04-06T00:00:00Z'],
].map(Date.parse);
/** Where clocks changed on the day after. */
const CHANGES = [
  ['America/New_York', '2023-03-11T00:00:00Z'],
  ['Europe/London', '2023-03-25T00:00:00Z'],
  ['Europe/London', '2023-10-28T00:00:00Z'],
  ['Australia/Lord_Howe', '2024-04-06T00:00:00Z'],
  ['Pacific/Apia', '2011-12-29T00:00:00Z'],
  ['Antarctica/Troll', '2023-03-25T00:00:00Z'],
  ['Antarctica/Troll', '2023-10-28T00:00:00Z'],
  ['Africa/Casablanca', '2023-04-22T00:00:00Z'],
] as const;
const LENGTH_MS = 3 * DAY_MS;
/** What is looked at besides. */
const MARGIN_MS = 2 * DAY_MS;

interface Minute {
  readonly at: number;
  /** The wall time, ms as if the clock were UTC. */
  readonly local: number;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function wallTime(zone: string, at: number): number {
  let format = formats.get(zone);
  if (format === undefined) {
    const two = { month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' } as const;
    format = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', year: 'numeric', ...two });
    formats.set(zone, format);
  }
  const [month, day, year, hour, minute, second] = (format.format(at).match(/\d+/g) ?? []).map(Number);
  return Date.UTC(year as number, (month as number) - 1, day, hour, minute, second);
}

const minutesOf = new Map<string, readonly Minute[]>();

function minutes(zone: string, fromMs: number, toMs: number): readonly Minute[] {
  const key = `${zone} ${fromMs} ${toMs}`;
  let found = minutesOf.get(key);
  if (found === undefined) {
    found = Array.from({ length: (toMs - fromMs) / MINUTE_MS + 1 }, (_, i) => {
      const at = fromMs + i * MINUTE_MS;
      return { at, local: wallTime(zone, at) };
    });
    minutesOf.set(key, found);
  }
  return found;
}

function schedule(spec: ScheduleSpec): Schedule {
  const reading = parseSchedule(spec);
  if (!reading.ok) throw new Error(reading.error.message);
  return reading.schedule;
}

type Next = (afterMs: number) => number;

function firesWithin(next: Next, fromMs: number, toMs: number): number[] {
  const fires: number[] = [];
  for (let at = next(fromMs); at <= toMs; at = next(at)) fires.push(at);
  return fires;
}

/** The same answer from wherever one asks. */
function expectSameFromAnywhere(next: Next, fires: readonly number[], fromMs: number, random: () => number): void {
  for (let round = 0; round < 10; round++) {
    const after = fromMs + Math.floor(random() * LENGTH_MS);
    const expected = fires.find((at) => at > after);
    if (expected !== undefined) expect(next(after)).toBe(expected);
  }
}

function pick<T>(random: () => number, among: readonly T[]): T {
  return among[Math.floor(random() * among.length)] as T;
}

/** Minutes and hours that match, as sets. */
interface Times {
  readonly text: string;
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
}

function someTimes(random: () => number): Times {
  const minute = Math.floor(random() * 60);
  const hour = Math.floor(random() * 4);
  const all = (count: number): number[] => [...Array(count).keys()];
  return pick<Times>(random, [
    { text: `${minute} ${hour} * * *`, minutes: new Set([minute]), hours: new Set([hour]) },
    { text: `0,30 ${hour} * * *`, minutes: new Set([0, 30]), hours: new Set([hour]) },
    { text: `*/15 * * * *`, minutes: new Set([0, 15, 30, 45]), hours: new Set(all(24)) },
    { text: `${minute} * * * *`, minutes: new Set([minute]), hours: new Set(all(24)) },
    { text: `*/20 0-3 * * *`, minutes: new Set([0, 20, 40]), hours: new Set([0, 1, 2, 3]) },
  ]);
}

function matches({ minutes: ofHour, hours }: Times, local: number): boolean {
  const date = new Date(local);
  return ofHour.has(date.getUTCMinutes()) && hours.has(date.getUTCHours());
}

/** By definition: each wall time that matches, in the passes that `fold` names; and the end of a gap for what it has skipped. */
function scanCron(times: Times, zone: string, gap: string, fold: string, fromMs: number, toMs: number): number[] {
  const all = minutes(zone, fromMs - MARGIN_MS, toMs + MARGIN_MS);
  const passes = new Map<number, number[]>();
  for (const { at, local } of all) passes.set(local, [...(passes.get(local) ?? []), at]);
  const fires: number[] = [];
  let before = all[0] as Minute;
  for (const minute of all.slice(1)) {
    const shift = minute.local - before.local - MINUTE_MS;
    const { at, local } = minute;
    const seen = (passes.get(local) as number[]).filter((other) => Math.abs(other - at) <= LARGEST_SHIFT_MS);
    let fires_ = matches(times, local);
    if (fires_ && fold === 'first') fires_ = at === Math.min(...seen);
    if (fires_ && fold === 'last') fires_ = at === Math.max(...seen);
    if (gap === 'next' && shift > 0 && shift <= LARGEST_SHIFT_MS) {
      for (let skipped = before.local + MINUTE_MS; skipped < local; skipped += MINUTE_MS)
        fires_ ||= matches(times, skipped);
    }
    if (fires_ && at > fromMs && at <= toMs) fires.push(at);
    before = minute;
  }
  return fires;
}

describe('rules for changes of the clock', () => {
  it('hold for cron in all combinations, zones and changes, as a scan of every minute says', () => {
    const random = seeded(11);
    let compared = 0;
    for (const zone of ZONES) {
      for (const fromMs of WINDOWS) {
        const times = someTimes(random);
        const gap = pick(random, ['next', 'skip'] as const);
        const fold = pick(random, ['first', 'last', 'both'] as const);
        const of = schedule({ cron: times.text, timezone: zone, gap, fold });
        const next: Next = (after) => nextFire(of, after, { createdMs: 0, seed: 0 });
        const expected = scanCron(times, zone, gap, fold, fromMs, fromMs + LENGTH_MS);
        const what = `${times.text} ${zone} ${gap} ${fold} from ${new Date(fromMs).toISOString()}`;
        expect(firesWithin(next, fromMs, fromMs + LENGTH_MS).map(text), what).toEqual(expected.map(text));
        expectSameFromAnywhere(next, expected, fromMs, random);
        compared += expected.length;
      }
    }
    expect(compared).toBeGreaterThan(500);
  });
});

function text(at: number): string {
  return new Date(at).toISOString();
}

describe('intervals on a calendar', () => {
  /** Fire k by looking at every minute around where it must lie. */
  function scanFire(zone: string, local: number, gap: string, fold: string): number[] {
    const around = minutes(zone, local - 16 * HOUR_MS, local + 16 * HOUR_MS);
    const seen = around.filter((minute) => minute.local === local).map(({ at }) => at);
    if (seen.length > 0)
      return fold === 'both' ? seen : [fold === 'last' ? (seen.at(-1) as number) : (seen[0] as number)];
    const after = around.findIndex((minute, i) => minute.local > local && (around[i - 1]?.local ?? Infinity) < local);
    const end = around[after];
    const shift = (end?.local ?? 0) - (around[after - 1]?.local ?? 0) - MINUTE_MS;
    return end !== undefined && gap === 'next' && shift <= LARGEST_SHIFT_MS ? [end.at] : [];
  }

  it('lie where a scan of every minute finds their wall times', () => {
    const random = seeded(12);
    let changed = 0;
    for (let round = 0; round < 60; round++) {
      const [zone, change] = pick(random, CHANGES);
      const [months, days] = pick(random, [
        [0, 1],
        [0, 1],
        [0, 2],
        [0, 7],
        [1, 0],
        [3, 0],
        [12, 0],
        [1, 1],
      ] as const);
      const gap = pick(random, ['next', 'skip'] as const);
      const fold = pick(random, ['first', 'last', 'both'] as const);
      // So that some of the fires fall on the day of a change, in its hours.
      const near = Date.parse(change) - Math.floor(random() * 3) * DAY_MS * Math.max(1, days);
      const time = Math.floor(random() * 14) * 15 * MINUTE_MS;
      const anchor = near + ((((time - (wallTime(zone, near) % DAY_MS)) % DAY_MS) + DAY_MS) % DAY_MS);
      const every = `${months === 0 ? '' : `${months}mo`}${days === 0 ? '' : `${days}d`}`;
      const of = schedule({ every, anchor, timezone: zone, gap, fold });
      const start = new Date(wallTime(zone, anchor));
      const expected: number[] = [];
      for (let k = 0; k < 6; k++) {
        const month = start.getUTCMonth() + k * months;
        const last = new Date(Date.UTC(start.getUTCFullYear(), month + 1, 0)).getUTCDate();
        const day = Math.min(start.getUTCDate(), last) + k * days;
        const local = Date.UTC(start.getUTCFullYear(), month, day, start.getUTCHours(), start.getUTCMinutes());
        const found = scanFire(zone, local, gap, fold);
        if (found.length !== 1) changed++;
        expected.push(...found);
      }
      let at = anchor - DAY_MS;
      const fires = [...new Set(expected)]
        .filter((fire) => fire > at)
        .map(() => (at = nextFire(of, at, { createdMs: 0, seed: 0 })));
      const what = `${every} from ${text(anchor)} in ${zone}, ${gap} ${fold}`;
      expect(fires.map(text), what).toEqual([...new Set(expected)].map(text));
    }
    expect(changed).toBeGreaterThan(1); // skipped or repeated wall times were among them
  }, 120_000);
});

describe('calendars', () => {
  const WEEKDAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

  /** A calendar with the question whether a wall time is held, by definition. */
  function someRules(
    random: () => number,
    fromMs: number,
  ): { rules: CalendarSpec['exclude']; holds: (local: number) => boolean } {
    const rules: NonNullable<CalendarSpec['exclude']>[number][] = [];
    const tests: ((local: number) => boolean)[] = [];
    const dayOf = (local: number): string => new Date(local).toISOString().slice(0, 10);
    const timeOf = (local: number): string => new Date(local).toISOString().slice(11, 16);
    for (let count = 1 + Math.floor(random() * 3); count > 0; count--) {
      const day = fromMs + Math.floor(random() * 4) * DAY_MS;
      const weekday = Math.floor(random() * 7);
      const [from, to] = [Math.floor(random() * 24 * 4) * 15, Math.floor(random() * 24 * 4) * 15].map((minute) =>
        new Date(minute * MINUTE_MS).toISOString().slice(11, 16),
      ) as [string, string];
      switch (Math.floor(random() * 5)) {
        case 0:
          rules.push(dayOf(day));
          tests.push((local) => dayOf(local) === dayOf(day));
          break;
        case 1:
          rules.push(dayOf(day).slice(5));
          tests.push((local) => dayOf(local).slice(5) === dayOf(day).slice(5));
          break;
        case 2:
          rules.push({ weekdays: [WEEKDAYS[weekday] as string] });
          tests.push((local) => new Date(local).getUTCDay() === weekday);
          break;
        case 3: {
          const [start, end] = [`${dayOf(day)}T${from}`, `${dayOf(day + DAY_MS)}T${to}`];
          rules.push({ from: start, to: end });
          tests.push(
            (local) => `${dayOf(local)}T${timeOf(local)}` >= start && `${dayOf(local)}T${timeOf(local)}` < end,
          );
          break;
        }
        default:
          if (from === to) break;
          rules.push({ daily: [from, to] });
          tests.push((local) => {
            const time = timeOf(local);
            return from < to ? time >= from && time < to : time >= from || time < to;
          });
      }
    }
    return { rules, holds: (local) => tests.some((test) => test(local)) };
  }

  it.each(['skip', 'next'] as const)(
    'exclude what a scan of every minute finds excluded: %s',
    (onExcluded) => {
      const random = seeded(onExcluded === 'skip' ? 13 : 14);
      let excluded = 0;
      for (let round = 0; round < 150; round++) {
        const zone = pick(random, ZONES);
        const fromMs = pick(random, WINDOWS);
        const toMs = fromMs + LENGTH_MS;
        const exclude = someRules(random, fromMs);
        const include = random() < 0.3 ? someRules(random, fromMs) : undefined;
        if (include?.rules?.length === 0) continue;
        const spec = {
          exclude: exclude.rules ?? [],
          timezone: zone,
          ...(include === undefined ? {} : { include: include.rules ?? [] }),
        };
        const reading = parseCalendar(spec);
        if (!reading.ok) throw new Error(`${reading.error.path}: ${reading.error.message}`);
        const allows = ({ local }: Minute): boolean =>
          !exclude.holds(local) && (include === undefined || include.holds(local));
        const times = someTimes(random);
        const of = schedule({ cron: times.text, calendars: ['it'], onExcluded });
        const task = { createdMs: 0, seed: 0, calendars: () => reading.calendar };
        const next: Next = (after) => nextFire(of, after, task);

        // Long before, so that what was excluded then and moves is seen too.
        const all = minutes(zone, fromMs - MARGIN_MS, toMs + MARGIN_MS);
        const fires = new Set<number>();
        let nextAllowed: number | undefined;
        for (const minute of all.toReversed()) {
          const isAllowed = allows(minute);
          if (isAllowed) nextAllowed = minute.at;
          if (!matches(times, minute.at)) continue;
          if (!isAllowed) excluded++;
          if (isAllowed) fires.add(minute.at);
          else if (onExcluded === 'next' && nextAllowed !== undefined) fires.add(nextAllowed);
        }
        // An excluded stretch that reaches back beyond the scan may hold instants that it has not seen.
        const sure = (all.find(allows)?.at ?? Infinity) + MINUTE_MS;
        const expected = [...fires].filter((at) => at > Math.max(fromMs, sure) && at <= toMs).sort((a, b) => a - b);
        const found = firesWithin(next, Math.max(fromMs, Math.min(sure, toMs)), toMs);
        expect(found.map(text), `${times.text} ${zone} ${JSON.stringify(spec)}`).toEqual(expected.map(text));
        if (sure < fromMs) expectSameFromAnywhere(next, expected, fromMs, random);
      }
      expect(excluded).toBeGreaterThan(500);
    },
    120_000,
  );
});
