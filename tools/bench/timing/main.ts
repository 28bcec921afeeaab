/** Measures `libs/timing` in this process: `npm run bench -- timing --help`. */
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';

import { nextFireFigures } from './next-fire.ts';
import { otherFigures } from './others.ts';
import { figuresText, type Figure } from './report.ts';
import { wheelFigures } from './wheel-figures.ts';

const HELP = `Measures the timing wheel and the schedule engine: npm run bench -- timing [options]

  --tasks <n>   timers in the wheels (default 100000000, which takes 6 GiB); a fifth as many cron tasks
  --no-others   without croner, cron-parser, a binary heap and setTimeout
  --quick       small numbers, to see that it works: not for figures
  --json        figures as JSON on stdout
  --help        this

Rates are by the CPU time of the measuring thread. How to read it: docs/benchmarks.md
`;

const startedAt = performance.now();

function say(line: string): void {
  process.stderr.write(`[${String(Math.round((performance.now() - startedAt) / 1_000)).padStart(4)} s] ${line}\n`);
}

/** @throws Error that says what is wrong with the arguments */
function optionsOf(args: readonly string[]) {
  const flag = { type: 'boolean' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: { tasks: { type: 'string' }, 'no-others': flag, quick: flag, json: flag, help: { ...flag, short: 'h' } },
  });
  const quick = values.quick === true;
  const tasks = Number(values.tasks ?? (quick ? 20_000 : 100_000_000));
  if (!Number.isInteger(tasks) || tasks < 10_000) throw new Error('--tasks must be a whole number from 10000 on');
  return { tasks, quick, others: values['no-others'] !== true, json: values.json === true, help: values.help === true };
}

/** Wrong usage ends it. */
function optionsHere(): ReturnType<typeof optionsOf> {
  try {
    return optionsOf(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${HELP}`);
    process.exit(2);
  }
}

async function main(): Promise<void> {
  const { tasks, quick, others, json, help } = optionsHere();
  if (help) return void process.stdout.write(HELP);
  const { model = 'unknown' } = cpus()[0] ?? {};
  const machine = `${model}, ${availableParallelism()} cores; Node ${process.version}`;
  say(machine);
  const figures: Figure[] = [
    ...nextFireFigures(Math.round(tasks / 5), say),
    ...(others ? await otherFigures(tasks, quick, say) : []),
    ...wheelFigures(tasks, quick, say),
  ];
  process.stdout.write(
    json ? `${JSON.stringify({ machine, tasks, quick, figures }, undefined, 2)}\n` : `\n${figuresText(figures)}`,
  );
}

await main();
