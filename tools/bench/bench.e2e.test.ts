import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { expect, test } from 'vitest';

import type { Report } from './report.ts';

const MAIN = fileURLToPath(new URL('main.ts', import.meta.url));
const above0 = expect.toSatisfy((value: number) => value > 0, 'above 0');
const spreadAbove0 = { p50: above0, p99: above0, max: above0 };

test('a quick run gives every figure of Belfry, on servers of its own', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, '--quick', '--json']);
  const report = JSON.parse(stdout) as Report;
  expect(report).toMatchObject({
    quick: true,
    fsync: true,
    machine: { cores: above0, memoryGiB: above0 },
    systems: [{ name: 'Belfry', createsPerSecond: above0, drainsPerSecond: above0, lateness: { max: above0 } }],
    requestLatency: spreadAbove0,
    // What 2,000 tasks take is less than what the heap of a process varies by.
    memory: { tasks: above0, liveBytes: expect.any(Number), stateBytes: above0 },
    start: { tasks: above0, afterStopMs: above0, afterKillMs: above0 },
    ratios: [],
  });
}, 300_000); // some 50 s alone; a busy machine takes several times as long
