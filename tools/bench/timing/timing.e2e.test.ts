import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { expect, test } from 'vitest';

import type { Figure } from './report.ts';

const BENCH = fileURLToPath(new URL('../main.ts', import.meta.url));

test('a quick run measures everything', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [BENCH, 'timing', '--quick', '--no-others', '--json']);
  const { figures, tasks } = JSON.parse(stdout) as { figures: Figure[]; tasks: number };
  expect(tasks).toBe(20_000);
  expect(figures.filter(({ value }) => !Number.isFinite(value))).toEqual([]);
  const names = figures.map(({ name }) => name.replace(/[,(:].*/, '').trim());
  for (const name of ['bytes a timer', 'fires + reschedules', 'snapshot', 'worst tick of the year', 'next fire'])
    expect(names).toContain(name);
});
