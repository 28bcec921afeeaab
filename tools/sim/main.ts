// npm run sim -- [--minutes N] [--jobs N] [--from SEED]    a swarm of random seeds
//                --seed S                                  one seed, with its trace; a violation is shrunk
//                --plan FILE                               a plan as a failure prints it
//                --mutations                               deliberate bugs, each of which must be found

import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { makePlan, runPlan, shrink, type Plan, type RunResult } from '@belfry/simulation';
import { runMutations } from './mutations.ts';
import { runSwarm } from './swarm.ts';

const DEFAULT_MINUTES = 10;
const SHRINK_MS = 120_000;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' },
    jobs: { type: 'string' },
    from: { type: 'string' },
    seed: { type: 'string' },
    plan: { type: 'string' },
    mutations: { type: 'boolean' },
    only: { type: 'string' },
  },
});

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function replay(plan: Plan): Promise<void> {
  const result = await runPlan(plan, say);
  tell(result);
  if (result.violation === undefined) return;
  process.exitCode = 1;
  say('shrinking …');
  const shortest = await shrink(result, { budgetMs: SHRINK_MS, now: () => performance.now() });
  say(`shortest plan found, ${shortest.plan.steps.length} steps (npm run sim -- --plan FILE):`);
  say(JSON.stringify(shortest.plan));
  tell(shortest);
}

function tell({ plan, violation, traceHash, virtualMs, executions, steps }: RunResult): void {
  const seconds = (virtualMs / 1_000).toFixed(0);
  say(`seed ${plan.seed}: trace ${traceHash}, ${seconds} s of the world, ${steps} steps, ${executions} executions`);
  say(violation === undefined ? 'no violation' : `VIOLATION ${violation.message}`);
}

if (values.mutations === true) {
  const survivors = await runMutations(say, values.only);
  if (survivors > 0) process.exitCode = 1;
} else if (values.plan !== undefined) {
  await replay(JSON.parse(await readFile(values.plan, 'utf8')) as Plan);
} else if (values.seed !== undefined) {
  await replay(makePlan(Number(values.seed)));
} else {
  const failed = await runSwarm({
    minutes: Number(values.minutes ?? DEFAULT_MINUTES),
    jobs: Number(values.jobs ?? availableParallelism()),
    from: Number(values.from ?? Date.now() % 1_000_000_000),
    say,
  });
  for (const seed of failed.slice(0, 1)) await replay(makePlan(seed));
  if (failed.length > 0) process.exitCode = 1;
}
