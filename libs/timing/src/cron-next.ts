import { MAX_INSTANT_MS } from './civil.ts';
import type { CronRule } from './cron-rule.ts';
import { LARGEST_DAYLIGHT_SAVING_S, repeatedAt, type FoldRule, type GapRule } from './wall-clock.ts';
import { newSpan, type OffsetSpan, type Zone } from './zones.ts';

/**
 * More than any offset: a day before a wall time, counted as UTC, lies before that wall time in every zone. And no zone since 1970
 * has set its clock back by more.
 */
const DAY_S = 86_400;
/** From 2038 on the rules of a zone are the same each year, and after 400 years the calendar repeats: what has not fired in that time never will. */
export const RECURRING_MS = Date.UTC(2038, 0, 1);
const CYCLE_S = 400 * 365.2425 * DAY_S;

/** What an interval job does at changes of the clock: it follows real time. */
const INTERVAL_RULES = { gap: 'skip', fold: 'both' } as const;
/** What a fixed-time job does: what is skipped runs once after the gap, what is repeated runs in the first pass. (Vixie's cron.) */
const FIXED_RULES = { gap: 'next', fold: 'first' } as const;

export function usualRules({ isInterval }: CronRule): { readonly gap: GapRule; readonly fold: FoldRule } {
  return isInterval ? INTERVAL_RULES : FIXED_RULES;
}

/** The first fire strictly after `afterMs`; Infinity when there is none up to the year 9999. Nothing fires before 1970. */
export function nextCron(
  rule: CronRule,
  zone: Zone,
  afterMs: number,
  gap: GapRule = usualRules(rule).gap,
  fold: FoldRule = usualRules(rule).fold,
): number {
  if (!(afterMs < MAX_INSTANT_MS)) return Infinity;
  let from = afterMs < 0 ? 0 : Math.floor(afterMs / 1_000) + 1;
  const span = newSpan();
  const end = Math.min(MAX_INSTANT_MS / 1_000, Math.max(from, RECURRING_MS / 1_000) + CYCLE_S);
  while (from <= end) {
    zone.span(from, span);
    const shift = span.offset - span.before;
    if (shift > 0 && gap === 'next' && from === span.start && skippedOne(rule, span)) return from * 1_000;
    if (shift < 0 && fold === 'first' && shift >= -LARGEST_DAYLIGHT_SAVING_S && from < span.start - shift)
      from = span.start - shift;
    if (from < span.end) {
      const local = rule.nextFrom(from + span.offset);
      const fire = local - span.offset;
      if (fire < span.end) {
        const change = fold === 'last' ? repeatedAt(zone, fire) : NaN;
        if (Number.isNaN(change)) return fire * 1_000 <= MAX_INSTANT_MS ? fire * 1_000 : Infinity;
        from = change; // all wall times from the fire to the change come again
        continue;
      }
      // No wall time between `from` and `local` matches, so what the clock does until shortly before `local` does not matter,
      // unless it is set back so soon that wall times before `from` come again.
      from = span.end - from > DAY_S ? Math.max(span.end, local - DAY_S) : span.end;
    } else {
      from = span.end;
    }
  }
  return Infinity;
}

/** Whether a wall time that matches was skipped by the gap that `span` begins with. */
function skippedOne(rule: CronRule, { start, before, offset }: OffsetSpan): boolean {
  return offset - before <= LARGEST_DAYLIGHT_SAVING_S && rule.nextFrom(start + before) < start + offset;
}
