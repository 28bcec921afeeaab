import { percentile } from '../bench/stats.ts';
import type { Finding } from './check.ts';
import type { RunResult } from './runner.ts';

/** Of all runs of a case: the middle and the worst of them, up to a hundred runs. */
export interface Spread {
  readonly p50: number;
  readonly p99: number;
}

/** All runs of one case. */
export interface CaseReport {
  readonly case: string;
  readonly runs: number;
  /** The longest that a fire waited for its handler in a run: the middle and the worst of the runs. */
  readonly gapMs: Spread;
  readonly fires: number;
  readonly lost: number;
  readonly doubled: number;
  readonly early: number;
  readonly late: number;
  /** Runs after an acknowledged cancel. */
  readonly cancelled: number;
  /** Second runs because the worker of the first was gone. */
  readonly again: number;
  /** Requests without an answer, or refused, while the load went on; and how long the slowest of the others waited, ms. */
  readonly unanswered: number;
  readonly slowestMs: number;
  /** The most resident memory of one program of Belfry, in bytes. */
  readonly memory: number;
  /** Figures of the case's own, in ms. */
  readonly measured: { readonly [what: string]: Spread };
  readonly notes: readonly string[];
  readonly problems: readonly string[];
  readonly ok: boolean;
}

export function summarize(results: readonly RunResult[]): CaseReport[] {
  return [...Map.groupBy(results, (result) => result.case)].map(([name, runs]) => {
    const sum = (of: (result: RunResult) => number): number => runs.reduce((total, run) => total + of(run), 0);
    const found = (kind: Finding['kind']): number =>
      sum(({ account }) => account.findings.filter((finding) => finding.kind === kind).length);
    const figures = new Set(runs.flatMap((run) => Object.keys(run.measured)));
    const measured = Object.fromEntries(
      Array.from(figures, (what) => [what, spreadOf(runs.flatMap((run) => run.measured[what] ?? []))]),
    );
    const problems = runs.flatMap(problemsOf);
    return {
      case: name,
      runs: runs.length,
      gapMs: spreadOf(runs.map(({ account }) => account.worstMs)),
      fires: sum(({ account }) => account.fires),
      lost: found('lost'),
      doubled: found('doubled'),
      early: found('early'),
      late: sum(({ account }) => account.late),
      cancelled: found('cancelled'),
      again: sum(({ account }) => account.again),
      unanswered: sum(({ requests }) => requests.unanswered),
      slowestMs: Math.max(...runs.map(({ requests }) => requests.slowestMs)),
      memory: Math.max(...runs.map(({ memory }) => memory)),
      measured,
      notes: [...new Set(runs.flatMap(({ notes }) => notes))],
      problems,
      ok: problems.length === 0,
    };
  });
}

function spreadOf(values: readonly number[]): Spread {
  const sorted = Float64Array.from(values).sort();
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
}

/** What is wrong with a run, a few examples of each kind. */
export function problemsOf({ seed, account, problems }: RunResult): string[] {
  const kinds = Map.groupBy(account.findings, ({ kind }) => kind);
  const found = [...kinds].map(([kind, findings]) => {
    const examples = findings.slice(0, 3).map(({ execution, what }) => `${execution}: ${what}`);
    return `${kind} ${findings.length}: ${examples.join('; ')}`;
  });
  return [...problems, ...found].map((problem) => `seed ${seed}: ${problem}`);
}

const HEADER = [
  'case',
  'runs',
  'gap p50',
  'gap p99',
  'fires',
  'lost',
  'doubled',
  'early',
  'late',
  'again',
  'refused',
  'slowest',
  'memory',
  'verdict',
];

export function reportText(reports: readonly CaseReport[]): string {
  const rows = reports.map((report) => [
    report.case,
    String(report.runs),
    seconds(report.gapMs.p50),
    seconds(report.gapMs.p99),
    ...[report.fires, report.lost, report.doubled, report.early, report.late, report.again].map(String),
    ...requestsOf(report),
    mib(report.memory),
    report.ok ? 'ok' : 'BAD',
  ]);
  const widths = HEADER.map((head, at) => Math.max(head.length, ...rows.map((row) => (row[at] as string).length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, at) =>
        at === 0 || at === HEADER.length - 1 ? cell.padEnd(widths[at] as number) : cell.padStart(widths[at] as number),
      )
      .join('  ')
      .trimEnd();
  const remarks = reports.flatMap((report) => [
    ...Object.entries(report.measured).map(
      ([what, spread]) => `${report.case}: ${what} ${spreadText(spread, report.runs)}`,
    ),
    ...report.notes.map((note) => `${report.case}: ${note}`),
    ...report.problems.map((problem) => `${report.case}: BAD: ${problem}`),
  ]);
  return `${[HEADER, ...rows].map(line).join('\n')}\n${remarks.length === 0 ? '' : `\n${remarks.join('\n')}\n`}`;
}

function requestsOf({ unanswered, slowestMs }: CaseReport): string[] {
  return [String(unanswered), seconds(slowestMs)];
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`;
}

/** The table of `docs/reliability.md`: a row for each case, with what is done and measured in it. */
export function reportMarkdown(
  reports: readonly CaseReport[],
  cases: readonly { name: string; what: string }[],
): string {
  const what = new Map(cases.map((one) => [one.name, one.what]));
  const rows = reports.map((report) => {
    const measured = Object.entries(report.measured).map(([of, spread]) => `${of} ${spreadText(spread, report.runs)}`);
    const more = [...measured, ...report.notes];
    const counts = [report.fires, report.lost, report.doubled, report.early, report.late, report.again].map(String);
    return [
      `\`${report.case}\``,
      `${what.get(report.case) ?? ''}${more.length === 0 ? '' : ` (${more.join('; ')})`}`,
      String(report.runs),
      spreadText(report.gapMs, report.runs),
      ...[...counts, ...requestsOf(report), mib(report.memory)],
      report.ok ? 'ok' : '**bad**',
    ];
  });
  const head = ['case', 'what is done', 'runs', 'gap', ...HEADER.slice(4)];
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

function spreadText({ p50, p99 }: Spread, runs: number): string {
  return runs === 1 ? seconds(p99) : `${(p50 / 1_000).toFixed(2)} / ${seconds(p99)}`;
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
