import type { Json, ScheduleFields } from './spec.ts';

/** `calendars.set`: makes a calendar, or replaces the one of this name. It is there for all tasks once this is answered. */
export interface CalendarSetRequest {
  readonly name: string;
  readonly calendar: CalendarDefinition;
  /** The same command id again is the same command, for 24 hours. */
  readonly commandId?: string;
}

/** One rule of a calendar: a date, one of every year (`12-25`), a stretch of dates or wall-clock times, weekdays, or a window of each day. */
export type CalendarRule =
  | string
  | { readonly from: string; readonly to: string }
  | { readonly weekdays: readonly string[] }
  | { readonly daily: readonly [string, string]; readonly weekdays?: readonly string[] };

/** An instant is allowed if no rule of `exclude` holds it and, where `include` stands, one of its rules does. */
export interface CalendarDefinition {
  readonly exclude?: readonly CalendarRule[];
  readonly include?: readonly CalendarRule[];
  /** IANA zone of its dates and times. Default UTC. */
  readonly timezone?: string;
}

export interface CalendarSetReply {
  readonly name: string;
  /** `unchanged`: this command had been applied before. */
  readonly status: 'set' | 'unchanged';
  /** Opaque; grows with each change. */
  readonly version: number;
  /** Tasks whose next fire was told anew. */
  readonly rearmed: number;
}

/** `calendars.get` `{"name"}`, as of the last checkpoint. */
export interface CalendarView {
  readonly name: string;
  readonly calendar: Json;
  readonly version: number;
  readonly setAt: string;
  readonly asOf: string;
}

export interface CalendarSummary {
  readonly name: string;
  /** Number of its rules. */
  readonly rules: number;
  readonly version: number;
  readonly setAt: string;
}

/** `calendars.list`: by name. */
export interface CalendarListReply {
  readonly items: readonly CalendarSummary[];
  readonly asOf: string;
}

/** `schedules.preview`: the next fires of a schedule that need not be anybody's. */
export interface PreviewRequest {
  readonly schedule: ScheduleFields;
  /** Fires after it: an instant as in `at`. Default now. */
  readonly after?: string | number;
  /** 1 to 1,000, default 10. */
  readonly count?: number;
}

export interface PreviewReply {
  /** Of the local times. */
  readonly timezone: string;
  readonly items: readonly {
    readonly at: string;
    /** The wall clock, with its offset. */
    readonly local: string;
    /** Why it is not simply where the schedule puts it. */
    readonly notes: readonly string[];
  }[];
}

/** `schedules.lint` `{"schedule"}`: what is allowed, and perhaps not meant. */
export interface LintReply {
  readonly warnings: readonly {
    readonly code: string;
    readonly path: string;
    readonly message: string;
    readonly position?: number;
  }[];
}

/** `schedules.forecast`: the fires to come of all stored tasks of the namespace. */
export interface ForecastRequest {
  /** Each second of an hour, each minute of a day (the default), or each hour of 31 days. */
  readonly window?: 'hour' | 'day' | 'month';
}

export interface ForecastReply {
  readonly from: string;
  /** Length of a step, ms. */
  readonly stepMs: number;
  /** Fires of each step; fractions where tasks of an interval have no common grid. */
  readonly fires: readonly number[];
  /** Tasks that are counted, and those that are not for want of time or since this machine does not know their zone. */
  readonly tasks: number;
  readonly leftOut: number;
  readonly asOf: string;
}

/** `schedules.tzdiff`: which fires of stored tasks move with the time-zone data. */
export interface TzdiffRequest {
  /** A version that was recorded, such as `2026b`; default: the latest other than the present. */
  readonly from?: string;
}

export interface TzdiffReply {
  /** What is compared with; absent when no other data has been recorded. */
  readonly from?: { readonly version: string; readonly recordedAt: string };
  readonly to: { readonly version: string };
  /** Up to this instant. */
  readonly until: string;
  /** Zones whose clocks differ. */
  readonly zones: readonly string[];
  /** Those whose next fires move first, then by the instant; up to 1,000. */
  readonly items: readonly {
    readonly schedule: { readonly [field: string]: unknown };
    /** Tasks that have it, and the ids of some of them. */
    readonly tasks: number;
    readonly ids: readonly string[];
    /** The first fire that differs: what it was, and what it is; null for none. */
    readonly was: string | null;
    readonly is: string | null;
    /** Whether that is the next fire. */
    readonly next: boolean;
  }[];
  /** Tasks whose fires move. */
  readonly moved: number;
  /** Tasks that were not looked at. */
  readonly leftOut: number;
  readonly asOf: string;
}
