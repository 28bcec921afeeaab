import { parseArgs } from 'node:util';

export const FIGURES = ['creates', 'latency', 'drain', 'lateness', 'memory', 'start'] as const;
export type Figure = (typeof FIGURES)[number];
/** Those that peers are measured by too. */
export const COMPARED: readonly Figure[] = ['creates', 'drain', 'lateness'];

/** What a run measures, and how much of it. */
export interface Plan {
  readonly help: boolean;
  readonly json: boolean;
  readonly peers: boolean;
  readonly figures: ReadonlySet<Figure>;
  readonly rounds: number;
  /** Tasks that creates/s is measured with. */
  readonly creates: number;
  /** Tasks that executions/s is measured with. */
  readonly drains: number;
  /** How long lateness and request latency are measured. */
  readonly seconds: number;
  readonly firesPerSecond: number;
  readonly requestsPerSecond: number;
  /** Waiting tasks for memory and start. */
  readonly tasks: number;
  /** From the creation of tasks to the first that is due. */
  readonly leadMs: number;
  /** How much longer than expected something may take before the run fails. */
  readonly patienceMs: number;
  /** Write CPU profiles of Belfry's server and worker processes here. */
  readonly profileDir: string | undefined;
  /** Node's flags for a process of this name. */
  readonly nodeFlags: (name: string) => readonly string[];
}

export const HELP = `Measures Belfry on this machine, with fsync on: npm run bench -- [options]
The timing wheel and the schedules alone: npm run bench -- timing --help

  --peers              also BullMQ, graphile-worker and pg-boss, in turn with Belfry, and ratios
  --only <figures>     some of ${FIGURES.join(', ')} (with commas)
  --rounds <n>         how often creates, drain and lateness are measured; medians are shown (default 3)
  --seconds <n>        how long lateness and request latency are measured (default 20)
  --creates <n>        tasks for creates/s (default 100000)
  --drains <n>         tasks for executions/s (default 50000)
  --tasks <n>          waiting tasks for memory and start (default 1000000)
  --quick              a second or two of each: to see that it works, not for figures
  --profile <folder>   CPU profiles of Belfry's server and worker processes
  --json               figures as JSON on stdout
  --help               this

Progress goes to stderr. How it measures, and how to read it: docs/benchmarks.md
`;

export class UsageError extends Error {}

/** @throws UsageError */
export function planOf(args: readonly string[]): Plan {
  const values = parse(args);
  const quick = values.quick === true;
  const number = (
    name: 'rounds' | 'seconds' | 'creates' | 'drains' | 'tasks',
    usual: number,
    short: number,
  ): number => {
    const text = values[name];
    if (text === undefined) return quick ? short : usual;
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1)
      throw new UsageError(`--${name} must be a whole number from 1 on, not ${text}`);
    return value;
  };
  const profileDir = values.profile;
  return {
    help: values.help === true,
    json: values.json === true,
    peers: values.peers === true,
    figures: figuresOf(values.only),
    rounds: number('rounds', 3, 1),
    seconds: number('seconds', 20, 1),
    creates: number('creates', 100_000, 2_000),
    drains: number('drains', 50_000, 500),
    tasks: number('tasks', 1_000_000, 2_000),
    firesPerSecond: quick ? 100 : 1_000,
    requestsPerSecond: 100,
    leadMs: quick ? 2_000 : 8_000,
    patienceMs: 120_000,
    profileDir,
    nodeFlags: (name) => (profileDir === undefined ? [] : profileFlags(profileDir, name)),
  };
}

/** Node's flags that write a CPU profile when the process ends. */
export function profileFlags(folder: string, name: string): string[] {
  return ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-name=${name}-${process.pid}-${Date.now()}.cpuprofile`];
}

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        help: { ...flag, short: 'h' },
        json: flag,
        peers: flag,
        quick: flag,
        only: text,
        rounds: text,
        seconds: text,
        creates: text,
        drains: text,
        tasks: text,
        profile: text,
      },
    }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function figuresOf(only: string | undefined): ReadonlySet<Figure> {
  if (only === undefined) return new Set(FIGURES);
  const names = only.split(',').map((name) => name.trim());
  const strange = names.find((name) => !(FIGURES as readonly string[]).includes(name));
  if (strange !== undefined) throw new UsageError(`--only: no figure ${strange}; known: ${FIGURES.join(', ')}`);
  return new Set(names as Figure[]);
}
