import type { ScheduleFields } from '@belfry/protocol';

/** A schedule in a few words: `at 2030-…`, `every 90s`, `0 7 * * 1 Europe/Berlin`. */
export function scheduleText(schedule: ScheduleFields): string {
  const { at, between, cron, every, jitter, timezone } = schedule;
  if (cron === undefined && every === undefined)
    return `at ${typeof at === 'number' ? new Date(at).toISOString() : (at ?? '?')}`;
  const zone = timezone ?? (cron === undefined ? undefined : 'UTC');
  const parts = [
    typeof cron === 'string' ? cron : cron?.join(' | '),
    every === undefined ? undefined : `every ${typeof every === 'number' ? `${every} ms` : every}`,
    zone,
    between === undefined ? undefined : `between ${between.join('-')}`,
    jitter === undefined ? undefined : `jitter ${jitter}`,
    schedule.startAt === undefined ? undefined : `from ${schedule.startAt}`,
    schedule.endAt === undefined ? undefined : `until ${schedule.endAt}`,
    schedule.limit === undefined ? undefined : `limit ${schedule.limit}`,
    schedule.gap === undefined ? undefined : `gap ${schedule.gap}`,
    schedule.fold === undefined ? undefined : `fold ${schedule.fold}`,
    schedule.calendars === undefined
      ? undefined
      : `${schedule.onExcluded ?? 'skip'} by ${schedule.calendars.join(', ')}`,
  ];
  return parts.filter((part) => part !== undefined).join(' ');
}
