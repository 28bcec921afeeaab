import { ComposedSchedule, timeText, windowMinutes, type DayWindow, type ScheduleParts } from './composed-schedule.ts';
import { MAX_INSTANT_MS } from './civil.ts';
import { nextCron, RECURRING_MS } from './cron-next.ts';
import { parseCron } from './cron-parse.ts';
import { readDuration, readPeriod, type Period } from './duration.ts';
import { readInstant } from './instant.ts';
import { minuteOfDay } from './read-calendar.ts';
import { Refusal, type ScheduleError, type ScheduleErrorCode } from './refusal.ts';
import { AtSchedule, CronSchedule, EverySchedule, type Schedule } from './schedule.ts';
import type { ScheduleSpec } from './schedule-spec.ts';
import { findZone, suggestZone, type Zone } from './zones.ts';

export const MOST_CRONS = 10;
export const MOST_CALENDARS = 8;
/**
 * Of cron and of intervals on the calendar. Their last instant is found by walking there: some milliseconds for so many, and 50 where the
 * tables of a zone's coming centuries have to be made.
 */
export const MOST_WALKED = 10_000;
/** Of exact intervals, whose last instant is a product. */
export const MOST_LIMIT = 1_000_000_000;
const MOST_JITTER_MS = 86_400_000;
const KINDS = ['at', 'every', 'cron'] as const;
const GAPS = ['next', 'skip'] as const;
const FOLDS = ['first', 'last', 'both'] as const;
const ON_EXCLUDED = ['skip', 'next'] as const;

export type ScheduleReading =
  { readonly ok: true; readonly schedule: Schedule } | { readonly ok: false; readonly error: ScheduleError };

export interface ReadContext {
  /** When the schedule is stated: what a `limit` without `startAt` counts from. Without it such a limit is not resolved. */
  readonly nowMs?: number;
  /** Put before the names of calendars, with a slash. */
  readonly namespace?: string;
}

/** Reads a schedule from outside. Never throws; an instant in the past is the caller's to judge. */
export function parseSchedule(spec: ScheduleSpec, context: ReadContext = {}): ScheduleReading {
  try {
    return { ok: true, schedule: readSchedule(spec, context) };
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, error: error.error };
    throw error;
  }
}

/** The same schedule at another minute of its `between`. */
export function withSlot(schedule: Schedule, slot: number, context: ReadContext = {}): Schedule {
  if (schedule.kind !== 'composed' || schedule.slots === 0) return schedule;
  return limited({ ...schedule.parts, slot: slot % schedule.slots, untilMs: undefined, sinceMs: undefined }, context);
}

/** Minutes that the scheduler may choose from; 0 for a schedule that leaves nothing to choose. */
export function slotsOf(schedule: Schedule): number {
  return schedule.kind === 'composed' ? schedule.slots : 0;
}

function readSchedule(spec: ScheduleSpec, context: ReadContext): Schedule {
  const given = KINDS.filter((field) => spec[field] !== undefined);
  const [kind] = given;
  if (kind === undefined) refuse('at', 'one of at, every and cron is needed');
  const second = given[1];
  if (second !== undefined) refuse(second, `${kind} and ${second} exclude each other`);
  if (kind === 'at') return readAt(spec);
  if (kind === 'cron' && spec.anchor !== undefined) refuse('anchor', 'an anchor goes with every, not with cron');
  const zone = readZone(spec.timezone ?? 'UTC');
  const between = spec.between === undefined ? undefined : readBetween(spec.between);
  const period = kind === 'every' ? readEvery(spec, between) : undefined;
  const parts: ScheduleParts = {
    crons: kind === 'cron' ? readCrons(spec.cron, between) : [],
    period,
    zone,
    zoned: spec.timezone !== undefined || kind === 'cron',
    anchorMs: spec.anchor === undefined ? undefined : instant('anchor', spec.anchor),
    ...readBounds(spec, isExact(period) ? MOST_LIMIT : MOST_WALKED),
    untilMs: undefined,
    sinceMs: undefined,
    ...readRules(spec, kind, period),
    ...readCalendars(spec, context.namespace),
    jitterMs: spec.jitter === undefined ? 0 : readJitter(spec.jitter),
    between,
    slot: undefined,
  };
  for (const { rule, text } of parts.crons) {
    if (nextCron(rule, zone, Math.min(context.nowMs ?? 0, RECURRING_MS), parts.gap, parts.fold) < Infinity) continue;
    const why = `"${text}" never fires: the clocks of ${zone.name} skip each such time, and gap "skip" lets it be`;
    refuse('cron', why, 'cron_never_fires');
  }
  return simple(parts) ?? limited(parts, context);
}

function readAt(spec: ScheduleSpec): AtSchedule {
  const extra = (Object.keys(spec) as (keyof ScheduleSpec)[]).find(
    (field) => field !== 'at' && spec[field] !== undefined && field in WITH_AT,
  );
  if (extra !== undefined) refuse(extra, WITH_AT[extra] ?? `${extra} goes with every and cron, not with at`);
  return new AtSchedule(instant('at', spec.at));
}

/** What does not go with `at`, and why. */
const WITH_AT: { readonly [K in keyof ScheduleSpec]: string | undefined } = {
  timezone: 'a time zone goes with every and cron, not with at',
  anchor: 'an anchor goes with every, not with at',
  startAt: undefined,
  endAt: undefined,
  limit: undefined,
  gap: undefined,
  fold: undefined,
  calendars: undefined,
  onExcluded: undefined,
  jitter: undefined,
  between: undefined,
};

/** The short forms of what has nothing to it but one expression or an exact interval. */
function simple(parts: ScheduleParts): Schedule | undefined {
  const { crons, period, zone, zoned, anchorMs } = parts;
  const more =
    parts.startMs !== undefined ||
    parts.endMs !== undefined ||
    parts.limit !== undefined ||
    parts.gap !== undefined ||
    parts.fold !== undefined ||
    parts.calendars.length > 0 ||
    parts.jitterMs > 0 ||
    parts.between !== undefined;
  if (more) return undefined;
  const [only] = crons;
  if (only !== undefined) return crons.length === 1 ? new CronSchedule(only.text, zone, only.rule) : undefined;
  // A zone changes nothing about exact time, but it is what people want to see such a schedule in: it is kept.
  if (period === undefined || period.months > 0 || period.days > 0 || zoned) return undefined;
  return new EverySchedule(period.ms, anchorMs);
}

/** Finds the last instant that a limit leaves, so that `next` need not count. */
function limited(parts: ScheduleParts, { nowMs }: ReadContext): ComposedSchedule {
  const { limit, startMs } = parts;
  const fromMs = startMs ?? nowMs;
  if (limit === undefined || fromMs === undefined || (parts.between !== undefined && parts.slot === undefined))
    return new ComposedSchedule(parts);
  // An interval that would count from the creation of its task counts from the same instant as the limit.
  const sinceMs = startMs === undefined ? nowMs : undefined;
  const unlimited = new ComposedSchedule({ ...parts, sinceMs });
  const untilMs = lastOf(unlimited, limit, startMs === undefined ? fromMs : fromMs - 1, fromMs);
  return new ComposedSchedule({ ...parts, untilMs, sinceMs });
}

/** The instant of a schedule that is the `limit`-th after `afterMs`, or its last; `afterMs` if there is none. */
function lastOf(schedule: ComposedSchedule, limit: number, afterMs: number, createdMs: number): number {
  const task = { createdMs, seed: 0 };
  const { period } = schedule.parts;
  let last = afterMs;
  if (isExact(period)) {
    const first = schedule.instant(afterMs, task);
    return first === Infinity ? afterMs : Math.min(first + (limit - 1) * period.ms, MAX_INSTANT_MS);
  }
  for (let count = 0; count < limit; count++) {
    const next = schedule.instant(last, task);
    if (next === Infinity) break;
    last = next;
  }
  return last;
}

function isExact(period: Period | undefined): period is Period {
  return period !== undefined && period.months === 0 && period.days === 0;
}

function readCrons(value: unknown, between: DayWindow | undefined): ScheduleParts['crons'] {
  if (Array.isArray(value) && (value.length === 0 || value.length > MOST_CRONS))
    refuse('cron', `1 to ${MOST_CRONS} expressions are taken, not ${value.length}`, 'invalid_cron');
  const texts = Array.isArray(value) ? (value as unknown[]) : [value];
  const crons = texts.map((text, i) => readOneCron(text, texts.length > 1 ? i : undefined));
  if (between !== undefined && crons.some(({ text }) => !/^\* \* \S+ \S+ \S+$/.test(text)))
    refuse(
      'cron',
      'with between, minute and hour are chosen: write * for both, as in "* * * * MON-FRI"',
      'invalid_cron',
    );
  return [...new Map(crons.map((cron) => [cron.text, cron])).values()].sort((a, b) => (a.text < b.text ? -1 : 1));
}

function readOneCron(value: unknown, index: number | undefined): ScheduleParts['crons'][number] {
  const which = index === undefined ? '' : `expression ${index + 1}: `;
  if (typeof value !== 'string') refuse('cron', `${which}cron is a text, as in "0 9 * * MON-FRI"`, 'invalid_cron');
  try {
    const { rule, canonical } = parseCron(value);
    if (!rule.everFires)
      refuse('cron', `"${value.trim()}" never fires: no such date exists in any year`, 'cron_never_fires');
    return { text: canonical, rule };
  } catch (error) {
    if (index === undefined || !(error instanceof Refusal)) throw error;
    const { code, message, position } = error.error;
    throw new Refusal(code, 'cron', which + message, position);
  }
}

function readEvery(spec: ScheduleSpec, between: DayWindow | undefined): Period {
  const reading = readPeriod(spec.every, spec.timezone !== undefined || between !== undefined);
  if (!reading.ok) throw new Refusal('invalid_every', 'every', `every: ${reading.message}`, reading.position);
  const { months, days, ms } = reading;
  const hasCalendar = months > 0 || days > 0;
  if (between !== undefined && (!hasCalendar || ms > 0))
    refuse('between', 'between goes with whole days, weeks, months or years, as in "every": "1d"');
  return { months, days, ms };
}

function readBounds(spec: ScheduleSpec, mostLimit: number): Pick<ScheduleParts, 'startMs' | 'endMs' | 'limit'> {
  const startMs = spec.startAt === undefined ? undefined : instant('startAt', spec.startAt);
  const endMs = spec.endAt === undefined ? undefined : instant('endAt', spec.endAt);
  if (startMs !== undefined && endMs !== undefined && endMs < startMs)
    refuse('endAt', 'endAt lies before startAt: nothing would ever fire');
  const { limit } = spec;
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1 && limit <= mostLimit))
    refuse('limit', `limit is a whole number from 1 to ${mostLimit}`);
  return { startMs, endMs, limit };
}

function readRules(
  spec: ScheduleSpec,
  kind: 'every' | 'cron',
  period: Period | undefined,
): Pick<ScheduleParts, 'gap' | 'fold'> {
  const exact = kind === 'every' && isExact(period);
  for (const field of ['gap', 'fold'] as const) {
    if (spec[field] !== undefined && exact)
      refuse(field, `${field} goes with cron and with days, weeks, months and years on a zone's clock`);
  }
  return { gap: choice('gap', spec.gap, GAPS), fold: choice('fold', spec.fold, FOLDS) };
}

function readCalendars(
  spec: ScheduleSpec,
  namespace: string | undefined,
): Pick<ScheduleParts, 'calendars' | 'onExcluded'> {
  const { calendars } = spec as { readonly calendars?: unknown };
  const onExcluded = choice('onExcluded', spec.onExcluded, ON_EXCLUDED) ?? 'skip';
  if (calendars === undefined) {
    if (spec.onExcluded !== undefined) refuse('onExcluded', 'onExcluded goes with calendars');
    return { calendars: [], onExcluded: 'skip' };
  }
  if (!Array.isArray(calendars) || calendars.length === 0 || calendars.length > MOST_CALENDARS)
    refuse('calendars', `a list of 1 to ${MOST_CALENDARS} names is needed`);
  const names = (calendars as unknown[]).map((name, i) =>
    typeof name === 'string' && /^[A-Za-z0-9_-]{1,64}$/.test(name)
      ? name
      : refuse(`calendars[${i}]`, 'a name of 1 to 64 characters of A-Z, a-z, 0-9, _ and - is needed'),
  );
  const qualified = [...new Set(names)].sort().map((name) => (namespace === undefined ? name : `${namespace}/${name}`));
  return { calendars: qualified, onExcluded };
}

function readJitter(value: unknown): number {
  const reading = readDuration(value);
  if (!reading.ok) refuse('jitter', `jitter: ${reading.message}`, 'invalid_schedule', reading.position);
  if (reading.ms > MOST_JITTER_MS) refuse('jitter', 'jitter: 24 hours at most');
  return reading.ms;
}

function readBetween(value: unknown): DayWindow {
  const [from, to] = Array.isArray(value) && value.length === 2 ? (value as [unknown, unknown]).map(minuteOfDay) : [];
  if (from === undefined || to === undefined)
    refuse('between', 'two times of day are needed, as in ["02:00", "04:00"]');
  const window = { from, to };
  if (windowMinutes(window) === 0)
    refuse(
      'between',
      `the window is empty: it begins and ends at ${timeText(from)}; 00:00 to 23:59 is nearly the whole day`,
    );
  return window;
}

function choice<T extends string>(field: keyof ScheduleSpec, value: unknown, among: readonly T[]): T | undefined {
  if (value === undefined || among.includes(value as T)) return value as T | undefined;
  return refuse(field, `${field} is one of ${among.join(', ')}, not ${JSON.stringify(value)?.slice(0, 80)}`);
}

function instant(path: 'at' | 'anchor' | 'startAt' | 'endAt', value: unknown): number {
  const reading = readInstant(value);
  if (reading.ok) return reading.ms;
  const code = path === 'at' ? 'invalid_at' : path === 'anchor' ? 'invalid_anchor' : 'invalid_schedule';
  throw new Refusal(code, path, `${path}: ${reading.message}`, reading.position);
}

export function readZone(timezone: unknown): Zone {
  const zone = typeof timezone === 'string' && timezone.length <= 64 ? findZone(timezone) : undefined;
  if (zone !== undefined) return zone;
  const likely = typeof timezone === 'string' ? suggestZone(timezone) : undefined;
  const hint =
    likely === undefined ? 'names are those of the IANA database, as in Europe/Berlin' : `did you mean ${likely}?`;
  const shown = JSON.stringify(timezone)?.slice(0, 80);
  throw new Refusal('invalid_timezone', 'timezone', `timezone: ${shown} is no time zone; ${hint}`, 0);
}

function refuse(path: string, message: string, code: ScheduleErrorCode = 'invalid_schedule', position?: number): never {
  throw new Refusal(code, path, message, position);
}
