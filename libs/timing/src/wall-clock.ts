import { newSpan, type OffsetSpan, type Zone } from './zones.ts';

/** Larger changes of offset are no daylight saving (the date line moved): nothing is caught up, nothing is suppressed. */
export const LARGEST_DAYLIGHT_SAVING_S = 3 * 3_600;
/** No zone is further from UTC, east or west. */
const FURTHEST_S = 16 * 3_600;

/** What becomes of wall times that a change of the clock skips: run at the first instant after the gap, or not at all. */
export type GapRule = 'next' | 'skip';
/** And of those that it repeats: which of the passes counts. */
export type FoldRule = 'first' | 'last' | 'both';

/** When a wall time comes, in seconds since 1970. */
export interface Occurrences {
  /** The first and the last instant that show it; NaN when it is skipped. */
  first: number;
  last: number;
  /** When it is skipped: the first instant after the gap. */
  afterGap: number;
  /** How long the gap is, in seconds. */
  gap: number;
}

const span: OffsetSpan = newSpan();

/** Finds the instants at which the zone's wall clock shows `local` (seconds of local time, counted as if the clock were UTC). */
export function occurrencesOf(zone: Zone, local: number): Occurrences {
  const found: Occurrences = { first: NaN, last: NaN, afterGap: NaN, gap: 0 };
  for (let at = Math.max(0, local - FURTHEST_S); at <= local + FURTHEST_S; at = span.end) {
    zone.span(at, span);
    const instant = local - span.offset;
    if (instant >= at && instant < span.end) {
      if (Number.isNaN(found.first)) found.first = instant;
      found.last = instant;
    }
    if (span.start === at && at + span.before <= local && local < at + span.offset) {
      found.afterGap = at;
      found.gap = span.offset - span.before;
    }
  }
  return found;
}

/** If `instant` (seconds) shows a wall time that a change of the clock is about to repeat: when that change comes. Else NaN. */
export function repeatedAt(zone: Zone, instant: number): number {
  zone.span(instant, span);
  const { offset } = span;
  for (let at = span.end; at - instant <= LARGEST_DAYLIGHT_SAVING_S; at = span.end) {
    zone.span(at, span);
    if (span.start !== at) continue; // only the end of a table's window
    const back = offset - span.offset;
    return back > 0 && back <= LARGEST_DAYLIGHT_SAVING_S && instant >= at - back ? at : NaN;
  }
  return NaN;
}
