import { lintCron } from './lint-cron.ts';
import { lintClock } from './lint-clock.ts';
import { nextFire, type Schedule } from './schedule.ts';

/** Stable: scripts may rely on them. */
export type LintCode =
  | 'day_or_weekday'
  | 'month_lacks_day'
  | 'leap_day'
  | 'skipped_time'
  | 'repeated_time'
  | 'sub_minute'
  | 'every_minute'
  | 'midnight_pile_up'
  | 'top_of_hour'
  | 'uneven_step'
  | 'exact_day'
  | 'month_end'
  | 'at_in_past'
  | 'no_more_fires';

export interface LintWarning {
  readonly code: LintCode;
  /** The field of the schedule. */
  readonly path: string;
  readonly message: string;
  /** Where in the expression, as the schedule's `spec` shows it, from 0. */
  readonly position?: number;
}

const DAY_MS = 86_400_000;

/** What is allowed and yet may not be what was meant. `nowMs` decides what is past, and which changes of the clock are coming. */
export function lint(schedule: Schedule, nowMs: number): LintWarning[] {
  if (schedule.kind === 'at') {
    if (schedule.atMs >= nowMs) return [];
    return [{ code: 'at_in_past', path: 'at', message: 'the instant is over: a task of it runs at once' }];
  }
  if (schedule.kind === 'every') return lintExact(schedule.everyMs);
  const warnings = schedule.kind === 'cron' ? lintCron(schedule.cron, false) : [];
  if (schedule.kind === 'composed') {
    const { crons, jitterMs, between, period, zoned, anchorMs, startMs } = schedule.parts;
    const spread = jitterMs > 0 || between !== undefined;
    warnings.push(...crons.flatMap(({ text }) => lintCron(text, spread)));
    if (period !== undefined && period.months + period.days === 0) warnings.push(...lintExact(period.ms, zoned));
    if (period !== undefined && period.months > 0) warnings.push(...lintMonthEnd(anchorMs ?? startMs));
  }
  warnings.push(...lintClock(schedule, nowMs));
  if (nextFire(schedule, nowMs, { createdMs: nowMs, seed: 0 }) === Infinity)
    warnings.push({ code: 'no_more_fires', path: 'endAt', message: 'its last fire is over: a task of it never runs' });
  return warnings;
}

function lintExact(ms: number, zoned = false): LintWarning[] {
  if (ms % DAY_MS !== 0) return [];
  const message = zoned
    ? `hours are exact, so that the wall time moves where clocks change; a day of the time zone is "${ms / DAY_MS}d"`
    : 'without a timezone a day is exactly 24 hours, so that the wall time moves where clocks change; with one it stays';
  return [{ code: 'exact_day', path: 'every', message }];
}

function lintMonthEnd(anchorMs: number | undefined): LintWarning[] {
  if (anchorMs === undefined || new Date(anchorMs).getUTCDate() <= 28) return [];
  const message = 'the anchor is at the end of a month: in shorter months the last day stands for it';
  return [{ code: 'month_end', path: 'anchor', message }];
}
