/** Compares what was acknowledged with what ran. Pure. All instants are ms since 1970, on one clock. */

/** A fire that an acknowledged task promised. */
export interface Fire {
  readonly execution: string;
  readonly scheduledAt: number;
}

/** A handler's start, as its worker wrote it down. */
export interface Run {
  readonly execution: string;
  readonly attempt: number;
  readonly worker: string;
  readonly startMs: number;
  /** It ended without an error. */
  readonly endMs: number | undefined;
}

/** A worker that was dead, or silent past its lease, from then on; `untilMs` is infinite for the dead. */
export interface Absence {
  readonly worker: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

/** A cancel that was acknowledged. */
export interface Cancel {
  readonly task: string;
  readonly ackedMs: number;
  /** Executions that the acknowledgement named as running. */
  readonly running: readonly string[];
}

export interface Evidence {
  readonly fires: readonly Fire[];
  readonly runs: readonly Run[];
  readonly absences: readonly Absence[];
  readonly cancels: readonly Cancel[];
  /** Attempts that their handlers failed on purpose, beyond the first: not doubles. By execution. */
  readonly retries: ReadonlyMap<string, number>;
  /** Fires that must not have ended well: they end in the dead letters. */
  readonly doomed: ReadonlySet<string>;
}

export interface Finding {
  readonly kind: 'lost' | 'doubled' | 'early' | 'cancelled';
  readonly execution: string;
  readonly what: string;
}

export interface Account {
  readonly fires: number;
  readonly runs: number;
  /** Started more than `LATE_MS` after they were due. */
  readonly late: number;
  /** The longest that a fire waited for its handler. */
  readonly worstMs: number;
  /** Second runs that the contract allows, since the worker of the first was gone. */
  readonly again: number;
  readonly findings: readonly Finding[];
}

export const LATE_MS = 1_000;
/** How long after a handler's end its result may still have been on its way when the worker died. */
const RESULT_MS = 10_000;
/** How exact two processes' readings of one clock are. */
const CLOCK_MS = 1;

export function account(evidence: Evidence): Account {
  const byExecution = Map.groupBy(evidence.runs, ({ execution }) => execution);
  for (const runs of byExecution.values()) runs.sort((a, b) => a.startMs - b.startMs);
  const findings: Finding[] = [];
  let late = 0;
  let worstMs = 0;
  for (const { execution, scheduledAt } of evidence.fires) {
    const runs = byExecution.get(execution);
    const first = runs?.[0];
    if (runs === undefined || first === undefined) {
      findings.push({ kind: 'lost', execution, what: 'never ran' });
      continue;
    }
    if (!evidence.doomed.has(execution) && !runs.some(({ endMs }) => endMs !== undefined)) {
      findings.push({ kind: 'lost', execution, what: 'never ended well' });
    }
    const latenessMs = first.startMs - scheduledAt;
    worstMs = Math.max(worstMs, latenessMs);
    if (latenessMs > LATE_MS) late++;
    if (latenessMs < -CLOCK_MS) findings.push({ kind: 'early', execution, what: `${-latenessMs} ms early` });
  }
  let again = 0;
  const fires = new Set(evidence.fires.map(({ execution }) => execution));
  for (const [execution, runs] of byExecution) {
    if (!fires.has(execution)) continue;
    let owed = evidence.retries.get(execution) ?? 0;
    for (let at = 1; at < runs.length; at++) {
      const [before, run] = [runs[at - 1] as Run, runs[at] as Run];
      if (isExcused(before, run, evidence.absences)) again++;
      else if (owed > 0 && before.endMs === undefined) owed--;
      else findings.push({ kind: 'doubled', execution, what: `${describe(before)}, then ${describe(run)}` });
    }
  }
  findings.push(...afterCancel(evidence));
  return { fires: evidence.fires.length, runs: evidence.runs.length, late, worstMs, again, findings };
}

/** The last instant from `fromMs` to `toMs` whose fire began late, at its first attempt; `fromMs` when none did. */
export function lateUntil({ fires, runs }: Pick<Evidence, 'fires' | 'runs'>, fromMs: number, toMs: number): number {
  const begun = new Map<string, number>();
  for (const { execution, startMs } of runs) begun.set(execution, Math.min(startMs, begun.get(execution) ?? Infinity));
  const late = fires.filter(
    ({ execution, scheduledAt }) => scheduledAt <= toMs && (begun.get(execution) ?? Infinity) - scheduledAt > LATE_MS,
  );
  return late.reduce((last, { scheduledAt }) => Math.max(last, scheduledAt), fromMs);
}

/** A second run needs a first whose worker was gone before its result was sure. */
function isExcused(first: Run, second: Run, absences: readonly Absence[]): boolean {
  const settledMs = first.endMs === undefined ? Infinity : first.endMs + RESULT_MS;
  return absences.some(
    ({ worker, fromMs, untilMs }) =>
      worker === first.worker && fromMs <= second.startMs && fromMs <= settledMs && untilMs >= first.startMs,
  );
}

function afterCancel({ cancels, runs }: Evidence): Finding[] {
  const byTask = new Map(cancels.map((cancel) => [cancel.task, cancel]));
  return runs.flatMap((run): Finding[] => {
    const cancel = byTask.get(run.execution.slice(0, 32));
    if (cancel === undefined || run.startMs <= cancel.ackedMs + CLOCK_MS) return [];
    if (cancel.running.includes(run.execution)) return [];
    const what = `started ${run.startMs - cancel.ackedMs} ms after its cancel was acknowledged`;
    return [{ kind: 'cancelled', execution: run.execution, what }];
  });
}

function describe({ worker, attempt, startMs, endMs }: Run): string {
  return `attempt ${attempt} at ${worker}, ${new Date(startMs).toISOString()} to ${endMs === undefined ? 'no end' : new Date(endMs).toISOString()}`;
}

/** How an execution ended, as the history has it. */
export interface End {
  readonly execution: string;
  readonly succeeded: boolean;
}

/** The history has one end of each fire: a good one, but for those that are doomed. */
export function historyProblems(fires: readonly Fire[], doomed: ReadonlySet<string>, ends: readonly End[]): string[] {
  const byExecution = Map.groupBy(ends, ({ execution }) => execution);
  const wrong = (of: (found: readonly End[], fire: Fire) => boolean): string[] =>
    fires.filter((fire) => of(byExecution.get(fire.execution) ?? [], fire)).map(({ execution }) => execution);
  const told = (what: string, executions: readonly string[]): string[] =>
    executions.length === 0 ? [] : [`the history has ${what} of ${executions.length} fires, as of ${executions[0]}`];
  return [
    ...told('no end', wrong((found) => found.length === 0)), // prettier-ignore
    ...told('several ends', wrong((found) => found.length > 1)), // prettier-ignore
    ...told(
      'a wrong end',
      wrong((found, { execution }) => found.length === 1 && found[0]?.succeeded === doomed.has(execution)),
    ),
  ];
}
