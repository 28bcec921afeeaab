import type { ScheduleFields } from '@belfry/protocol';
import type { SimSchedule } from './plan.ts';
import { T0 } from './process.ts';

const MINUTE_MS = 60_000;

/** The fires of a schedule, ms since 1970, by plain arithmetic: what the scheduler's own reckoning is held against. */
export function firesOf(schedule: SimSchedule): number[] {
  switch (schedule.kind) {
    case 'at':
      return [T0 + schedule.atMs];
    case 'every':
      return Array.from({ length: schedule.fires }, (_, at) => T0 + schedule.startMs + at * schedule.everyMs);
    case 'cron': {
      const gridMs = schedule.minutes * MINUTE_MS;
      const first = Math.ceil((T0 + schedule.startMs) / gridMs) * gridMs;
      return Array.from({ length: schedule.fires }, (_, at) => first + at * gridMs);
    }
  }
}

/** The same as a client states it. */
export function fieldsOf(schedule: SimSchedule): ScheduleFields {
  switch (schedule.kind) {
    case 'at':
      return { at: T0 + schedule.atMs };
    case 'every': {
      const startAt = T0 + schedule.startMs;
      return { every: schedule.everyMs, anchor: startAt, startAt, limit: schedule.fires };
    }
    case 'cron':
      return { cron: `*/${schedule.minutes} * * * *`, startAt: T0 + schedule.startMs, limit: schedule.fires };
  }
}
