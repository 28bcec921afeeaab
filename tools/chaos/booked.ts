/** What a client was promised of a task that it changes, cancels or asks about. Pure. All instants are ms since 1970, on one clock. */
import { executionId } from '@belfry/protocol';

/** What starts later than this is late. */
export const LATE_MS = 1_000;
/** How exact two processes' readings of one clock are. */
export const CLOCK_MS = 1;

/** A schedule that a request stated for a task. */
export interface Version {
  readonly instants: readonly number[];
  readonly sentMs: number;
  /** When the answer came. Undefined: there was none, or, of a publish, it does not say that the task is there. */
  ackedMs: number | undefined;
  /** The instants from then on were promised; infinite: none was. */
  owedFromMs: number;
}

export interface Cancel {
  readonly sentMs: number;
  /** Undefined: no answer came, and it may or may not have been done. */
  ackedMs: number | undefined;
  /** Executions that the acknowledgement named as running. */
  running: readonly string[];
}

export interface BookedTask {
  readonly id: string;
  /** That of the create, and of each update. */
  readonly versions: Version[];
  cancel: Cancel | undefined;
}

/** A fire of a task. */
export interface Fire {
  readonly execution: string;
  readonly scheduledAt: number;
  /** Its task was cancelled after it: to have begun is enough. */
  readonly cancelled?: true;
}

/** Fires that must have run, and such that may have. */
export interface Expected {
  readonly owed: readonly Fire[];
  readonly open: readonly Fire[];
}

/**
 * The fires of a task; any other would be a wrong one.
 *
 * B1. A version's fires are owed up to when the next one was sent, and possible until that was acknowledged.
 * B2. So are they up to a cancel, which takes back what no worker has yet: what has waited no longer than others of about its instant.
 *
 * @param toMs what is due later is not owed yet
 * @param waitedMs the longest that other fires of about an instant waited for their handlers
 */
export function firesOf(task: BookedTask, toMs: number, waitedMs: (at: number) => number): Expected {
  const { id, versions, cancel } = task;
  const isOwed = new Map<number, boolean>();
  for (const [at, version] of versions.entries()) {
    const later = versions.slice(at + 1);
    const sureMs = Math.min(toMs, ...later.map(({ sentMs }) => sentMs - CLOCK_MS));
    const endMs = Math.min(...[...later, cancel].map((change) => change?.ackedMs ?? Infinity)) + CLOCK_MS;
    for (const instant of version.instants) {
      if (instant > endMs || (at > 0 && instant < version.sentMs - CLOCK_MS)) continue;
      const promised = instant >= version.owedFromMs && instant <= sureMs;
      isOwed.set(instant, (promised && !mayBeTakenBack(task, instant, waitedMs)) || isOwed.get(instant) === true);
    }
  }
  const of = (owed: boolean): Fire[] =>
    [...isOwed].flatMap(([scheduledAt, is]) =>
      is === owed
        ? { execution: executionId(id, scheduledAt), scheduledAt, ...(cancel !== undefined && { cancelled: true }) }
        : [],
    );
  return { owed: of(true), open: of(false) };
}

function mayBeTakenBack({ id, cancel }: BookedTask, instant: number, waitedMs: (at: number) => number): boolean {
  if (cancel === undefined) return false;
  return cancel.sentMs - instant <= waitedMs(instant) + LATE_MS || cancel.running.includes(executionId(id, instant)); // B2
}

/** The versions of which one was in force at some time from `fromMs` to `toMs`. */
export function inForce({ versions }: BookedTask, fromMs: number, toMs: number): Version[] {
  return versions.filter(
    ({ sentMs }, at) =>
      sentMs <= toMs + CLOCK_MS && versions.slice(at + 1).every(({ ackedMs }) => (ackedMs ?? Infinity) > fromMs),
  );
}

/** Whether it must have fires to come. */
export function isWaiting({ versions, cancel }: BookedTask, nowMs: number): boolean {
  return cancel === undefined && versions.every(({ instants }) => instants.some((at) => at > nowMs));
}

/** Whether it can have none. */
export function isOver({ versions, cancel }: BookedTask, nowMs: number): boolean {
  return cancel?.ackedMs !== undefined || versions.every(({ instants }) => instants.every((at) => at <= nowMs));
}
