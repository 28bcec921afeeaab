import { nextFire, parseSchedule } from '@belfry/timing';

import type { ScheduleEngine } from './check.ts';

/** The schedulers' own engine: what the import shows is what will fire. */
export const scheduleEngine: ScheduleEngine = {
  next(cron, timezone, from, count) {
    const schedule = parseSchedule({ cron, timezone }, from);
    const fires: number[] = [];
    for (let at: number | undefined = from; fires.length < count;) {
      at = nextFire(schedule, at);
      if (at === undefined) break;
      fires.push(at);
    }
    return fires;
  },
};
