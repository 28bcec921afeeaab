import { MAX_INSTANT_MS } from './civil.ts';

export const MIN_PERIOD_MS = 100;

const UNITS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
  ['w', 604_800_000],
]);
/** Units of the calendar: months or days of each. Days and weeks are exact where no calendar counts. */
const MONTHS: ReadonlyMap<string, number> = new Map([
  ['mo', 1],
  ['y', 12],
]);
const DAYS: ReadonlyMap<string, number> = new Map([
  ['d', 1],
  ['w', 7],
]);
const PART = /(\d+(?:\.\d+)?)(ms|mo|[smhdwy])/gy;
const NUMBER = '(\\d+(?:[.,]\\d+)?)';
const ISO = new RegExp(
  `^P(?:${NUMBER}Y)?(?:${NUMBER}M)?(?:${NUMBER}W)?(?:${NUMBER}D)?(?:T(?=\\d)(?:${NUMBER}H)?(?:${NUMBER}M)?(?:${NUMBER}S)?)?$`,
  'i',
);
const ISO_UNITS = ['y', 'mo', 'w', 'd', 'h', 'm', 's'] as const;

/** A period: months and days of the calendar, and milliseconds of real time. */
export interface Period {
  readonly months: number;
  readonly days: number;
  readonly ms: number;
}

export type PeriodReading =
  ({ readonly ok: true } & Period) | { readonly ok: false; readonly message: string; readonly position?: number };

/**
 * Reads a period: `90s`, `15m`, `1h30m`, `500ms`, `1mo` (units ms, s, m, h, d, w, mo, y), an ISO 8601 duration, or milliseconds. Without
 * `calendar` a day is 24 hours, and a week seven such; with it they are days of the calendar, as months and years are always.
 * Whole milliseconds, 100 at least.
 */
export function readPeriod(value: unknown, calendar = false): PeriodReading {
  if (typeof value === 'number') return within({ months: 0, days: 0, ms: value });
  if (typeof value !== 'string') return no('a text such as "15m", an ISO 8601 duration or milliseconds are needed');
  if (/^[Pp]/.test(value)) return readIso(value, calendar);
  if (value.trim() === '') return no('it is empty; a period is needed, as in 15m', 0);
  const parts: [string, string][] = [];
  let position = 0;
  for (const part of value.matchAll(PART)) {
    parts.push([part[1] as string, part[2] as string]);
    position += part[0].length;
  }
  if (position === value.length) return sum(parts, calendar);
  const digits = /^[\d.]*/.exec(value.slice(position))?.[0].length ?? 0;
  return no(whyUnreadable(value), position + digits);
}

/** Reads a stretch of real time, as `readPeriod` does; months and years are none. */
export function readDuration(
  value: unknown,
):
  | { readonly ok: true; readonly ms: number }
  | { readonly ok: false; readonly message: string; readonly position?: number } {
  const reading = readPeriod(value);
  if (!reading.ok || reading.months === 0) return reading;
  return no('months and years vary in length; write days, as in 30d');
}

/** The shortest text that `readPeriod` reads back. */
export function periodText(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const size = UNITS.get(unit) as number;
    if (ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

/** The same for a period of the calendar: `1y`, `3mo`, `1mo15d`, `1d12h`. */
export function calendarPeriodText({ months, days, ms }: Period): string {
  const ofMonths = months === 0 ? '' : months % 12 === 0 ? `${months / 12}y` : `${months}mo`;
  return `${ofMonths}${days === 0 ? '' : `${days}d`}${ms === 0 ? '' : clockText(ms)}`;
}

/** Real time without days: those would be the calendar's. */
function clockText(ms: number): string {
  return ms % 3_600_000 === 0 ? `${ms / 3_600_000}h` : periodText(ms);
}

function readIso(text: string, calendar: boolean): PeriodReading {
  const match = ISO.exec(text);
  if (match === null || match.slice(1).every((part) => part === undefined))
    return no('it is no ISO 8601 duration, as in PT15M, P1D, P1M or P1DT12H', 0);
  const parts = ISO_UNITS.flatMap((unit, at): [string, string][] => {
    const part = match[at + 1];
    return part === undefined ? [] : [[part.replace(',', '.'), unit]];
  });
  return sum(parts, calendar);
}

function sum(parts: readonly (readonly [count: string, unit: string])[], calendar: boolean): PeriodReading {
  let [months, days, ms] = [0, 0, 0];
  for (const [text, unit] of parts) {
    const count = Number(text);
    const ofMonths = MONTHS.get(unit);
    const ofDays = calendar ? DAYS.get(unit) : undefined;
    if ((ofMonths ?? ofDays) !== undefined && !Number.isInteger(count))
      return no(`a part of a calendar unit is no stretch of time: ${text}${unit}`);
    if (ofMonths !== undefined) months += count * ofMonths;
    else if (ofDays !== undefined) days += count * ofDays;
    else ms += count * (UNITS.get(unit) as number);
  }
  return within({ months, days, ms: tidy(ms) });
}

/** Decimal fractions such as 0.1s are exact up to a rounding error of the multiplication. */
function tidy(ms: number): number {
  const whole = Math.round(ms);
  return Math.abs(ms - whole) < 1e-6 ? whole : ms;
}

function within(period: Period): PeriodReading {
  const { months, days, ms } = period;
  if (!Number.isFinite(ms) || ms < 0 || (ms === 0 && months + days === 0)) return no('a period is longer than 0');
  if (ms < MIN_PERIOD_MS && months + days === 0)
    return no(`a period of ${ms} ms is too short: ${MIN_PERIOD_MS} ms at least`);
  if (!Number.isInteger(ms)) return no('a period is a whole number of milliseconds');
  if (ms + (months * 28 + days) * 86_400_000 > MAX_INSTANT_MS) return no('a period ends before the year 9999');
  return { ok: true, ...period };
}

function no(message: string, position?: number): PeriodReading {
  return { ok: false, message, ...(position === undefined ? {} : { position }) };
}

function whyUnreadable(text: string): string {
  const units = 'units are ms, s, m, h, d, w, mo and y, as in 90s or 1h30m';
  const words =
    /^(\d+(?:\.\d+)?)\s*(ms|millis|milli|s|sec|month|mon|mo|m|min|h|hr|hour|d|day|w|week|y|yr|year)[a-z]*$/i.exec(
      text.trim(),
    );
  if (/^\d+(?:\.\d+)?$/.test(text)) return `the unit is missing; did you mean ${text}s, or milliseconds as a number?`;
  if (text.split(/\s+/).length >= 5) return 'it looks like cron; use the field "cron"';
  if (text.startsWith('-')) return 'a period is longer than 0';
  if (words === null) return `it is no period; ${units}`;
  const unit = (words[2] as string).toLowerCase();
  const short = unit === 'ms' || unit.startsWith('mil') ? 'ms' : unit.startsWith('mo') ? 'mo' : unit[0];
  return `did you mean ${words[1]}${short}? The ${units}`;
}
