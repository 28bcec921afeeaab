import { expect, it } from 'vitest';

import { beforeLatestFires } from './latest-fires.ts';
import { nextFire } from './schedule.ts';
import { parseSchedule } from './read-schedule.ts';

const UNTIL = Date.parse('2026-11-28T12:00:00Z');

/** Next fires of a schedule, and how often it was asked. */
function fires(spec: Parameters<typeof parseSchedule>[0]): { next: (afterMs: number) => number; asked: () => number } {
  const reading = parseSchedule(spec, { nowMs: 0, namespace: 'acme' });
  if (!reading.ok) throw new Error(reading.error.message);
  let asked = 0;
  const next = (afterMs: number): number => {
    asked++;
    return nextFire(reading.schedule, afterMs, { createdMs: 0, seed: 1 });
  };
  return { next, asked: () => asked };
}

function countAfter(next: (afterMs: number) => number, afterMs: number): number {
  let count = 0;
  for (let at = next(afterMs); at <= UNTIL; at = next(at)) count++;
  return count;
}

it('tells where the latest fires begin, of schedules even and uneven, without asking for all', () => {
  const specs = [
    { every: '1s' },
    { every: '7m' },
    // A day before, many at once, and none since.
    { cron: '* * 9-16 * * MON-FRI', timezone: 'UTC' },
    { cron: '*/5 * * * *', timezone: 'Europe/London' },
  ];
  for (const spec of specs)
    for (const most of [1, 10, 1_000]) {
      const { next, asked } = fires(spec);
      const afterMs = beforeLatestFires(next, 0, UNTIL, most);
      expect(asked()).toBeLessThan(10 * most + 100);
      expect(countAfter(next, afterMs)).toBe(most);
      const firstMs = next(afterMs);
      expect(beforeLatestFires(next, firstMs, UNTIL, most)).toBeLessThan(firstMs);
      expect(beforeLatestFires(next, firstMs - 1, UNTIL, most)).toBeLessThan(firstMs);
    }
  expect(beforeLatestFires(fires({ every: '1s' }).next, UNTIL + 1, UNTIL, 1)).toBe(-Infinity);
  expect(beforeLatestFires(fires({ every: '1s' }).next, UNTIL, UNTIL, 0)).toBe(UNTIL);
});
