import { nextFire, type EverySchedule, type Schedule } from './schedule.ts';
import type { CalendarSource, TaskContext } from './schedule-spec.ts';

/** Fires of one schedule that are walked one by one; beyond, what came an hour or a day earlier comes again. */
const MOST_STEPS = 1_500;
/** Tasks that stand for all of a schedule whose fires differ from task to task. */
const SAMPLES = 16;
const MINUTES_AN_HOUR = 60;
const HOURS_A_DAY = 24;

/** Fires in buckets of equal length. */
interface Window {
  readonly stepMs: number;
  readonly counts: Float64Array;
  /** So many buckets back the same came, for the most part. */
  readonly repeats: number;
}

/** Without `task` they are taken as created at any time, with any ids. */
export interface ForecastTasks {
  readonly count: number;
  readonly task?: TaskContext;
  readonly calendars?: CalendarSource;
}

/**
 * Counts the fires to come: each second of an hour, each minute of a day, each hour of 31 days.
 *
 * F1. Memory does not grow with what is added.
 * F2. Work grows with the number of distinct schedules, not of their tasks or fires.
 */
export class Forecast {
  readonly fromMs: number;
  readonly #hour: Window = { stepMs: 1_000, counts: new Float64Array(3_600), repeats: MINUTES_AN_HOUR };
  readonly #day: Window = { stepMs: 60_000, counts: new Float64Array(1_440), repeats: MINUTES_AN_HOUR };
  readonly #month: Window = { stepMs: 3_600_000, counts: new Float64Array(744), repeats: HOURS_A_DAY };
  readonly #windows = [this.#hour, this.#day, this.#month];
  readonly #walked = this.#windows.map(({ counts }) => new Float64Array(counts.length));

  constructor(fromMs: number) {
    this.fromMs = fromMs;
  }

  /** Fires of each second of the coming hour. */
  get seconds(): Float64Array {
    return this.#hour.counts;
  }

  /** Of each minute of the coming day. */
  get minutes(): Float64Array {
    return this.#day.counts;
  }

  /** Of each hour of the coming 31 days. */
  get hours(): Float64Array {
    return this.#month.counts;
  }

  /** Instants that no schedule tells, such as one-time tasks. */
  addInstant(atMs: number, count = 1): void {
    for (const { stepMs, counts } of this.#windows) {
      const bucket = Math.floor((atMs - this.fromMs) / stepMs);
      if (bucket >= 0 && bucket < counts.length) counts[bucket] = (counts[bucket] as number) + count;
    }
  }

  /** All tasks of a schedule. */
  add(schedule: Schedule, { count, task, calendars }: ForecastTasks): void {
    if (schedule.kind === 'at') return this.addInstant(schedule.atMs, count);
    if (schedule.kind === 'every') return this.#addInterval(schedule, count, task);
    const source = calendars === undefined ? {} : { calendars };
    if (task !== undefined || schedule.kind === 'cron' || schedule.isUniform)
      return this.#walk(schedule, count, task ?? { createdMs: this.fromMs, seed: 0, ...source });
    const aPeriod = { createdMs: this.fromMs, seed: 0, ...source };
    const first = nextFire(schedule, this.fromMs, aPeriod);
    const period = nextFire(schedule, first, aPeriod) - first;
    for (let sample = 0; sample < SAMPLES; sample++) {
      const share = (sample + 0.5) / SAMPLES;
      const createdMs = this.fromMs - (Number.isFinite(period) ? Math.floor(period * share) : 0);
      this.#walk(schedule, count / SAMPLES, { createdMs, seed: Math.floor(share * 2 ** 32), ...source });
    }
  }

  /** On a grid the fires of a bucket are a difference; without one they are spread evenly. */
  #addInterval({ everyMs, anchorMs }: EverySchedule, count: number, task: TaskContext | undefined): void {
    const first = anchorMs ?? (task === undefined ? undefined : task.createdMs + everyMs);
    for (const { stepMs, counts } of this.#windows) {
      for (let bucket = 0; bucket < counts.length; bucket++) {
        const start = this.fromMs + bucket * stepMs;
        const fires =
          first === undefined
            ? stepMs / everyMs
            : gridPoints(start + stepMs, first, everyMs) - gridPoints(start, first, everyMs);
        counts[bucket] = (counts[bucket] as number) + fires * count;
      }
    }
  }

  #walk(schedule: Schedule, count: number, task: TaskContext): void {
    const endMs = this.fromMs + this.#month.stepMs * this.#month.counts.length;
    let at = this.fromMs - 1;
    for (const walked of this.#walked) walked.fill(0);
    for (let steps = 0; steps < MOST_STEPS; steps++) {
      at = nextFire(schedule, at, task);
      if (at >= endMs) break;
      for (const [which, { stepMs }] of this.#windows.entries()) {
        const walked = this.#walked[which] as Float64Array;
        const bucket = Math.floor((at - this.fromMs) / stepMs);
        if (bucket < walked.length) walked[bucket] = (walked[bucket] as number) + 1;
      }
    }
    for (const [which, window] of this.#windows.entries())
      addWalked(window, this.#walked[which] as Float64Array, at - this.fromMs, count);
  }
}

/** Adds what was walked; from `untilMs` on, what came `repeats` buckets earlier, or the mean where so much was not walked. */
function addWalked({ stepMs, counts, repeats }: Window, walked: Float64Array, untilMs: number, count: number): void {
  const whole = Math.min(walked.length, Math.floor(untilMs / stepMs));
  if (whole === 0) walked.fill(((walked[0] as number) * stepMs) / untilMs);
  const back = whole >= repeats ? repeats : Math.max(1, whole);
  for (let bucket = 0; bucket < counts.length; bucket++) {
    if (bucket >= whole && bucket >= back) walked[bucket] = walked[bucket - back] as number;
    counts[bucket] = (counts[bucket] as number) + (walked[bucket] as number) * count;
  }
}

/** Points of a grid before an instant. */
function gridPoints(beforeMs: number, firstMs: number, everyMs: number): number {
  return beforeMs <= firstMs ? 0 : Math.ceil((beforeMs - firstMs) / everyMs);
}
