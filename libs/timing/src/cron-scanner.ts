/**
 * Cron by brute force, for tests: looks at the wall time of every second or minute and matches the fields' text. Shares nothing with the
 * engine, and is a hundred thousand times as slow.
 */
import { scannedClock, type ScannedClock } from './scanned-clock.ts';

const LARGEST_SHIFT_MS = 3 * 3_600_000;
const NAMES = new Map([
  ...'SUN MON TUE WED THU FRI SAT'.split(' ').map((name, at): [string, number] => [name, at]),
  ...'JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC'.split(' ').map((name, at): [string, number] => [name, at + 1]),
]);

export class Scanner {
  readonly #clock: ScannedClock;
  readonly #fields: readonly string[];
  readonly #stepMs: number;

  /** `stepMs` is how far apart the instants are that it looks at. */
  constructor(cron: string, timezone: string, stepMs?: number) {
    const fields = cron.split(' ');
    this.#fields = fields.length === 6 ? fields : ['0', ...fields];
    this.#stepMs = stepMs ?? (fields.length === 6 ? 1_000 : 60_000);
    this.#clock = scannedClock(timezone);
  }

  /** All fires in (afterMs, untilMs]. */
  fires(afterMs: number, untilMs: number): number[] {
    const step = this.#stepMs;
    const isInterval = this.#fields.slice(0, 3).some((field) => /[*?/]/.test(field));
    const start = Math.floor((afterMs - 2 * LARGEST_SHIFT_MS) / step) * step;
    const fires: number[] = [];
    // Until when matching wall times repeat those of before the last change.
    let repeatsUntil = -Infinity;
    let before = this.#clock.local(start - step);
    for (let instant = start; instant <= untilMs; instant += step) {
      const local = this.#clock.local(instant);
      const shift = local - before - step;
      let isFire = this.#matches(new Date(local));
      if (!isInterval) {
        if (shift < 0 && shift >= -LARGEST_SHIFT_MS) repeatsUntil = instant - shift;
        if (instant < repeatsUntil) isFire = false;
        if (shift > 0 && shift <= LARGEST_SHIFT_MS)
          for (let skipped = before + step; skipped < local; skipped += step)
            isFire ||= this.#matches(new Date(skipped));
      }
      if (isFire && instant > afterMs) fires.push(instant);
      before = local;
    }
    return fires;
  }

  #matches(date: Date): boolean {
    const [second, minute, hour, day, month, weekday] = this.#fields as [
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    if (!plain(second, date.getUTCSeconds(), 59)) return false;
    if (!plain(minute, date.getUTCMinutes(), 59)) return false;
    if (!plain(hour, date.getUTCHours(), 23)) return false;
    if (!plain(month, date.getUTCMonth() + 1, 12)) return false;
    const anyDay = /^[*?]$/.test(day);
    const anyWeekday = /^[*?]$/.test(weekday);
    if (anyDay) return anyWeekday || weekdayMatches(weekday, date);
    return dayMatches(day, date) || (!anyWeekday && weekdayMatches(weekday, date));
  }
}

function number(text: string): number {
  return NAMES.get(text.toUpperCase()) ?? Number(text);
}

/** Whether a value is in a list of `*`, values, ranges and steps. `first` of a bare step is 0 or 1: months begin with 1. */
function plain(field: string, value: number, max: number, min = max === 12 || max === 31 ? 1 : 0): boolean {
  return field.split(',').some((item) => {
    const [base = '', step] = item.split('/');
    const every = step === undefined ? 1 : Number(step);
    const [from, to] = base.split('-');
    const isAny = base === '*' || base === '?';
    const first = isAny ? min : number(from as string);
    const last = isAny ? max : to !== undefined ? number(to) : step === undefined ? first : max;
    return value >= first && value <= last && (value - first) % every === 0;
  });
}

function lastOfMonth(date: Date): number {
  return new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 0)).getUTCDate();
}

function dayMatches(field: string, date: Date): boolean {
  const day = date.getUTCDate();
  const last = lastOfMonth(date);
  const nearest = (wanted: number): number => {
    if (wanted > last) return -1;
    for (const away of [0, -1, 1, -2, 2]) {
      const tried = wanted + away;
      const on = new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), tried)).getUTCDay();
      if (tried >= 1 && tried <= last && on >= 1 && on <= 5) return tried;
    }
    return -1;
  };
  return field.split(',').some((item) => {
    if (item === 'L') return day === last;
    if (item === 'LW') return day === nearest(last);
    if (item.startsWith('L-')) return day === last - Number(item.slice(2));
    if (item.endsWith('W')) return day === nearest(Number(item.slice(0, -1)));
    return plain(item, day, 31);
  });
}

function weekdayMatches(field: string, date: Date): boolean {
  const on = date.getUTCDay();
  const day = date.getUTCDate();
  return field.split(',').some((item) => {
    if (item.includes('#')) {
      const [name = '', nth] = item.split('#');
      return number(name) % 7 === on && Math.ceil(day / 7) === Number(nth);
    }
    if (/^.+L$/.test(item)) return number(item.slice(0, -1)) % 7 === on && day + 7 > lastOfMonth(date);
    return plain(item, on, 6) || (on === 0 && /7/.test(item) && plain(item, 7, 7, 0));
  });
}
