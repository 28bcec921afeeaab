/**
 * Schedules by brute force, for tests: what a cron expression, a calendar or an interval means, by looking at every minute of a stretch of
 * time. Shares nothing with the engine.
 */
import type { CalendarRule } from './read-calendar.ts';
import { scannedClock } from './scanned-clock.ts';

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;
const LARGEST_SHIFT_MS = 3 * HOUR_MS;
const WEEKDAYS = ['SUN', 'MON', 'TUE', 'WED', 'THU', 'FRI', 'SAT'];

export function pick<T>(random: () => number, among: readonly T[]): T {
  return among[Math.floor(random() * among.length)] as T;
}

export interface Minute {
  readonly at: number;
  /** The wall time, ms as if the clock were UTC. */
  readonly local: number;
}

/** A stretch of minutes of one zone, both ends included. */
export class Minutes {
  readonly all: readonly Minute[];
  /** At which instants each wall time is shown. */
  readonly #passes = new Map<number, number[]>();

  constructor(zone: string, fromMs: number, toMs: number) {
    const clock = scannedClock(zone);
    const all: Minute[] = [];
    for (let at = fromMs; at <= toMs; at += MINUTE_MS) {
      const minute = { at, local: clock.local(at) };
      all.push(minute);
      const passes = this.#passes.get(minute.local);
      if (passes === undefined) this.#passes.set(minute.local, [at]);
      else passes.push(at);
    }
    this.all = all;
  }

  /** The instants of a wall time, in order. */
  passes(local: number): readonly number[] {
    return this.#passes.get(local) ?? [];
  }

  /** Those that an instant's wall time has within what counts as daylight saving. */
  passesNear({ at, local }: Minute): readonly number[] {
    return this.passes(local).filter((other) => Math.abs(other - at) <= LARGEST_SHIFT_MS);
  }

  /** The minutes that the clock skipped right before each minute that ends a gap, by that minute. */
  *gaps(): Generator<{ readonly end: Minute; readonly skipped: readonly number[] }> {
    for (let i = 1; i < this.all.length; i++) {
      const end = this.all[i] as Minute;
      const before = (this.all[i - 1] as Minute).local;
      const shift = end.local - before - MINUTE_MS;
      if (shift <= 0 || shift > LARGEST_SHIFT_MS) continue;
      const skipped: number[] = [];
      for (let local = before + MINUTE_MS; local < end.local; local += MINUTE_MS) skipped.push(local);
      yield { end, skipped };
    }
  }
}

/** Minutes and hours that match, as sets. */
export interface Times {
  readonly text: string;
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly isInterval: boolean;
}

export function someTimes(random: () => number): Times {
  const minute = Math.floor(random() * 60);
  const hour = Math.floor(random() * 4);
  const all = (count: number): number[] => [...Array(count).keys()];
  const { text, minutes, hours } = pick(random, [
    { text: `${minute} ${hour} * * *`, minutes: [minute], hours: [hour] },
    { text: `0,30 ${hour} * * *`, minutes: [0, 30], hours: [hour] },
    { text: `*/15 * * * *`, minutes: [0, 15, 30, 45], hours: all(24) },
    { text: `${minute} * * * *`, minutes: [minute], hours: all(24) },
    { text: `*/20 0-3 * * *`, minutes: [0, 20, 40], hours: [0, 1, 2, 3] },
    { text: `10-13 1,2,23 * * *`, minutes: [10, 11, 12, 13], hours: [1, 2, 23] },
  ]);
  return { text, minutes: new Set(minutes), hours: new Set(hours), isInterval: /[*/]/.test(text.slice(0, -6)) };
}

export function matches({ minutes, hours }: Times, local: number): boolean {
  const date = new Date(local);
  return minutes.has(date.getUTCMinutes()) && hours.has(date.getUTCHours());
}

export interface Rules {
  readonly gap?: 'next' | 'skip' | undefined;
  readonly fold?: 'first' | 'last' | 'both' | undefined;
}

/** By definition: each wall time that matches, in the passes that `fold` names; and the end of a gap for what it has skipped. */
export function scanCron(times: Times, minutes: Minutes, rules: Rules): Set<number> {
  const { gap = times.isInterval ? 'skip' : 'next', fold = times.isInterval ? 'both' : 'first' } = rules;
  const fires = new Set<number>();
  for (const minute of minutes.all) {
    if (!matches(times, minute.local)) continue;
    const passes = minutes.passesNear(minute);
    const chosen = fold === 'first' ? passes[0] : fold === 'last' ? passes.at(-1) : minute.at;
    if (chosen === minute.at) fires.add(minute.at);
  }
  if (gap === 'next')
    for (const { end, skipped } of minutes.gaps())
      if (skipped.some((local) => matches(times, local))) fires.add(end.at);
  return fires;
}

/** The fires of wall times, of which each is one of an interval on the calendar. */
export function scanWallTimes(locals: readonly number[], minutes: Minutes, rules: Rules): Set<number> {
  const { gap = 'next', fold = 'first' } = rules;
  const fires = new Set<number>();
  for (const local of locals) {
    const passes = minutes.passes(local);
    for (const at of fold === 'both' ? passes : [fold === 'last' ? passes.at(-1) : passes[0]])
      if (at !== undefined) fires.add(at);
  }
  const wanted = new Set(locals);
  if (gap === 'next')
    for (const { end, skipped } of minutes.gaps())
      if (skipped.some((local) => wanted.has(local) && minutes.passes(local).length === 0)) fires.add(end.at);
  return fires;
}

/** Rules of a calendar around a day, with the question whether a wall time is held, by definition. */
export function someRules(
  random: () => number,
  aroundMs: number,
): { readonly rules: readonly CalendarRule[]; readonly holds: (local: number) => boolean } {
  const rules: CalendarRule[] = [];
  const tests: ((local: number) => boolean)[] = [];
  const dayOf = (local: number): number => Math.floor(local / DAY_MS);
  const dateText = (day: number): string => new Date(day * DAY_MS).toISOString().slice(0, 10);
  for (let count = 1 + Math.floor(random() * 3); count > 0; count--) {
    const day = dayOf(aroundMs) + Math.floor(random() * 4);
    const weekday = Math.floor(random() * 7);
    const [from, to] = [someQuarter(random), someQuarter(random)] as const;
    switch (Math.floor(random() * 5)) {
      case 0:
        rules.push(dateText(day));
        tests.push((local) => dayOf(local) === day);
        break;
      case 1:
        rules.push(dateText(day).slice(5));
        tests.push((local) => dateText(dayOf(local)).slice(5) === dateText(day).slice(5));
        break;
      case 2:
        rules.push({ weekdays: [WEEKDAYS[weekday] as string] });
        tests.push((local) => new Date(local).getUTCDay() === weekday);
        break;
      case 3: {
        const [start, end] = [day * DAY_MS + from, (day + 1) * DAY_MS + to];
        const text = (local: number): string => new Date(local).toISOString().slice(0, 16);
        rules.push({ from: text(start), to: text(end) });
        tests.push((local) => local >= start && local < end);
        break;
      }
      default:
        if (from === to) break;
        rules.push({ daily: [timeText(from), timeText(to)] });
        tests.push((local) => {
          const time = local - dayOf(local) * DAY_MS;
          return from < to ? time >= from && time < to : time >= from || time < to;
        });
    }
  }
  return { rules, holds: (local) => tests.some((test) => test(local)) };
}

function someQuarter(random: () => number): number {
  return Math.floor(random() * 24 * 4) * 15 * MINUTE_MS;
}

function timeText(ofDayMs: number): string {
  return new Date(ofDayMs).toISOString().slice(11, 16);
}

/** What calendars leave of fires: those that are allowed; and with `next`, the next allowed minute after each that is not. */
export function scanCalendar(
  fires: ReadonlySet<number>,
  minutes: Minutes,
  allows: (minute: Minute) => boolean,
  onExcluded: 'skip' | 'next',
): Set<number> {
  const left = new Set<number>();
  let nextAllowed: number | undefined;
  for (const minute of minutes.all.toReversed()) {
    const isAllowed = allows(minute);
    if (isAllowed) nextAllowed = minute.at;
    if (!fires.has(minute.at)) continue;
    if (isAllowed) left.add(minute.at);
    else if (onExcluded === 'next' && nextAllowed !== undefined) left.add(nextAllowed);
  }
  return left;
}
