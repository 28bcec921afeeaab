import type { ComposedSchedule } from './composed-schedule.ts';
import type { CronRule } from './cron-rule.ts';
import { nextFire, type Schedule } from './schedule.ts';
import type { TaskContext } from './schedule-spec.ts';
import { LARGEST_DAYLIGHT_SAVING_S, repeatedAt } from './wall-clock.ts';
import { findZone, newSpan, type OffsetSpan, type Zone } from './zones.ts';

/** One coming fire, with what a person wants to know of it. */
export interface PreviewedFire {
  readonly atMs: number;
  /** Wall time in the schedule's zone with its offset: `2027-03-28T03:00:00+02:00`. Milliseconds only where there are some. */
  readonly local: string;
  /** What moved it, or sets it apart; empty for most. */
  readonly notes: readonly string[];
}

/** The first `count` fires strictly after `afterMs`; fewer when there are no more. */
export function preview(schedule: Schedule, afterMs: number, count: number, task: TaskContext): PreviewedFire[] {
  const fires: PreviewedFire[] = [];
  const zone = zoneOf(schedule);
  for (let at = afterMs; fires.length < count;) {
    at = nextFire(schedule, at, task);
    if (at === Infinity) break;
    fires.push({ atMs: at, local: localText(zone, at), notes: notesOf(schedule, zone, at, task) });
  }
  return fires;
}

/** The zone that a schedule's wall times are of; UTC for one without. */
export function zoneOf(schedule: Schedule): Zone {
  if (schedule.kind === 'cron') return schedule.zone;
  if (schedule.kind === 'composed') return schedule.parts.zone;
  return findZone('UTC') as Zone;
}

export function localText(zone: Zone, atMs: number): string {
  const offset = zone.offsetAt(Math.floor(atMs / 1_000));
  const wall = new Date(atMs + offset * 1_000)
    .toISOString()
    .replace('Z', '')
    .replace(/\.000$/, '');
  if (offset === 0) return `${wall}+00:00`;
  const size = Math.abs(offset);
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  const seconds = size % 60 === 0 ? '' : `:${two(size % 60)}`;
  return `${wall}${offset < 0 ? '-' : '+'}${two(size / 3_600)}:${two((size / 60) % 60)}${seconds}`;
}

function notesOf(schedule: Schedule, zone: Zone, atMs: number, task: TaskContext): string[] {
  if (schedule.kind === 'cron') return clockNotes([schedule.rule], zone, atMs);
  if (schedule.kind !== 'composed') return [];
  const notes: string[] = [];
  const { crons, jitterMs, period } = schedule.parts;
  const jitter = schedule.jitterOf(task.seed);
  const allowedMs = atMs - jitter;
  const statedMs = statedInstant(schedule, allowedMs, task);
  const onWallClock = period === undefined || period.months > 0 || period.days > 0;
  if (onWallClock && statedMs !== undefined)
    notes.push(
      ...clockNotes(
        crons.map(({ rule }) => rule),
        zone,
        statedMs,
      ),
    );
  if (statedMs === undefined)
    notes.push(
      `moved here by the calendars ${schedule.parts.calendars.map(plainName).join(', ')}, which exclude its own time`,
    );
  if (jitterMs > 0) notes.push(`jitter +${jitter / 1_000} s`);
  return notes;
}

/** The instant that the schedule itself names, if it is that of the fire; undefined where calendars have moved it. */
function statedInstant(schedule: ComposedSchedule, allowedMs: number, task: TaskContext): number | undefined {
  return schedule.instant(allowedMs - 1, task) === allowedMs ? allowedMs : undefined;
}

function plainName(name: string): string {
  return name.slice(name.indexOf('/') + 1);
}

/** What a change of the clock has to do with an instant; `rules` are empty for an interval. */
function clockNotes(rules: readonly CronRule[], zone: Zone, atMs: number): string[] {
  const at = Math.floor(atMs / 1_000);
  const span = newSpan();
  zone.span(at, span);
  const shift = span.offset - span.before;
  const matches = rules.some((rule) => rule.nextFrom(at + span.offset) === at + span.offset);
  if (at === span.start && shift > 0 && shift <= LARGEST_DAYLIGHT_SAVING_S && !matches)
    return [`moved by a gap: the clock skips ${gapText(span)} on that day`];
  if (!Number.isNaN(repeatedAt(zone, at))) return ['first pass: this wall time comes twice on that day'];
  if (shift < 0 && shift >= -LARGEST_DAYLIGHT_SAVING_S && at < span.start - shift)
    return ['second pass: this wall time came before on that day'];
  return [];
}

/** `02:00 to 03:00`. */
export function gapText({ start, before, offset }: OffsetSpan): string {
  return `${timeOfDay(start + before)} to ${timeOfDay(start + offset)}`;
}

export function timeOfDay(localS: number): string {
  return new Date(localS * 1_000).toISOString().slice(11, 16);
}
