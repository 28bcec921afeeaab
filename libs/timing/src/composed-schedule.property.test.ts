/**
 * Schedules with all that they may combine, against a scan of every minute: expressions or intervals on the calendar, rules for changes of
 * the clock, bounds, limits, calendars, jitter. In 45 zones, from 1990 to 2040, half of them around a change of the clock.
 *
 * BELFRY_PROPERTY_ROUNDS: rounds a zone (4); BELFRY_PROPERTY_SEED: another seed.
 */
import { describe, expect, it } from 'vitest';

import type { Calendar } from './calendar.ts';
import { ComposedSchedule } from './composed-schedule.ts';
import { parseCalendar } from './read-calendar.ts';
import { parseSchedule } from './read-schedule.ts';
import { scannedClock } from './scanned-clock.ts';
import {
  DAY_MS,
  HOUR_MS,
  MINUTE_MS,
  Minutes,
  pick,
  scanCalendar,
  scanCron,
  scanWallTimes,
  someRules,
  someTimes,
  type Minute,
  type Rules,
} from './schedule-scanner.ts';
import { nextFire } from './schedule.ts';
import type { ScheduleSpec, TaskContext } from './schedule-spec.ts';
import { seeded } from './testing.ts';

const ROUNDS = Number(process.env['BELFRY_PROPERTY_ROUNDS'] ?? 4);
const SEED = Number(process.env['BELFRY_PROPERTY_SEED'] ?? 11);
const ZONES = (
  'America/New_York Europe/London Australia/Lord_Howe Pacific/Apia Antarctica/Troll Africa/Casablanca Pacific/Chatham ' +
  'America/St_Johns America/Sao_Paulo America/Recife Asia/Kathmandu Asia/Tehran Asia/Gaza Asia/Amman Asia/Beirut Asia/Pyongyang ' +
  'Asia/Dhaka Asia/Colombo Asia/Yangon Africa/Cairo Africa/Tripoli Africa/Windhoek Africa/Juba America/Caracas America/Havana ' +
  'America/Asuncion America/Santiago America/Nuuk America/Scoresbysund America/Phoenix America/Mexico_City Antarctica/Casey ' +
  'Antarctica/Macquarie Antarctica/Vostok Atlantic/Azores Australia/Eucla Europe/Dublin Europe/Istanbul Europe/Moscow ' +
  'Europe/Volgograd Pacific/Kwajalein Pacific/Kiritimati Pacific/Norfolk Pacific/Bougainville UTC'
).split(' ');
const FIRST_MS = Date.UTC(1990, 0, 2);
const LAST_MS = Date.UTC(2040, 11, 20);
const LENGTH_MS = 3 * DAY_MS;
/** What is looked at besides. */
const MARGIN_MS = 2 * DAY_MS;

/** A full hour of these 51 years; mostly a day or so before a change of the clock, where one is near. */
function someInstant(random: () => number, zone: string): number {
  const any = Math.floor((FIRST_MS + random() * (LAST_MS - FIRST_MS)) / HOUR_MS) * HOUR_MS;
  if (random() < 0.3) return any;
  const change = scannedClock(zone).changeIn(any, Math.min(LAST_MS, any + 200 * DAY_MS));
  return change === undefined ? any : change - Math.floor(random() * 60) * HOUR_MS;
}

/** A schedule before bounds and calendars, with its instants by definition. */
interface Base {
  readonly spec: ScheduleSpec;
  readonly instants: (minutes: Minutes) => Set<number>;
}

function someCrons(random: () => number, timezone: string, rules: Rules): Base {
  const all = Array.from({ length: pick(random, [1, 1, 2, 3]) }, () => someTimes(random));
  const cron = all.map(({ text }) => text);
  return {
    spec: { cron: cron.length === 1 ? (cron[0] as string) : cron, timezone },
    instants: (minutes) => new Set(all.flatMap((times) => [...scanCron(times, minutes, rules)])),
  };
}

function someInterval(random: () => number, timezone: string, rules: Rules, nearMs: number): Base {
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
  const back = pick(random, [0, 1, 1, 2, 13]) * (months * 30 + days) + Math.floor(random() * 3);
  const clock = scannedClock(timezone);
  const near = nearMs - back * DAY_MS;
  // In the hours in which most clocks are changed, on its own clock.
  const time = Math.floor(random() * 14) * 15 * MINUTE_MS;
  const anchor = near + ((((time - (clock.local(near) % DAY_MS)) % DAY_MS) + DAY_MS) % DAY_MS);
  const start = new Date(clock.local(anchor));
  const locals = (untilMs: number): number[] => {
    const found: number[] = [];
    for (let k = 0; k === 0 || (found.at(-1) as number) < untilMs; k++) {
      const month = start.getUTCMonth() + k * months;
      const last = new Date(Date.UTC(start.getUTCFullYear(), month + 1, 0)).getUTCDate();
      const day = Math.min(start.getUTCDate(), last) + k * days;
      found.push(Date.UTC(start.getUTCFullYear(), month, day, start.getUTCHours(), start.getUTCMinutes()));
    }
    return found;
  };
  return {
    spec: { every: `${months === 0 ? '' : `${months}mo`}${days === 0 ? '' : `${days}d`}`, anchor, timezone },
    instants: (minutes) => scanWallTimes(locals((minutes.all.at(-1) as Minute).at + 2 * DAY_MS), minutes, rules),
  };
}

function someCalendar(
  random: () => number,
  aroundMs: number,
): { readonly calendar: Calendar; readonly spec: object; readonly allowsAt: (minutes: Minutes) => Set<number> } {
  const timezone = pick(random, ZONES);
  const exclude = someRules(random, aroundMs);
  const include = random() < 0.3 ? someRules(random, aroundMs) : undefined;
  const spec = {
    exclude: exclude.rules,
    timezone,
    ...(include === undefined || include.rules.length === 0 ? {} : { include: include.rules }),
  };
  const reading = parseCalendar(spec);
  if (!reading.ok) throw new Error(`${reading.error.path}: ${reading.error.message}`);
  const clock = scannedClock(timezone);
  const allowsAt = (minutes: Minutes): Set<number> => {
    const allowed = new Set<number>();
    for (const { at } of minutes.all) {
      const local = clock.local(at);
      if (!exclude.holds(local) && (!('include' in spec) || include?.holds(local) === true)) allowed.add(at);
    }
    return allowed;
  };
  return { calendar: reading.calendar, spec, allowsAt };
}

function text(at: number): string {
  return new Date(at).toISOString();
}

/** What rounds have met, so that a generator that meets nothing is seen. */
const met = { fires: 0, changes: 0, excluded: 0, limited: 0, jittered: 0, several: 0 };

/** One schedule around one instant of one zone, and everything about it that a scan can tell. */
function compare(random: () => number, zone: string): void {
  const fromMs = someInstant(random, zone);
  const toMs = fromMs + LENGTH_MS;
  const maybe = (share: number): boolean => random() < share;
  const rules: Rules = {
    gap: maybe(0.5) ? pick(random, ['next', 'skip'] as const) : undefined,
    fold: maybe(0.5) ? pick(random, ['first', 'last', 'both'] as const) : undefined,
  };
  const base = maybe(0.7) ? someCrons(random, zone, rules) : someInterval(random, zone, rules, fromMs);
  const calendars = maybe(0.5)
    ? Array.from({ length: pick(random, [1, 1, 2]) }, () => someCalendar(random, fromMs))
    : [];
  const onExcluded = pick(random, ['skip', 'next'] as const);
  const startAt = maybe(0.3) ? fromMs + Math.floor(random() * DAY_MS) : undefined;
  const limit = startAt !== undefined && maybe(0.7) ? 1 + Math.floor(random() * 12) : undefined;
  const endAt = maybe(0.2) ? Math.max(startAt ?? 0, toMs - Math.floor(random() * DAY_MS)) : undefined;
  const spec = Object.fromEntries(
    Object.entries({
      ...base.spec,
      ...rules,
      ...(calendars.length > 0 && { calendars: calendars.map((_, i) => `c${i}`), onExcluded }),
      startAt,
      limit,
      endAt,
      jitter: maybe(0.3) ? pick(random, ['90s', '1h', '24h']) : undefined,
    }).filter(([, value]) => value !== undefined),
  ) as ScheduleSpec;
  const reading = parseSchedule(spec);
  if (!reading.ok) throw new Error(`${JSON.stringify(spec)}: ${reading.error.message}`);
  const of = reading.schedule;
  const task: TaskContext = {
    createdMs: 0,
    seed: Math.floor(random() * 2 ** 32),
    calendars: (name) => calendars[Number(name.slice(1))]?.calendar,
  };
  const jitter = of instanceof ComposedSchedule ? of.jitterOf(task.seed) : 0;
  const what = `${JSON.stringify(spec)} ${JSON.stringify(calendars.map((calendar) => calendar.spec))} after ${text(fromMs)}`;

  // Long before, so that what was excluded then and moves is seen too.
  const minutes = new Minutes(zone, fromMs - jitterRoom(jitter) - MARGIN_MS, toMs + MARGIN_MS);
  const instants = [...base.instants(minutes)]
    .filter((at) => at >= (startAt ?? 0))
    .sort((a, b) => a - b)
    .slice(0, limit);
  const allowed = calendars.map((calendar) => calendar.allowsAt(minutes));
  const allows = ({ at }: Minute): boolean => allowed.every((set) => set.has(at));
  const left =
    calendars.length === 0 ? new Set(instants) : scanCalendar(new Set(instants), minutes, allows, onExcluded);
  // An excluded stretch that reaches back beyond the scan may hold instants that it has not seen.
  const sure = calendars.length === 0 ? 0 : (minutes.all.find(allows)?.at ?? Infinity) + MINUTE_MS + jitter;
  const since = Math.max(fromMs, sure);
  if (since > toMs) return;
  const expected = [...left]
    .map((at) => at + jitter)
    .filter((at) => at > since && at <= Math.min(toMs, endAt ?? Infinity))
    .sort((a, b) => a - b);

  const found: number[] = [];
  for (let at = nextFire(of, since, task); at <= toMs; at = nextFire(of, at, task)) found.push(at);
  expect(found.map(text), what).toEqual(expected.map(text));
  for (let round = 0; round < 5; round++) {
    const after = since + Math.floor(random() * (toMs - since));
    const next = expected.find((at) => at > after);
    if (next !== undefined) expect(text(nextFire(of, after, task)), `${what}, from ${text(after)}`).toBe(text(next));
  }

  met.fires += found.length;
  if (minutes.all.some((minute, i) => i > 0 && minute.local - (minutes.all[i - 1] as Minute).local !== MINUTE_MS))
    met.changes++;
  met.excluded += instants.filter((at) => !left.has(at)).length;
  if (limit !== undefined && instants.length === limit) met.limited++;
  if (jitter > 0) met.jittered++;
  if (Array.isArray(spec.cron)) met.several++;
}

/** Jitter moves fires from as long before. Whole hours, so that scans begin at one. */
function jitterRoom(jitter: number): number {
  return Math.ceil(jitter / HOUR_MS) * HOUR_MS;
}

describe('composed schedules', () => {
  it.each(ZONES)('are what a scan of every minute finds: %s', (zone) => {
    const random = seeded(SEED + ZONES.indexOf(zone) * 1_000);
    for (let round = 0; round < ROUNDS; round++) compare(random, zone);
  });

  it('were of all kinds', () => {
    const rounds = ROUNDS * ZONES.length;
    expect(met.fires).toBeGreaterThan(rounds * 5);
    expect(met.changes).toBeGreaterThan(rounds / 4);
    expect(met.excluded).toBeGreaterThan(rounds);
    expect(met.limited).toBeGreaterThan(rounds / 20);
    expect(met.jittered).toBeGreaterThan(rounds / 8);
    expect(met.several).toBeGreaterThan(rounds / 8);
  });
});
