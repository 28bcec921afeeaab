import type { Calendar } from './calendar.ts';
import type { FoldRule, GapRule } from './wall-clock.ts';

/** A schedule as users state it: exactly one of `at`, `every` and `cron`. */
export interface ScheduleSpec {
  /** One-time: RFC 3339 with `Z` or an offset, or milliseconds since 1970. Nothing else goes with it. */
  readonly at?: string | number;
  /**
   * Interval: `90s`, `15m`, `1h30m`, `500ms`, `1mo`, an ISO 8601 duration, or milliseconds. 100 ms at least. With a `timezone`, days and weeks
   * are those of its calendar, as months and years are always.
   */
  readonly every?: string | number;
  /** Where an interval's grid begins: fires are at `anchor + k × every`, k from 0. Default: one period after the task's creation, and so on. */
  readonly anchor?: string | number;
  /** Cron: 5 fields, 6 with seconds first, or a macro such as `@daily`; or up to ten of these, each instant once. */
  readonly cron?: string | readonly string[];
  /** IANA zone of `cron`, of `between`, and of an interval's days, weeks, months and years (hours and shorter are the same everywhere). Default UTC; never the machine's. */
  readonly timezone?: string;
  /** No fire is before it. */
  readonly startAt?: string | number;
  /** No fire is after it. */
  readonly endAt?: string | number;
  /** So many instants of the schedule, 1 to 10,000 (1,000,000,000 of an exact interval), counted from `startAt` or from when it was stated, run or not. */
  readonly limit?: number;
  /** A wall time that a change of the clock skips runs after the gap, or not at all. Default: by the kind of job. */
  readonly gap?: GapRule;
  /** One that is repeated runs the first time, the last, or both. Default: by the kind of job. */
  readonly fold?: FoldRule;
  /** Names of calendars; what one of them excludes does not run. */
  readonly calendars?: readonly string[];
  /** Whether an excluded fire is left out (the default), or moves to the next instant that the calendars allow. */
  readonly onExcluded?: 'skip' | 'next';
  /** Each task's fires are moved by an amount of its own up to this, the same at each fire. A period of 24 hours at most. */
  readonly jitter?: string | number;
  /** Wall-clock times `HH:MM`: once a day at a minute of this window, which the scheduler chooses. */
  readonly between?: readonly [string, string];
}

/** A calendar by its name; undefined for one that excludes nothing. */
export type CalendarSource = (name: string) => Calendar | undefined;

/** What a task adds to its schedule. */
export interface TaskContext {
  /** Intervals without an anchor count from it. */
  readonly createdMs: number;
  /** 32 bits that are the task's own (`seedOf` its id): they choose its jitter, and its minute where nobody has. */
  readonly seed: number;
  readonly calendars?: CalendarSource;
}
