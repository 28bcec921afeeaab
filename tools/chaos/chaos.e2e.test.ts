import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { expect, test, vi } from 'vitest';

import type { CaseReport } from './report.ts';

vi.setConfig({ testTimeout: 300_000 });

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));

test('a scheduler and a gateway are killed on real processes, and nothing is lost or doubled', async () => {
  const args = [MAIN, 'kill-owner', 'kill-gateway', '--quick', '--json'];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const { cases } = JSON.parse(stdout) as { cases: CaseReport[] };
  const clean = { lost: 0, doubled: 0, early: 0, cancelled: 0, problems: [] };
  expect(cases).toMatchObject([
    { case: 'kill-owner', ...clean },
    { case: 'kill-gateway', ...clean },
  ]);
  for (const { fires } of cases) expect(fires).toBeGreaterThan(50);
});
