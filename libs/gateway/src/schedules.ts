import { LIMITS, wireError, type ScheduleFields, type WireError } from '@belfry/protocol';
import { parseSchedule, slotsOf, type Schedule, type ScheduleError } from '@belfry/timing';

import { GenerationalCache } from './generational-cache.ts';
import { Slots } from './slots.ts';

export type ScheduleText =
  | {
      readonly ok: true;
      /** Canonical, as a JSON string. */
      readonly json: string;
      readonly canonical: string;
      /** The schedule, where the minute of its window is still to be chosen: the text is none to store. */
      readonly open: Schedule | undefined;
    }
  | { readonly ok: false; readonly error: WireError };

/** An instant with a year of more than four digits: RFC 3339 has none such, but it is plain what is wrong with it. */
const FAR_YEAR = /^[+-]?\d{5,}-\d\d-\d\d/;
const DATED = /^\d{4}-\d\d-\d\d/;

/** Reads schedules from outside into their canonical texts. Recurring ones repeat from task to task, so their texts are kept. */
export class Schedules {
  readonly #known = new GenerationalCache<ScheduleText>(LIMITS.gatewayCacheEntries);
  readonly #parse: typeof parseSchedule;
  readonly slots = new Slots();

  constructor(parse: typeof parseSchedule = parseSchedule) {
    this.#parse = parse;
  }

  /** `nowMs` decides whether an `at` is too old; `path` stands before the paths of errors. */
  read(fields: ScheduleFields, nowMs: number, namespace: string, path: string): ScheduleText {
    if (fields.at !== undefined) return this.#readAt(fields, nowMs, path);
    const key = cacheKey(fields, namespace, nowMs);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const reading = this.#parse(fields, { nowMs, namespace });
    if (!reading.ok) return { ok: false, error: refusal(reading.error, path) };
    const text = encoded(reading.schedule);
    this.#known.set(key, text);
    return text;
  }

  /** The canonical text for one task, with its minute. */
  textFor(text: ScheduleText & { readonly ok: true }, taskId: string, nowMs: number): string {
    return text.open === undefined ? text.canonical : this.slots.place(text.open, taskId, nowMs).canonical;
  }

  #readAt(fields: ScheduleFields, nowMs: number, path: string): ScheduleText {
    const reading = this.#parse(fields);
    if (!reading.ok) {
      const error = isOutOfRange(fields.at) ? outOfRange(reading.error.message, path) : refusal(reading.error, path);
      return { ok: false, error };
    }
    const { schedule } = reading;
    if (schedule.kind === 'at' && schedule.atMs < nowMs - LIMITS.atPastMs) {
      const days = ((nowMs - schedule.atMs) / 86_400_000).toFixed(1);
      return { ok: false, error: outOfRange(`it lies ${days} days in the past; at most one day is taken`, path) };
    }
    return encoded(schedule);
  }
}

function encoded(schedule: Schedule): ScheduleText {
  const { canonical } = schedule;
  return {
    ok: true,
    canonical,
    json: JSON.stringify(canonical),
    open: slotsOf(schedule) > 0 ? schedule : undefined,
  };
}

/** Everything that the canonical text depends on. Numbers and texts are told apart: "60000" is no number of milliseconds. */
function cacheKey(fields: ScheduleFields, namespace: string, nowMs: number): string {
  // A limit that does not say from when counts from now: it is the same for the tasks of one request.
  const fromMs = fields.limit !== undefined && fields.startAt === undefined ? nowMs : 0;
  return JSON.stringify([fields.calendars === undefined ? '' : namespace, fromMs, fields]);
}

/** Whether an `at` that cannot be read is an instant all the same: before 1970 or after the year 9999. */
function isOutOfRange(at: string | number | undefined): boolean {
  if (typeof at === 'number') return Number.isInteger(at);
  if (at === undefined) return false;
  if (FAR_YEAR.test(at)) return true;
  const ms = DATED.test(at) ? Date.parse(at) : NaN;
  return ms < 0 || ms > LIMITS.latestMs;
}

function outOfRange(message: string, path: string): WireError {
  return wireError('at_out_of_range', message, `${path}at`);
}

/** Why a schedule that nobody has yet cannot be read. */
export function scheduleRefusal(error: ScheduleError, fields: ScheduleFields, path: string): WireError {
  return isOutOfRange(fields.at) ? outOfRange(error.message, path) : refusal(error, path);
}

function refusal({ code, path: field, message, position }: ScheduleError, path: string): WireError {
  return wireError(
    code === 'invalid_timezone' ? 'invalid_timezone' : 'invalid_schedule',
    message,
    path + field,
    position,
  );
}
