// A process of the swarm: node seeds.ts <from> <step> <until, ms since 1970>. Sends a report for each seed.

import { makePlan, runPlan } from '@belfry/simulation';

export interface SeedReport {
  readonly seed: number;
  readonly violation: string | undefined;
  readonly virtualMs: number;
  readonly steps: number;
  readonly executions: number;
  readonly faults: readonly (readonly [string, number])[];
  readonly tolerated: readonly (readonly [string, number])[];
}

// Also when the one that counts them has gone.
process.once('disconnect', () => process.exit());

// Errors of the world are many, and nobody reads where they were made: a seed that fails is run again for that.
Error.stackTraceLimit = 0;

const [from, step, untilMs] = process.argv.slice(2).map(Number) as [number, number, number];
for (let seed = from; Date.now() < untilMs; seed += step) {
  const { violation, virtualMs, steps, executions, faults, incidents, tolerated } = await runPlan(makePlan(seed));
  const report: SeedReport = {
    seed,
    violation: violation?.message,
    virtualMs,
    steps,
    executions,
    faults: [...faults, ...incidents],
    tolerated: [...tolerated],
  };
  process.send?.(report);
}
process.disconnect?.();
