import { CalendarInterval } from './calendar-interval.ts';
import type { Calendar } from './calendar.ts';
import { MAX_INSTANT_MS } from './civil.ts';
import { nextCron } from './cron-next.ts';
import type { CronRule } from './cron-rule.ts';
import { calendarPeriodText, periodText, type Period } from './duration.ts';
import { hashNumber, unit } from './hash.ts';
import type { CalendarSource, ScheduleSpec, TaskContext } from './schedule-spec.ts';
import type { FoldRule, GapRule } from './wall-clock.ts';
import type { Zone } from './zones.ts';

const MINUTES_A_DAY = 1_440;
const DAY_S = 86_400;
/**
 * How far one search steps over what calendars exclude before it counts as excluded for ever: so many stretches, or ten years of them if
 * these are some. (A time of each week is 522 stretches of ten years, and has 4,000 in 77.)
 */
const MOST_STRETCHES = 4_000;
const SOME_STRETCHES = 64;
const TEN_YEARS_MS = 3_653 * DAY_S * 1_000;

/** A window of the day, in minutes; its end is before its start when it crosses midnight. */
export interface DayWindow {
  readonly from: number;
  readonly to: number;
}

/** All that a schedule may say besides its instants. Instants in ms. */
export interface ScheduleParts {
  /** Each with its text. */
  readonly crons: readonly { readonly text: string; readonly rule: CronRule }[];
  readonly period: Period | undefined;
  readonly zone: Zone;
  /** Whether the zone was stated, so that an interval's days are the calendar's. */
  readonly zoned: boolean;
  readonly anchorMs: number | undefined;
  readonly startMs: number | undefined;
  readonly endMs: number | undefined;
  readonly limit: number | undefined;
  /** The last instant that a limit leaves. */
  readonly untilMs: number | undefined;
  /** When the schedule was stated, where a limit counts from then; an interval that has nothing else to count from does so, too. */
  readonly sinceMs: number | undefined;
  readonly gap: GapRule | undefined;
  readonly fold: FoldRule | undefined;
  readonly calendars: readonly string[];
  readonly onExcluded: 'skip' | 'next';
  readonly jitterMs: number;
  readonly between: DayWindow | undefined;
  /** Which minute of the window, from 0. */
  readonly slot: number | undefined;
}

type Instants = (afterMs: number, createdMs: number) => number;

/** A recurring schedule with more to it than an exact interval or one cron expression. */
export class ComposedSchedule {
  readonly kind = 'composed';
  readonly canonical: string;
  readonly parts: ScheduleParts;
  readonly #bases = new Map<number | undefined, Instants>();

  constructor(parts: ScheduleParts) {
    this.parts = parts;
    this.canonical = canonicalText(parts);
  }

  get spec(): ScheduleSpec {
    return specOf(this.parts);
  }

  /** Whether all tasks of this schedule fire at the same instants. */
  get isUniform(): boolean {
    const { anchorMs, between, calendars, jitterMs, onExcluded, period, sinceMs, slot, startMs } = this.parts;
    return (
      jitterMs === 0 &&
      (period === undefined || (anchorMs ?? startMs ?? sinceMs) !== undefined) &&
      // What a task's creation cuts off moves for older ones.
      (calendars.length === 0 || onExcluded === 'skip') &&
      (between === undefined || slot !== undefined)
    );
  }

  /** Minutes of `between`; 0 without. */
  get slots(): number {
    const { between } = this.parts;
    return between === undefined ? 0 : windowMinutes(between);
  }

  next(afterMs: number, task: TaskContext): number {
    const { endMs = Infinity } = this.parts;
    const jitter = this.jitterOf(task.seed);
    const fire = this.#allowed(afterMs - jitter, task) + jitter;
    return fire <= Math.min(endMs, MAX_INSTANT_MS) ? fire : Infinity;
  }

  /** By how much a task's fires are moved, ms. */
  jitterOf(seed: number): number {
    const { jitterMs } = this.parts;
    return jitterMs === 0 ? 0 : Math.floor(unit(hashNumber(seed, 0x6a09_e667)) * (jitterMs + 1));
  }

  /** The instants before calendars, jitter and `endAt`. */
  instant(afterMs: number, { createdMs, seed }: TaskContext): number {
    const { startMs, untilMs = Infinity, sinceMs = -Infinity } = this.parts;
    const after = Math.max(afterMs, startMs === undefined ? sinceMs : startMs - 1);
    const at = this.#base(seed)(after, createdMs);
    return at <= untilMs ? at : Infinity;
  }

  /** The instant that calendars moved to `atMs`, which `#allowed` gave: the first of those that it stands for; `atMs` if it is one itself. */
  movedFrom(atMs: number, task: TaskContext): number {
    if (this.parts.onExcluded === 'skip' || this.instant(atMs - 1, task) === atMs) return atMs;
    const since = this.#excludedSince(atMs - 1, task.calendars);
    return since === undefined ? atMs : this.instant(Math.max(since - 1, Math.min(task.createdMs, atMs)), task);
  }

  /** The cron rules, at the minute that was chosen where there is a window. */
  rules(seed: number): readonly CronRule[] {
    const minute = this.#minuteOf(seed);
    return this.parts.crons.map(({ rule }) => (minute === undefined ? rule : rule.atMinute(minute)));
  }

  /** The time of day of a calendar interval's fires, in seconds. */
  wallTimeOf({ createdMs, seed }: TaskContext): number {
    const minute = this.#minuteOf(seed);
    if (minute !== undefined) return minute * 60;
    const { anchorMs, startMs, zone } = this.parts;
    const anchor = Math.floor((anchorMs ?? startMs ?? createdMs) / 1_000);
    return (anchor + zone.offsetAt(anchor)) % DAY_S;
  }

  #allowed(afterMs: number, task: TaskContext): number {
    const { calendars, onExcluded } = this.parts;
    if (calendars.length === 0 || task.calendars === undefined) return this.instant(afterMs, task);
    return onExcluded === 'skip' ? this.#skipExcluded(afterMs, task) : this.#moveExcluded(afterMs, task);
  }

  #skipExcluded(afterMs: number, task: TaskContext): number {
    const calendars = this.#calendars(task.calendars);
    let after = afterMs;
    let givesUpAt = Infinity;
    for (let stretches = 0; stretches < MOST_STRETCHES; stretches++) {
      const at = this.instant(after, task);
      if (at === Infinity) return Infinity;
      if (stretches === 0) givesUpAt = at + TEN_YEARS_MS;
      const allowed = nextAllowed(at, calendars);
      if (allowed === at || allowed === Infinity) return allowed;
      if (stretches >= SOME_STRETCHES && allowed > givesUpAt) return Infinity;
      after = allowed - 1;
    }
    return Infinity;
  }

  #moveExcluded(afterMs: number, task: TaskContext): number {
    const since = this.#excludedSince(afterMs, task.calendars);
    if (since === undefined) {
      const at = this.instant(afterMs, task);
      return at === Infinity ? Infinity : nextAllowed(at, this.#calendars(task.calendars));
    }
    // An instant of the excluded stretch that `afterMs` lies in is still to come, at its end; not one from before the task.
    const at = this.instant(Math.max(since - 1, Math.min(task.createdMs, afterMs)), task);
    return at === Infinity ? Infinity : nextAllowed(Math.max(at, afterMs), this.#calendars(task.calendars));
  }

  /** Those that exclude anything. */
  #calendars(source: CalendarSource | undefined): readonly Calendar[] {
    return this.parts.calendars.flatMap((name) => source?.(name) ?? []);
  }

  /** The start of the excluded stretch that holds `atMs`; undefined when `atMs` is allowed. */
  #excludedSince(atMs: number, source: CalendarSource | undefined): number | undefined {
    let since: number | undefined;
    for (let stretches = 0; stretches < MOST_STRETCHES; stretches++) {
      const at: number = since === undefined ? atMs : since - 1;
      const denying = this.parts.calendars
        .map((name) => source?.(name))
        .find((calendar) => calendar?.allows(at) === false);
      if (denying === undefined) return since;
      since = denying.excludedSince(at + 1);
      if (since <= 0) return since;
    }
    return since;
  }

  /** The minute of the day that was chosen, or is the task's own; undefined without a window. */
  #minuteOf(seed: number): number | undefined {
    const { between, slot } = this.parts;
    if (between === undefined) return undefined;
    return (between.from + (slot ?? (seed >>> 0) % windowMinutes(between))) % MINUTES_A_DAY;
  }

  #base(seed: number): Instants {
    const minute = this.#minuteOf(seed);
    let base = this.#bases.get(minute);
    if (base === undefined) {
      base = baseOf(this.parts, minute);
      this.#bases.set(minute, base);
    }
    return base;
  }
}

/** The first instant from `atMs` on that all calendars allow. */
function nextAllowed(atMs: number, calendars: readonly Calendar[]): number {
  let at = atMs;
  for (let stretches = 0; stretches < MOST_STRETCHES; stretches++) {
    const before = at;
    for (const calendar of calendars) {
      at = calendar.nextAllowed(at);
      if (at === Infinity) return Infinity;
    }
    if (at === before || calendars.length === 1) return at;
  }
  return Infinity;
}

export function windowMinutes({ from, to }: DayWindow): number {
  return (to - from + MINUTES_A_DAY) % MINUTES_A_DAY;
}

function baseOf(
  { crons, period, zone, anchorMs, startMs, sinceMs, gap, fold }: ScheduleParts,
  minute: number | undefined,
): Instants {
  if (period === undefined) {
    const rules = crons.map(({ rule }) => (minute === undefined ? rule : rule.atMinute(minute)));
    return (afterMs) => Math.min(...rules.map((rule) => nextCron(rule, zone, afterMs, gap, fold)));
  }
  const anchor = anchorMs ?? startMs ?? sinceMs;
  const { months, days, ms } = period;
  if (months === 0 && days === 0) {
    return (afterMs, createdMs) => {
      const first = anchor ?? createdMs + ms;
      return afterMs < first ? first : afterMs - ((afterMs - first) % ms) + ms;
    };
  }
  const interval = new CalendarInterval({
    period,
    zone,
    anchorMs: anchor,
    minuteOfDay: minute,
    gap: gap ?? 'next',
    fold: fold ?? 'first',
  });
  return (afterMs, createdMs) => interval.next(afterMs, createdMs);
}

/** Short names, in a fixed order: equal schedules have equal texts. */
function canonicalText(parts: ScheduleParts): string {
  const { crons, period, zone, between, calendars } = parts;
  return `s${JSON.stringify({
    c: crons.length === 0 ? undefined : crons.map(({ text }) => text),
    e: period === undefined ? undefined : [period.months, period.days, period.ms],
    z: parts.zoned ? zone.name : undefined,
    a: parts.anchorMs,
    from: parts.startMs,
    to: parts.endMs,
    n: parts.limit,
    until: parts.untilMs,
    since: parts.sinceMs,
    gap: parts.gap,
    fold: parts.fold,
    cal: calendars.length === 0 ? undefined : calendars,
    ex: parts.onExcluded === 'skip' ? undefined : parts.onExcluded,
    j: parts.jitterMs === 0 ? undefined : parts.jitterMs,
    b: between === undefined ? undefined : [between.from, between.to],
    slot: parts.slot,
  })}`;
}

function specOf(parts: ScheduleParts): ScheduleSpec {
  const { crons, period, zone, between, calendars } = parts;
  const [only] = crons;
  return given({
    cron: crons.length > 1 ? crons.map(({ text }) => text) : only?.text,
    every: period === undefined ? undefined : everyText(period),
    timezone: parts.zoned ? zone.name : undefined,
    anchor: instantText(parts.anchorMs),
    startAt: instantText(parts.startMs),
    endAt: instantText(parts.endMs),
    limit: parts.limit,
    gap: parts.gap,
    fold: parts.fold,
    calendars: calendars.length === 0 ? undefined : calendars,
    onExcluded: parts.onExcluded === 'skip' ? undefined : parts.onExcluded,
    jitter: parts.jitterMs === 0 ? undefined : periodText(parts.jitterMs),
    between: between === undefined ? undefined : [timeText(between.from), timeText(between.to)],
  });
}

function given(spec: { [K in keyof ScheduleSpec]?: ScheduleSpec[K] | undefined }): ScheduleSpec {
  return Object.fromEntries(Object.entries(spec).filter(([, value]) => value !== undefined));
}

export function everyText(period: Period): string {
  return period.months === 0 && period.days === 0 ? periodText(period.ms) : calendarPeriodText(period);
}

function instantText(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString();
}

export function timeText(minute: number): string {
  return `${String(Math.floor(minute / 60)).padStart(2, '0')}:${String(minute % 60).padStart(2, '0')}`;
}
