import type { ComposedSchedule } from './composed-schedule.ts';
import { usualRules } from './cron-next.ts';
import type { CronRule } from './cron-rule.ts';
import type { LintCode, LintWarning } from './lint.ts';
import type { CronSchedule } from './schedule.ts';
import { LARGEST_DAYLIGHT_SAVING_S, type FoldRule, type GapRule } from './wall-clock.ts';
import { newSpan, type Zone } from './zones.ts';

const AHEAD_S = 5 * 365.25 * 86_400;
/** Dates of one warning. */
const SHOWN = 4;

interface Change {
  readonly at: number;
  readonly before: number;
  readonly offset: number;
}

/** Wall times of cron expressions that the clock skips or repeats within five years. What follows real time is not at risk. */
export function lintClock(schedule: CronSchedule | ComposedSchedule, nowMs: number): LintWarning[] {
  const changes = comingChanges(schedule.kind === 'cron' ? schedule.zone : schedule.parts.zone, nowMs);
  if (changes.length === 0) return [];
  if (schedule.kind === 'cron')
    return ofRule(schedule.rule, schedule.cron, changes, undefined, undefined, schedule.zone);
  const { crons, gap, fold, zone, between } = schedule.parts;
  if (between !== undefined) return [];
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
  const after = { next: 'it runs at the first instant after the gap', skip: 'it does not run then' };
  const passes = { first: 'it runs the first time', last: 'it runs the last time', both: 'it runs both times' };
  return [
    ...warning('skipped_time', skipped, `do not exist in ${zone.name}: ${after[gap ?? usual.gap]}`),
    ...warning('repeated_time', repeated, `come twice in ${zone.name}: ${passes[fold ?? usual.fold]}`),
  ];
}

function warning(code: LintCode, walls: readonly number[], what: string): LintWarning[] {
  if (walls.length === 0) return [];
  const texts = walls
    .slice(0, SHOWN)
    .map((wall) => new Date(wall * 1_000).toISOString().slice(0, 16).replace('T', ' '));
  const more = walls.length > SHOWN ? ' and later ones' : '';
  return [{ code, path: 'cron', message: `${texts.join(', ')}${more} ${what}` }];
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
