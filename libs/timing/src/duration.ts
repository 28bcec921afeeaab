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
const ISO =
  /^P(?:(\d+(?:[.,]\d+)?)W)?(?:(\d+(?:[.,]\d+)?)D)?(?:T(?=\d)(?:(\d+(?:[.,]\d+)?)H)?(?:(\d+(?:[.,]\d+)?)M)?(?:(\d+(?:[.,]\d+)?)S)?)?$/i;
const ISO_UNITS = ['w', 'd', 'h', 'm', 's'] as const;

export type PeriodReading =
  | { readonly ok: true; readonly ms: number }
  | { readonly ok: false; readonly message: string; readonly position?: number };

/**
 * Reads a period: `90s`, `15m`, `1h30m`, `500ms` (units ms, s, m, h, d, w), an ISO 8601 duration without years and months, or
 * milliseconds. A day is 24 hours. Whole milliseconds, 100 at least.
 */
export function readPeriod(value: unknown): PeriodReading {
  if (typeof value === 'number') return within(value);
  if (typeof value !== 'string') return no('a text such as "15m", an ISO 8601 duration or milliseconds are needed');
  if (/^[Pp]/.test(value)) return readIso(value);
  if (value.trim() === '') return no('it is empty; a period is needed, as in 15m', 0);
  let total = 0;
  let position = 0;
  for (const part of value.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/gy)) {
    total += Number(part[1]) * (UNITS.get(part[2] as string) as number);
    position += part[0].length;
  }
  if (position === value.length) return within(tidy(total));
  const digits = /^[\d.]*/.exec(value.slice(position))?.[0].length ?? 0;
  return no(whyUnreadable(value), position + digits);
}

/** The shortest text that `readPeriod` reads back. */
export function periodText(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    const size = UNITS.get(unit) as number;
    if (ms % size === 0) return `${ms / size}${unit}`;
  }
  return `${ms}ms`;
}

function readIso(text: string): PeriodReading {
  const match = ISO.exec(text);
  if (match === null || match.slice(1).every((part) => part === undefined)) {
    const [date = ''] = text.toUpperCase().split('T');
    const calendar = date.search(/\d[YM]/);
    if (calendar >= 0) return no('years and months vary in length; use cron, as in "0 0 1 * *"', calendar + 1);
    return no('it is no ISO 8601 duration, as in PT15M, P1D or P1DT12H', 0);
  }
  let total = 0;
  ISO_UNITS.forEach((unit, at) => {
    const part = match[at + 1];
    if (part !== undefined) total += Number(part.replace(',', '.')) * (UNITS.get(unit) as number);
  });
  return within(tidy(total));
}

/** Decimal fractions such as 0.1s are exact up to a rounding error of the multiplication. */
function tidy(ms: number): number {
  const whole = Math.round(ms);
  return Math.abs(ms - whole) < 1e-6 ? whole : ms;
}

function within(ms: number): PeriodReading {
  if (!Number.isFinite(ms) || ms <= 0) return no('a period is longer than 0');
  if (ms < MIN_PERIOD_MS) return no(`a period of ${ms} ms is too short: ${MIN_PERIOD_MS} ms at least`);
  if (!Number.isInteger(ms)) return no('a period is a whole number of milliseconds');
  if (ms > MAX_INSTANT_MS) return no('a period ends before the year 9999');
  return { ok: true, ms };
}

function no(message: string, position?: number): PeriodReading {
  return { ok: false, message, ...(position === undefined ? {} : { position }) };
}

function whyUnreadable(text: string): string {
  const units = 'units are ms, s, m, h, d and w, as in 90s or 1h30m';
  const words = /^(\d+(?:\.\d+)?)\s*(ms|millis|milli|s|sec|m|min|h|hr|hour|d|day|w|week)[a-z]*$/i.exec(text.trim());
  if (/^\d+(?:\.\d+)?$/.test(text)) return `the unit is missing; did you mean ${text}s, or milliseconds as a number?`;
  if (/^\d+\s*(?:mo|month|y|year)/i.test(text)) return 'years and months vary in length; use cron, as in "0 0 1 * *"';
  if (text.split(/\s+/).length >= 5) return 'it looks like cron; use the field "cron"';
  if (text.startsWith('-')) return 'a period is longer than 0';
  if (words === null) return `it is no period; ${units}`;
  const unit = (words[2] as string).toLowerCase();
  return `did you mean ${words[1]}${unit.startsWith('mil') ? 'ms' : unit === 'ms' ? 'ms' : unit[0]}? The ${units}`;
}
