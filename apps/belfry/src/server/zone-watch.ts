import { setTimeout as sleep } from 'node:timers/promises';

import type { StoredZoneData } from '@belfry/ports';
import type { Log } from '@belfry/scheduler';
import {
  differences,
  digestOf,
  findZone,
  recordedZones,
  recordZone,
  zoneNames,
  type ZoneRecord,
  type ZoneRecords,
} from '@belfry/timing';

/** Years that are recorded, this one included: daylight-saving laws that are known now reach no further for the most part. */
const YEARS = 6;
/** Between two zones, each of which takes most of a millisecond: all of them in half a minute, beside the work of a program that has just begun. */
const PAUSE_MS = 50;
/** Zones that a log event names. */
const SHOWN = 20;

export interface ZoneWatchOptions {
  readonly version: string;
  readonly clock: { now(): number };
  readonly log: Log;
  readonly stored: () => Promise<readonly StoredZoneData[]>;
  readonly record: (data: StoredZoneData) => Promise<void>;
  /** This machine's data. */
  readonly names?: () => readonly string[];
  /** Awaited after each zone; `PAUSE_MS` if not given. */
  readonly pause?: () => Promise<void>;
}

/**
 * Records this machine's time-zone data where the latest record is of other data, and says so in the log: `belfry schedule tzdiff` compares
 * with it what came after.
 */
export class ZoneWatch {
  readonly #options: ZoneWatchOptions;
  #year: number | undefined;
  #running = false;

  constructor(options: ZoneWatchOptions) {
    this.#options = options;
  }

  /** Once a process, and once a year; nothing while another round runs. */
  async round(): Promise<void> {
    const year = new Date(this.#options.clock.now()).getUTCFullYear();
    if (year === this.#year || this.#running) return;
    this.#running = true;
    try {
      await this.#look(year);
      this.#year = year;
    } finally {
      this.#running = false;
    }
  }

  async #look(year: number): Promise<void> {
    const { clock, log, record, stored, version, names = zoneNames, pause = aWhile } = this.#options;
    const nowMs = clock.now();
    const [fromS, untilS] = [Date.UTC(year) / 1_000, Date.UTC(year + YEARS) / 1_000];
    const records = new Map<string, ZoneRecord>();
    for (const name of names()) {
      const zone = findZone(name);
      if (zone !== undefined) records.set(name, recordZone(zone, fromS, untilS));
      await pause();
    }
    const digest = digestOf(records);
    const [latest] = await stored();
    if (latest?.version !== version || latest.digest !== digest) {
      const zones = JSON.stringify(Object.fromEntries(records));
      await record({ version, digest, recordedAt: nowMs, fromS, untilS, zones });
      if (latest !== undefined) tell(log, latest, version, await changedZones(latest, nowMs, pause));
    }
  }
}

async function aWhile(): Promise<void> {
  await sleep(PAUSE_MS, undefined, { ref: false });
}

function tell(log: Log, latest: StoredZoneData, version: string, changed: readonly string[]): void {
  if (latest.version === version && changed.length === 0) return; // another year
  const fields = { from: latest.version, to: version, zones: changed.length, first: changed.slice(0, SHOWN) };
  if (changed.length === 0) log.info('the time-zone data has another version, and no clock differs', fields);
  else log.warn('the time-zone data has changed: see belfry schedule tzdiff', fields);
}

/** Zones whose clocks are another from now on, as far as was recorded. */
async function changedZones(
  { zones: text, untilS }: StoredZoneData,
  nowMs: number,
  pause: () => Promise<void>,
): Promise<string[]> {
  const records: ZoneRecords = new Map(Object.entries(JSON.parse(text) as { readonly [name: string]: ZoneRecord }));
  const zones = recordedZones(records);
  const changed: string[] = [];
  for (const name of records.keys()) {
    const [was, is] = [zones(name), findZone(name)];
    if (was !== undefined && is !== undefined && differences(was, is, Math.floor(nowMs / 1_000), untilS).length > 0)
      changed.push(name);
    await pause();
  }
  return changed;
}
