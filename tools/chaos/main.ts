/** Breaks a Belfry cluster, fault by fault, and accounts for every fire: `npm run chaos -- --help`. */
import { HELP, planOf, UsageError } from './plan.ts';
import { problemsOf, reportText, summarize } from './report.ts';
import { Runner, type RunResult } from './runner.ts';
import { CASES } from './cases/index.ts';

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
  const results: RunResult[] = [];
  await using runner = new Runner(plan, say);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void runner[Symbol.asyncDispose]().finally(() => process.exit(1)));
  }
  for (const one of plan.cases) {
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
  const reports = summarize(results);
  const { machine } = runner;
  process.stdout.write(
    plan.json
      ? `${JSON.stringify({ machine, cases: reports }, undefined, 2)}\n`
      : `\n${machine ?? ''}\n\n${reportText(reports)}`,
  );
  return reports.every(({ ok }) => ok) ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(
    `${error instanceof UsageError ? `${error.message}\n\n${HELP}` : error instanceof Error ? error.stack : String(error)}\n`,
  );
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
