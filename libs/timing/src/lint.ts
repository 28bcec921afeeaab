import { usualRules } from './cron-next.ts';
import type { CronRule } from './cron-rule.ts';
import { gapText, timeOfDay, zoneOf } from './preview.ts';
import { nextFire, type Schedule } from './schedule.ts';
import { LARGEST_DAYLIGHT_SAVING_S, type FoldRule, type GapRule } from './wall-clock.ts';
import { newSpan, type Zone } from './zones.ts';

export const LINT_CODES = [
  'day_or_weekday',
  'short_months',
  'leap_day',
  'skipped_time',
  'repeated_time',
  'sub_minute',
  'minute_of_hour',
  'uneven_step',
  'midnight',
  'never_again',
] as const;
export type LintCode = (typeof LINT_CODES)[number];

/** Something that is legal, and perhaps not meant. */
export interface LintWarning {
  readonly code: LintCode;
  /** The field that it is about. */
  readonly path: string;
  readonly message: string;
}

/** How far ahead changes of the clock are looked for. */
const AHEAD_S = 2 * 366 * 86_400;
/** How many dates one warning names. */
const DATES = 4;
const STEPPED = [
  ['minute', 60],
  ['hour', 24],
] as const;

/** What somebody who reads a schedule would ask about. `nowMs` is where coming changes of the clock are looked for from. */
export function lint(schedule: Schedule, nowMs: number): LintWarning[] {
  const warnings: LintWarning[] = [];
  const warn = (code: LintCode, path: string, message: string): void => void warnings.push({ code, path, message });
  const zone = zoneOf(schedule);
  const parts = schedule.kind === 'composed' ? schedule.parts : undefined;
  const crons = schedule.kind === 'cron' ? [{ text: schedule.cron, rule: schedule.rule }] : (parts?.crons ?? []);
  for (const { text, rule } of crons) {
    fieldWarnings(text, rule, parts?.between !== undefined, warn);
    if (parts?.between === undefined && (parts?.jitterMs ?? 0) === 0) midnightWarning(text, warn);
    if (parts?.between === undefined)
      clockWarnings(rule, zone, nowMs, parts?.gap ?? usualRules(rule).gap, parts?.fold ?? usualRules(rule).fold, warn);
  }
  if (schedule.kind === 'every' && schedule.everyMs < 60_000)
    warn(
      'sub_minute',
      'every',
      `it runs ${(60_000 / schedule.everyMs).toFixed(0)} times a minute and leaves a history row each time`,
    );
  const left = nextFire(schedule, schedule.kind === 'at' ? -1 : nowMs, { createdMs: nowMs, seed: 0 });
  if (left === Infinity)
    warn('never_again', schedule.kind === 'composed' ? 'endAt' : schedule.kind, 'no fire of it is still to come');
  return warnings;
}

type Warn = (code: LintCode, path: string, message: string) => void;

function fieldWarnings(text: string, rule: CronRule, isPlaced: boolean, warn: Warn): void {
  const fields = text.split(' ');
  const [second, minute, hour, day, month, weekday] = (fields.length === 6 ? fields : ['0', ...fields]) as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  if (day !== '*' && weekday !== '*')
    warn(
      'day_or_weekday',
      'cron',
      `both day of month (${day}) and day of week (${weekday}) are set: either is enough, as in every cron. For both at once check one of them in the handler`,
    );
  if (!/^\d+$/.test(second))
    warn(
      'sub_minute',
      'cron',
      `seconds are ${second}: it runs several times a minute and leaves a history row each time`,
    );
  else if (minute === '*' && /^\d+$/.test(hour) && !isPlaced)
    warn('minute_of_hour', 'cron', `it runs at every minute of hour ${hour}: 60 times; once would be 0 ${hour}`);
  for (const [i, [name, size]] of STEPPED.entries()) {
    const field = [minute, hour][i] as string;
    const step = Number(/^\*\/(\d+)$/.exec(field)?.[1]);
    if (step > 1 && size % step !== 0)
      warn(
        'uneven_step',
        'cron',
        `${field} in the ${name} field is not even: it counts within each ${name === 'minute' ? 'hour' : 'day'}, so the last step is ${size % step} instead of ${step}. An even interval is every`,
      );
  }
  dateWarnings(day, month, weekday, rule, warn);
}

function dateWarnings(day: string, month: string, weekday: string, rule: CronRule, warn: Warn): void {
  if (weekday !== '*') return;
  const days = day.split(',').map(Number);
  const months = month.split(',');
  const onlyFebruary = months.every((name) => name === '2' || name === 'FEB');
  if (days.every((n) => n === 29) && onlyFebruary)
    return warn('leap_day', 'cron', '29 February comes in leap years only: it runs every four years');
  if (
    days.length > 0 &&
    days.every((n) => n >= 29 && n <= 31) &&
    (month === '*' || months.length > 1) &&
    rule.everFires
  )
    warn(
      'short_months',
      'cron',
      `not every month has a day ${day}: the others are left out. The last day of each month is L`,
    );
}

function midnightWarning(text: string, warn: Warn): void {
  const fields = text.split(' ');
  const [second, minute, hour] = fields.length === 6 ? fields : ['0', ...fields];
  if (second === '0' && minute === '0' && hour === '0')
    warn(
      'midnight',
      'cron',
      'midnight is when most schedules of the world run: jitter spreads the tasks of one schedule, between lets the scheduler choose a quiet minute',
    );
}

/** Wall times that the zone's coming changes will skip or repeat. */
function clockWarnings(rule: CronRule, zone: Zone, nowMs: number, gap: GapRule, fold: FoldRule, warn: Warn): void {
  if (rule.isInterval && gap === 'skip' && fold === 'both') return; // it follows real time
  const skipped: string[] = [];
  const repeated: string[] = [];
  const span = newSpan();
  const from = Math.max(0, Math.floor(nowMs / 1_000));
  let skippedAt = '';
  let repeatedAt = '';
  for (let at = from; at < from + AHEAD_S; at = span.end) {
    zone.span(at, span);
    const shift = span.offset - span.before;
    if (span.start !== at || shift === 0 || Math.abs(shift) > LARGEST_DAYLIGHT_SAVING_S) continue;
    const low = span.start + Math.min(span.before, span.offset);
    const high = span.start + Math.max(span.before, span.offset);
    const local = rule.nextFrom(low);
    if (local >= high) continue;
    const date = new Date((span.start + span.before) * 1_000).toISOString().slice(0, 10);
    if (shift > 0) {
      skipped.push(date);
      skippedAt ||= `${timeOfDay(local)} does not exist on {dates} (the clock skips ${gapText(span)})`;
    } else {
      repeated.push(date);
      repeatedAt ||= `${timeOfDay(local)} comes twice on {dates}`;
    }
  }
  if (skipped.length > 0)
    warn(
      'skipped_time',
      'cron',
      `${named(skippedAt, skipped)}: ${gap === 'next' ? 'it runs at the first instant after the gap' : 'it does not run then'}`,
    );
  if (repeated.length > 0)
    warn(
      'repeated_time',
      'cron',
      `${named(repeatedAt, repeated)}: ${fold === 'both' ? 'it runs both times' : `it runs the ${fold} time only`}`,
    );
}

function named(message: string, dates: readonly string[]): string {
  const shown = dates.slice(0, DATES).join(', ') + (dates.length > DATES ? ', …' : '');
  return message.replace('{dates}', shown);
}
