import type { ScheduleFields } from '@belfry/protocol';

/** A schedule in a few words: `at 2030-…`, `every 90s`, `0 7 * * 1 Europe/Berlin`. */
export function scheduleText(schedule: ScheduleFields): string {
  if (schedule.cron !== undefined) return `${schedule.cron} ${schedule.timezone ?? 'UTC'}`;
  if (schedule.every !== undefined) {
    const every = typeof schedule.every === 'number' ? `${schedule.every} ms` : schedule.every;
    return `every ${every}`;
  }
  const { at } = schedule;
  return `at ${typeof at === 'number' ? new Date(at).toISOString() : (at ?? '?')}`;
}
