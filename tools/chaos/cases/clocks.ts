import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { pick } from '../random.ts';
import type { ChaosCase } from '../scene.ts';

function step(name: string, what: string, ms: number): ChaosCase {
  return {
    name: `clock-${name}`,
    what: `the clock of one scheduler is ${what} for 12 s, then right again`,
    load: { windowMs: 20_000 },
    async inject({ cluster, random }) {
      const { clockFile } = pick(cluster.schedulers, random);
      writeFileSync(clockFile, String(ms));
      await delay(12_000);
      writeFileSync(clockFile, '');
    },
  };
}

const HOUR_MS = 3_600_000;

export const CLOCKS: readonly ChaosCase[] = [
  step('1s-fast', '1 s fast', 1_000),
  step('1s-slow', '1 s slow', -1_000),
  step('1h-fast', '1 h fast', HOUR_MS),
  step('1h-slow', '1 h slow', -HOUR_MS),
  step('1d-slow', 'a day slow', -24 * HOUR_MS),
];
