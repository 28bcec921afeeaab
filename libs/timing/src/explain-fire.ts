import type { ComposedSchedule } from './composed-schedule.ts';
import { usualRules } from './cron-next.ts';
import type { CronRule } from './cron-rule.ts';
import { periodText } from './duration.ts';
import type { Schedule } from './schedule.ts';
import type { TaskContext } from './schedule-spec.ts';
import { LARGEST_DAYLIGHT_SAVING_S, occurrencesOf, type GapRule } from './wall-clock.ts';
import { newSpan, type Zone } from './zones.ts';

const DAY_S = 86_400;

/** For people: why a fire, as `nextFire` gave it, is not simply where the schedule's text puts it. Empty when it is. */
export function explainFire(schedule: Schedule, fireMs: number, task: TaskContext): readonly string[] {
  switch (schedule.kind) {
    case 'at':
    case 'every':
      return [];
    case 'cron':
      return explainClock(fireMs, schedule.zone, (from, to) => skippedByCron([schedule.rule], undefined, from, to));
    case 'composed':
      return explainComposed(schedule, fireMs, task);
  }
}

function explainComposed(schedule: ComposedSchedule, fireMs: number, task: TaskContext): readonly string[] {
  const { zone, gap, period } = schedule.parts;
  const notes: string[] = [];
  const jitter = schedule.jitterOf(task.seed);
  if (jitter > 0) notes.push(`moved by the task's jitter, ${periodText(jitter)}`);
  const allowed = fireMs - jitter;
  const instant = schedule.movedFrom(allowed, task);
  if (instant !== allowed) {
    const names = schedule.parts.calendars.filter((name) => task.calendars?.(name)?.allows(instant) === false);
    const from = instant / 1_000;
    const local = Math.floor(from) + zone.offsetAt(Math.floor(from));
    notes.push(`moved by the calendar ${names.join(', ')}: ${timeOf(local)} on ${dateOf(local)} is excluded`);
  }
  if (period !== undefined && period.months + period.days === 0) return notes;
  const skipped = (from: number, to: number): number =>
    period === undefined
      ? skippedByCron(schedule.rules(task.seed), gap, from, to)
      : skippedByInterval(schedule.wallTimeOf(task), gap, from, to);
  return [...notes, ...explainClock(instant, zone, skipped)];
}

/** `skipped` gives the first scheduled wall time in [from, to), which a change of the clock has left out; NaN for none. */
function explainClock(instantMs: number, zone: Zone, skipped: (from: number, to: number) => number): readonly string[] {
  const instant = Math.floor(instantMs / 1_000);
  const span = newSpan();
  zone.span(instant, span);
  const shift = span.offset - span.before;
  if (span.start === instant && shift > 0 && shift <= LARGEST_DAYLIGHT_SAVING_S) {
    const local = skipped(instant + span.before, instant + span.offset);
    if (!Number.isNaN(local)) return [`moved by a DST gap: ${timeOf(local)} does not exist on ${dateOf(local)}`];
  }
  const local = instant + span.offset;
  const { first, last } = occurrencesOf(zone, local);
  if (first === last || last - first > LARGEST_DAYLIGHT_SAVING_S) return [];
  return [
    `${timeOf(local)} occurs twice on ${dateOf(local)}: this is the ${instant === first ? 'first' : 'last'} of the two`,
  ];
}

function skippedByCron(rules: readonly CronRule[], gap: GapRule | undefined, from: number, to: number): number {
  const found = rules
    .filter((rule) => (gap ?? usualRules(rule).gap) === 'next')
    .map((rule) => rule.nextFrom(from))
    .filter((local) => local < to);
  return found.length === 0 ? NaN : Math.min(...found);
}

function skippedByInterval(timeS: number, gap: GapRule | undefined, from: number, to: number): number {
  if (gap === 'skip') return NaN;
  const local = Math.floor(from / DAY_S) * DAY_S + timeS;
  return [local, local + DAY_S].find((at) => at >= from && at < to) ?? NaN;
}

function timeOf(local: number): string {
  const time = new Date(local * 1_000).toISOString();
  return time.slice(11, time.endsWith(':00.000Z') ? 16 : 19);
}

function dateOf(local: number): string {
  return new Date(local * 1_000).toISOString().slice(0, 10);
}
