import { MAX_INSTANT_MS } from './civil.ts';
import type { CronRule } from './cron-rule.ts';
import { newSpan, type OffsetSpan, type Zone } from './zones.ts';

/** Larger changes of offset are no daylight saving (the date line moved): nothing is caught up, nothing is suppressed. */
const LARGEST_DAYLIGHT_SAVING_S = 3 * 3_600;
/**
 * More than any offset: a day before a wall time, counted as UTC, lies before that wall time in every zone. And no zone since 1970
 * has set its clock back by more.
 */
const DAY_S = 86_400;

/**
 * The first fire strictly after `afterMs`; Infinity when there is none up to the year 9999. Nothing fires before 1970.
 *
 * An interval job follows real time. A fixed-time job whose wall time is skipped fires at the first instant after the gap, once
 * for all that was skipped; one whose wall time is repeated fires in the first pass only. (The rule of Vixie's cron.)
 */
export function nextCron(rule: CronRule, zone: Zone, afterMs: number): number {
  if (!(afterMs < MAX_INSTANT_MS)) return Infinity;
  let from = afterMs < 0 ? 0 : Math.floor(afterMs / 1_000) + 1;
  const span = newSpan();
  while (from * 1_000 <= MAX_INSTANT_MS) {
    zone.span(from, span);
    if (!rule.isInterval) {
      const shift = span.offset - span.before;
      if (shift > 0 && from === span.start && skippedOne(rule, span)) return from * 1_000;
      if (shift < 0 && shift >= -LARGEST_DAYLIGHT_SAVING_S && from < span.start - shift) from = span.start - shift;
    }
    if (from < span.end) {
      const local = rule.nextFrom(from + span.offset);
      const fire = local - span.offset;
      if (fire < span.end) return fire * 1_000 <= MAX_INSTANT_MS ? fire * 1_000 : Infinity;
      // No wall time between `from` and `local` matches, so what the clock does until shortly before `local` does not matter,
      // unless it is set back so soon that wall times before `from` come again.
      from = span.end - from > DAY_S ? Math.max(span.end, local - DAY_S) : span.end;
    } else {
      from = span.end;
    }
  }
  return Infinity;
}

/** Whether a fixed-time job missed a wall time in the gap that `span` begins with. */
function skippedOne(rule: CronRule, { start, before, offset }: OffsetSpan): boolean {
  return offset - before <= LARGEST_DAYLIGHT_SAVING_S && rule.nextFrom(start + before) < start + offset;
}
