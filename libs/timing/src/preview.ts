import { explainFire } from './explain-fire.ts';
import { nextFire, type Schedule } from './schedule.ts';
import type { TaskContext } from './schedule-spec.ts';
import { findZone, type Zone } from './zones.ts';

/** One coming fire, for people. */
export interface PreviewedFire {
  readonly atMs: number;
  /** The wall clock of the schedule's zone, with its offset, as in `2027-03-28T03:00:00+02:00`. */
  readonly local: string;
  /** Why it is not simply where the schedule's text puts it; empty when it is. */
  readonly notes: readonly string[];
}

/** The next `count` fires strictly after `afterMs`: fewer when there are no more. */
export function preview(schedule: Schedule, afterMs: number, count: number, task: TaskContext): PreviewedFire[] {
  const zone = zoneOf(schedule);
  return nextFires(schedule, afterMs, count, task).map((atMs) => ({
    atMs,
    local: localText(atMs, zone),
    notes: explainFire(schedule, atMs, task),
  }));
}

/** The instants alone. */
export function nextFires(schedule: Schedule, afterMs: number, count: number, task: TaskContext): number[] {
  const fires: number[] = [];
  let at = afterMs;
  while (fires.length < count) {
    at = nextFire(schedule, at, task);
    if (at === Infinity) break;
    fires.push(at);
  }
  return fires;
}

/** The zone whose wall clock a schedule goes by; UTC for one that has none. */
export function zoneOf(schedule: Schedule): Zone {
  switch (schedule.kind) {
    case 'cron':
      return schedule.zone;
    case 'composed':
      return schedule.parts.zone;
    case 'at':
    case 'every':
      return findZone('UTC') as Zone;
  }
}

/** RFC 3339; milliseconds, and seconds of the offset, only where there are any. */
export function localText(atMs: number, zone: Zone): string {
  const offset = zone.offsetAt(Math.floor(atMs / 1_000));
  const wall = new Date(atMs + offset * 1_000).toISOString();
  const time = wall.slice(0, wall.endsWith('.000Z') ? -5 : -1);
  const size = Math.abs(offset);
  const parts = [size / 3_600, (size / 60) % 60, size % 60].map((part) => String(Math.floor(part)).padStart(2, '0'));
  return `${time}${offset < 0 ? '-' : '+'}${parts.slice(0, size % 60 === 0 ? 2 : 3).join(':')}`;
}
