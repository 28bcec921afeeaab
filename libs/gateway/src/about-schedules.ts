import {
  LIMITS,
  readScheduleFields,
  type ForecastReply,
  type LintReply,
  type PreviewReply,
  type ScheduleFields,
} from '@belfry/protocol';
import type { Queries } from '@belfry/ports';
import {
  Forecast,
  lint,
  parseCanonical,
  parseSchedule,
  preview,
  zoneOf,
  type CalendarSource,
  type Schedule,
  type TaskContext,
} from '@belfry/timing';

import { sourceOf } from './calendars.ts';
import type { Clock } from './environment.ts';
import { bounded, instantOf, objectOf, oneOf, Refused, refuse, wholeOf } from './fields.ts';
import { scheduleRefusal } from './schedules.ts';
import type { SchedulesInUse } from './schedules-in-use.ts';
import { iso } from './views.ts';

const DEFAULT_FIRES = 10;
const WINDOWS = ['hour', 'day', 'month'] as const;
/** How long one turn of the event loop may take, and all of them: the client waits `LIMITS.answerMs`. */
const TURN_MS = 5;
const BUDGET_MS = LIMITS.answerMs * 0.6;

export interface AboutSchedulesOptions {
  readonly clock: Clock;
  /** What is stored. @throws Refused when that cannot be read now */
  readonly calendars: (namespace: string) => ReturnType<Queries['calendars']>;
  /** What is in use. @throws Refused when that cannot be known now */
  readonly schedules: (namespace: string, fromMs: number, idsOf?: readonly string[]) => Promise<SchedulesInUse>;
  /** Runs something in a later turn of the event loop. */
  readonly defer: (run: () => void) => void;
}

/** What can be asked about schedules: those that somebody thinks of, and all that are stored. They change nothing. */
export class AboutSchedules {
  readonly #options: AboutSchedulesOptions;

  constructor(options: AboutSchedulesOptions) {
    this.#options = options;
  }

  /** `{"schedule", "after"?, "count"?}`. @throws Refused */
  async preview(value: unknown, namespace: string): Promise<PreviewReply> {
    const fields = objectOf(value, ['schedule', 'after', 'count']);
    const nowMs = this.#options.clock.now();
    const schedule = this.#read(fields['schedule'], namespace, nowMs);
    const afterMs = fields['after'] === undefined ? nowMs : instantOf(fields['after'], 'after', 'down');
    const count = wholeOf(fields['count'], 'count', 1, LIMITS.previewFires, DEFAULT_FIRES);
    const calendars = await this.#calendarsOf(schedule, namespace);
    const task: TaskContext = { createdMs: nowMs, seed: 0, ...(calendars !== undefined && { calendars }) };
    const items = preview(schedule, afterMs, count, task).map(({ atMs, local, notes }) => ({
      at: iso(atMs),
      local,
      notes,
    }));
    return { timezone: zoneOf(schedule).name, items };
  }

  /** `{"schedule"}`. @throws Refused */
  lint(value: unknown, namespace: string): Promise<LintReply> {
    const fields = objectOf(value, ['schedule']);
    const nowMs = this.#options.clock.now();
    return Promise.resolve({ warnings: lint(this.#read(fields['schedule'], namespace, nowMs), nowMs) });
  }

  /** `{"window"?}`: all stored tasks of the namespace. @throws Refused */
  async forecast(value: unknown, namespace: string): Promise<ForecastReply> {
    const fields = objectOf(value, ['window']);
    const window = oneOf(fields['window'] ?? 'day', WINDOWS, 'window');
    const { clock, defer } = this.#options;
    const fromMs = clock.now();
    const startedMs = clock.monotonic();
    const stored = await this.#options.schedules(namespace, fromMs);
    const calendars = stored.items.some(({ schedule }) => schedule.includes('"cal":'))
      ? sourceOf((await this.#options.calendars(namespace)).items)
      : undefined;
    const forecast = new Forecast(fromMs);
    let [tasks, leftOut] = [0, stored.leftOut];
    for (const { atMs, tasks: count } of stored.instants) {
      forecast.addInstant(atMs, count);
      tasks += count;
    }
    let turnMs = clock.monotonic();
    for (const { schedule: text, tasks: count } of stored.items) {
      const schedule = readCanonical(text);
      if (schedule === undefined || clock.monotonic() - startedMs > BUDGET_MS) {
        leftOut += count;
        continue;
      }
      forecast.add(schedule, { count, ...(calendars !== undefined && { calendars }) });
      tasks += count;
      if (clock.monotonic() - turnMs < TURN_MS) continue;
      await new Promise<void>((resolve) => defer(resolve));
      turnMs = clock.monotonic();
    }
    const [stepMs, counts] =
      window === 'hour'
        ? ([1_000, forecast.seconds] as const)
        : window === 'day'
          ? ([60_000, forecast.minutes] as const)
          : ([3_600_000, forecast.hours] as const);
    return {
      from: iso(fromMs),
      stepMs,
      fires: Array.from(counts, (fires) => Math.round(fires * 1_000) / 1_000),
      tasks,
      leftOut,
      asOf: iso(stored.asOf),
    };
  }

  #read(value: unknown, namespace: string, nowMs: number): Schedule {
    if (value === undefined) refuse('missing_field', 'is required', 'schedule');
    const fields = readScheduleFields(value, 'schedule.');
    if (!fields.ok) throw new Refused(bounded(fields.error));
    const reading = parseSchedule(fields.value satisfies ScheduleFields, { nowMs, namespace });
    if (!reading.ok) throw new Refused(bounded(scheduleRefusal(reading.error, fields.value, 'schedule.')));
    return reading.schedule;
  }

  async #calendarsOf(schedule: Schedule, namespace: string): Promise<CalendarSource | undefined> {
    if (schedule.kind !== 'composed' || schedule.parts.calendars.length === 0) return undefined;
    const { items } = await this.#options.calendars(namespace);
    const known = new Set(items.map(({ name }) => `${namespace}/${name}`));
    const unknown = schedule.parts.calendars.find((name) => !known.has(name));
    if (unknown !== undefined)
      refuse('not_found', `there is no calendar ${unknown.slice(namespace.length + 1)}`, 'schedule.calendars');
    return sourceOf(items);
  }
}

function readCanonical(text: string): Schedule | undefined {
  try {
    return parseCanonical(text);
  } catch {
    return undefined; // of a zone that this machine does not know
  }
}
