/** What holds for every schedule, whatever it combines. */
import { describe, expect, it } from 'vitest';
import { parseCanonical } from './canonical.ts';
import { Scanner } from './cron-scanner.ts';
import { parseCalendar } from './read-calendar.ts';
import { parseSchedule, slotsOf, withSlot, type ReadContext } from './read-schedule.ts';
import { nextFire, type Schedule } from './schedule.ts';
import type { ScheduleSpec, TaskContext } from './schedule-spec.ts';
import { seeded } from './testing.ts';

const DAY_MS = 86_400_000;
const ZONES = 'America/New_York Europe/London Australia/Lord_Howe Pacific/Apia Antarctica/Troll Asia/Gaza UTC'.split(
  ' ',
);
const CRONS = ['30 2 * * *', '*/20 * * * *', '0 0 1,15 * *', '15 1 * * SUN', '0 9 * * MON-FRI', '45 0-3 L * *'];
/** Days with changes of the clock somewhere, and without. */
const DAYS = '2011-12-29 2023-03-11 2023-03-25 2023-10-28 2023-11-04 2024-04-06 2024-06-01'.split(' ');

function schedule(spec: ScheduleSpec, context?: ReadContext): Schedule {
  const reading = parseSchedule(spec, context);
  if (!reading.ok) throw new Error(`${JSON.stringify(spec)}: ${reading.error.message}`);
  return reading.schedule;
}

function pick<T>(random: () => number, among: readonly T[]): T {
  return among[Math.floor(random() * among.length)] as T;
}

function firesWithin(of: Schedule, fromMs: number, toMs: number): number[] {
  const fires: number[] = [];
  const task = { createdMs: 0, seed: 0 };
  for (let at = nextFire(of, fromMs, task); at <= toMs; at = nextFire(of, at, task)) fires.push(at);
  return fires;
}

/** Any fields that go together. */
function someSpec(random: () => number): ScheduleSpec {
  const maybe = (share: number): boolean => random() < share;
  const at = Date.parse(pick(random, DAYS)) + Math.floor(random() * DAY_MS);
  const chosen = maybe(0.3);
  const onCalendar = maybe(0.4);
  return {
    timezone: pick(random, ZONES),
    ...(onCalendar
      ? { every: pick(random, ['1d', '2d', '1w', '1mo', '1y']), ...(maybe(0.7) ? { anchor: at - 400 * DAY_MS } : {}) }
      : { cron: chosen ? '* * * * *' : [pick(random, CRONS), pick(random, CRONS)] }),
    ...(chosen ? { between: pick(random, [['01:30', '03:30'] as const, ['23:00', '01:00'] as const]) } : {}),
    ...(maybe(0.4) ? { gap: pick(random, ['next', 'skip'] as const) } : {}),
    ...(maybe(0.4) ? { fold: pick(random, ['first', 'last', 'both'] as const) } : {}),
    ...(maybe(0.4) ? { calendars: ['it'], onExcluded: pick(random, ['skip', 'next'] as const) } : {}),
    ...(maybe(0.4) ? { jitter: pick(random, ['90s', '3h', '24h']) } : {}),
    ...(maybe(0.3) ? { startAt: at } : {}),
    ...(maybe(0.3) ? { endAt: at + 40 * DAY_MS } : {}),
    ...(maybe(0.3) ? { limit: 1 + Math.floor(random() * 20) } : {}),
  };
}

describe('any schedule', () => {
  const reading = parseCalendar({
    exclude: [{ weekdays: ['SUN'] }, '03-26', { daily: ['01:00', '02:10'] }, { from: '2023-10-01', to: '2023-10-30' }],
    timezone: 'Europe/London',
  });
  if (!reading.ok) throw new Error(reading.error.message);
  const { calendar } = reading;

  it('answers strictly later, the same however one gets there, and is read back from its canonical text', () => {
    const random = seeded(31);
    let answers = 0;
    for (let round = 0; round < 600; round++) {
      const spec = someSpec(random);
      const day = Date.parse(pick(random, DAYS));
      const context = { nowMs: day - 5 * DAY_MS };
      const stated = schedule(spec, context);
      const of = withSlot(stated, Math.floor(random() * Math.max(1, slotsOf(stated))), context);
      const again = parseCanonical(of.canonical);
      expect(again.canonical).toBe(of.canonical);
      const task: TaskContext = {
        createdMs: context.nowMs,
        seed: Math.floor(random() * 2 ** 32),
        calendars: () => calendar,
      };
      let after = day + Math.floor(random() * 2 * DAY_MS);
      for (let step = 0; step < 4; step++) {
        const fire = nextFire(of, after, task);
        const what = `${of.canonical} after ${new Date(after).toISOString()}`;
        expect(fire, what).toBeGreaterThan(after);
        expect(nextFire(again, after, task), what).toBe(fire);
        if (fire === Infinity) break;
        answers++;
        for (const between of [fire - 1, after + Math.floor(random() * (fire - after))])
          expect(nextFire(of, between, task), what).toBe(fire);
        expect(fire, what).toBeLessThanOrEqual((spec.endAt as number | undefined) ?? Infinity);
        expect(fire, what).toBeGreaterThanOrEqual((spec.startAt as number | undefined) ?? 0);
        after = fire;
      }
    }
    expect(answers).toBeGreaterThan(500);
  });

  it('fires as often as its limit says', () => {
    const random = seeded(32);
    for (let round = 0; round < 100; round++) {
      const { calendars: _, onExcluded: __, endAt: ___, ...spec } = someSpec(random);
      const nowMs = Date.parse(pick(random, DAYS));
      const limit = 1 + Math.floor(random() * 20);
      const stated = schedule({ ...spec, limit }, { nowMs });
      const of = withSlot(stated, 3, { nowMs });
      const task = { createdMs: nowMs, seed: 5 };
      let count = 0;
      let at = spec.startAt === undefined ? nowMs : Math.min(nowMs, (spec.startAt as number) - 1);
      while ((at = nextFire(of, at, task)) !== Infinity && count <= limit) count++;
      expect(count, of.canonical).toBe(limit);
    }
  });
});

describe('several expressions', () => {
  it('fire when the brute-force scanner finds one of them, each instant once', () => {
    const random = seeded(33);
    for (let round = 0; round < 25; round++) {
      const timezone = pick(random, ZONES);
      const cron = [pick(random, CRONS), pick(random, CRONS), pick(random, CRONS)];
      const from = Date.parse(pick(random, DAYS)) + Math.floor(random() * DAY_MS);
      const to = from + 2 * DAY_MS;
      const expected = new Set(cron.flatMap((text) => new Scanner(text, timezone).fires(from, to)));
      expect(firesWithin(schedule({ cron, timezone }), from, to), `${cron.join('; ')} in ${timezone}`).toEqual(
        [...expected].sort((a, b) => a - b),
      );
    }
  });
});

describe('a window', () => {
  it('is the fixed time that was chosen, as the brute-force scanner finds it', () => {
    const random = seeded(34);
    for (let round = 0; round < 25; round++) {
      const timezone = pick(random, ZONES);
      const slot = Math.floor(random() * 180);
      const days = pick(random, ['* * *', '* * MON-FRI', '1,L * *']);
      const stated = days === '* * *' && round % 2 === 0 ? { every: '1d' } : { cron: `* * ${days}` };
      const of = withSlot(schedule({ ...stated, timezone, between: ['23:30', '02:30'] }), slot);
      const minute = (23 * 60 + 30 + slot) % 1_440;
      const from = Date.parse(pick(random, DAYS)) + Math.floor(random() * DAY_MS);
      const fixed = `${minute % 60} ${Math.floor(minute / 60)} ${days}`;
      expect(firesWithin(of, from, from + 3 * DAY_MS), `${of.canonical} is ${fixed}`).toEqual(
        new Scanner(fixed, timezone).fires(from, from + 3 * DAY_MS),
      );
    }
  });
});
