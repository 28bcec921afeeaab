import { machineText, type Machine } from './machine.ts';
import type { Round } from './measures.ts';
import { ON_TIME_MS, type MemoryFigures, type StartFigures } from './own-measures.ts';
import type { Plan } from './plan.ts';
import { median, type Spread } from './stats.ts';
import type { Skipped, System } from './system.ts';

/** The medians of a system's rounds. */
export interface Compared {
  readonly name: string;
  readonly settings: string;
  readonly isPeer: boolean;
  readonly rounds: number;
  readonly createsPerSecond?: number;
  readonly drainsPerSecond?: number;
  readonly lateness?: Spread;
  /** Why it has no figures. */
  readonly failed?: string;
}

/** Belfry against the best of the peers, and what is wanted. */
export interface Ratio {
  readonly figure: string;
  readonly best: string;
  readonly ratio: number;
  readonly target: string;
  readonly reached: boolean;
}

export interface Report {
  readonly machine: Machine;
  readonly fsync: true;
  readonly quick: boolean;
  readonly systems: readonly Compared[];
  readonly requestLatency?: Spread;
  readonly memory?: MemoryFigures;
  readonly start?: StartFigures;
  readonly skipped: readonly Skipped[];
  readonly ratios: readonly Ratio[];
}

export function summarize({ name, settings, isPeer }: System, rounds: readonly Round[]): Compared {
  const all = <T>(pick: (round: Round) => T | undefined): T[] =>
    rounds.map(pick).filter((value) => value !== undefined);
  const creates = all((round) => round.createsPerSecond);
  const drains = all((round) => round.drainsPerSecond);
  const late = all((round) => round.lateness);
  return {
    name,
    settings,
    isPeer,
    rounds: rounds.length,
    ...(creates.length > 0 && { createsPerSecond: median(creates) }),
    ...(drains.length > 0 && { drainsPerSecond: median(drains) }),
    ...(late.length > 0 && {
      lateness: {
        p50: median(late.map(({ p50 }) => p50)),
        p99: median(late.map(({ p99 }) => p99)),
        max: Math.max(...late.map(({ max }) => max)),
      },
    }),
  };
}

interface Goal {
  readonly figure: string;
  readonly of: (system: Compared) => number | undefined;
  readonly isBetter: (a: number, b: number) => boolean;
  readonly wanted: number;
}

const GOALS: readonly Goal[] = [
  { figure: 'creates/s', of: (it) => it.createsPerSecond, isBetter: (a, b) => a > b, wanted: 1 },
  { figure: 'executions/s', of: (it) => it.drainsPerSecond, isBetter: (a, b) => a > b, wanted: 1.5 },
  { figure: 'lateness p99', of: (it) => it.lateness?.p99, isBetter: (a, b) => a < b, wanted: 0.5 },
];

/** None without a peer that has the figure. */
export function ratiosOf(belfry: Compared, others: readonly Compared[]): Ratio[] {
  return GOALS.flatMap(({ figure, of, isBetter, wanted }) => {
    const ours = of(belfry);
    let best: { readonly name: string; readonly value: number } | undefined;
    for (const peer of others) {
      const value = of(peer);
      if (peer.isPeer && value !== undefined && (best === undefined || isBetter(value, best.value))) {
        best = { name: peer.name, value };
      }
    }
    if (ours === undefined || best === undefined) return [];
    const ratio = ours / best.value;
    const more = isBetter(2, 1);
    return [
      {
        figure,
        best: best.name,
        ratio,
        target: `${more ? '≥' : '≤'} ${wanted}`,
        reached: more ? ratio >= wanted : ratio <= wanted,
      },
    ];
  });
}

/** For people. */
export function reportText(report: Report, plan: Plan): string {
  const { machine, systems, skipped, ratios } = report;
  const parts = [
    machineText(machine),
    'Every system fsyncs what it acknowledges, unless its name says otherwise.',
    report.quick ? 'A quick run: to see that it works, not for figures.' : '',
    ownTable(report, plan),
    systems.length < 2 ? '' : comparedTable(systems, plan),
    ...skipped.map(({ name, reason }) => `${name} was skipped: ${reason}`),
    ratios.length === 0 ? '' : ratioTable(ratios),
    systems.length < 2 ? '' : systems.map(({ name, settings }) => `${name}: ${settings}`).join('\n'),
  ];
  return `${parts.filter((part) => part !== '').join('\n\n')}\n`;
}

function ownTable({ systems, requestLatency, memory, start }: Report, plan: Plan): string {
  const belfry = systems[0];
  const rows: string[][] = [];
  const add = (figure: string, value: string): void => void rows.push([figure, value]);
  if (belfry?.createsPerSecond !== undefined) add('durable creates/s, in bulk', whole(belfry.createsPerSecond));
  if (requestLatency !== undefined) {
    const { p50, p99, max } = requestLatency;
    const what = `create request latency at ${plan.requestsPerSecond}/s, p50 / p99 / max`;
    add(what, `${p50.toFixed(1)} / ${p99.toFixed(1)} / ${max.toFixed(1)} ms`);
  }
  if (belfry?.drainsPerSecond !== undefined) add('drained executions/s', whole(belfry.drainsPerSecond));
  if (belfry?.lateness !== undefined) {
    add(`lateness at ${plan.firesPerSecond} fires/s, p50 / p99 / max`, latenessText(belfry.lateness));
  }
  if (memory !== undefined) {
    const of = `at ${whole(memory.tasks)} waiting tasks`;
    add(`memory ${of}, live after collection`, `${whole(memory.liveBytes)} bytes a task`);
    add(`memory ${of}, growth of the resident set`, `${whole(memory.residentBytes)} bytes a task`);
    add(`memory ${of}, the shards' own tables`, `${whole(memory.stateBytes)} bytes a task`);
  }
  if (start !== undefined) {
    const of = `start to first fire at most ${ON_TIME_MS} ms late, ${whole(start.tasks)} tasks`;
    add(`${of}, after a clean stop`, `${(start.afterStopMs / 1_000).toFixed(1)} s`);
    add(`${of}, after kill -9`, `${(start.afterKillMs / 1_000).toFixed(1)} s`);
  }
  return table(['Belfry', ''], rows);
}

function comparedTable(systems: readonly Compared[], { figures, firesPerSecond }: Plan): string {
  const head = [
    '',
    ...(figures.has('creates') ? ['creates/s'] : []),
    ...(figures.has('drain') ? ['executions/s'] : []),
    ...(figures.has('lateness') ? [`lateness at ${firesPerSecond}/s, p50 / p99 / max`] : []),
    'rounds',
  ];
  const rows = systems.map((system) => [
    system.name,
    ...(figures.has('creates') ? [maybe(system.createsPerSecond, whole)] : []),
    ...(figures.has('drain') ? [maybe(system.drainsPerSecond, whole)] : []),
    ...(figures.has('lateness') ? [maybe(system.lateness, latenessText)] : []),
    system.failed === undefined ? String(system.rounds) : `failed: ${system.failed}`,
  ]);
  return table(head, rows);
}

function ratioTable(ratios: readonly Ratio[]): string {
  const rows = ratios.map(({ figure, best, ratio, target, reached }) => [
    `${figure}, against ${best}`,
    `${ratio.toFixed(2)} ×`,
    `${target} × ${reached ? 'reached' : 'NOT reached'}`,
  ]);
  return table(['Belfry / best peer', 'ratio', 'wanted'], rows);
}

function maybe<T>(value: T | undefined, text: (value: T) => string): string {
  return value === undefined ? '–' : text(value);
}

function latenessText({ p50, p99, max }: Spread): string {
  return `${whole(p50)} / ${whole(p99)} / ${whole(max)} ms`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}
