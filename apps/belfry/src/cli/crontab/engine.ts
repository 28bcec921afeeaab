import { nextFire, parseSchedule } from '@belfry/timing';

import type { ScheduleEngine } from './check.ts';

/** The schedulers' own engine: what the import shows is what will fire. */
export const scheduleEngine: ScheduleEngine = {
  next(cron, timezone, from, count) {
    const reading = parseSchedule({ cron, timezone });
    if (!reading.ok) throw new Error(reading.error.message);
    const fires: number[] = [];
    while (fires.length < count) {
      const next = nextFire(reading.schedule, fires.at(-1) ?? from, { createdMs: from, seed: 0 });
      if (next === Infinity) break;
      fires.push(next);
    }
    return fires;
  },
};
