import type { WireError } from './errors.ts';
import type { ExecutionId, TaskId } from './ids.ts';
import type { Outcome } from './records.ts';
import type { CatchUpSpec, Json, Precision, Priority, Retry, ScheduleFields, SkipReason, TaskSpec } from './spec.ts';

/** Replies of every request subject: `{"error": …}` when the request as a whole is refused. */
export type Reply<T> = T | { readonly error: WireError };

/** `tasks.create`: one `TaskSpec`, or `{"items": [TaskSpec, …], "commandId"?: string}`. */
export interface CreateRequest {
  readonly items: readonly TaskSpec[];
  /** The same command id again is the same command, for 24 hours. */
  readonly commandId?: string;
}

export type CreateResult =
  | {
      readonly id: TaskId;
      readonly status: 'created' | 'updated' | 'unchanged';
      readonly created: boolean;
      readonly next: readonly string[];
    }
  | { readonly error: WireError };

/** For one task: its result. For an array: `{"items": [CreateResult, …]}` in the same order. */
export interface CreateReply extends Warned {
  readonly items: readonly CreateResult[];
}

/** `tasks.get`, `tasks.cancel`: by id, or by key. */
export interface TaskRef {
  readonly id?: string;
  readonly key?: string;
}

export interface UpdateRequest extends TaskRef {
  readonly set: Partial<Omit<TaskSpec, 'key'>>;
  readonly commandId?: string;
}

/** Header of a create or update in which a client states when it sent it, in ms since 1970. Optional. */
export const SENT_AT_HEADER = 'Belfry-Sent-At';

/** What the client should know although its request was taken. Codes may be added. */
export interface Warning {
  /** `clock_skew`: the stated send time and the gateway's clock are more than 5 s apart. */
  readonly code: 'clock_skew';
  readonly message: string;
  /** How far the stated time was ahead of the gateway's clock. */
  readonly offsetMs: number;
}

/** Of a create (also of a bare task) or an update, where there is something to warn of. */
export interface Warned {
  readonly warnings?: readonly Warning[];
}

export interface CancelRequest extends TaskRef {
  readonly commandId?: string;
}

export interface CancelReply {
  readonly id: TaskId;
  readonly status: 'cancelled';
  /** Executions in workers' hands: these run on. */
  readonly running: readonly ExecutionId[];
}

export const TASK_STATES = ['waiting', 'due', 'running', 'retrying', 'finished', 'cancelled'] as const;
export type TaskState = (typeof TASK_STATES)[number];

/** A task as `get` and `list` show it. Instants are RFC 3339 in UTC. */
export interface TaskView extends ScheduleFields {
  readonly id: TaskId;
  readonly namespace: string;
  readonly key?: string;
  readonly queue: string;
  readonly handler: string;
  readonly priority: Priority;
  readonly retry: Retry;
  readonly timeoutMs: number;
  readonly precision: Precision;
  readonly catchUp: CatchUpSpec;
  readonly metadata: { readonly [label: string]: string };
  readonly payload?: Json;
  readonly state: TaskState;
  readonly createdAt: string;
  /** Coming fires, soonest first; empty when there are none. */
  readonly next: readonly string[];
  /** Executions that are dispatched or wait for a retry (`get` only). */
  readonly executions?: readonly ExecutionView[];
  /** Of more executions than fit the answer: how many earlier ones are not in it. */
  readonly executionsLeftOut?: number;
  readonly shard: number;
}

/** `tasks.list`: newest first within the filters; `cursor` from the last page. */
export interface ListRequest {
  readonly queue?: string;
  readonly handler?: string;
  readonly state?: 'active' | 'ended';
  /** Labels that must all match. */
  readonly metadata?: { readonly [label: string]: string };
  readonly limit?: number;
  readonly cursor?: string;
}

export interface ListReply {
  readonly items: readonly TaskView[];
  readonly cursor?: string;
  /** The list shows what was checkpointed at this instant. */
  readonly asOf: string;
}

export const EXECUTION_STATES = [
  'dispatched',
  'retrying',
  'succeeded',
  'failed',
  'timed_out',
  'cancelled',
  'lost',
  'dead',
  'skipped',
] as const;
export type ExecutionState = (typeof EXECUTION_STATES)[number];

export interface AttemptView {
  readonly attempt: number;
  readonly outcome: Outcome | 'dispatched';
  readonly worker?: string;
  readonly dispatchedAt?: string;
  readonly deliveredAt?: string;
  readonly startedAt?: string;
  readonly finishedAt?: string;
  readonly acceptedAt?: string;
  readonly error?: string;
}

/** One execution: a fire and its attempts. */
export interface ExecutionView {
  readonly execution: ExecutionId;
  readonly task: TaskId;
  readonly namespace: string;
  readonly queue: string;
  readonly handler: string;
  readonly scheduledAt: string;
  readonly state: ExecutionState;
  /** Handler start − scheduledAt of the first attempt that started. */
  readonly latenessMs?: number;
  readonly attempts: readonly AttemptView[];
  readonly result?: Json;
  readonly error?: string;
  readonly epoch?: number;
  readonly traceId?: string;
  /** When the task was created (`executions.trace` only). */
  readonly createdAt?: string;
  /** When Postgres had it (`executions.trace` only). */
  readonly checkpointedAt?: string;
}

/** `tasks.history`: executions, latest first, of one task, or of all; `cursor` from the last page. */
export interface HistoryRequest extends TaskRef {
  readonly state?: ExecutionState;
  readonly limit?: number;
  /** Only fires before this instant (RFC 3339 or ms). */
  readonly before?: string | number;
  readonly cursor?: string;
}

export interface HistoryReply {
  readonly items: readonly ExecutionView[];
  /** There may be more. A page may be shorter than asked for and not the last: all of it must fit a message. */
  readonly cursor?: string;
  readonly asOf: string;
}

/** `tasks.explain`: why a task did or did not run at an instant, or in a span of time; the last day without either. */
export interface ExplainRequest extends TaskRef {
  /** One instant (RFC 3339 or ms); a whole second stands for all of it. */
  readonly at?: string | number;
  readonly from?: string | number;
  readonly to?: string | number;
  /** Of more fires, the latest are told. Default 20. */
  readonly limit?: number;
}

/**
 * What became of a fire. `ran`: it succeeded. `failed`: it is over without success. `waiting`: it is due and not dispatched. `coming`: it is
 * not due yet. `skipped`: by a catch-up policy. `withdrawn`: by an update or a cancel. `unknown`: what would tell is not recorded, not yet, or not any more.
 * `missed`: it was due, and nothing tells of it: a fault.
 */
export const VERDICTS = [
  'ran',
  'failed',
  'cancelled',
  'running',
  'retrying',
  'waiting',
  'coming',
  'skipped',
  'withdrawn',
  'unknown',
  'missed',
] as const;
export type Verdict = (typeof VERDICTS)[number];

/** One cause: a code for programs, words for people. */
export interface Reason {
  readonly code: string;
  readonly text: string;
  readonly at?: string;
}

export interface ExplainedFire {
  readonly scheduledAt: string;
  /** The wall clock of the schedule's zone. */
  readonly local: string;
  readonly verdict: Verdict;
  /** In the order in which they came to bear. */
  readonly reasons: readonly Reason[];
  /** Where there is one: `executions.trace` shows all of it. */
  readonly execution?: ExecutionId;
}

export interface ExplainReply {
  readonly id: TaskId;
  readonly namespace: string;
  readonly key?: string;
  /** `gone`: it is over and forgotten. */
  readonly state: TaskState | 'gone';
  readonly from: string;
  readonly to: string;
  /** What became of the task, oldest first; each with the schedule that it had from then on. */
  readonly life: readonly {
    readonly at: string;
    readonly what: 'created' | 'rescheduled' | 'cancelled' | 'finished';
    readonly schedule?: ScheduleFields;
  }[];
  /** Nodes that took the task's shard over in the span, oldest first. */
  readonly owners: readonly { readonly at: string; readonly node: string; readonly epoch: number }[];
  /** Soonest first. */
  readonly fires: readonly ExplainedFire[];
  /** Earlier fires of the span are left out. */
  readonly more: boolean;
  /** Where the span has no fire: why not, and the fires around it. */
  readonly absence?: {
    readonly reasons: readonly Reason[];
    readonly previous?: string;
    readonly next?: string;
  };
  /** Everything of the task's shard that was acknowledged before this is included. */
  readonly asOf: string;
}

/** Body of a message on `belfry.v1.<namespace>.rejected`. */
export interface RejectedMessage {
  readonly error: WireError;
  /** The refused task as JSON text, or the whole message where it could not be read; cut at 4,000 characters. */
  readonly task: string;
  /** When ingest had it. */
  readonly receivedAt: string;
  /** Its place in a message with many tasks; absent when the message is refused as a whole. */
  readonly index?: number;
}

export const EVENT_TYPES = [
  'created',
  'updated',
  'cancelled',
  'succeeded',
  'failed',
  'retrying',
  'dead',
  'skipped',
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** `belfry.v1.<namespace>.events.<type>.<task id>`. */
export interface LifecycleEvent {
  readonly type: EventType;
  readonly task: TaskId;
  readonly at: string;
  readonly execution?: ExecutionId;
  readonly attempt?: number;
  readonly error?: string;
  /** Of `skipped`: the policy, the first and last of the skipped fires, and how many. */
  readonly policy?: SkipReason;
  readonly first?: string;
  readonly last?: string;
  readonly count?: number;
  /** There may be more than `count`: beyond 100, only those of fixed intervals are counted. */
  readonly atLeast?: true;
}

/** A shard's own answer to `belfry.shard.<n>.get` `{"id": …, "namespace": …}`: the task as its owner knows it. */
export type ShardGetReply = Reply<{ readonly task: TaskView }>;
