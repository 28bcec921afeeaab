import { writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { pick } from '../random.ts';
import type { ChaosCase } from '../scene.ts';

const FOR_MS = 12_000;

function step(name: string, what: string, ms: number): ChaosCase {
  return {
    name: `clock-${name}`,
    what: `the clock of one scheduler is ${what} for 12 s, then right again`,
    load: { windowMs: 20_000 },
    async inject({ cluster, random, blame }) {
      const member = pick(cluster.schedulers, random);
      writeFileSync(member.clockFile, String(ms));
      const untilMs = performance.now() + FOR_MS;
      const isNoticed = async (): Promise<boolean> => {
        const skew = Math.abs((await member.metric('belfry_clock_skew_seconds')) ?? 0);
        return skew * 1_000 > Math.abs(ms) / 2 || (await member.metric('belfry_clock_unfit')) === 1;
      };
      await cluster.until('it is noticed', isNoticed, FOR_MS).catch(() => blame(`${member.name} noticed nothing`));
      await delay(Math.max(0, untilMs - performance.now()));
      writeFileSync(member.clockFile, '');
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
