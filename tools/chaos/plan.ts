import { parseArgs } from 'node:util';

import { CASES } from './cases/index.ts';
import type { ChaosCase } from './scene.ts';

export interface Plan {
  readonly help: boolean;
  readonly list: boolean;
  readonly json: boolean;
  readonly markdown: boolean;
  /** Files with figures of earlier calls (`--json`): they are shown, and nothing is run. */
  readonly from: readonly string[];
  readonly cases: readonly ChaosCase[];
  readonly runs: number;
  readonly seed: number;
  readonly tasks: number;
  readonly outageSeconds: number;
  /** Outages of Postgres last as long as the longest that is promised to be survived. */
  readonly long: boolean;
  /** Small loads: to see that it works, not for figures. */
  readonly quick: boolean;
}

export const HELP = `Breaks a Belfry cluster, fault by fault, and accounts for every fire: npm run chaos -- [cases] [options]

  [cases]              names of cases, or beginnings of them; without, all
  --list               what there is
  --runs <n>           how often each case runs (default 1)
  --seed <n>           of the first run; the next runs take the next ones (default 1)
  --tasks <n>          waiting tasks of the cases that are about many (default 20000)
  --outage <s>         how long a server stays away in the cases of outages (default 60)
  --quick              small loads: to see that it works, not for figures
  --long               Postgres stays away for 30 minutes, in the case that is about it
  --json               figures as JSON on stdout
  --markdown           the table as docs/reliability.md has it
  --from <file>        shows the figures of an earlier call with --json instead of running; several: as one table
  --help               this

Servers and processes are its own, on loopback, in a folder that it removes (CHAOS_KEEP=1 keeps it). Exit code 1: something was lost,
ran twice, early, or after its cancel, or an answer was wrong. How to read the table: docs/reliability.md
`;

export class UsageError extends Error {}

/** @throws UsageError */
export function planOf(args: readonly string[]): Plan {
  const { values, positionals } = parse(args);
  const number = (name: 'runs' | 'seed' | 'tasks' | 'outage', usual: number): number => {
    const text = values[name];
    const value = text === undefined ? usual : Number(text);
    if (!Number.isInteger(value) || value < 1)
      throw new UsageError(`--${name} must be a whole number from 1 on, not ${text}`);
    return value;
  };
  return {
    help: values.help === true,
    list: values.list === true,
    json: values.json === true,
    markdown: values.markdown === true,
    from: values.from ?? [],
    long: values.long === true,
    cases: positionals.length === 0 ? CASES : CASES.filter(({ name }) => wanted(positionals).has(name)),
    runs: number('runs', 1),
    seed: number('seed', 1),
    tasks: number('tasks', 20_000),
    outageSeconds: number('outage', 60),
    quick: values.quick === true,
  };
}

function wanted(names: readonly string[]): ReadonlySet<string> {
  return new Set(
    names.flatMap((name) => {
      const found = CASES.filter((one) => one.name === name || one.name.startsWith(`${name}-`));
      if (found.length === 0) throw new UsageError(`there is no case ${name} (--list shows them)`);
      const exact = found.filter((one) => one.name === name);
      return (exact.length > 0 ? exact : found).map((one) => one.name);
    }),
  );
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        help: { ...flag, short: 'h' },
        list: flag,
        json: flag,
        markdown: flag,
        long: flag,
        from: { ...text, multiple: true },
        quick: flag,
        runs: text,
        seed: text,
        tasks: text,
        outage: text,
      },
    });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
