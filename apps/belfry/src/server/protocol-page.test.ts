import { readFileSync } from 'node:fs';
import { ERROR_CODES, LIMITS } from '@belfry/protocol';
import { nextFire, parseSchedule, type ScheduleSpec } from '@belfry/timing';
import { describe, expect, it } from 'vitest';

/** As a gateway that reads the page's schedules: some can never fire from then on. */
const NOW = Date.parse('2026-11-01T00:00:00Z');
const PAGE = readFileSync(new URL('../../../../docs/protocol.md', import.meta.url), 'utf8');

/** The rows of a section's tables, cell by cell, without those of the headings. */
function rows(section: string): string[][] {
  const begin = PAGE.indexOf(`\n## ${section}\n`);
  const end = PAGE.indexOf('\n## ', begin + 1);
  return PAGE.slice(begin, end === -1 ? undefined : end)
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('\\|', '|')),
    );
}

function code(cell: string | undefined): string {
  return /^`([^`]*)`/.exec(cell ?? '')?.[1] ?? '';
}

describe('the protocol page', () => {
  it('lists every error code as the protocol has it', () => {
    const listed = rows('Errors').map(([name, meaning]) => [code(name), meaning]);
    expect(Object.fromEntries(listed)).toEqual(ERROR_CODES);
  });

  it('states the limits as they are', () => {
    const listed = rows('Limits').map(([name, value]) => [code(name), Number(value?.replaceAll(',', ''))] as const);
    expect(listed.length).toBeGreaterThan(20);
    for (const [name, value] of listed) expect([name, value]).toEqual([name, LIMITS[name as keyof typeof LIMITS]]);
  });

  const schedules = rows('Schedules').filter(([schedule]) => code(schedule).startsWith('{'));

  it.each(schedules.filter((row) => row.length === 3))('fires %s after %s at %s', (schedule, after, fires) => {
    const reading = parseSchedule(JSON.parse(code(schedule)) as ScheduleSpec);
    if (!reading.ok) throw new Error(reading.error.message);
    let at = Date.parse(code(after));
    const wanted = [...fires.matchAll(/`([^`]*)`/g)].map((match) => Date.parse(match[1] as string));
    const next = wanted.map(() => (at = nextFire(reading.schedule, at, { createdMs: 0, seed: 0 })));
    expect(next).toEqual(wanted);
    if (reading.schedule.kind === 'at')
      expect(nextFire(reading.schedule, at, { createdMs: 0, seed: 0 })).toBe(Infinity);
  });

  it.each(schedules.filter((row) => row.length === 2))('refuses %s: %s', (schedule, message) => {
    const reading = parseSchedule(JSON.parse(code(schedule)) as ScheduleSpec, { nowMs: NOW });
    expect(reading).toMatchObject({ ok: false, error: { message: code(message) } });
  });

  it('has schedules of both kinds', () => {
    expect(schedules.filter((row) => row.length === 3).length).toBeGreaterThan(10);
    expect(schedules.filter((row) => row.length === 2).length).toBeGreaterThan(10);
  });
});
