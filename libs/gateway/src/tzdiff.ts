import type { Queries, StoredZoneData } from '@belfry/ports';
import { LIMITS, type TzdiffReply } from '@belfry/protocol';
import {
  differences,
  findZone,
  intlName,
  movedFire,
  parseCanonical,
  recordedZones,
  zoneOf,
  type Schedule,
  type ZoneRecord,
  type ZoneRecords,
} from '@belfry/timing';

import { sourceOf } from './calendars.ts';
import type { Clock } from './environment.ts';
import { objectOf, refuse, textOf } from './fields.ts';
import type { SchedulesInUse } from './schedules-in-use.ts';
import { iso } from './views.ts';

const MOST_ITEMS = 1_000;
const VERSION_CHARS = 64;
/** How long one turn of the event loop may take, and all of them. */
const TURN_MS = 3;
const BUDGET_MS = LIMITS.answerMs * 0.6;

export interface TzdiffOptions {
  readonly clock: Clock;
  /** What this machine calls its time-zone data. */
  readonly version: string;
  /** Those below throw `Refused` when it cannot be known now. */
  readonly zoneData: () => ReturnType<Queries['zoneData']>;
  readonly calendars: (namespace: string) => ReturnType<Queries['calendars']>;
  readonly schedules: (namespace: string, fromMs: number, idsOf?: readonly string[]) => Promise<SchedulesInUse>;
  readonly defer: (run: () => void) => void;
}

interface Moved {
  readonly canonical: string;
  readonly schedule: Schedule;
  readonly wasMs: number;
  readonly isMs: number;
  readonly next: boolean;
}

/**
 * Which fires of a namespace's tasks move with the time-zone data: compares the data that was recorded with this machine's. Calendars are
 * read by this machine's data on both sides, and a task stands for those that were created now.
 */
export class Tzdiff {
  readonly #options: TzdiffOptions;
  #turnMs = -Infinity;

  constructor(options: TzdiffOptions) {
    this.#options = options;
  }

  /** `{"from"?}`. @throws Refused */
  async answer(value: unknown, namespace: string): Promise<TzdiffReply> {
    const { clock, version } = this.#options;
    const wanted = textOf(objectOf(value, ['from'])['from'], 'from', VERSION_CHARS);
    const nowMs = clock.now();
    const to = { version };
    const base = await this.#base(wanted, nowMs);
    if (base === undefined) {
      const none = { until: iso(nowMs), zones: [], items: [], moved: 0, leftOut: 0, asOf: iso(nowMs) };
      return { to, ...none };
    }
    const { data, records, changed } = base;
    const from = { version: data.version, recordedAt: iso(data.recordedAt) };
    const until = iso(data.untilS * 1_000);
    const zones = [...changed.keys()].sort();
    const { moved, tasksOf, leftOut, asOf } = await this.#moved(
      namespace,
      nowMs,
      data.untilS * 1_000,
      records,
      changed,
    );
    moved.sort((a, b) => Number(b.next) - Number(a.next) || Math.min(a.wasMs, a.isMs) - Math.min(b.wasMs, b.isMs));
    const shown = moved.slice(0, MOST_ITEMS);
    const ids = await this.#idsOf(namespace, nowMs, shown);
    const items = shown.map(({ canonical, schedule, wasMs, isMs, next }) => ({
      schedule: { ...schedule.spec },
      tasks: tasksOf.get(canonical) ?? 0,
      ids: ids.get(canonical) ?? [],
      was: instant(wasMs),
      is: instant(isMs),
      next,
    }));
    const tasks = moved.reduce((sum, { canonical }) => sum + (tasksOf.get(canonical) ?? 0), 0);
    return { from, to, until, zones, items, moved: tasks, leftOut, asOf: iso(asOf) };
  }

  /** What was recorded under the version that is wanted, or last with other clocks than this machine's. */
  async #base(
    wanted: string | undefined,
    nowMs: number,
  ): Promise<{ data: StoredZoneData; records: ZoneRecords; changed: Changed } | undefined> {
    const all = await this.#options.zoneData();
    for (const data of all.filter((stored) => wanted === undefined || stored.version === wanted)) {
      const records = readRecords(data);
      const changed = await this.#changedZones(records, Math.max(data.fromS, Math.floor(nowMs / 1_000)), data.untilS);
      if (wanted !== undefined || changed.size > 0 || data.version !== this.#options.version)
        return { data, records, changed };
    }
    if (wanted !== undefined) {
      const known = [...new Set(all.map(({ version }) => version))].join(', ');
      refuse('not_found', `no time-zone data ${wanted} has been recorded; there is ${known || 'none'}`, 'from');
    }
    return undefined;
  }

  /** Zones that this machine does not know any more are none that could be compared. */
  async #changedZones(records: ZoneRecords, fromS: number, untilS: number): Promise<Changed> {
    const zones = recordedZones(records);
    const changed = new Map<string, readonly number[]>();
    for (const name of records.keys()) {
      const [was, is] = [zones(name), findZone(name)];
      const starts = was === undefined || is === undefined ? [] : differences(was, is, fromS, untilS);
      if (starts.length > 0) changed.set(name, starts);
      await this.#breathe();
    }
    return changed;
  }

  async #moved(namespace: string, fromMs: number, untilMs: number, records: ZoneRecords, changed: Changed) {
    const { clock, calendars, schedules } = this.#options;
    const startedMs = clock.monotonic();
    const inUse = await schedules(namespace, fromMs);
    const source = inUse.items.some(({ schedule }) => schedule.includes('"cal":'))
      ? sourceOf((await calendars(namespace)).items)
      : undefined;
    const task = { createdMs: fromMs, seed: 0, ...(source !== undefined && { calendars: source }) };
    const zones = recordedZones(records);
    const tasksOf = new Map<string, number>();
    const moved: Moved[] = [];
    let { leftOut } = inUse;
    for (const { schedule: canonical, tasks } of inUse.items) {
      const schedule = readCanonical(canonical);
      const starts = schedule === undefined ? undefined : startsOf(schedule, changed);
      if (schedule === undefined || clock.monotonic() - startedMs > BUDGET_MS) leftOut += tasks;
      else if (starts !== undefined) {
        const was = parseCanonical(canonical, zones);
        const found = movedFire(was, schedule, { fromMs, untilMs, starts }, task);
        if (found !== undefined) {
          const next = movedFire(was, schedule, { fromMs, untilMs, starts: [] }, task) !== undefined;
          moved.push({ canonical, schedule, ...found, next });
          tasksOf.set(canonical, tasks);
        }
      }
      await this.#breathe();
    }
    return { moved, tasksOf, leftOut, asOf: inUse.asOf };
  }

  /** Lets others have their turn when this one has taken long. */
  async #breathe(): Promise<void> {
    const { clock, defer } = this.#options;
    if (clock.monotonic() - this.#turnMs < TURN_MS) return;
    await new Promise<void>((resolve) => defer(resolve));
    this.#turnMs = clock.monotonic();
  }

  async #idsOf(
    namespace: string,
    fromMs: number,
    moved: readonly Moved[],
  ): Promise<ReadonlyMap<string, readonly string[]>> {
    if (moved.length === 0) return new Map();
    const texts = moved.map(({ canonical }) => canonical);
    const { items } = await this.#options.schedules(namespace, fromMs, texts);
    return new Map(items.map(({ schedule, ids }) => [schedule, ids.slice(0, 20)]));
  }
}

/** By name, when each zone whose clock differs begins to. */
type Changed = ReadonlyMap<string, readonly number[]>;

/** A zone that is known by another name than it was recorded under is compared by both. */
function startsOf(schedule: Schedule, changed: Changed): readonly number[] | undefined {
  if (schedule.kind === 'at' || schedule.kind === 'every') return undefined;
  const { name } = zoneOf(schedule);
  return changed.get(name) ?? changed.get(intlName(name));
}

function readRecords({ zones }: StoredZoneData): ZoneRecords {
  return new Map(Object.entries(JSON.parse(zones) as { readonly [name: string]: ZoneRecord }));
}

function readCanonical(text: string): Schedule | undefined {
  try {
    return parseCanonical(text);
  } catch {
    return undefined; // of a zone that this machine does not know
  }
}

function instant(ms: number): string | null {
  return ms === Infinity ? null : iso(ms);
}
