import type { StoredZoneData } from '@belfry/ports';
import { beforeEach, describe, expect, it } from 'vitest';

import { ZoneWatch } from './zone-watch.ts';

const NOW = Date.parse('2026-11-27T00:00:00Z');

let nowMs: number;
let table: StoredZoneData[];
let logged: string[];
beforeEach(() => {
  nowMs = NOW;
  table = [];
  logged = [];
});

/** A program that starts, on a machine whose data has this name. */
function start(version: string): ZoneWatch {
  const say = (message: string, fields: object = {}): void => void logged.push(`${message} ${JSON.stringify(fields)}`);
  return new ZoneWatch({
    version,
    clock: { now: () => nowMs },
    log: { info: say, warn: say, error: say },
    stored: () => Promise.resolve(table.toReversed()),
    record: (data) => Promise.resolve(void table.push(data)),
    names: () => ['Europe/Berlin', 'Asia/Tokyo', 'Mars/Olympus'],
    pause: () => Promise.resolve(),
  });
}

describe('the record of time-zone data', () => {
  it('is written once, for some years', async () => {
    const watch = start('2026c');
    await watch.round();
    await watch.round();
    await start('2026c').round();
    expect(table).toHaveLength(1);
    const [{ zones, ...data }] = table as [StoredZoneData];
    expect(data).toMatchObject({ version: '2026c', fromS: Date.UTC(2026) / 1_000, untilS: Date.UTC(2032) / 1_000 });
    const records = JSON.parse(zones) as { readonly [name: string]: { readonly changes: unknown[] } };
    expect(Object.entries(records).map(([name, { changes }]) => [name, changes.length])).toEqual([
      ['Europe/Berlin', 12],
      ['Asia/Tokyo', 0],
    ]);
    expect(logged).toEqual([]);
  });

  it('is written by one round, though another begins meanwhile', async () => {
    const watch = start('2026c');
    await Promise.all([watch.round(), watch.round()]);
    expect(table).toHaveLength(1);
  });

  it('is written again in another year, which is no change', async () => {
    const watch = start('2026c');
    await watch.round();
    nowMs = Date.parse('2027-01-01T00:00:10Z');
    await watch.round();
    expect(table.map(({ untilS }) => new Date(untilS * 1_000).getUTCFullYear())).toEqual([2032, 2033]);
    expect(logged).toEqual([]);
  });

  it('is told of when clocks have come to differ, and when only the version has', async () => {
    await start('2026b').round();
    await start('2026c').round();
    expect(logged).toEqual([
      'the time-zone data has another version, and no clock differs {"from":"2026b","to":"2026c","zones":0,"first":[]}',
    ]);
    logged = [];
    const last = table.at(-1) as StoredZoneData;
    const zones = JSON.stringify({ ...(JSON.parse(last.zones) as object), 'Asia/Tokyo': { first: 0, changes: [] } });
    table.push({ ...last, digest: 'other', zones });
    await start('2026c').round();
    expect(logged).toEqual([
      'the time-zone data has changed: see belfry schedule tzdiff {"from":"2026c","to":"2026c","zones":1,"first":["Asia/Tokyo"]}',
    ]);
  });

  it('is tried again when it could not be read', async () => {
    const watch = start('2026c');
    const round = watch.round();
    await round;
    table = [];
    let away = true;
    const flaky = new ZoneWatch({
      version: '2026c',
      clock: { now: () => nowMs },
      log: { info: () => undefined, warn: () => undefined, error: () => undefined },
      stored: () => (away ? Promise.reject(new Error('away')) : Promise.resolve([])),
      record: (data) => Promise.resolve(void table.push(data)),
      names: () => ['Asia/Tokyo'],
      pause: () => Promise.resolve(),
    });
    await expect(flaky.round()).rejects.toThrow('away');
    away = false;
    await flaky.round();
    expect(table).toHaveLength(1);
  });
});
