import type { StoredZoneData } from '@belfry/ports';
import { findZone, recordZone, type ZoneRecord } from '@belfry/timing';
import { describe, expect, it } from 'vitest';

import { T0, TestWorld } from './test-world.ts';

const FROM = Date.UTC(2026, 0) / 1_000;
const UNTIL = Date.UTC(2032, 0) / 1_000;

function present(name: string): ZoneRecord {
  const zone = findZone(name);
  if (zone === undefined) throw new Error(name);
  return recordZone(zone, FROM, UNTIL);
}

/** As if the zone were never to change its clock again. */
const still = (name: string): ZoneRecord => ({ first: present(name).first, changes: [] });

function data(version: string, zones: { readonly [name: string]: ZoneRecord }): StoredZoneData {
  return { version, digest: version, recordedAt: T0 - 1_000, fromS: FROM, untilS: UNTIL, zones: JSON.stringify(zones) };
}

function world(...zoneData: StoredZoneData[]): TestWorld {
  const of = new TestWorld();
  of.zoneData = zoneData;
  of.schedules = {
    items: [
      { schedule: 'c0 9 * * *;Europe/Berlin', tasks: 100, ids: ['aa', 'bb'] },
      { schedule: 'c0 9 1 2 *;Europe/Berlin', tasks: 9 },
      { schedule: 'c0 9 1 7 *;Europe/Berlin', tasks: 7 },
      { schedule: 'c*/15 * * * *;Europe/Berlin', tasks: 5 },
      { schedule: 'c0 9 * * *;Asia/Kolkata', tasks: 4 },
      { schedule: 'e60000', tasks: 3 },
      { schedule: 'c0 9 * * *;Mars/Olympus', tasks: 2 },
    ],
    instants: [],
    leftOut: 1,
  };
  return of;
}

const BERLIN = present('Europe/Berlin');
const CALCUTTA = new Intl.DateTimeFormat('en', { timeZone: 'Asia/Kolkata' }).resolvedOptions().timeZone;

describe('schedules.tzdiff', () => {
  it('tells which tasks fire at another instant than by the data that was recorded, those whose next fire it is first', async () => {
    // T0 is in September 2026: summer time, which the recorded data does not know.
    const of = world(
      data('2026c', { 'Europe/Berlin': BERLIN }),
      data('2026b', { 'Europe/Berlin': still('Europe/Berlin') }),
    );
    const reply = await of.ask('schedules.tzdiff', {});
    expect(reply).toMatchObject({
      from: { version: '2026b', recordedAt: new Date(T0 - 1_000).toISOString() },
      to: { version: '2026c' },
      until: '2032-01-01T00:00:00.000Z',
      zones: ['Europe/Berlin'],
      moved: 107,
      leftOut: 3,
    });
    expect(reply.items).toEqual([
      {
        schedule: { cron: '0 9 * * *', timezone: 'Europe/Berlin' },
        tasks: 100,
        ids: ['aa', 'bb'],
        was: '2026-09-22T08:00:00.000Z',
        is: '2026-09-22T07:00:00.000Z',
        next: true,
      },
      {
        schedule: { cron: '0 9 1 7 *', timezone: 'Europe/Berlin' },
        tasks: 7,
        ids: [],
        was: '2027-07-01T08:00:00.000Z',
        is: '2027-07-01T07:00:00.000Z',
        next: true,
      },
    ]);
  });

  it('tells of a fire that moves later, and of a zone by its other name', async () => {
    const { first, changes } = BERLIN;
    const later = { first, changes: changes.filter(([at]) => at < Date.UTC(2027, 0) / 1_000) };
    const kolkata = { first: 19_800, changes: [[Date.UTC(2028, 0) / 1_000, 18_000]] as const };
    const reply = await world(data('2026b', { 'Europe/Berlin': later, [CALCUTTA]: kolkata })).ask(
      'schedules.tzdiff',
      {},
    );
    expect(reply).toMatchObject({ zones: [CALCUTTA, 'Europe/Berlin'].sort() });
    expect(reply.items).toMatchObject(
      [
        { schedule: { cron: '0 9 * * *', timezone: 'Europe/Berlin' }, was: '2027-03-28T08:00:00.000Z', next: false },
        {
          schedule: { cron: '0 9 1 7 *' },
          was: '2027-07-01T08:00:00.000Z',
          is: '2027-07-01T07:00:00.000Z',
          next: true,
        },
        { schedule: { timezone: 'Asia/Kolkata' }, was: '2028-01-01T04:00:00.000Z', is: '2028-01-01T03:30:00.000Z' },
      ].sort((a, b) => Number(b.next ?? false) - Number(a.next ?? false)),
    );
  });

  it('compares with the version that is asked for, and names those that there are', async () => {
    const of = world(
      data('2026b', { 'Europe/Berlin': BERLIN }),
      data('2026a', { 'Europe/Berlin': still('Europe/Berlin') }),
    );
    expect(await of.ask('schedules.tzdiff', {})).toMatchObject({ from: { version: '2026b' }, zones: [], items: [] });
    expect(await of.ask('schedules.tzdiff', { from: '2026a' })).toMatchObject({
      from: { version: '2026a' },
      moved: 107,
    });
    expect(await of.ask('schedules.tzdiff', { from: '2020a' })).toMatchObject({
      error: {
        code: 'not_found',
        path: 'from',
        message: 'no time-zone data 2020a has been recorded; there is 2026b, 2026a',
      },
    });
  });

  it('has nothing to compare with while only the present data has been recorded', async () => {
    for (const of of [world(), world(data('2026c', { 'Europe/Berlin': BERLIN }))]) {
      const reply = await of.ask('schedules.tzdiff', {});
      expect(reply).toMatchObject({ to: { version: '2026c' }, items: [], moved: 0 });
      expect(reply).not.toHaveProperty('from');
    }
  });
});
