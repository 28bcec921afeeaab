import { expect, it } from 'vitest';

import { readStat, starve, starvedLacks, statOf } from './starve.ts';

it('reads what the system says of a process, whatever its name', () => {
  const rest = 'S 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0 11';
  expect(readStat(`17 (node) ${rest}`)).toEqual({ state: 'S', cpuMs: 1_750 });
  expect(readStat(`17 (a) T (b) ${rest}`)).toEqual({ state: 'S', cpuMs: 1_750 });
  expect(statOf(process.pid)?.cpuMs).toBeGreaterThan(0);
  expect(statOf(undefined)).toBeUndefined();
});

it('finds a phase in which nothing was starved', () => {
  const phase = { wallMs: 20_000, cpuMs: 3_000, stoppedMs: 16_000 };
  expect(starvedLacks(phase)).toBeUndefined();
  expect(starvedLacks({ ...phase, stoppedMs: 13_000 })).toBe('it stood still for 65 % of the time');
  expect(starvedLacks({ ...phase, cpuMs: 9_000 })).toBe('it got 45 % of a processor');
  expect(starvedLacks({ ...phase, cpuMs: 0 })).toBe('it did not run at all');
});

it('lets the process run in the end, also when it fails', async () => {
  const signals: string[] = [];
  const member = (onStop: () => void) => ({
    pid: process.pid,
    signal: (name: string): void => {
      signals.push(name);
      if (name === 'SIGSTOP') onStop();
    },
  });
  await starve(
    member(() => undefined),
    1,
  );
  expect(signals).toEqual(['SIGSTOP', 'SIGCONT', 'SIGCONT']);
  signals.length = 0;
  const failing = member(() => {
    throw new Error('gone');
  });
  await expect(starve(failing, 1)).rejects.toThrow('gone');
  expect(signals).toEqual(['SIGSTOP', 'SIGCONT']);
});
