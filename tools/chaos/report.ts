import { percentile } from '../bench/stats.ts';
import type { Finding } from './check.ts';
import type { RunResult } from './runner.ts';

/** All runs of one case. */
export interface CaseReport {
  readonly case: string;
  readonly runs: number;
  /** The longest that a fire waited for its handler in a run: the middle and the worst of the runs. */
  readonly gapMs: { readonly p50: number; readonly p99: number };
  readonly fires: number;
  readonly lost: number;
  readonly doubled: number;
  readonly early: number;
  readonly late: number;
  /** Runs after an acknowledged cancel. */
  readonly cancelled: number;
  /** Second runs because the worker of the first was gone. */
  readonly again: number;
  readonly unanswered: number;
  readonly measured: { readonly [what: string]: number };
  readonly notes: readonly string[];
  readonly problems: readonly string[];
  readonly ok: boolean;
}

export function summarize(results: readonly RunResult[]): CaseReport[] {
  return [...Map.groupBy(results, (result) => result.case)].map(([name, runs]) => {
    const gaps = Float64Array.from(runs, ({ account }) => account.worstMs).sort();
    const sum = (of: (result: RunResult) => number): number => runs.reduce((total, run) => total + of(run), 0);
    const found = (kind: Finding['kind']): number =>
      sum(({ account }) => account.findings.filter((finding) => finding.kind === kind).length);
    const measured: Record<string, number> = {};
    for (const run of runs) {
      for (const [what, ms] of Object.entries(run.measured)) measured[what] = Math.max(measured[what] ?? 0, ms);
    }
    const problems = runs.flatMap(problemsOf);
    return {
      case: name,
      runs: runs.length,
      gapMs: { p50: percentile(gaps, 0.5), p99: percentile(gaps, 0.99) },
      fires: sum(({ account }) => account.fires),
      lost: found('lost'),
      doubled: found('doubled'),
      early: found('early'),
      late: sum(({ account }) => account.late),
      cancelled: found('cancelled'),
      again: sum(({ account }) => account.again),
      unanswered: sum(({ requests }) => requests.unanswered),
      measured,
      notes: [...new Set(runs.flatMap(({ notes }) => notes))],
      problems,
      ok: problems.length === 0,
    };
  });
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

const HEADER = ['case', 'runs', 'gap p50', 'gap p99', 'fires', 'lost', 'doubled', 'early', 'late', 'again', 'verdict'];

export function reportText(reports: readonly CaseReport[]): string {
  const rows = reports.map((report) => [
    report.case,
    String(report.runs),
    seconds(report.gapMs.p50),
    seconds(report.gapMs.p99),
    ...[report.fires, report.lost, report.doubled, report.early, report.late, report.again].map(String),
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
    ...Object.entries(report.measured).map(([what, ms]) => `${report.case}: ${what} ${seconds(ms)}`),
    ...report.notes.map((note) => `${report.case}: ${note}`),
    ...report.problems.map((problem) => `${report.case}: BAD: ${problem}`),
  ]);
  return `${[HEADER, ...rows].map(line).join('\n')}\n${remarks.length === 0 ? '' : `\n${remarks.join('\n')}\n`}`;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`;
}
