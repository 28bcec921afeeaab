import { civilDate, dayNumber, MAX_INSTANT_MS, monthLength, type CivilDate } from './civil.ts';
import type { Period } from './duration.ts';
import { LARGEST_DAYLIGHT_SAVING_S, occurrencesOf, type FoldRule, type GapRule } from './wall-clock.ts';
import type { Zone } from './zones.ts';

const DAY_S = 86_400;
/** 400 years have so many days. */
const DAYS_PER_MONTH = 146_097 / 4_800;
const LAST_YEAR = 9_999;

/** An interval in months, days and milliseconds on a zone's wall clock. */
export interface CalendarIntervalOptions {
  readonly period: Period;
  readonly zone: Zone;
  /** Undefined: from the task's creation, the first fire a period later. */
  readonly anchorMs: number | undefined;
  /** The time of day instead of the anchor's. */
  readonly minuteOfDay: number | undefined;
  readonly gap: GapRule;
  readonly fold: FoldRule;
}

/**
 * Fire k is the anchor's wall time plus k × months, then plus k × days (ends of months clamp), then plus k × milliseconds of real time. Each
 * is counted from the anchor, so nothing drifts: Jan 31, Feb 28, Mar 31.
 */
export class CalendarInterval {
  readonly #options: CalendarIntervalOptions;
  readonly #averageMs: number;

  constructor(options: CalendarIntervalOptions) {
    this.#options = options;
    const { months, days, ms } = options.period;
    this.#averageMs = (months * DAYS_PER_MONTH + days) * DAY_S * 1_000 + ms;
  }

  /** The first fire strictly after `afterMs`; Infinity when there is none up to the year 9999. */
  next(afterMs: number, createdMs: number): number {
    if (!(afterMs < MAX_INSTANT_MS)) return Infinity;
    const { anchorMs, minuteOfDay } = this.#options;
    const anchor = anchorMs ?? createdMs;
    const first = anchorMs === undefined && minuteOfDay === undefined ? 1 : 0;
    const start = this.#wallTime(anchor);
    // Months and days differ from their average by less than two periods.
    const guess = Math.floor((afterMs - anchor) / this.#averageMs) - 2;
    for (let k = Math.max(first, guess); ; k++) {
      const fire = this.#fire(start, k, afterMs);
      if (fire === Infinity) return Infinity;
      if (fire > afterMs) return fire <= MAX_INSTANT_MS ? fire : Infinity;
    }
  }

  #wallTime(instantMs: number): { readonly date: CivilDate; readonly timeS: number; readonly ms: number } {
    const { minuteOfDay, zone } = this.#options;
    const seconds = Math.floor(instantMs / 1_000);
    const local = seconds + zone.offsetAt(seconds);
    const day = Math.floor(local / DAY_S);
    const date: CivilDate = { year: 0, month: 0, day: 0 };
    civilDate(day, date);
    if (minuteOfDay !== undefined) return { date, timeS: minuteOfDay * 60, ms: 0 };
    return { date, timeS: local - day * DAY_S, ms: instantMs - seconds * 1_000 };
  }

  /** Fire k if it comes after `afterMs`; -Infinity if it does not, or does not happen at all; Infinity beyond the year 9999. */
  #fire(
    start: { readonly date: CivilDate; readonly timeS: number; readonly ms: number },
    k: number,
    afterMs: number,
  ): number {
    const { period, zone, gap, fold } = this.#options;
    const month = start.date.year * 12 + start.date.month - 1 + k * period.months;
    const year = Math.floor(month / 12);
    if (year > LAST_YEAR) return Infinity;
    const ofYear = month - year * 12 + 1;
    const day = dayNumber(year, ofYear, Math.min(start.date.day, monthLength(year, ofYear))) + k * period.days;
    if (day * DAY_S * 1_000 > MAX_INSTANT_MS + DAY_S * 1_000) return Infinity;
    const at = occurrencesOf(zone, day * DAY_S + start.timeS);
    const rest = start.ms + k * period.ms;
    if (Number.isNaN(at.first)) {
      const caughtUp = gap === 'next' && at.gap <= LARGEST_DAYLIGHT_SAVING_S;
      return caughtUp ? at.afterGap * 1_000 + k * period.ms : -Infinity;
    }
    const first = at.first * 1_000 + rest;
    if (fold === 'first' || (fold === 'both' && first > afterMs)) return first;
    return at.last * 1_000 + rest;
  }
}
