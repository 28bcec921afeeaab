import { ComposedSchedule, type ScheduleParts } from './composed-schedule.ts';
import { parseCron } from './cron-parse.ts';
import { AtSchedule, CronSchedule, EverySchedule, type Schedule } from './schedule.ts';
import { findZone, type Zone } from './zones.ts';

/** What `canonicalText` of a composed schedule writes. */
interface Written {
  readonly c?: readonly string[];
  readonly e?: readonly [number, number, number];
  readonly z?: string;
  readonly a?: number;
  readonly from?: number;
  readonly to?: number;
  readonly n?: number;
  readonly until?: number;
  readonly since?: number;
  readonly gap?: ScheduleParts['gap'];
  readonly fold?: ScheduleParts['fold'];
  readonly cal?: readonly string[];
  readonly ex?: 'next';
  readonly j?: number;
  readonly b?: readonly [number, number];
  readonly slot?: number;
}

/** Where a schedule's zone comes from: this machine's data, or data that was recorded. */
type Zones = (name: string) => Zone | undefined;

/** Reads `canonical` back. Throws for any other text, and for a zone that is not known. */
export function parseCanonical(text: string, zones: Zones = findZone): Schedule {
  const body = text.slice(1);
  if (/^a\d{1,15}$/.test(text)) return new AtSchedule(Number(body));
  const every = /^e([1-9]\d{0,14})(?:@(\d{1,15}))?$/.exec(text);
  if (every !== null) return new EverySchedule(Number(every[1]), every[2] === undefined ? undefined : Number(every[2]));
  if (text.startsWith('s{')) return composed(text, JSON.parse(body) as Written, zones);
  const end = body.lastIndexOf(';');
  const zone = text.startsWith('c') && end >= 0 ? zoneOf(body.slice(end + 1), text, zones) : unreadable(text);
  const { rule, canonical } = parseCron(body.slice(0, end));
  return new CronSchedule(canonical, zone, rule);
}

/** Whether two canonical texts are the same schedule as users state it: but for the minute that was chosen, and when a limit began to count. */
export function sameButSlot(a: string, b: string): boolean {
  if (a === b) return true;
  if (!a.startsWith('s{') || !b.startsWith('s{')) return false;
  return withoutSlot(a) === withoutSlot(b);
}

function withoutSlot(text: string): string {
  const { slot, until, since, ...rest } = JSON.parse(text.slice(1)) as Written;
  return JSON.stringify(slot === undefined && since === undefined ? { ...rest, until } : rest);
}

function composed(text: string, written: Written, zones: Zones): ComposedSchedule {
  const { c = [], e, b } = written;
  if ((c.length === 0) === (e === undefined)) unreadable(text);
  const schedule = new ComposedSchedule({
    crons: c.map((cron) => ({ text: cron, rule: parseCron(cron).rule })),
    period: e === undefined ? undefined : { months: e[0], days: e[1], ms: e[2] },
    zone: zoneOf(written.z ?? 'UTC', text, zones),
    zoned: written.z !== undefined,
    anchorMs: written.a,
    startMs: written.from,
    endMs: written.to,
    limit: written.n,
    untilMs: written.until,
    sinceMs: written.since,
    gap: written.gap,
    fold: written.fold,
    calendars: written.cal ?? [],
    onExcluded: written.ex ?? 'skip',
    jitterMs: written.j ?? 0,
    between: b === undefined ? undefined : { from: b[0], to: b[1] },
    slot: written.slot,
  });
  return schedule.canonical === text ? schedule : unreadable(text);
}

function zoneOf(name: string, text: string, zones: Zones): Zone {
  return zones(name) ?? unreadable(text);
}

function unreadable(text: string): never {
  throw new Error(`not a canonical schedule: ${text.slice(0, 200)}`);
}
