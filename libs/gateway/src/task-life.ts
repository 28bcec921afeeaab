import type { Facts, LifeRow, StoredTask } from '@belfry/ports';
import { SCHEDULE_FIELDS, type ScheduleFields, type TaskView } from '@belfry/protocol';
import {
  nextFire,
  parseCanonical,
  parseSchedule,
  seedOf,
  type CalendarSource,
  type Schedule,
  type TaskContext,
} from '@belfry/timing';

/** A span of a task's life in which it had one schedule: (fromMs, toMs], but for a one-time fire, which may lie before it was stated. */
export interface Period {
  readonly fromMs: number;
  /** Infinity for the present one. */
  readonly toMs: number;
  readonly end: LifeRow['kind'] | undefined;
  /** When the task was made whose schedule it is. */
  readonly createdMs: number;
  /** Undefined for a zone that this machine does not know. */
  readonly schedule: Schedule | undefined;
}

/** What the schedules of a task were, oldest first, as far as that is recorded. `live` is its shard's word. */
export function periodsOf(
  { life, task }: Pick<Facts, 'life' | 'task'>,
  live: TaskView | undefined,
  nowMs: number,
): Period[] {
  const periods = life.map(({ kind, at, createdAt, schedule }, index): Period => {
    const before = life[index - 1];
    const follows = before?.kind === 'rescheduled' && before.createdAt === createdAt;
    const fromMs = follows ? before.at : createdAt;
    return { fromMs, toMs: at, end: kind, createdMs: createdAt, schedule: readCanonical(schedule) };
  });
  const present = task === undefined ? ofLive(live) : ofStored(task, live, nowMs);
  const last = periods.at(-1);
  const told = last !== undefined && last.end !== 'rescheduled' && last.createdMs === present?.createdMs;
  return present === undefined || told ? periods : [...periods, present];
}

function ofStored(task: StoredTask, live: TaskView | undefined, nowMs: number): Period {
  const { createdAt: createdMs, effectiveFrom: fromMs, ended } = task;
  const schedule = readCanonical(task.schedule);
  if (ended !== undefined) return { fromMs, toMs: ended.at, end: ended.state, createdMs, schedule };
  // Its shard knows of an end that no checkpoint tells yet.
  const end = live?.state === 'cancelled' || live?.state === 'finished' ? live.state : undefined;
  return { fromMs, toMs: end === undefined ? Infinity : nowMs, end, createdMs, schedule };
}

/** A task that no checkpoint has yet. */
function ofLive(live: TaskView | undefined): Period | undefined {
  if (live === undefined) return undefined;
  const createdMs = Date.parse(live.createdAt);
  const reading = parseSchedule(scheduleOf(live), { nowMs: createdMs, namespace: live.namespace });
  return {
    fromMs: createdMs,
    toMs: Infinity,
    end: undefined,
    createdMs,
    schedule: reading.ok ? reading.schedule : undefined,
  };
}

function scheduleOf(view: TaskView): ScheduleFields {
  const given = SCHEDULE_FIELDS.filter((name) => view[name] !== undefined);
  return Object.fromEntries(given.map((name) => [name, view[name]]));
}

function readCanonical(text: string): Schedule | undefined {
  try {
    return parseCanonical(text);
  } catch {
    return undefined;
  }
}

/** Tells the fires of one task's periods. */
export class Fires {
  readonly #seed: number;
  readonly #calendars: CalendarSource;

  constructor(id: string, calendars: CalendarSource) {
    this.#seed = seedOf(id);
    this.#calendars = calendars;
  }

  context({ createdMs }: Pick<Period, 'createdMs'>): TaskContext {
    return { createdMs, seed: this.#seed, calendars: this.#calendars };
  }

  /** The first fire after `afterMs` by the period's schedule, whatever the period's end; Infinity for none. */
  after(period: Period, afterMs: number): number {
    const { schedule } = period;
    if (schedule === undefined) return Infinity;
    const fromMs = schedule.kind === 'at' ? afterMs : Math.max(afterMs, period.fromMs);
    return nextFire(schedule, fromMs, this.context(period));
  }

  /** Those of a period in [fromMs, toMs], in order; throws `RangeError` after `most`. */
  within(period: Period, fromMs: number, toMs: number, most: number): number[] {
    const fires: number[] = [];
    const untilMs = period.schedule?.kind === 'at' ? toMs : Math.min(toMs, period.toMs);
    for (let at = this.after(period, fromMs - 1); at <= untilMs; at = this.after(period, at)) {
      if (fires.length === most) throw new RangeError(`more than ${most} fires`);
      fires.push(at);
    }
    return fires;
  }

  /** The last fire of a period before `beforeMs`, as far back as some hundred days; undefined for none. */
  before(period: Period, beforeMs: number): number | undefined {
    for (let stepMs = 60_000; stepMs < 500 * 86_400_000; stepMs *= 4) {
      let last: number | undefined;
      const untilMs = Math.min(beforeMs - 1, period.toMs);
      for (let at = this.after(period, beforeMs - stepMs); at <= untilMs; at = this.after(period, at)) last = at;
      if (last !== undefined) return last;
      if (beforeMs - stepMs < period.fromMs && period.schedule?.kind !== 'at') return undefined;
    }
    return undefined;
  }
}
