import { describe, expect, it } from 'vitest';

import { parseCanonical } from './canonical.ts';
import { parseSchedule } from './read-schedule.ts';
import type { ScheduleSpec } from './schedule-spec.ts';
import {
  differences,
  digestOf,
  movedFire,
  recordedZone,
  recordedZones,
  recordZone,
  type ZoneRecord,
  type ZoneRecords,
} from './zone-record.ts';
import { findZone, type Zone } from './zones.ts';

const seconds = (text: string): number => Date.parse(text) / 1_000;
const FROM = seconds('2026-01-01T00:00:00Z');
const UNTIL = seconds('2030-01-01T00:00:00Z');
const zone = (name: string): Zone => findZone(name) as Zone;
const BERLIN = recordZone(zone('Europe/Berlin'), FROM, UNTIL);
/** As if Berlin had meant to stay on summer time from autumn 2027 on. */
const STAYS: ZoneRecord = { ...BERLIN, changes: BERLIN.changes.filter(([at]) => at < seconds('2027-10-01T00:00:00Z')) };

function moved(spec: ScheduleSpec, records: ZoneRecords, from: string): string | undefined {
  const reading = parseSchedule(spec);
  if (!reading.ok) throw new Error(reading.error.message);
  const { canonical } = reading.schedule;
  const zones = recordedZones(records);
  const name = spec.timezone as string;
  const starts = differences(zones(name) as Zone, zone(name), FROM, UNTIL);
  const task = { createdMs: 0, seed: 0 };
  const found = movedFire(
    parseCanonical(canonical, zones),
    reading.schedule,
    { fromMs: Date.parse(from), untilMs: UNTIL * 1_000, starts },
    task,
  );
  const text = (ms: number): string => (ms === Infinity ? 'never' : new Date(ms).toISOString().slice(0, 16));
  return found === undefined ? undefined : `${text(found.wasMs)} > ${text(found.isMs)}`;
}

describe('a record of a zone', () => {
  it('has its changes', () => {
    expect(BERLIN.first).toBe(3_600);
    expect(BERLIN.changes.slice(0, 2)).toEqual([
      [seconds('2026-03-29T01:00:00Z'), 7_200],
      [seconds('2026-10-25T01:00:00Z'), 3_600],
    ]);
    expect(BERLIN.changes).toHaveLength(8);
    expect(recordZone(zone('UTC'), FROM, UNTIL)).toEqual({ first: 0, changes: [] });
  });

  it('is read back as the same zone', () => {
    for (const name of ['Europe/Berlin', 'Africa/Casablanca', 'Australia/Lord_Howe', 'Asia/Gaza', 'Asia/Tokyo']) {
      const again = recordedZone(name, recordZone(zone(name), FROM, UNTIL));
      for (let at = FROM; at < UNTIL; at += 7_200) expect(again.offsetAt(at), name).toBe(zone(name).offsetAt(at));
      expect(differences(again, zone(name), FROM, UNTIL)).toEqual([]);
    }
  });

  it('is told from others by a digest, whatever the order of zones', () => {
    const digest = digestOf(new Map([['a', BERLIN], ['b', STAYS]])); // prettier-ignore
    expect(digestOf(new Map([['b', STAYS], ['a', BERLIN]]))).toBe(digest); // prettier-ignore
    expect(digestOf(new Map([['a', BERLIN], ['b', BERLIN]]))).not.toBe(digest); // prettier-ignore
  });
});

describe('what moves with the data', () => {
  const records = new Map([['Europe/Berlin', STAYS]]);
  const now = '2026-11-27T00:00:00Z';

  it('begins where offsets begin to differ', () => {
    const starts = differences(recordedZone('Europe/Berlin', STAYS), zone('Europe/Berlin'), FROM, UNTIL);
    expect(starts.map((at) => new Date(at * 1_000).toISOString().slice(0, 10))).toEqual([
      '2027-10-31',
      '2028-10-29',
      '2029-10-28',
    ]);
  });

  it.each<[ScheduleSpec, string | undefined]>([
    [{ cron: '0 9 * * *' }, '2027-10-31T07:00 > 2027-10-31T08:00'],
    [{ cron: '0 9 * * FRI' }, '2027-11-05T07:00 > 2027-11-05T08:00'],
    [{ cron: '0 9 1 7 *' }, undefined], // summer is the same
    [{ cron: '0 9 1 1 *' }, '2028-01-01T07:00 > 2028-01-01T08:00'],
    [{ cron: '*/15 * * * *' }, undefined],
    [{ cron: '30 2 * * *', fold: 'last' }, '2027-10-31T00:30 > 2027-10-31T01:30'],
    [{ every: '1mo', anchor: '2026-01-15T08:00:00Z' }, '2027-11-15T07:00 > 2027-11-15T08:00'],
    [{ cron: '0 9 * * *', endAt: '2027-10-31T07:30:00Z' }, '2027-10-31T07:00 > never'],
    [{ cron: '0 9 * * *', endAt: '2027-10-01T00:00:00Z' }, undefined],
    [{ cron: '0 9 29 2 *', startAt: '2029-01-01T00:00:00Z' }, undefined], // beyond what was recorded
  ])('%j: %s', (spec, expected) => {
    expect(moved({ ...spec, timezone: 'Europe/Berlin' }, records, now)).toBe(expected);
  });

  it('is the next fire where that has moved already', () => {
    expect(moved({ cron: '0 9 * * *', timezone: 'Europe/Berlin' }, records, '2027-12-01T00:00:00Z')).toBe(
      '2027-12-01T07:00 > 2027-12-01T08:00',
    );
  });

  it('is found by an alias, too', () => {
    const [{ first }] = [recordZone(zone('Asia/Kolkata'), FROM, UNTIL)];
    const [name] = [new Intl.DateTimeFormat('en', { timeZone: 'Asia/Kolkata' }).resolvedOptions().timeZone];
    const later = new Map([[name, { first: first + 1_800, changes: [] }]]);
    expect(moved({ cron: '0 9 * * *', timezone: 'Asia/Kolkata' }, later, now)).toBe(
      '2026-11-27T03:00 > 2026-11-27T03:30',
    );
  });
});
