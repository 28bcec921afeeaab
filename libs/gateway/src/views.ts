import {
  decodeTarget,
  executionId,
  LIMITS,
  priorityName,
  type AttemptView,
  type ExecutionState,
  type ExecutionView,
  type Json,
  type Outcome,
  type ScheduleFields,
  type TaskState,
  type TaskView,
} from '@belfry/protocol';
import type { StoredExecution, StoredTask } from '@belfry/ports';
import { nextFire, parseCanonical, seedOf, type CalendarSource, type Schedule } from '@belfry/timing';

import { catchUpView } from './catch-up.ts';

/** An ended attempt, as shards and Postgres keep it. Instants in ms since 1970. */
export interface AttemptFacts {
  readonly attempt: number;
  readonly outcome: Outcome;
  readonly worker?: string | undefined;
  readonly dispatchedAt?: number | undefined;
  readonly deliveredAt?: number | undefined;
  readonly startedAt?: number | undefined;
  readonly finishedAt?: number | undefined;
  readonly acceptedAt?: number | undefined;
  readonly error?: string | undefined;
}

/** An execution under way, as its shard knows it. */
export interface ExecutionFacts {
  readonly id: string;
  readonly scheduledAt: number;
  readonly state: ExecutionState;
  readonly attempt: number;
  readonly dispatchedAt?: number | undefined;
  readonly attempts: readonly AttemptFacts[];
  readonly epoch: number;
}

/** A task, as its shard knows it. Instants in ms since 1970; texts as they are stored. */
export interface TaskFacts {
  readonly shard: number;
  readonly id: string;
  readonly key?: string | undefined;
  /** Canonical schedule. */
  readonly schedule: string;
  /** Encoded target. */
  readonly target: string;
  /** JSON text; undefined leaves it out. */
  readonly payload?: string | undefined;
  /** JSON text. */
  readonly metadata: string;
  readonly createdAt: number;
  readonly state: TaskState;
  readonly next: readonly number[];
  readonly executions?: readonly ExecutionFacts[] | undefined;
  readonly executionsLeftOut?: number | undefined;
}

/** The task as clients see it. @throws when target or metadata are not what Belfry writes. */
export function taskView(task: TaskFacts): TaskView {
  const target = decodeTarget(task.target);
  const { namespace, queue, handler } = target;
  return {
    id: task.id,
    namespace,
    ...(task.key === undefined ? {} : { key: task.key }),
    ...scheduleFields(task.schedule),
    queue,
    handler,
    priority: priorityName(target.priority),
    retry: target.retry,
    timeoutMs: target.timeoutMs,
    precision: target.precision,
    catchUp: catchUpView(target, !task.schedule.startsWith('a')),
    metadata: JSON.parse(task.metadata) as TaskView['metadata'],
    ...(task.payload === undefined ? {} : { payload: JSON.parse(task.payload) as Json }),
    state: task.state,
    createdAt: iso(task.createdAt),
    next: task.next.map(iso),
    ...(task.executions === undefined
      ? {}
      : { executions: task.executions.map((execution) => activeView(execution, { task: task.id, ...target })) }),
    ...(task.executionsLeftOut === undefined ? {} : { executionsLeftOut: task.executionsLeftOut }),
    shard: task.shard,
  };
}

/**
 * A task as Postgres has it, without its payload, with its fires after `nowMs`. They follow from its definition alone, so a
 * one-time task whose instant has come is `due` until it has finished; its shard, asked by `get`, knows more.
 */
export function storedTaskView(task: StoredTask, nowMs: number, calendars?: CalendarSource): TaskView {
  const schedule = readCanonical(task.schedule);
  const next = task.ended === undefined && schedule !== undefined ? coming(schedule, task, nowMs, calendars) : [];
  const due = schedule?.kind === 'at' && next.length === 0;
  const { shard, id, key, schedule: text, target, metadata, createdAt } = task;
  const state = task.ended?.state ?? (due ? 'due' : 'waiting');
  return taskView({ shard, id, key, schedule: text, target, metadata, createdAt, state, next });
}

function coming(schedule: Schedule, task: StoredTask, nowMs: number, calendars: CalendarSource = NONE): number[] {
  const context = { createdMs: task.createdAt, seed: seedOf(task.id), calendars };
  const fires: number[] = [];
  let after = schedule.kind === 'at' ? nowMs : Math.max(nowMs, task.effectiveFrom);
  while (fires.length < LIMITS.nextFires) {
    after = nextFire(schedule, after, context);
    if (after === Infinity) break;
    fires.push(after);
  }
  return fires;
}

const NONE: CalendarSource = () => undefined;

/** The schedule as a user would state it. */
export function scheduleFields(canonical: string): ScheduleFields {
  const schedule = readCanonical(canonical);
  if (schedule !== undefined) return inNamespace(schedule.spec);
  // Only a zone that this machine does not know leads here; the words are shown as they are.
  const end = canonical.lastIndexOf(';');
  return { cron: canonical.slice(1, end < 0 ? undefined : end), timezone: end < 0 ? 'UTC' : canonical.slice(end + 1) };
}

/** Users name a calendar without its namespace, which is that of the task. */
function inNamespace({ calendars, ...fields }: ScheduleFields): ScheduleFields {
  if (calendars === undefined) return fields;
  return { ...fields, calendars: calendars.map((name) => name.slice(name.indexOf('/') + 1)) };
}

function readCanonical(text: string): Schedule | undefined {
  try {
    return parseCanonical(text);
  } catch {
    return undefined;
  }
}

interface Route {
  readonly task: string;
  readonly namespace: string;
  readonly queue: string;
  readonly handler: string;
}

/** An execution under way. */
export function activeView(execution: ExecutionFacts, { task, namespace, queue, handler }: Route): ExecutionView {
  const { id, scheduledAt, state, attempt, dispatchedAt, epoch } = execution;
  const attempts = execution.attempts.map(attemptView);
  if (state === 'dispatched') attempts.push({ attempt, outcome: 'dispatched', ...instants({ dispatchedAt }) });
  return {
    execution: id,
    task,
    namespace,
    queue,
    handler,
    scheduledAt: iso(scheduledAt),
    state,
    ...lateness(scheduledAt, execution.attempts),
    attempts,
    ...(epoch > 0 ? { epoch } : {}),
  };
}

/** An execution as stored. With `trace`, when its task was created and when Postgres had it. */
export function storedExecutionView(stored: StoredExecution, trace = false): ExecutionView {
  return stored.kind === 'over' ? overView(stored, trace) : storedActiveView(stored, trace);
}

function storedActiveView(stored: StoredExecution & { readonly kind: 'active' }, trace: boolean): ExecutionView {
  const { row } = stored;
  const id = executionId(row.task, row.scheduledAt);
  const attempts = attemptsOf(row.attempts);
  return {
    ...activeView({ ...row, id, attempts, epoch: 0 }, { ...stored, task: row.task }),
    ...traceId(row.traceparent),
    ...(trace ? { createdAt: iso(stored.createdAt) } : {}),
  };
}

function overView(stored: StoredExecution & { readonly kind: 'over' }, trace: boolean): ExecutionView {
  const { row, checkpointedAt } = stored;
  const attempts = [...attemptsOf(row.attempts)];
  const last = lastAttempt(row);
  if (last !== undefined && attempts.at(-1)?.attempt !== last.attempt) attempts.push(last);
  return {
    execution: executionId(row.task, row.scheduledAt),
    task: row.task,
    namespace: row.namespace,
    queue: row.queue,
    handler: row.handler,
    scheduledAt: iso(row.scheduledAt),
    state: row.state,
    ...lateness(row.scheduledAt, attempts),
    attempts: attempts.map(attemptView),
    ...resultOf(row.result),
    ...(row.error === undefined ? {} : { error: row.error }),
    epoch: row.epoch,
    ...traceId(row.traceparent),
    ...(trace ? { createdAt: iso(row.createdAt), checkpointedAt: iso(checkpointedAt) } : {}),
  };
}

type OverRow = (StoredExecution & { readonly kind: 'over' })['row'];

/** The attempt that ended the execution; undefined when it was cancelled while it waited for one, or skipped. */
function lastAttempt(row: OverRow): AttemptFacts | undefined {
  if (row.state === 'skipped') return undefined;
  const { attempt, worker, dispatchedAt, deliveredAt, startedAt, finishedAt, acceptedAt, error } = row;
  const ran = worker !== undefined && worker !== '';
  if (!ran && dispatchedAt === undefined && startedAt === undefined) return undefined;
  const outcome = row.state === 'dead' ? (ran ? 'failed' : 'lost') : row.state;
  return { attempt, outcome, worker, dispatchedAt, deliveredAt, startedAt, finishedAt, acceptedAt, error };
}

function attemptView(attempt: AttemptFacts): AttemptView {
  const { worker, error } = attempt;
  return {
    attempt: attempt.attempt,
    outcome: attempt.outcome,
    ...(worker === undefined || worker === '' ? {} : { worker }),
    ...instants(attempt),
    ...(error === undefined ? {} : { error }),
  };
}

const INSTANTS = ['dispatchedAt', 'deliveredAt', 'startedAt', 'finishedAt', 'acceptedAt'] as const;
type Instants = { -readonly [K in (typeof INSTANTS)[number]]?: string };

function instants(of: { readonly [K in (typeof INSTANTS)[number]]?: number | undefined }): Instants {
  const texts: Instants = {};
  for (const name of INSTANTS) {
    const at = of[name];
    if (at !== undefined && at > 0) texts[name] = iso(at);
  }
  return texts;
}

/** Handler start − scheduledAt, of the first attempt that started. */
function lateness(scheduledAt: number, attempts: readonly AttemptFacts[]): { latenessMs?: number } {
  const started = attempts.find(({ startedAt }) => startedAt !== undefined && startedAt > 0)?.startedAt;
  return started === undefined ? {} : { latenessMs: started - scheduledAt };
}

function attemptsOf(text: string | undefined): readonly AttemptFacts[] {
  return text === undefined ? [] : (JSON.parse(text) as AttemptFacts[]);
}

/** A handler's result, unless what is stored cannot be read. */
function resultOf(text: string | undefined): { result?: Json } {
  if (text === undefined) return {};
  try {
    return { result: JSON.parse(text) as Json };
  } catch {
    return {};
  }
}

function traceId(traceparent: string | undefined): { traceId?: string } {
  return traceparent === undefined ? {} : { traceId: traceparent.slice(3, 35) };
}

/** RFC 3339 in UTC; beyond what has a date, the last instant that has one. */
export function iso(ms: number): string {
  const at = Math.max(0, Math.min(LIMITS.latestMs, Math.trunc(ms) || 0));
  const day = Math.floor(at / 86_400_000);
  // The date is what takes long to make, and neighbouring instants share it.
  if (day !== dateDay) [dateDay, dateText] = [day, new Date(day * 86_400_000).toISOString().slice(0, 11)];
  const second = Math.floor((at % 86_400_000) / 1_000);
  const minute = Math.floor(second / 60);
  const time = `${two(Math.floor(minute / 60))}:${two(minute % 60)}:${two(second % 60)}`;
  return `${dateText}${time}.${String(1_000 + (at % 1_000)).slice(1)}Z`;
}

/** The day of the last instant that was told, and its date. */
let dateDay = NaN;
let dateText = '';

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value);
}
