import { civilDate, dayNumber, type CivilDate } from './civil.ts';

const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;
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
 * D1. Stretches are in order, and neither touch nor overlap; those of the week likewise, from Sunday 00:00 on.
 */
export class DayRules {
  readonly #stretches: readonly Stretch[];
  readonly #week: readonly Stretch[];
  readonly #yearly: ReadonlySet<number>;
  readonly #date: CivilDate = { year: 0, month: 0, day: 0 };

  /** `yearly`: month × 32 + day. `weekdays`: bit 0 is Sunday. */
  constructor(
    stretches: readonly Stretch[],
    yearly: ReadonlySet<number>,
    weekdays: number,
    daily: readonly DailyWindow[],
  ) {
    this.#stretches = joined(stretches);
    this.#week = weekOf([...daily, { fromMs: 0, toMs: DAY_MS, weekdays }]);
    this.#yearly = yearly;
  }

  get isEmpty(): boolean {
    return this.#stretches.length + this.#yearly.size + this.#week.length === 0;
  }

  holds(local: number): boolean {
    return (
      stretchAt(this.#stretches, local) !== undefined ||
      stretchAt(this.#week, inWeek(local)) !== undefined ||
      this.#holdsDay(Math.floor(local / DAY_MS))
    );
  }

  /** As it is at `local`, held or not, it is throughout [local, result). The result is after `local`. */
  nextChange(local: number): number {
    const inside = stretchAt(this.#stretches, local);
    if (inside !== undefined) return inside.to;
    const position = inWeek(local);
    const ofWeek = stretchAt(this.#week, position);
    if (ofWeek !== undefined) return this.#isWholeWeek ? FAR : local - position + ofWeek.to;
    const day = Math.floor(local / DAY_MS);
    if (this.#holdsDay(day)) return (day + 1) * DAY_MS;
    const starts = [this.#stretches[countUpTo(this.#stretches, local)]?.from ?? FAR];
    const [first] = this.#week;
    if (first !== undefined)
      starts.push(local - position + (this.#week[countUpTo(this.#week, position)]?.from ?? first.from + WEEK_MS));
    if (this.#yearly.size > 0) starts.push((day + 1) * DAY_MS);
    return Math.min(...starts);
  }

  /** As it is right before `local`, held or not, it is throughout [result, local). The result is before `local`. */
  lastChange(local: number): number {
    const before = local - 1;
    const inside = stretchAt(this.#stretches, before);
    if (inside !== undefined) return inside.from;
    const position = inWeek(before);
    const ofWeek = stretchAt(this.#week, position);
    if (ofWeek !== undefined) return this.#isWholeWeek ? -FAR : before - position + ofWeek.from;
    const day = Math.floor(before / DAY_MS);
    if (this.#holdsDay(day)) return day * DAY_MS;
    const ends = [this.#stretches[countUpTo(this.#stretches, before) - 1]?.to ?? -FAR];
    const last = this.#week.at(-1);
    if (last !== undefined)
      ends.push(before - position + (this.#week[countUpTo(this.#week, position) - 1]?.to ?? last.to - WEEK_MS));
    if (this.#yearly.size > 0) ends.push(day * DAY_MS);
    return Math.max(...ends);
  }

  get #isWholeWeek(): boolean {
    const [first] = this.#week;
    return first?.from === 0 && first.to === WEEK_MS;
  }

  #holdsDay(day: number): boolean {
    if (this.#yearly.size === 0) return false;
    civilDate(day, this.#date);
    return this.#yearly.has(this.#date.month * 32 + this.#date.day);
  }
}

/** Since Sunday 00:00. Day 0 is a Thursday. */
function inWeek(local: number): number {
  return (((local + 4 * DAY_MS) % WEEK_MS) + WEEK_MS) % WEEK_MS;
}

/** Windows of days as stretches of a week; what runs past Saturday goes on on Sunday. */
function weekOf(windows: readonly DailyWindow[]): Stretch[] {
  const stretches: Stretch[] = [];
  for (const { fromMs, toMs, weekdays } of windows) {
    for (let day = 0; day < 7; day++) {
      if (((weekdays >>> day) & 1) === 0) continue;
      const [from, to] = [day * DAY_MS + fromMs, day * DAY_MS + toMs];
      stretches.push({ from, to: Math.min(to, WEEK_MS) });
      if (to > WEEK_MS) stretches.push({ from: 0, to: to - WEEK_MS });
    }
  }
  return joined(stretches);
}

function stretchAt(stretches: readonly Stretch[], at: number): Stretch | undefined {
  const stretch = stretches[countUpTo(stretches, at) - 1];
  return stretch !== undefined && at < stretch.to ? stretch : undefined;
}

/** Stretches that begin at `at` or before. */
function countUpTo(stretches: readonly Stretch[], at: number): number {
  let low = 0;
  let high = stretches.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((stretches[middle] as Stretch).from <= at) low = middle + 1;
    else high = middle;
  }
  return low;
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
