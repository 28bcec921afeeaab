import { hash53 } from './hash.ts';
import { nextFire, type Schedule } from './schedule.ts';
import type { TaskContext } from './schedule-spec.ts';
import { findZone, newSpan, Zone } from './zones.ts';

/** What a zone's clock does over a stretch of time. Seconds since 1970, and seconds east of UTC. */
export interface ZoneRecord {
  readonly first: number;
  /** When the offset changes, and to what; in order. */
  readonly changes: readonly (readonly [at: number, offset: number])[];
}

/** The time-zone data of a machine over a stretch of time, by the names of its zones. */
export type ZoneRecords = ReadonlyMap<string, ZoneRecord>;

/** How long before a difference of offsets fires may differ already: what a change repeats is known ahead. */
const LEAD_MS = 4 * 3_600_000;
/** How far fires are compared from there. */
const AROUND_MS = 2 * LEAD_MS + 86_400_000;
/** Fires that are compared around one difference. */
const MOST_FIRES = 1_000;

/** All zones that this machine has a name of its own for; aliases (`Asia/Kolkata`) are the same zones by other names. */
export function zoneNames(): readonly string[] {
  return Intl.supportedValuesOf('timeZone');
}

/** Writes down what a zone does from `fromS` to `untilS`: a millisecond or so. */
export function recordZone(zone: Zone, fromS: number, untilS: number): ZoneRecord {
  const span = newSpan();
  zone.span(fromS, span);
  const first = span.offset;
  const changes: [number, number][] = [];
  let offset = first;
  for (let at = span.end; at < untilS; at = span.end) {
    zone.span(at, span);
    if (span.offset !== offset) changes.push([at, span.offset]);
    offset = span.offset;
  }
  return { first, changes };
}

/** The zone that a record tells of. Before and after the time of the record it is as at its ends. */
export function recordedZone(name: string, { first, changes }: ZoneRecord): Zone {
  return new Zone(name, (instant) => {
    let offset = first;
    for (const [at, to] of changes) {
      if (at > instant) break;
      offset = to;
    }
    return offset;
  });
}

/** Names the data, whatever its version is called. */
export function digestOf(records: ZoneRecords): string {
  const text = JSON.stringify([...records].sort(([a], [b]) => (a < b ? -1 : 1)));
  return hash53(text).toString(16).padStart(14, '0');
}

/** Where to look for the zone of a schedule in recorded data, whose names are those of `zoneNames`. */
export function recordedZones(records: ZoneRecords): (name: string) => Zone | undefined {
  const zones = new Map<string, Zone | undefined>();
  return (name) => {
    if (!zones.has(name)) {
      const record = records.get(name) ?? records.get(intlName(name));
      zones.set(name, record === undefined ? findZone(name) : recordedZone(name, record));
    }
    return zones.get(name);
  };
}

/** When two zones begin to differ within a stretch, in seconds; each is the first instant of a stretch in which they do. */
export function differences(a: Zone, b: Zone, fromS: number, untilS: number): number[] {
  const [inA, inB] = [newSpan(), newSpan()];
  const found: number[] = [];
  let differed = false;
  for (let at = fromS; at < untilS; at = Math.min(inA.end, inB.end)) {
    a.span(at, inA);
    b.span(at, inB);
    const differs = inA.offset !== inB.offset;
    if (differs && !differed) found.push(at);
    differed = differs;
  }
  return found;
}

export interface MovedFire {
  /** The first fire that one of the two has and the other has not: what it was, and is, ms; Infinity for none. */
  readonly wasMs: number;
  readonly isMs: number;
}

/**
 * The first fire after `fromMs` that differs between the same schedule under two zones; undefined when none does up to `untilMs`. Looks at
 * the next fire and around `starts`, which `differences` gave.
 */
export function movedFire(
  was: Schedule,
  is: Schedule,
  {
    fromMs,
    untilMs,
    starts,
  }: { readonly fromMs: number; readonly untilMs: number; readonly starts: readonly number[] },
  task: TaskContext,
): MovedFire | undefined {
  for (const after of [fromMs, ...starts.map((start) => Math.max(fromMs, start * 1_000 - LEAD_MS))]) {
    let at = after;
    for (let fires = 0; fires < MOST_FIRES; fires++) {
      const [wasMs, isMs] = [nextFire(was, at, task), nextFire(is, at, task)];
      if (Math.min(wasMs, isMs) >= untilMs) break;
      if (wasMs !== isMs) return { wasMs, isMs };
      if ((after === fromMs && fires > 0) || wasMs > after + AROUND_MS) break;
      at = wasMs;
    }
  }
  return undefined;
}

const intlNames = new Map<string, string>();
const KNOWN_NAMES = 4_096;

/** By what name `zoneNames` has a zone; the name itself when it is no zone. */
export function intlName(name: string): string {
  let found = intlNames.get(name);
  if (found === undefined) {
    try {
      found = new Intl.DateTimeFormat('en-US', { timeZone: name }).resolvedOptions().timeZone;
    } catch {
      found = name;
    }
    if (intlNames.size >= KNOWN_NAMES) intlNames.clear();
    intlNames.set(name, found);
  }
  return found;
}
