import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { makePlan, runPlan, shrink, type Plan, type RunResult } from '@belfry/simulation';
import { runMutations } from './mutations.ts';
import { runSwarm } from './swarm.ts';

const DEFAULT_MINUTES = 10;
const SHRINK_MS = 120_000;

const HELP = `Runs a cluster of production code on virtual time, with faults: npm run sim -- [options]

  --minutes <n>   a swarm of random seeds for so long (default 10)
  --jobs <n>      of the swarm: processes (default: one a core)
  --from <seed>   of the swarm: its first seed
  --seed <n>      one seed, with its trace; a violation is shrunk
  --plan <file>   a plan as a failure prints it
  --mutations     deliberate bugs, each of which must be found
  --only <text>   of the mutations: those with this in their name
  --help          this

Exit code 1 when the contract was violated, or a mutation was not found. What is checked: docs/reliability.md
`;

const { minutes, jobs, from, seed, ...values } = optionsOf(process.argv.slice(2));

function optionsOf(args: string[]) {
  try {
    const text = { type: 'string' } as const;
    const flag = { type: 'boolean' } as const;
    const { values } = parseArgs({
      args,
      options: {
        ...{ minutes: text, jobs: text, from: text, seed: text, plan: text, only: text },
        ...{ mutations: flag, help: flag },
      },
    });
    const whole = (name: 'jobs' | 'from' | 'seed', low: number): number | undefined => {
      const given = values[name];
      if (given === undefined) return undefined;
      const value = Number(given);
      if (given !== '' && Number.isSafeInteger(value) && value >= low) return value;
      throw new Error(`--${name} must be a whole number from ${low} on, not ${given}`);
    };
    const minutes = Number(values.minutes ?? DEFAULT_MINUTES);
    if (!(minutes > 0 && minutes < Infinity))
      throw new Error(`--minutes must be above 0, not ${String(values.minutes)}`);
    return { ...values, minutes, jobs: whole('jobs', 1), from: whole('from', 0), seed: whole('seed', 0) };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${HELP}`);
    process.exit(2);
  }
}

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

if (values.help === true) {
  process.stdout.write(HELP);
} else if (values.mutations === true) {
  const survivors = await runMutations(say, values.only);
  if (survivors > 0) process.exitCode = 1;
} else if (values.plan !== undefined) {
  await replay(JSON.parse(await readFile(values.plan, 'utf8')) as Plan);
} else if (seed !== undefined) {
  await replay(makePlan(seed));
} else {
  const failed = await runSwarm({
    minutes,
    jobs: jobs ?? availableParallelism(),
    from: from ?? Date.now() % 1_000_000_000,
    say,
  });
  for (const first of failed.slice(0, 1)) await replay(makePlan(first));
  if (failed.length > 0) process.exitCode = 1;
}
