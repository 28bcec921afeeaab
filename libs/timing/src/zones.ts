/**
 * Offsets of time zones, from Intl, kept in tables: Intl takes a microsecond and more per question, a table some nanoseconds.
 *
 * A table is filled window by window, as instants are asked for; a window is found out with some 80 questions to Intl.
 *
 * Z1. A window holds every change of offset from a day before its start to its end, in order.
 * Z2. The calendar repeats after 400 years, weekdays included, and so do the rules of zones. So the windows of the second 400 years
 *     after 1970 stand for all later ones, and a table has an end.
 */

/** 189 days: 773 windows are 400 years exactly. */
const WINDOW_S = 189 * 86_400;
const PERIOD_WINDOWS = 773;
const LAST_WINDOW = 2 * PERIOD_WINDOWS - 1;
/**
 * Two changes that undo each other between two probes would be missed. The shortest such stretch of any zone is 6 days 23 hours (Recife and
 * others in October 2000, Gaza in October 2040).
 */
const PROBE_S = 3 * 86_400;
/** How long before a window its list of changes begins. */
const LEAD_S = 86_400;

/** A stretch of time with one offset. Seconds since 1970, and seconds east of UTC. */
export interface OffsetSpan {
  /** When the offset began; -Infinity if that is more than a day before the instant asked for. */
  start: number;
  /** `start`, or an instant from which it holds for certain. */
  since: number;
  /** When it ends, or an instant up to which it holds for certain. */
  end: number;
  offset: number;
  /** The offset before `start`; the same as `offset` when `start` is -Infinity. */
  before: number;
}

interface Window {
  readonly first: number;
  readonly starts: readonly number[];
  readonly offsets: readonly number[];
}

/** Seconds east of UTC at an instant in seconds since 1970. */
type Offsets = (instant: number) => number;

/** The offsets of one zone. */
export class Zone {
  readonly name: string;
  readonly #ask: Offsets | undefined;
  readonly #windows: (Window | undefined)[] = [];

  /** @param ask where the offsets come from; undefined for UTC */
  constructor(name: string, ask: Offsets | undefined) {
    this.name = name;
    this.#ask = ask;
  }

  /** Seconds east of UTC at an instant in seconds since 1970. */
  offsetAt(instant: number): number {
    const span = newSpan();
    this.span(instant, span);
    return span.offset;
  }

  /** Writes the span that holds the instant (whole seconds, from 1970 to the year 9999) into `span`. */
  span(instant: number, span: OffsetSpan): void {
    if (this.#ask === undefined) {
      setSpan(span, -Infinity, -Infinity, Infinity, 0, 0);
      return;
    }
    let index = Math.floor(instant / WINDOW_S);
    let shift = 0;
    if (index > LAST_WINDOW) {
      const folded = PERIOD_WINDOWS + ((index - PERIOD_WINDOWS) % PERIOD_WINDOWS);
      shift = (index - folded) * WINDOW_S;
      index = folded;
    }
    const { first, starts, offsets } = this.#windows[index] ?? this.#fill(this.#ask, index);
    const at = instant - shift;
    let next = 0;
    while (next < starts.length && (starts[next] as number) <= at) next++;
    const end = (next < starts.length ? (starts[next] as number) : (index + 1) * WINDOW_S) + shift;
    if (next === 0) {
      setSpan(span, -Infinity, index * WINDOW_S - LEAD_S + shift, end, first, first);
    } else {
      const before = next > 1 ? (offsets[next - 2] as number) : first;
      const start = (starts[next - 1] as number) + shift;
      setSpan(span, start, start, end, offsets[next - 1] as number, before);
    }
  }

  #fill(ask: Offsets, index: number): Window {
    const end = (index + 1) * WINDOW_S;
    let from = index * WINDOW_S - LEAD_S;
    let offset = ask(from);
    const first = offset;
    const starts: number[] = [];
    const offsets: number[] = [];
    while (from < end) {
      const to = Math.min(from + PROBE_S, end);
      const later = ask(to);
      if (later !== offset) {
        const change = firstChange(ask, from, to, offset);
        // Probes reach to the next window's first second; what changes there is that window's.
        if (change >= end) break;
        offset = ask(change);
        starts.push(change);
        offsets.push(offset);
        from = change;
      } else {
        from = to;
      }
    }
    const window = { first, starts, offsets };
    this.#windows[index] = window;
    return window;
  }
}

/** A process has one time-zone database, so its tables are the process's too. */
const zones = new Map<string, Zone | undefined>();
/** Names that are no zones are remembered too, but not without limit. */
const KNOWN_NAMES = 4_096;

/** The zone of an IANA name (any case) or of an offset such as `+05:30`; undefined if there is none. */
export function findZone(name: string): Zone | undefined {
  if (zones.has(name)) return zones.get(name);
  const zone = makeZone(name);
  if (zones.size >= KNOWN_NAMES) zones.clear();
  zones.set(name, zone);
  return zone;
}

function makeZone(name: string): Zone | undefined {
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset', year: 'numeric' });
  } catch {
    return undefined;
  }
  const canonical = canonicalName(name, format.resolvedOptions().timeZone);
  if (canonical !== name) return findZone(canonical);
  return new Zone(name, name === 'UTC' ? undefined : (instant) => askIntl(format, instant));
}

/** A zone whose city, or whole name, is what someone wrote as `name`. */
export function suggestZone(name: string): string | undefined {
  const plain = (text: string): string => text.toLowerCase().replace(/[^a-z]/g, '');
  const wanted = plain(name);
  if (wanted === '') return undefined;
  return Intl.supportedValuesOf('timeZone').find(
    (zone) => plain(zone) === wanted || plain(zone.slice(zone.lastIndexOf('/') + 1)) === wanted,
  );
}

/** Aliases keep the name they were given: Intl's canonical names are those of an old database (`Asia/Calcutta`). */
function canonicalName(name: string, resolved: string): string {
  return resolved === 'UTC' || resolved.toLowerCase() === name.toLowerCase() ? resolved : name;
}

export function newSpan(): OffsetSpan {
  return { start: -Infinity, since: -Infinity, end: Infinity, offset: 0, before: 0 };
}

function setSpan(span: OffsetSpan, start: number, since: number, end: number, offset: number, before: number): void {
  span.start = start;
  span.since = since;
  span.end = end;
  span.offset = offset;
  span.before = before;
}

/** Intl writes `1999, GMT-05:00`, with seconds where a zone has them, and `GMT` or `GMT+00:00` for 0. */
function askIntl(format: Intl.DateTimeFormat, instant: number): number {
  const text = format.format(instant * 1000);
  const at = text.lastIndexOf('GMT') + 3;
  if (at === text.length) return 0;
  const hours = Number(text.slice(at + 1, at + 3));
  const minutes = Number(text.slice(at + 4, at + 6));
  const seconds = text.length > at + 6 ? Number(text.slice(at + 7, at + 9)) : 0;
  const size = hours * 3_600 + minutes * 60 + seconds;
  const sign = text.charCodeAt(at);
  return sign === 0x2d || sign === 0x2212 ? -size : size;
}

/** The first second in (from, to] whose offset is another than `offset`, which holds at `from` and not at `to`. */
function firstChange(ask: Offsets, from: number, to: number, offset: number): number {
  let low = from;
  let high = to;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (ask(middle) === offset) low = middle;
    else high = middle;
  }
  return high;
}
