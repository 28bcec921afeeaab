import { ComposedSchedule, type ScheduleParts } from './composed-schedule.ts';
import { usualRules } from './cron-next.ts';
import type { CronRule } from './cron-rule.ts';
import type { Period } from './duration.ts';
import type { LintCode, LintWarning } from './lint.ts';
import type { CronSchedule } from './schedule.ts';
import { LARGEST_DAYLIGHT_SAVING_S, type FoldRule, type GapRule } from './wall-clock.ts';
import { newSpan, type Zone } from './zones.ts';

const AHEAD_S = 5 * 365.25 * 86_400;
const DAY_S = 86_400;
/** Dates of one warning. */
const SHOWN = 4;

interface Change {
  readonly at: number;
  readonly before: number;
  readonly offset: number;
}

/** Wall times that the clock skips or repeats within five years. What follows real time is not at risk. */
export function lintClock(schedule: CronSchedule | ComposedSchedule, nowMs: number): LintWarning[] {
  const changes = comingChanges(schedule.kind === 'cron' ? schedule.zone : schedule.parts.zone, nowMs);
  if (changes.length === 0) return [];
  if (schedule.kind === 'cron')
    return ofRule(schedule.rule, schedule.cron, changes, undefined, undefined, schedule.zone);
  const { crons, period, gap, fold, zone, between } = schedule.parts;
  if (between !== undefined) return [];
  if (period !== undefined) return ofPeriod(schedule.parts, period, changes);
  return crons.flatMap(({ rule, text }) => ofRule(rule, text, changes, gap, fold, zone));
}

function ofRule(
  rule: CronRule,
  text: string,
  changes: readonly Change[],
  gap: GapRule | undefined,
  fold: FoldRule | undefined,
  zone: Zone,
): LintWarning[] {
  const hour = text.split(' ').at(-4) ?? '';
  if (rule.isInterval && /[*?]/.test(hour)) return [];
  const usual = usualRules(rule);
  const skipped: number[] = [];
  const repeated: number[] = [];
  for (const { at, before, offset } of changes) {
    const [from, to] = [at + Math.min(before, offset), at + Math.max(before, offset)];
    const wall = rule.nextFrom(from);
    if (wall < to) (offset > before ? skipped : repeated).push(wall);
  }
  return warnings('cron', { skipped, repeated }, zone, gap ?? usual.gap, fold ?? usual.fold);
}

/**
 * Of an interval on the calendar: which of its fires come at a change, and what other rules would make of them. Without anything to count
 * from there is no wall time yet.
 */
function ofPeriod(parts: ScheduleParts, period: Period, changes: readonly Change[]): LintWarning[] {
  const { zone, gap = 'next', fold = 'first' } = parts;
  const fromMs = parts.anchorMs ?? parts.startMs;
  if (period.months + period.days === 0 || fromMs === undefined) return [];
  const task = { createdMs: fromMs, seed: 0 };
  const plain = { ...parts, untilMs: undefined };
  const caughtUp = new ComposedSchedule({ ...plain, gap: 'next', fold: 'first' });
  const left = new ComposedSchedule({ ...plain, gap: 'skip', fold: 'first' });
  const skipped: number[] = [];
  const repeated: number[] = [];
  for (const { at, before, offset } of changes) {
    const atMs = at * 1_000;
    if (offset > before) {
      const comes = caughtUp.instant(atMs - 1, task) === atMs && left.instant(atMs - 1, task) !== atMs;
      const wall = Math.floor((at + before) / DAY_S) * DAY_S + caughtUp.wallTimeOf(task);
      if (comes) skipped.push(wall < at + before ? wall + DAY_S : wall);
    } else {
      const first = caughtUp.instant(atMs - (before - offset) * 1_000 - 1, task);
      if (first < atMs) repeated.push(Math.floor(first / 1_000) + before);
    }
  }
  return warnings('every', { skipped, repeated }, zone, gap, fold);
}

function warnings(
  path: 'cron' | 'every',
  { skipped, repeated }: { readonly skipped: readonly number[]; readonly repeated: readonly number[] },
  zone: Zone,
  gap: GapRule,
  fold: FoldRule,
): LintWarning[] {
  const after = { next: 'it runs at the first instant after the gap', skip: 'it does not run then' };
  const passes = { first: 'it runs the first time', last: 'it runs the last time', both: 'it runs both times' };
  return [
    ...warning('skipped_time', path, skipped, `do not exist in ${zone.name}: ${after[gap]}`),
    ...warning('repeated_time', path, repeated, `come twice in ${zone.name}: ${passes[fold]}`),
  ];
}

function warning(code: LintCode, path: 'cron' | 'every', walls: readonly number[], what: string): LintWarning[] {
  if (walls.length === 0) return [];
  const texts = walls
    .slice(0, SHOWN)
    .map((wall) => new Date(wall * 1_000).toISOString().slice(0, 16).replace('T', ' '));
  const more = walls.length > SHOWN ? ' and later ones' : '';
  return [{ code, path, message: `${texts.join(', ')}${more} ${what}` }];
}

function comingChanges(zone: Zone, nowMs: number): Change[] {
  const from = Math.max(0, Math.floor(nowMs / 1_000));
  const span = newSpan();
  const found: Change[] = [];
  for (let at = from; at < from + AHEAD_S; at = span.end) {
    zone.span(at, span);
    const { start, before, offset } = span;
    const shift = Math.abs(offset - before);
    if (start === at && shift > 0 && shift <= LARGEST_DAYLIGHT_SAVING_S) found.push({ at, before, offset });
  }
  return found;
}
