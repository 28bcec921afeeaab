/** Breaks a Belfry cluster, fault by fault, and accounts for every fire: `npm run chaos -- --help`. */
import { readFileSync } from 'node:fs';

import { machineText, type Machine } from '../bench/machine.ts';
import { CASES } from './cases/index.ts';
import { HELP, planOf, UsageError, type Plan } from './plan.ts';
import { problemsOf, reportMarkdown, reportText, summarize, type CaseReport } from './report.ts';
import { Runner, type RunResult } from './runner.ts';

const startedAt = performance.now();

function say(line: string): void {
  const seconds = Math.round((performance.now() - startedAt) / 1_000);
  process.stderr.write(`[${String(seconds).padStart(4)} s] ${line}\n`);
}

async function main(args: readonly string[]): Promise<number> {
  const plan = planOf(args);
  if (plan.help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (plan.list) {
    const width = Math.max(...CASES.map(({ name }) => name.length));
    process.stdout.write(CASES.map(({ name, what }) => `${name.padEnd(width)}  ${what}\n`).join(''));
    return 0;
  }
  if (plan.from.length > 0)
    return show(
      plan,
      plan.from.map((file) => JSON.parse(readFileSync(file, 'utf8')) as Figures),
    );
  return show(plan, [await run(plan)]);
}

/** Prints figures as they are asked for. Returns the exit code. */
function show(plan: Pick<Plan, 'json' | 'markdown'>, figures: readonly Figures[]): number {
  const machine = figures.find((of) => of.machine !== undefined)?.machine;
  const reports = figures.flatMap(({ cases }) => cases);
  const about = machine === undefined ? '' : machineText(machine);
  process.stdout.write(
    plan.json
      ? `${JSON.stringify({ machine, cases: reports } satisfies Figures, undefined, 2)}\n`
      : `\n${about}\n\n${plan.markdown ? reportMarkdown(reports, CASES) : reportText(reports)}`,
  );
  return reports.every(({ ok }) => ok) ? 0 : 1;
}

interface Figures {
  readonly machine: Machine | undefined;
  readonly cases: readonly CaseReport[];
}

async function run(plan: Plan): Promise<Figures> {
  const results: RunResult[] = [];
  await using runner = new Runner(plan, say);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void runner[Symbol.asyncDispose]().finally(() => process.exit(1)));
  }
  for (const one of plan.cases) {
    const obstacle = one.obstacle?.();
    if (obstacle !== undefined) {
      say(`${one.name}: left out: ${obstacle}`);
      continue;
    }
    for (let run = 0; run < plan.runs; run++) {
      const result = await runner.run(one, plan.seed + run);
      results.push(result);
      const problems = problemsOf(result);
      const { account } = result;
      say(
        `${one.name}: ${account.fires} fires, ${account.late} late, gap ${(account.worstMs / 1_000).toFixed(2)} s, ${problems.length === 0 ? 'ok' : problems.join(' | ')}`,
      );
    }
  }
  return { machine: runner.machine, cases: summarize(results) };
}

/** Not left to the end of the event loop: Node has been seen to spin for ever as it waits for what sockets had left open. */
function leave(code: number): never {
  process.exit(code);
}

try {
  leave(await main(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(
    `${error instanceof UsageError ? `${error.message}\n\n${HELP}` : error instanceof Error ? error.stack : String(error)}\n`,
  );
  leave(error instanceof UsageError ? 2 : 1);
}
