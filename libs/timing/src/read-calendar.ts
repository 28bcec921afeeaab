import { Calendar } from './calendar.ts';
import { dayNumber, monthLength, type CivilDate } from './civil.ts';
import { DayRules, dayStretch, type DailyWindow, type Stretch } from './day-rules.ts';
import { findZone, suggestZone } from './zones.ts';

export const MOST_CALENDAR_RULES = 1_000;
const DAY_MS = 86_400_000;
const EVERY_DAY = 0x7f;
const WEEKDAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

/** One rule: a date, a date of every year, a stretch of dates or of wall-clock time, weekdays, or a window of each day. */
export type CalendarRule =
  | string
  | { readonly from: string; readonly to: string }
  | { readonly weekdays: readonly string[] }
  | { readonly daily: readonly [string, string]; readonly weekdays?: readonly string[] };

/** A calendar as users state it. An instant is allowed if no rule of `exclude` holds it, and one of `include`, where that is given. */
export interface CalendarSpec {
  readonly exclude?: readonly CalendarRule[];
  readonly include?: readonly CalendarRule[];
  /** IANA zone of its dates and times. Default UTC. */
  readonly timezone?: string;
}

export type CalendarReading =
  | { readonly ok: true; readonly calendar: Calendar }
  | { readonly ok: false; readonly error: { readonly path: string; readonly message: string } };

class CalendarRefusal extends Error {
  readonly path: string;
  constructor(path: string, message: string) {
    super(message);
    this.path = path;
  }
}

/** Reads a calendar from outside. Never throws. */
export function parseCalendar(value: unknown): CalendarReading {
  try {
    return { ok: true, calendar: readCalendar(value) };
  } catch (error) {
    if (!(error instanceof CalendarRefusal)) throw error;
    return { ok: false, error: { path: error.path, message: error.message } };
  }
}

function readCalendar(value: unknown): Calendar {
  const fields = objectOf(value, '', ['exclude', 'include', 'timezone']);
  const name = fields['timezone'] ?? 'UTC';
  const zone = typeof name === 'string' && name.length <= 64 ? findZone(name) : undefined;
  if (zone === undefined) {
    const likely = typeof name === 'string' ? suggestZone(name) : undefined;
    refuse('timezone', `${shown(name)} is no time zone${likely === undefined ? '' : `; did you mean ${likely}?`}`);
  }
  const count = ['exclude', 'include'].reduce((sum, side) => {
    const rules = fields[side];
    return sum + (Array.isArray(rules) ? rules.length : 0);
  }, 0);
  if (count > MOST_CALENDAR_RULES) refuse('', `${count} rules; ${MOST_CALENDAR_RULES} at most are taken`);
  if (Array.isArray(fields['include']) && fields['include'].length === 0)
    refuse('include', 'an empty list would allow nothing; leave it out to allow all that is not excluded');
  return new Calendar(zone, readRules(fields['exclude'], 'exclude'), readRules(fields['include'], 'include'));
}

function readRules(value: unknown, side: string): DayRules {
  if (value !== undefined && !Array.isArray(value)) refuse(side, 'a list of rules is needed');
  const stretches: Stretch[] = [];
  const yearly = new Set<number>();
  const daily: DailyWindow[] = [];
  let weekdays = 0;
  for (const [i, rule] of ((value ?? []) as unknown[]).entries()) {
    const path = `${side}[${i}]`;
    if (typeof rule === 'string') {
      if (/^\d\d-\d\d$/.test(rule)) yearly.add(readYearly(rule, path));
      else stretches.push(dayStretch(readDate(rule, path), readDate(rule, path)));
      continue;
    }
    const fields = objectOf(rule, path, ['from', 'to', 'weekdays', 'daily']);
    if (fields['daily'] !== undefined) {
      none(fields, ['from', 'to'], 'daily', path);
      daily.push(readDaily(fields['daily'], readWeekdays(fields['weekdays'], path), path));
    } else if (fields['from'] !== undefined || fields['to'] !== undefined) {
      none(fields, ['weekdays'], 'from and to', path);
      stretches.push(readStretch(fields['from'], fields['to'], path));
    } else if (fields['weekdays'] !== undefined) weekdays |= readWeekdays(fields['weekdays'], path);
    else refuse(path, 'a date, from and to, weekdays, or daily is needed');
  }
  return new DayRules(stretches, yearly, weekdays, daily);
}

function none(fields: Record<string, unknown>, names: readonly string[], beside: string, path: string): void {
  const extra = names.find((name) => fields[name] !== undefined);
  if (extra !== undefined) refuse(`${path}.${extra}`, `does not go with ${beside}`);
}

function readStretch(from: unknown, to: unknown, path: string): Stretch {
  if (typeof from !== 'string') refuse(`${path}.from`, 'a date or a wall-clock time is needed');
  if (typeof to !== 'string') refuse(`${path}.to`, 'a date or a wall-clock time is needed');
  const timed = /[Tt ]/.test(from);
  if (timed !== /[Tt ]/.test(to)) refuse(`${path}.to`, 'from and to are two dates, or two times');
  const stretch = timed
    ? { from: readTime(from, `${path}.from`), to: readTime(to, `${path}.to`) }
    : dayStretch(readDate(from, `${path}.from`), readDate(to, `${path}.to`));
  if (stretch.to <= stretch.from) refuse(`${path}.to`, `${to} is not after ${from}`);
  return stretch;
}

function readDate(text: string, path: string): CivilDate {
  const match = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text);
  if (match === null) refuse(path, `${shown(text)} is no date, as in 2026-12-25, or 12-25 for every year`);
  const [year, month, day] = match.slice(1).map(Number) as [number, number, number];
  if (month < 1 || month > 12) refuse(path, `there is no month ${match[2]}`);
  if (day < 1 || day > monthLength(year, month)) refuse(path, `${match[1]}-${match[2]} has no day ${match[3]}`);
  return { year, month, day };
}

function readYearly(text: string, path: string): number {
  const [month, day] = text.split('-').map(Number) as [number, number];
  if (month < 1 || month > 12) refuse(path, `there is no month ${text.slice(0, 2)}`);
  if (day < 1 || day > monthLength(2_000, month)) refuse(path, `that month has no day ${text.slice(3)}`);
  return month * 32 + day;
}

function readTime(text: string, path: string): number {
  const match = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)$/.exec(text);
  if (match === null) refuse(path, `${shown(text)} is no wall-clock time, as in 2026-12-24T18:00`);
  const { year, month, day } = readDate(match[1] as string, path);
  return dayNumber(year, month, day) * DAY_MS + readMinute(match[2], path) * 60_000;
}

function readDaily(value: unknown, weekdays: number, path: string): DailyWindow {
  const at = `${path}.daily`;
  if (!Array.isArray(value) || value.length !== 2) refuse(at, 'two times are needed, as in ["22:00", "06:00"]');
  const fromMs = readMinute(value[0], `${at}[0]`) * 60_000;
  const toMs = readMinute(value[1], `${at}[1]`) * 60_000;
  if (fromMs === toMs) refuse(at, 'it begins when it ends');
  return { fromMs, toMs: toMs > fromMs ? toMs : toMs + DAY_MS, weekdays };
}

function readMinute(value: unknown, path: string): number {
  const minute = minuteOfDay(value);
  return minute ?? refuse(path, `${shown(value)} is no time of day, as in 06:30`);
}

/** `06:30` in minutes; undefined for what is none. */
export function minuteOfDay(value: unknown): number | undefined {
  const match = typeof value === 'string' ? /^(\d\d):(\d\d)$/.exec(value) : null;
  const [hour, minute] = [Number(match?.[1]), Number(match?.[2])];
  return hour <= 23 && minute <= 59 ? hour * 60 + minute : undefined;
}

function readWeekdays(value: unknown, path: string): number {
  if (value === undefined) return EVERY_DAY;
  if (!Array.isArray(value) || value.length === 0)
    refuse(`${path}.weekdays`, 'a list of days is needed, as in ["SAT", "SUN"]');
  let set = 0;
  for (const [i, name] of (value as unknown[]).entries()) {
    const day = WEEKDAYS.indexOf(String(name).toUpperCase());
    if (day < 0) refuse(`${path}.weekdays[${i}]`, `${shown(name)} is no weekday; there are ${WEEKDAYS.join(', ')}`);
    set |= 1 << day;
  }
  return set;
}

function objectOf(value: unknown, path: string, known: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(path, 'an object is needed');
  for (const name of Object.keys(value)) {
    if (!known.includes(name))
      refuse(path === '' ? name : `${path}.${name}`, `no field of this name is known here; known: ${known.join(', ')}`);
  }
  return value as Record<string, unknown>;
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 80);
}

function refuse(path: string, message: string): never {
  throw new CalendarRefusal(path, message);
}
