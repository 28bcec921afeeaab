import { civilDate, dayNumber, isLeapYear, monthLength, weekday, type CivilDate } from './civil.ts';

const DAY_S = 86_400;
const LAST_YEAR = 9_999;

/** What a cron expression says, as bit sets. */
export interface CronSets {
  /** Bit 0 is second 0; 32 and later are in the second word. Minutes likewise. */
  readonly seconds: readonly [number, number];
  readonly minutes: readonly [number, number];
  readonly hours: number;
  /** Bit 0 is the 1st. */
  readonly days: number;
  /** `L`: bit n is the n-th day before the last. */
  readonly lastDays: number;
  /** `15W`: bit 0 is the weekday nearest to the 1st. */
  readonly nearestWeekdays: number;
  /** `LW` */
  readonly lastWeekday: boolean;
  /** Bit 0 is January. */
  readonly months: number;
  /** Bit 0 is Sunday. */
  readonly weekdays: number;
  /** `MON#2`: weekdays of the first to fifth occurrence in a month. */
  readonly nthWeekdays: readonly number[];
  /** `5L` */
  readonly lastWeekdays: number;
  /** A bare `*` or `?` restricts nothing. If both fields restrict, either may match. */
  readonly restrictsDay: boolean;
  readonly restrictsWeekday: boolean;
  /** `*`, `?` or `/` in seconds, minutes or hours: it follows real time where the wall clock is changed. */
  readonly isInterval: boolean;
}

/** A cron expression on the wall clock: times are seconds of local time, counted as if the clock were UTC. */
export class CronRule {
  readonly isInterval: boolean;
  readonly #sets: CronSets;
  readonly #firstTime: number;
  readonly #date: CivilDate = { year: 0, month: 0, day: 0 };
  /**
   * `#monthsOf` each of the 14 kinds of years (by the weekday of 1 January, and whether it is a leap year); -1 is not known yet. With it
   * a search over decades, as for a fifth Monday of February, is a step a year.
   */
  readonly #monthsOfKind = new Int16Array(14).fill(-1);

  constructor(sets: CronSets) {
    this.#sets = sets;
    this.isInterval = sets.isInterval;
    this.#firstTime = this.#timeFrom(0);
  }

  /** On the same days, once, at this minute of the day. */
  atMinute(minute: number): CronRule {
    const ofHour = minute % 60;
    return new CronRule({
      ...this.#sets,
      seconds: [1, 0],
      minutes: ofHour < 32 ? [1 << ofHour, 0] : [0, 1 << (ofHour - 32)],
      hours: 1 << Math.floor(minute / 60),
      isInterval: false,
    });
  }

  /** The first matching wall time at or after `local`; Infinity beyond the year 9999. */
  nextFrom(local: number): number {
    const day = Math.floor(local / DAY_S);
    const date = this.#date;
    civilDate(day, date);
    let { year, month } = date;
    const from = date.day;
    const { months } = this.#sets;
    if ((months >>> (month - 1)) & 1) {
      const days = this.#daysOf(year, month) & (-1 << (from - 1));
      if ((days >>> (from - 1)) & 1) {
        const time = this.#timeFrom(local - day * DAY_S);
        if (time >= 0) return day * DAY_S + time;
      }
      const later = days & ~(1 << (from - 1));
      if (later !== 0) return (day + lowestBit(later) + 1 - from) * DAY_S + this.#firstTime;
    }
    let left = this.#monthsOf(year) & (-2 << (month - 1));
    while (left === 0) {
      if (++year > LAST_YEAR) return Infinity;
      left = this.#monthsOf(year);
    }
    month = lowestBit(left) + 1;
    return dayNumber(year, month, lowestBit(this.#daysOf(year, month)) + 1) * DAY_S + this.#firstTime;
  }

  /** Whether any date matches: within 400 years, as the calendar repeats then. */
  get everFires(): boolean {
    return this.nextFrom(dayNumber(2000, 1, 1) * DAY_S) < dayNumber(2400, 1, 1) * DAY_S;
  }

  /** The months of a year that have a matching day; bit 0 is January. */
  #monthsOf(year: number): number {
    const { months, restrictsDay, restrictsWeekday } = this.#sets;
    if (!restrictsDay && !restrictsWeekday) return months;
    const kind = weekday(dayNumber(year, 1, 1)) + (isLeapYear(year) ? 7 : 0);
    const known = this.#monthsOfKind[kind] as number;
    if (known >= 0) return known;
    let found = 0;
    for (let left = months; left !== 0; left &= left - 1)
      if (this.#daysOf(year, lowestBit(left) + 1) !== 0) found |= left & -left;
    this.#monthsOfKind[kind] = found;
    return found;
  }

  /** The matching days of a month; bit 0 is the 1st. */
  #daysOf(year: number, month: number): number {
    const sets = this.#sets;
    const length = monthLength(year, month);
    const all = 0x7fff_ffff >>> (31 - length);
    if (!sets.restrictsDay && !sets.restrictsWeekday) return all;
    let days = sets.restrictsDay ? sets.days : 0;
    const special = sets.lastDays !== 0 || sets.nearestWeekdays !== 0 || sets.lastWeekday;
    if (!sets.restrictsWeekday && !special) return days & all;
    const first = weekday(dayNumber(year, month, 1));
    if (special) days |= this.#specialDays(first, length);
    if (sets.restrictsWeekday) days |= this.#weekdaysOf(first, all);
    return days & all;
  }

  #weekdaysOf(first: number, all: number): number {
    const sets = this.#sets;
    let days = everyWeek(sets.weekdays, first);
    if (sets.lastWeekdays !== 0) days |= everyWeek(sets.lastWeekdays, first) & all & ~(all >>> 7);
    for (let nth = 0; nth < sets.nthWeekdays.length; nth++)
      days |= rotate(sets.nthWeekdays[nth] as number, first) << (7 * nth);
    return days;
  }

  #specialDays(first: number, length: number): number {
    const sets = this.#sets;
    let days = 0;
    for (let left = sets.lastDays; left !== 0; left &= left - 1) {
      const day = length - lowestBit(left);
      if (day >= 1) days |= 1 << (day - 1);
    }
    for (let left = sets.nearestWeekdays; left !== 0; left &= left - 1) {
      const day = lowestBit(left) + 1;
      if (day <= length) days |= 1 << (nearestWeekday(day, first, length) - 1);
    }
    if (sets.lastWeekday) days |= 1 << (nearestWeekday(length, first, length) - 1);
    return days;
  }

  /** The first matching second of the day at or after `time`; -1 when there is none. */
  #timeFrom(time: number): number {
    const { seconds, minutes, hours } = this.#sets;
    const hour = (time / 3_600) | 0;
    if ((hours >>> hour) & 1) {
      const minute = ((time / 60) | 0) - hour * 60;
      let atMinute = nextInSixty(minutes, minute);
      if (atMinute === minute) {
        const second = nextInSixty(seconds, time - hour * 3_600 - minute * 60);
        if (second >= 0) return hour * 3_600 + minute * 60 + second;
        atMinute = nextInSixty(minutes, minute + 1);
      }
      if (atMinute >= 0) return hour * 3_600 + atMinute * 60 + nextInSixty(seconds, 0);
    }
    const later = hours & (-2 << hour);
    if (later === 0) return -1;
    return lowestBit(later) * 3_600 + nextInSixty(minutes, 0) * 60 + nextInSixty(seconds, 0);
  }
}

function lowestBit(set: number): number {
  return 31 - Math.clz32(set & -set);
}

function nextInSixty(set: readonly [number, number], from: number): number {
  if (from < 32) {
    const low = set[0] & (-1 << from);
    if (low !== 0) return lowestBit(low);
    return set[1] === 0 ? -1 : 32 + lowestBit(set[1]);
  }
  const high = set[1] & (-1 << (from - 32));
  return high === 0 ? -1 : 32 + lowestBit(high);
}

/** A set of weekdays, as the set of the first seven days of a month that begins with weekday `first`. */
function rotate(weekdays: number, first: number): number {
  return ((weekdays >>> first) | (weekdays << (7 - first))) & 0x7f;
}

function everyWeek(weekdays: number, first: number): number {
  const week = rotate(weekdays, first);
  return week | (week << 7) | (week << 14) | (week << 21) | (week << 28);
}

/** Monday to Friday nearest to a day, within its month. */
function nearestWeekday(day: number, first: number, length: number): number {
  const on = (first + day - 1) % 7;
  if (on === 6) return day > 1 ? day - 1 : 3;
  if (on === 0) return day < length ? day + 1 : day - 2;
  return day;
}
