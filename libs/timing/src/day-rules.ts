import { civilDate, dayNumber, weekday, type CivilDate } from './civil.ts';

const DAY_MS = 86_400_000;
/** Before all and after all instants of a calendar. */
const FAR = 2 ** 52;

/** A stretch of wall-clock time, ms as if the clock were UTC; the end is not part of it. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
}

/** `22:00` to `06:00` on some weekdays: of the day on which it begins. */
export interface DailyWindow {
  readonly fromMs: number;
  /** Above a day when it ends on the next. */
  readonly toMs: number;
  /** Bit 0 is Sunday. */
  readonly weekdays: number;
}

/**
 * The rules of one side of a calendar (what it excludes, or what it includes), on the wall clock.
 *
 * D1. Stretches are in order, and neither touch nor overlap.
 */
export class DayRules {
  readonly #stretches: readonly Stretch[];
  readonly #yearly: ReadonlySet<number>;
  readonly #weekdays: number;
  readonly #daily: readonly DailyWindow[];
  readonly #date: CivilDate = { year: 0, month: 0, day: 0 };

  /** `yearly`: month × 32 + day. `weekdays`: bit 0 is Sunday. */
  constructor(
    stretches: readonly Stretch[],
    yearly: ReadonlySet<number>,
    weekdays: number,
    daily: readonly DailyWindow[],
  ) {
    this.#stretches = joined(stretches);
    this.#yearly = yearly;
    this.#weekdays = weekdays;
    this.#daily = daily;
  }

  get isEmpty(): boolean {
    return this.#stretches.length + this.#yearly.size + this.#daily.length === 0 && this.#weekdays === 0;
  }

  holds(local: number): boolean {
    const day = Math.floor(local / DAY_MS);
    return this.#stretchAt(local) !== undefined || this.#holdsDay(day) || this.#dailyAt(local, day);
  }

  /** No rule begins or ends to hold in (local, result). The result is after `local`. */
  nextChange(local: number): number {
    const day = Math.floor(local / DAY_MS);
    const inside = this.#stretchAt(local);
    if (inside !== undefined) return inside.to;
    let next = this.#firstAfter(local)?.from ?? FAR;
    if (this.#yearly.size > 0 || this.#weekdays !== 0) next = Math.min(next, (day + 1) * DAY_MS);
    for (const { fromMs, toMs } of this.#daily) {
      for (const at of [day - 1, day, day + 1]) {
        for (const edge of [at * DAY_MS + fromMs, at * DAY_MS + toMs]) if (edge > local) next = Math.min(next, edge);
      }
    }
    return next;
  }

  /** The last instant before `local` at which a rule may begin or end to hold. */
  lastChange(local: number): number {
    const before = local - 1;
    const day = Math.floor(before / DAY_MS);
    const inside = this.#stretchAt(before);
    if (inside !== undefined) return inside.from;
    let last = this.#lastBefore(before)?.to ?? -FAR;
    if (this.#yearly.size > 0 || this.#weekdays !== 0) last = Math.max(last, day * DAY_MS);
    for (const { fromMs, toMs } of this.#daily) {
      for (const at of [day - 1, day, day + 1]) {
        for (const edge of [at * DAY_MS + fromMs, at * DAY_MS + toMs]) if (edge < local) last = Math.max(last, edge);
      }
    }
    return last;
  }

  #holdsDay(day: number): boolean {
    if ((this.#weekdays >>> weekday(day)) & 1) return true;
    if (this.#yearly.size === 0) return false;
    civilDate(day, this.#date);
    return this.#yearly.has(this.#date.month * 32 + this.#date.day);
  }

  #dailyAt(local: number, day: number): boolean {
    return this.#daily.some(({ fromMs, toMs, weekdays }) =>
      [day - 1, day].some(
        (at) => ((weekdays >>> weekday(at)) & 1) === 1 && local >= at * DAY_MS + fromMs && local < at * DAY_MS + toMs,
      ),
    );
  }

  #stretchAt(local: number): Stretch | undefined {
    const stretch = this.#stretches[this.#countUpTo(local) - 1];
    return stretch !== undefined && local < stretch.to ? stretch : undefined;
  }

  #firstAfter(local: number): Stretch | undefined {
    return this.#stretches[this.#countUpTo(local)];
  }

  #lastBefore(local: number): Stretch | undefined {
    return this.#stretches[this.#countUpTo(local) - 1];
  }

  /** Stretches that begin at `local` or before. */
  #countUpTo(local: number): number {
    let low = 0;
    let high = this.#stretches.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#stretches[middle] as Stretch).from <= local) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export function dayStretch(from: CivilDate, to: CivilDate): Stretch {
  return {
    from: dayNumber(from.year, from.month, from.day) * DAY_MS,
    to: (dayNumber(to.year, to.month, to.day) + 1) * DAY_MS,
  };
}

/** D1. */
function joined(stretches: readonly Stretch[]): Stretch[] {
  const sorted = stretches.toSorted((a, b) => a.from - b.from);
  const result: { from: number; to: number }[] = [];
  for (const { from, to } of sorted) {
    const last = result.at(-1);
    if (last !== undefined && from <= last.to) last.to = Math.max(last.to, to);
    else result.push({ from, to });
  }
  return result;
}
