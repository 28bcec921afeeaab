import type { CreateRecord, UpdateRecord } from '@belfry/protocol';
import { parseCanonical, parseSchedule, withSlot } from '@belfry/timing';
import { describe, expect, it } from 'vitest';

import { settle, SPEC, specs, T0, TestWorld } from './test-world.ts';

const NIGHTLY = { at: undefined, every: '1d', between: ['02:00', '04:00'], timezone: 'UTC' } as const;

function slotOf(canonical: string | undefined): number {
  const schedule = parseCanonical(canonical ?? '');
  if (schedule.kind !== 'composed' || schedule.parts.slot === undefined) throw new Error(`${canonical} has no slot`);
  return schedule.parts.slot;
}

function slots(world: TestWorld): number[] {
  return world.records().map((record) => slotOf((record as CreateRecord | UpdateRecord).s));
}

/** The stored text of the same window at another minute. */
function stored(slot: number, change: object = {}): string {
  const { at: _, ...spec } = NIGHTLY;
  const reading = parseSchedule({ ...spec, ...change });
  if (!reading.ok) throw new Error(reading.error.message);
  return withSlot(reading.schedule, slot).canonical;
}

describe('a schedule with a window', () => {
  it('gets one of the emptiest minutes: none twice before each was given once', async () => {
    const world = new TestWorld();
    await world.ask(
      'tasks.create',
      specs(120, () => NIGHTLY),
    );
    expect(slots(world).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 120 }, (_, slot) => slot));
    await world.ask(
      'tasks.create',
      specs(120, () => NIGHTLY),
    );
    expect(new Set(slots(world).slice(120)).size).toBe(120);
    expect(slots(world).slice(0, 120), 'ties are by id, not in order').not.toEqual(
      slots(world).toSorted((a, b) => a - b),
    );
  });

  it('is placed among what other windows have, in whichever zone', async () => {
    const world = new TestWorld();
    const berlin = { every: '1d', between: ['04:00', '06:00'], timezone: 'Europe/Berlin' };
    const taken = [0, 119].map((slot) => ({ schedule: stored(slot), tasks: 1 }));
    // At T0 it is two hours ahead of UTC: the same two hours of the day.
    const there = Array.from({ length: 117 }, (_, i) => ({ schedule: stored(i + 1, berlin), tasks: 1 }));
    world.slots = [...taken, ...there];
    world.gateway.tick();
    await settle();
    await world.ask('tasks.create', { ...SPEC, ...NIGHTLY });
    expect(slots(world)).toEqual([118]);
  });

  it('gets a minute by what was known, when nothing can be read', async () => {
    const world = new TestWorld();
    world.queryError = new Error('away');
    world.gateway.tick();
    await settle();
    expect(world.logged.some((line) => line.includes('cannot be counted'))).toBe(true);
    await world.ask('tasks.create', { ...SPEC, ...NIGHTLY });
    expect(slots(world)).toHaveLength(1);
  });

  it('gets one with an update, too', async () => {
    const world = new TestWorld();
    const { at: _, ...spec } = NIGHTLY;
    await world.ask('tasks.update', { key: 'k', set: spec });
    expect(slots(world)).toHaveLength(1);
  });

  it('has its limit from the minute that it got', async () => {
    const world = new TestWorld();
    await world.ask('tasks.create', { ...SPEC, ...NIGHTLY, limit: 2 });
    const [record] = world.records() as CreateRecord[];
    const schedule = parseCanonical(record?.s ?? '');
    const fires: number[] = [];
    const task = { createdMs: T0, seed: 0 };
    if (schedule.kind !== 'composed') throw new Error('not composed');
    for (let at = schedule.next(T0, task); at < Infinity; at = schedule.next(at, task)) fires.push(at);
    expect(fires).toHaveLength(2);
  });
});

describe('a limit that counts from now', () => {
  it('is told anew for each request, and the same within one', async () => {
    const world = new TestWorld();
    const make = async () =>
      world.ask(
        'tasks.create',
        specs(2, () => ({ at: undefined, every: '1m', limit: 3 })),
      );
    await make();
    world.nowMs += 1_000;
    await make();
    const texts = world.records().map((record) => (record as CreateRecord).s);
    expect(texts[0]).toBe(texts[1]);
    expect(texts[2]).toBe(texts[3]);
    expect(texts[0]).not.toBe(texts[2]);
  });
});
