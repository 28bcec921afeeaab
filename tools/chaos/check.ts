/** Compares what was acknowledged with what ran. Pure. All instants are ms since 1970, on one clock. */
import { LIMITS } from '@belfry/protocol';

import { CLOCK_MS, firesOf, LATE_MS, type BookedTask, type Expected, type Fire } from './booked.ts';

/** A handler's start, as its worker wrote it down. */
export interface Run {
  readonly execution: string;
  readonly attempt: number;
  readonly worker: string;
  /** What fences it: that of the shard's owner who dispatched it. */
  readonly epoch: number;
  readonly startMs: number;
  /** It ended without an error. */
  readonly endMs: number | undefined;
}

/** A worker that was dead, or silent past its lease, from then on; `untilMs` is infinite for the dead, and for others when they were heard again. */
export interface Absence {
  readonly worker: string;
  readonly fromMs: number;
  readonly untilMs: number;
}

export interface Evidence {
  /** Of tasks that nobody changes: all that these have. */
  readonly fires: readonly Fire[];
  readonly tasks: readonly BookedTask[];
  /** What booked tasks have after it is not due yet. */
  readonly toMs: number;
  readonly runs: readonly Run[];
  readonly absences: readonly Absence[];
  /** Attempts that their handlers failed on purpose, beyond the first: not doubles. By execution. */
  readonly retries: ReadonlyMap<string, number>;
  /** Fires that must not have ended well: they end in the dead letters. */
  readonly doomed: ReadonlySet<string>;
}

export interface Finding {
  /** `cancelled`: started after the cancel was acknowledged. `stray`: no schedule of its task has it. */
  readonly kind: 'lost' | 'doubled' | 'early' | 'cancelled' | 'stray';
  readonly execution: string;
  readonly what: string;
}

export interface Account {
  /** Those that are owed. */
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

/** Whoever stands still or is cut off has said its last word so long before at most: leases are renewed more often. */
const LAST_WORD_MS = LIMITS.workLeaseMs / 2;
/** How long after a handler's end its result may still have been on its way when the worker died. */
const RESULT_MS = 10_000;

/** What the books expect. Which fires a cancel may have taken back is told by how long those waited that no cancel is about. */
export function expectedOf({
  fires,
  tasks,
  toMs,
  runs,
}: Pick<Evidence, 'fires' | 'tasks' | 'toMs' | 'runs'>): Expected {
  const kept = tasks.filter(({ cancel }) => cancel === undefined).map((task) => firesOf(task, toMs, () => 0));
  const owed = [...fires, ...kept.flatMap((of) => of.owed)];
  const waitedMs = waits(owed, runs);
  const cancelled = tasks.filter(({ cancel }) => cancel !== undefined).map((task) => firesOf(task, toMs, waitedMs));
  return {
    owed: [...owed, ...cancelled.flatMap((of) => of.owed)],
    open: [...kept, ...cancelled].flatMap(({ open }) => open),
  };
}

/** The longest that a fire of about an instant has waited; infinite where one never ran. */
function waits(fires: readonly Fire[], runs: readonly Run[]): (at: number) => number {
  const begun = begins(runs);
  const bySecond = new Map<number, number>();
  for (const { execution, scheduledAt } of fires) {
    const waitedMs = (begun.get(execution) ?? Infinity) - scheduledAt;
    const second = Math.floor(scheduledAt / 1_000);
    bySecond.set(second, Math.max(waitedMs, bySecond.get(second) ?? 0));
  }
  return (at) => Math.max(...[-1, 0, 1].map((by) => bySecond.get(Math.floor(at / 1_000) + by) ?? 0));
}

/** When the first run of each execution began. */
function begins(runs: readonly Run[]): Map<string, number> {
  const begun = new Map<string, number>();
  for (const { execution, startMs } of runs) begun.set(execution, Math.min(startMs, begun.get(execution) ?? Infinity));
  return begun;
}

export function account(evidence: Evidence): Account {
  const byExecution = Map.groupBy(evidence.runs, ({ execution }) => execution);
  for (const runs of byExecution.values()) runs.sort((a, b) => a.startMs - b.startMs);
  const { owed, open } = expectedOf(evidence);
  const findings: Finding[] = [];
  let late = 0;
  let worstMs = 0;
  for (const { execution, scheduledAt, cancelled } of owed) {
    const runs = byExecution.get(execution);
    const first = runs?.[0];
    if (runs === undefined || first === undefined) {
      findings.push({ kind: 'lost', execution, what: 'never ran' });
      continue;
    }
    if (cancelled === undefined && !evidence.doomed.has(execution) && !runs.some(({ endMs }) => endMs !== undefined)) {
      findings.push({ kind: 'lost', execution, what: 'never ended well' });
    }
    const latenessMs = first.startMs - scheduledAt;
    worstMs = Math.max(worstMs, latenessMs);
    if (latenessMs > LATE_MS) late++;
  }
  let again = 0;
  const expected = new Set<string>();
  for (const { execution, scheduledAt } of [...owed, ...open]) {
    expected.add(execution);
    const runs = byExecution.get(execution) ?? [];
    const earlyMs = scheduledAt - (runs[0]?.startMs ?? Infinity);
    if (earlyMs > CLOCK_MS) findings.push({ kind: 'early', execution, what: `${earlyMs} ms early` });
    let failures = evidence.retries.get(execution) ?? 0;
    for (let at = 1; at < runs.length; at++) {
      const [before, run] = [runs[at - 1] as Run, runs[at] as Run];
      if (isExcused(before, run, evidence.absences)) again++;
      else if (failures > 0 && before.endMs === undefined) failures--;
      else findings.push({ kind: 'doubled', execution, what: `${describe(before)}, then ${describe(run)}` });
    }
  }
  findings.push(...afterCancel(evidence, byExecution), ...strays(evidence, byExecution, expected));
  return { fires: owed.length, runs: evidence.runs.length, late, worstMs, again, findings };
}

/** The last instant from `fromMs` to `toMs` whose fire began late, at its first attempt; `fromMs` when none did. */
export function lateUntil({ fires, runs }: Pick<Evidence, 'fires' | 'runs'>, fromMs: number, toMs: number): number {
  const begun = begins(runs);
  const late = fires.filter(
    ({ execution, scheduledAt }) => scheduledAt <= toMs && (begun.get(execution) ?? Infinity) - scheduledAt > LATE_MS,
  );
  return late.reduce((last, { scheduledAt }) => Math.max(last, scheduledAt), fromMs);
}

/** A second run needs a first whose worker was gone before its result was sure: dead, or silent for as long as its lease. */
function isExcused(first: Run, second: Run, absences: readonly Absence[]): boolean {
  const settledMs = first.endMs === undefined ? Infinity : first.endMs + RESULT_MS;
  return absences.some(({ worker, fromMs, untilMs }) => {
    const goneMs = untilMs === Infinity ? fromMs : fromMs + LIMITS.workLeaseMs - LAST_WORD_MS;
    return worker === first.worker && goneMs <= second.startMs && fromMs <= settledMs && untilMs >= first.startMs;
  });
}

type Runs = ReadonlyMap<string, readonly Run[]>;

/** What an acknowledged cancel names as running may start after it, once: a worker had it. */
function afterCancel({ tasks, absences }: Evidence, byExecution: Runs): Finding[] {
  const byTask = new Map(tasks.map(({ id, cancel }) => [id, cancel]));
  return Array.from(byExecution, ([execution, runs]): Finding[] => {
    const cancel = byTask.get(taskOf(execution));
    const ackedMs = cancel?.ackedMs ?? Infinity;
    const after = runs.filter(({ startMs }) => startMs > ackedMs + CLOCK_MS);
    const isHeld = cancel?.running.includes(execution) === true;
    return after
      .filter((run, at) => !isHeld || (at > 0 && !isExcused(after[at - 1] as Run, run, absences)))
      .map(({ startMs }) => ({
        kind: 'cancelled',
        execution,
        what: `started ${startMs - ackedMs} ms after its cancel was acknowledged`,
      }));
  }).flat();
}

/** Runs of known tasks at instants that these do not have; after a cancel, they are found as such. */
function strays({ fires, tasks }: Evidence, byExecution: Runs, expected: ReadonlySet<string>): Finding[] {
  const known = new Set(fires.map(({ execution }) => taskOf(execution)));
  const cancelled = new Map<string, number>();
  for (const { id, cancel } of tasks) {
    known.add(id);
    cancelled.set(id, (cancel?.ackedMs ?? Infinity) + CLOCK_MS);
  }
  return Array.from(byExecution, ([execution, [first]]): Finding[] => {
    const task = taskOf(execution);
    if (first === undefined || expected.has(execution) || !known.has(task)) return [];
    if (first.startMs > (cancelled.get(task) ?? Infinity)) return [];
    return [{ kind: 'stray', execution, what: `no schedule of its task has it: ${describe(first)}` }];
  }).flat();
}

export function taskOf(execution: string): string {
  return execution.slice(0, execution.indexOf('-'));
}

function describe({ worker, attempt, startMs, endMs }: Run): string {
  return `attempt ${attempt} at ${worker}, ${new Date(startMs).toISOString()} to ${endMs === undefined ? 'no end' : new Date(endMs).toISOString()}`;
}

/** How an execution ended, as the history has it. */
export interface End {
  readonly execution: string;
  readonly succeeded: boolean;
}

/**
 * The history has one end of each fire that is owed: a good one, but for those that are doomed, or whose task was cancelled since; and no
 * two ends of any.
 */
export function historyProblems({ owed, open }: Expected, doomed: ReadonlySet<string>, ends: readonly End[]): string[] {
  const byExecution = Map.groupBy(ends, ({ execution }) => execution);
  const told = (what: string, fires: readonly Fire[], isSo: (found: readonly End[], fire: Fire) => boolean) => {
    const wrong = fires.filter((fire) => isSo(byExecution.get(fire.execution) ?? [], fire));
    return wrong.length === 0 ? [] : [`the history has ${what} of ${wrong.length} fires, as of ${wrong[0]?.execution}`];
  };
  const isWrong = ([end]: readonly End[], { execution, cancelled }: Fire): boolean =>
    end !== undefined && cancelled === undefined && end.succeeded === doomed.has(execution);
  return [
    ...told('no end', owed, (found) => found.length === 0),
    ...told('several ends', [...owed, ...open], (found) => found.length > 1),
    ...told('a wrong end', owed, (found, fire) => found.length === 1 && isWrong(found, fire)),
  ];
}
