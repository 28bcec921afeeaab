import { MAX_INSTANT_MS } from './civil.ts';
import { nextCron } from './cron-next.ts';
import { parseCron } from './cron-parse.ts';
import type { CronRule } from './cron-rule.ts';
import { periodText, readPeriod } from './duration.ts';
import { readInstant } from './instant.ts';
import { Refusal, type ScheduleError } from './refusal.ts';
import { findZone, suggestZone, type Zone } from './zones.ts';

/** A schedule as users state it: exactly one of `at`, `every` and `cron`. */
export interface ScheduleSpec {
  /** One-time: RFC 3339 with `Z` or an offset, or milliseconds since 1970. */
  readonly at?: string | number;
  /** Interval: `90s`, `15m`, `1h30m`, `500ms`, an ISO 8601 duration, or milliseconds. 100 ms at least. */
  readonly every?: string | number;
  /** Where an interval's grid begins: fires are at `anchor + k × every`, k from 0. Default: one period after the task's creation, and so on. */
  readonly anchor?: string | number;
  /** Cron: 5 fields, 6 with seconds first, or a macro such as `@daily`. */
  readonly cron?: string;
  /** IANA zone of `cron`. Default UTC; never the machine's. */
  readonly timezone?: string;
}

interface Common {
  /** The schedule as compact text, for `parseCanonical`: equal texts are equal schedules. */
  readonly canonical: string;
  /** The schedule as a user would state it. */
  readonly spec: ScheduleSpec;
  /** The first fire strictly after `afterMs`; Infinity when there is none. An interval without an anchor counts from 1970. */
  next(afterMs: number): number;
}

export type Schedule = AtSchedule | EverySchedule | CronSchedule;

export class AtSchedule implements Common {
  readonly kind = 'at';
  readonly atMs: number;

  constructor(atMs: number) {
    this.atMs = atMs;
  }

  get canonical(): string {
    return `a${this.atMs}`;
  }

  get spec(): ScheduleSpec {
    return { at: new Date(this.atMs).toISOString() };
  }

  next(afterMs: number): number {
    return afterMs < this.atMs ? this.atMs : Infinity;
  }
}

export class EverySchedule implements Common {
  readonly kind = 'every';
  readonly everyMs: number;
  readonly anchorMs: number | undefined;

  constructor(everyMs: number, anchorMs: number | undefined) {
    this.everyMs = everyMs;
    this.anchorMs = anchorMs;
  }

  get canonical(): string {
    return this.anchorMs === undefined ? `e${this.everyMs}` : `e${this.everyMs}@${this.anchorMs}`;
  }

  get spec(): ScheduleSpec {
    const every = periodText(this.everyMs);
    return this.anchorMs === undefined ? { every } : { every, anchor: new Date(this.anchorMs).toISOString() };
  }

  next(afterMs: number): number {
    return this.nextFrom(afterMs, 0);
  }

  /** `createdMs` is the anchor of an interval without one: its first fire is a period later. */
  nextFrom(afterMs: number, createdMs: number): number {
    const first = this.anchorMs ?? createdMs + this.everyMs;
    const next = afterMs < first ? first : afterMs - ((afterMs - first) % this.everyMs) + this.everyMs;
    return next <= MAX_INSTANT_MS ? next : Infinity;
  }
}

export class CronSchedule implements Common {
  readonly kind = 'cron';
  /** Upper case, single blanks, macros written out. */
  readonly cron: string;
  readonly zone: Zone;
  readonly rule: CronRule;

  constructor(cron: string, zone: Zone, rule: CronRule) {
    this.cron = cron;
    this.zone = zone;
    this.rule = rule;
  }

  get canonical(): string {
    return `c${this.cron};${this.zone.name}`;
  }

  get spec(): ScheduleSpec {
    return { cron: this.cron, timezone: this.zone.name };
  }

  next(afterMs: number): number {
    return nextCron(this.rule, this.zone, afterMs);
  }
}

export type ScheduleReading =
  { readonly ok: true; readonly schedule: Schedule } | { readonly ok: false; readonly error: ScheduleError };

/** Reads a schedule from outside. Never throws; an instant in the past is the caller's to judge. */
export function parseSchedule(spec: ScheduleSpec): ScheduleReading {
  try {
    return { ok: true, schedule: readSchedule(spec) };
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, error: error.error };
    throw error;
  }
}

/** Reads `canonical` back. Throws for any other text, and for a zone that this machine does not know. */
export function parseCanonical(text: string): Schedule {
  const body = text.slice(1);
  if (/^a\d{1,15}$/.test(text)) return new AtSchedule(Number(body));
  const every = /^e([1-9]\d{0,14})(?:@(\d{1,15}))?$/.exec(text);
  if (every !== null) return new EverySchedule(Number(every[1]), every[2] === undefined ? undefined : Number(every[2]));
  const end = body.lastIndexOf(';');
  const zone = text.startsWith('c') && end >= 0 ? findZone(body.slice(end + 1)) : undefined;
  if (zone === undefined) throw new Error(`not a canonical schedule: ${text.slice(0, 200)}`);
  const { rule, canonical } = parseCron(body.slice(0, end));
  return new CronSchedule(canonical, zone, rule);
}

/**
 * The first fire strictly after `afterMs`; Infinity when there is none up to the year 9999.
 * `anchorMs` is the task's creation: an interval without an anchor of its own counts from it. Others ignore it.
 */
export function nextFire(schedule: Schedule, afterMs: number, anchorMs: number): number {
  return schedule.kind === 'every' ? schedule.nextFrom(afterMs, anchorMs) : schedule.next(afterMs);
}

function readSchedule(spec: ScheduleSpec): Schedule {
  const given = (['at', 'every', 'cron'] as const).filter((field) => spec[field] !== undefined);
  const [kind] = given;
  if (kind === undefined) throw new Refusal('invalid_schedule', 'at', 'one of at, every and cron is needed');
  const second = given[1];
  if (second !== undefined) throw new Refusal('invalid_schedule', second, `${kind} and ${second} exclude each other`);
  if (spec.timezone !== undefined && kind !== 'cron')
    throw new Refusal('invalid_schedule', 'timezone', `a time zone goes with cron, not with ${kind}`);
  if (spec.anchor !== undefined && kind !== 'every')
    throw new Refusal('invalid_schedule', 'anchor', `an anchor goes with every, not with ${kind}`);
  switch (kind) {
    case 'at':
      return new AtSchedule(instant('at', spec.at));
    case 'every':
      return readEvery(spec);
    case 'cron':
      return readCron(spec.cron, spec.timezone ?? 'UTC');
  }
}

function instant(path: 'at' | 'anchor', value: unknown): number {
  const reading = readInstant(value);
  if (reading.ok) return reading.ms;
  throw new Refusal(
    path === 'at' ? 'invalid_at' : 'invalid_anchor',
    path,
    `${path}: ${reading.message}`,
    reading.position,
  );
}

function readEvery(spec: ScheduleSpec): EverySchedule {
  const period = readPeriod(spec.every);
  if (!period.ok) throw new Refusal('invalid_every', 'every', `every: ${period.message}`, period.position);
  return new EverySchedule(period.ms, spec.anchor === undefined ? undefined : instant('anchor', spec.anchor));
}

function readCron(cron: unknown, timezone: unknown): CronSchedule {
  if (typeof cron !== 'string') throw new Refusal('invalid_cron', 'cron', 'cron is a text, as in "0 9 * * MON-FRI"');
  const { rule, canonical } = parseCron(cron);
  if (!rule.everFires)
    throw new Refusal('cron_never_fires', 'cron', `"${cron.trim()}" never fires: no such date exists in any year`);
  return new CronSchedule(canonical, readZone(timezone), rule);
}

function readZone(timezone: unknown): Zone {
  const zone = typeof timezone === 'string' && timezone.length <= 64 ? findZone(timezone) : undefined;
  if (zone !== undefined) return zone;
  const likely = typeof timezone === 'string' ? suggestZone(timezone) : undefined;
  const hint =
    likely === undefined ? 'names are those of the IANA database, as in Europe/Berlin' : `did you mean ${likely}?`;
  const shown = JSON.stringify(timezone)?.slice(0, 80);
  throw new Refusal('invalid_timezone', 'timezone', `timezone: ${shown} is no time zone; ${hint}`, 0);
}
