// Runs seeds until one fails, with the mutation that mutate.ts has made.

import { makePlan, runPlan } from '@belfry/simulation';
import type { Finding } from './mutations.ts';

/** Seeds of the default budget. */
const SEEDS = 40;

let finding: Finding = { seeds: SEEDS, found: undefined };
for (let seed = 1; seed <= SEEDS; seed++) {
  const { violation } = await runPlan(makePlan(seed));
  if (violation === undefined) continue;
  finding = { seeds: seed, found: { seed, message: violation.message } };
  break;
}
process.send?.(finding);
process.disconnect?.();
