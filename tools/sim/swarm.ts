import { fork } from 'node:child_process';
import path from 'node:path';
import type { SeedReport } from './seeds.ts';

const SEEDS = path.join(import.meta.dirname, 'seeds.ts');
const TELL_EVERY_MS = 30_000;

/** What came of a swarm so far. */
class Totals {
  seeds = 0;
  virtualMs = 0;
  steps = 0;
  executions = 0;
  readonly faults = new Map<string, number>();
  readonly tolerated = new Map<string, number>();
  readonly failed: number[] = [];

  add(report: SeedReport): void {
    this.seeds++;
    this.virtualMs += report.virtualMs;
    this.steps += report.steps;
    this.executions += report.executions;
    for (const [kind, count] of report.faults) this.faults.set(kind, (this.faults.get(kind) ?? 0) + count);
    for (const [kind, count] of report.tolerated) this.tolerated.set(kind, (this.tolerated.get(kind) ?? 0) + count);
    if (report.violation !== undefined) this.failed.push(report.seed);
  }

  line(realMs: number): string {
    const hours = (this.virtualMs / 3_600_000).toFixed(1);
    const faults = [...this.faults.values()].reduce((sum, count) => sum + count, 0);
    return (
      `${this.seeds} seeds, ${hours} simulated hours, ${this.executions} executions, ${faults} faults, ` +
      `${Math.round((this.steps / realMs) * 1_000)} steps/s, ${Math.round(this.virtualMs / realMs)} × real time, ` +
      `${this.failed.length} violations`
    );
  }
}

/** Runs seeds, each with a fault mix of its own, on some processes until the time is up. Returns the seeds that failed. */
export async function runSwarm(options: {
  readonly minutes: number;
  readonly jobs: number;
  readonly from: number;
  readonly say: (line: string) => void;
}): Promise<readonly number[]> {
  const { minutes, jobs, from, say } = options;
  const totals = new Totals();
  const startedMs = performance.now();
  say(`seeds from ${from}, on ${jobs} processes, for ${minutes} minutes`);
  const timer = setInterval(() => say(totals.line(performance.now() - startedMs)), TELL_EVERY_MS);
  const untilMs = Date.now() + minutes * 60_000;
  await Promise.all(
    Array.from({ length: jobs }, (_, job) =>
      runJob([from + job, jobs, untilMs], (report) => {
        totals.add(report);
        if (report.violation !== undefined) say(`seed ${report.seed}: VIOLATION ${report.violation}`);
      }),
    ),
  );
  clearInterval(timer);
  const kinds = (counts: ReadonlyMap<string, number>): string =>
    [...counts]
      .sort(([, a], [, b]) => b - a)
      .map(([kind, count]) => `  ${kind}: ${count}`)
      .join('\n');
  say(`faults by kind:\n${kinds(totals.faults)}`);
  if (totals.tolerated.size > 0)
    say(`known to be weaker than the contract (docs/reliability.md):\n${kinds(totals.tolerated)}`);
  say(totals.line(performance.now() - startedMs));
  return totals.failed;
}

/** One process that runs some of the seeds, as seeds.ts takes them. */
function runJob(given: readonly number[], onReport: (report: SeedReport) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = fork(SEEDS, given.map(String), { execArgv: [...process.execArgv, '--max-semi-space-size=16'] });
    child.on('message', (report) => onReport(report as SeedReport));
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`a process that runs seeds ended with ${String(code)}`));
    });
  });
}
