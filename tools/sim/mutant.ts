// Runs seeds with the mutation that mutate.ts has made: node mutant.ts [seed to pass over …]. Ends with the first that fails, but the
// control, which has no mutation, runs them all.

import { makePlan, runPlan } from '@belfry/simulation';
import type { Finding } from './mutations.ts';

/** Seeds of the default budget. */
const SEEDS = 40;

const passedOver = new Set(process.argv.slice(2).map(Number));
const isControl = (process.env['BELFRY_MUTATION'] ?? '') === '';
const failed: { seed: number; message: string }[] = [];
let seeds = 0;
for (let seed = 1; seed <= SEEDS && (isControl || failed.length === 0); seed++) {
  if (passedOver.has(seed)) continue;
  seeds++;
  const { violation } = await runPlan(makePlan(seed));
  if (violation !== undefined) failed.push({ seed, message: violation.message });
}
process.send?.({ seeds, failed } satisfies Finding);
process.disconnect?.();
