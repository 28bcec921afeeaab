import { MAX_INSTANT_MS } from './civil.ts';
import type { ComposedSchedule } from './composed-schedule.ts';
import { nextCron } from './cron-next.ts';
import type { CronRule } from './cron-rule.ts';
import { periodText } from './duration.ts';
import type { ScheduleSpec, TaskContext } from './schedule-spec.ts';
import type { Zone } from './zones.ts';

interface Common {
  /** The schedule as compact text, for `parseCanonical`: equal texts are equal schedules. */
  readonly canonical: string;
  /** The schedule as a user would state it. */
  readonly spec: ScheduleSpec;
}

/** The first three are by far the most frequent, and as fast as they can be; what says more than they can hold is composed. */
export type Schedule = AtSchedule | EverySchedule | CronSchedule | ComposedSchedule;

export class AtSchedule implements Common {
  readonly kind = 'at';
  readonly atMs: number;

  constructor(atMs: number) {
    this.atMs = atMs;
  }

  get canonical(): string {
    return `a${this.atMs}`;
  }

  get spec(): ScheduleSpec {
    return { at: new Date(this.atMs).toISOString() };
  }

  next(afterMs: number): number {
    return afterMs < this.atMs ? this.atMs : Infinity;
  }
}

/** An exact interval. */
export class EverySchedule implements Common {
  readonly kind = 'every';
  readonly everyMs: number;
  readonly anchorMs: number | undefined;

  constructor(everyMs: number, anchorMs: number | undefined) {
    this.everyMs = everyMs;
    this.anchorMs = anchorMs;
  }

  get canonical(): string {
    return this.anchorMs === undefined ? `e${this.everyMs}` : `e${this.everyMs}@${this.anchorMs}`;
  }

  get spec(): ScheduleSpec {
    const every = periodText(this.everyMs);
    return this.anchorMs === undefined ? { every } : { every, anchor: new Date(this.anchorMs).toISOString() };
  }

  /** `createdMs` is the anchor of an interval without one: its first fire is a period later. */
  next(afterMs: number, createdMs: number): number {
    const first = this.anchorMs ?? createdMs + this.everyMs;
    const next = afterMs < first ? first : afterMs - ((afterMs - first) % this.everyMs) + this.everyMs;
    return next <= MAX_INSTANT_MS ? next : Infinity;
  }
}

/** One expression, with the usual rules at changes of the clock. */
export class CronSchedule implements Common {
  readonly kind = 'cron';
  /** Upper case, single blanks, macros written out. */
  readonly cron: string;
  readonly zone: Zone;
  readonly rule: CronRule;

  constructor(cron: string, zone: Zone, rule: CronRule) {
    this.cron = cron;
    this.zone = zone;
    this.rule = rule;
  }

  get canonical(): string {
    return `c${this.cron};${this.zone.name}`;
  }

  get spec(): ScheduleSpec {
    return { cron: this.cron, timezone: this.zone.name };
  }

  next(afterMs: number): number {
    return nextCron(this.rule, this.zone, afterMs);
  }
}

/** The first fire of a task strictly after `afterMs`; Infinity when there is none up to the year 9999. */
export function nextFire(schedule: Schedule, afterMs: number, task: TaskContext): number {
  switch (schedule.kind) {
    case 'at':
    case 'cron':
      return schedule.next(afterMs);
    case 'every':
      return schedule.next(afterMs, task.createdMs);
    case 'composed':
      return schedule.next(afterMs, task);
  }
}

/** Whether all tasks of a schedule fire at the same instants, whatever they are: one answer serves them all. */
export function isUniform(schedule: Schedule): boolean {
  switch (schedule.kind) {
    case 'at':
    case 'cron':
      return true;
    case 'every':
      return schedule.anchorMs !== undefined;
    case 'composed':
      return schedule.isUniform;
  }
}
