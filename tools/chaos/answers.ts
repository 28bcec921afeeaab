/** Compares what was acknowledged with what was told when it was asked for. Pure. All instants are ms since 1970, on one clock. */
import type { TaskState } from '@belfry/protocol';

import { CLOCK_MS, inForce, type BookedTask } from './booked.ts';

/** What `get` said of a task. */
export interface Told {
  readonly task: string;
  readonly askedMs: number;
  readonly answeredMs: number;
  readonly state: TaskState | 'not_found';
  /** The next fires that it named. */
  readonly next: readonly number[];
}

/** Answers that contradict what was acknowledged before they were asked for, or what nobody ever asked for. */
export function contradictions(tasks: readonly BookedTask[], told: readonly Told[]): string[] {
  const byId = new Map(tasks.map((task) => [task.id, task]));
  return told.flatMap((one) => {
    const task = byId.get(one.task);
    const what = task === undefined ? undefined : contradiction(task, one);
    return what === undefined ? [] : [`task ${one.task}, asked for at ${new Date(one.askedMs).toISOString()}, ${what}`];
  });
}

function contradiction(task: BookedTask, { state, next, askedMs, answeredMs }: Told): string | undefined {
  const { cancel, versions } = task;
  if (state === 'not_found')
    return (versions[0]?.ackedMs ?? Infinity) <= askedMs ? 'was not found, and had been acknowledged' : undefined;
  const cancelledMs = cancel?.ackedMs ?? Infinity;
  if (cancelledMs <= askedMs) {
    if (state === 'cancelled' || (state === 'finished' && isEndedBy(task, cancelledMs))) return undefined;
    return `was ${state}, and its cancel had been acknowledged`;
  }
  if (state === 'cancelled')
    return (cancel?.sentMs ?? Infinity) <= answeredMs + CLOCK_MS ? undefined : 'was cancelled, and by nobody';
  const present = inForce(task, askedMs, answeredMs);
  const isToCome = present.every(({ instants }) => instants.some((at) => at > answeredMs + CLOCK_MS));
  if (state === 'finished') return isToCome ? 'was finished, and had fires to come' : undefined;
  const other = next.find((at) => !present.some(({ instants }) => instants.includes(at)));
  if (other === undefined) return undefined;
  return `was to fire at ${new Date(other).toISOString()}, which no schedule has that it had then`;
}

/** Whether it may have ended by itself before its cancel came: that is acknowledged all the same. */
function isEndedBy({ versions }: BookedTask, cancelledMs: number): boolean {
  return versions.some(({ instants }) => instants.every((at) => at <= cancelledMs));
}

/** What is wrong in the end, beside contradictions, when all that was due is over: each task has ended, or waits for its next fire. */
export function endProblems(tasks: readonly BookedTask[], told: readonly Told[]): string[] {
  const byTask = new Map(told.map((one) => [one.task, one]));
  return tasks.flatMap((task): string[] => {
    const one = byTask.get(task.id);
    if (one === undefined) return [`task ${task.id} did not say how it is`];
    const { state, next, askedMs } = one;
    const coming = inForce(task, askedMs, askedMs).map(({ instants }) => instants.find((at) => at > askedMs));
    if (state === 'cancelled') return [];
    if (coming.every((at) => at === undefined))
      return state === 'finished' ? [] : [`task ${task.id} is ${state}, and should have ended`];
    if (state === 'waiting' && coming.includes(next[0])) return [];
    return [`task ${task.id} is ${state} with next fires ${next.join()}, and should wait for ${coming.join(' or ')}`];
  });
}

/** Which tasks are active, as they are listed, against those that must be, and those that must not. */
export function listProblems(
  active: ReadonlySet<string>,
  { waiting, ended }: { readonly waiting: readonly string[]; readonly ended: readonly string[] },
): string[] {
  const missing = waiting.filter((id) => !active.has(id));
  const extra = ended.filter((id) => active.has(id));
  return [
    ...(missing.length === 0 ? [] : [`${missing.length} tasks that wait are not listed, as ${missing[0]}`]),
    ...(extra.length === 0 ? [] : [`${extra.length} tasks that have ended are listed as active, as ${extra[0]}`]),
  ];
}

/** Of the messages that were refused: each bad publish that was acknowledged is among them, and no good one. By keys. */
export function refusalProblems(
  bad: readonly string[],
  good: readonly string[],
  messages: readonly string[],
): string[] {
  const refused = new Set(messages.map(keyOf));
  const missing = bad.filter((key) => !refused.has(key));
  const extra = good.filter((key) => refused.has(key));
  return [
    ...(missing.length === 0 ? [] : [`${missing.length} bad publishes are not among the rejected, as ${missing[0]}`]),
    ...(extra.length === 0 ? [] : [`${extra.length} good publishes are among the rejected, as ${extra[0]}`]),
  ];
}

/** `message`: a task as JSON, or whatever else was published. */
function keyOf(message: string): unknown {
  try {
    return (JSON.parse(message) as { readonly key?: unknown } | null)?.key;
  } catch {
    return undefined;
  }
}
