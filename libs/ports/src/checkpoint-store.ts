import type { Precision } from '@belfry/protocol';
import type { Outcome } from './outcome.ts';
import type { TaskSlice } from './task-slice.ts';

/** A task's definition as stored: written when it is created, patched by updates, deleted when it is forgotten. */
export interface TaskRow {
  readonly id: string;
  readonly key: string | undefined;
  /** Denormalised from the target for `list`. */
  readonly namespace: string;
  readonly queue: string;
  readonly handler: string;
  /** Canonical schedule and encoded target. */
  readonly schedule: string;
  readonly target: string;
  /** JSON texts. */
  readonly payload: string;
  readonly metadata: string;
  readonly traceparent: string | undefined;
  /** Stored time of the creating message; also the anchor of an interval without one. */
  readonly createdAt: number;
  /** From when the present schedule counts: creation, or the last update that changed it. */
  readonly effectiveFrom: number;
  /** 64-bit hashes of payload and metadata, as two unsigned 32-bit halves each. */
  readonly bodyHash: readonly [number, number, number, number];
}

/** What an update changes; undefined leaves a column as it is. */
export interface TaskPatch {
  readonly id: string;
  readonly queue?: string;
  readonly handler?: string;
  readonly schedule?: string;
  readonly target?: string;
  readonly payload?: string;
  readonly metadata?: string;
  readonly effectiveFrom?: number;
  readonly bodyHash?: readonly [number, number, number, number];
  /** Set when a keyed task ends: it stays as a tombstone until it is deleted. */
  readonly ended?: { readonly state: 'finished' | 'cancelled'; readonly at: number };
}

/** A task in a load: what the shard keeps in memory. */
export interface LoadedTask {
  readonly id: string;
  readonly schedule: string;
  readonly target: string;
  readonly createdAt: number;
  readonly effectiveFrom: number;
  /** Zeros for a task without a key, which is never compared. */
  readonly bodyHash: readonly [number, number, number, number];
  readonly keyed: boolean;
  readonly ended: { readonly state: 'finished' | 'cancelled'; readonly at: number } | undefined;
  /** The task's own next fire, where it lags behind the shard's watermark. */
  readonly pointer: number | undefined;
}

/** A calendar of a namespace, as one shard has it: every shard has all of them, since its tasks' fires derive from them. */
export interface CalendarRow {
  readonly namespace: string;
  readonly name: string;
  /** Grows with every change; of two definitions, the one with the greater version counts. */
  readonly version: number;
  /** JSON text. */
  readonly definition: string;
  /** Stored time of the message that set it. */
  readonly setAt: number;
}

/** An execution that is not over: dispatched, or waiting for a retry. */
export interface ActiveRow {
  readonly task: string;
  readonly scheduledAt: number;
  readonly attempt: number;
  readonly state: 'dispatched' | 'retrying';
  /** When the next attempt is due (`retrying`). Not undefined in a `dispatched` row: its work message was lost with the work stream. */
  readonly retryAt: number | undefined;
  readonly dispatchedAt: number | undefined;
  readonly lost: number;
  readonly failures: number;
  /** JSON array of ended attempts (`AttemptRecord`), `[]` for none. */
  readonly attempts: string;
  /** The target it runs with, when the task's own has changed or is gone since; else undefined. */
  readonly target: string | undefined;
  readonly traceparent: string | undefined;
}

/** An execution that is over. */
export interface HistoryRow {
  readonly task: string;
  readonly scheduledAt: number;
  readonly namespace: string;
  readonly queue: string;
  readonly handler: string;
  /** `skipped`: the fire of a one-time task that was missed; it has no attempt. */
  readonly state: 'succeeded' | 'failed' | 'timed_out' | 'cancelled' | 'lost' | 'dead' | 'skipped';
  readonly attempt: number;
  readonly dispatchedAt: number | undefined;
  readonly deliveredAt: number | undefined;
  readonly startedAt: number | undefined;
  readonly finishedAt: number;
  /** Stored time of the result: decides the day partition. */
  readonly acceptedAt: number;
  readonly worker: string | undefined;
  readonly error: string | undefined;
  readonly result: string | undefined;
  /** JSON array of the attempts before the last; undefined when there was one. */
  readonly attempts: string | undefined;
  /** Of the owner that closed it: later than that which dispatched it, where the shard moved meanwhile. */
  readonly epoch: number;
  readonly traceparent: string | undefined;
  readonly createdAt: number;
  /** What its lateness is measured by; not stored. */
  readonly precision?: Precision;
}

/** What became of a shard's fires since its beginning; `failed`, `cancelled`, `withdrawn` and `missed` since the ledger's. */
export interface FireCounters {
  /** Became executions. */
  readonly fired: number;
  /** Executions that are over: of them `dead`, `failed` and `cancelled`, the rest succeeded. */
  readonly finished: number;
  readonly dead: number;
  /** Ended with a failure or a timeout, their tasks being cancelled. */
  readonly failed: number;
  readonly cancelled: number;
  /** Not kept by a catch-up policy; a lower bound. */
  readonly skipped: number;
  /** Due, and taken back by an update or a cancel before they were dispatched; a lower bound. */
  readonly withdrawn: number;
  /** Due, and in no place at all: it must be 0. */
  readonly missed: number;
}

export const NO_FIRES: FireCounters = {
  fired: 0,
  finished: 0,
  dead: 0,
  failed: 0,
  cancelled: 0,
  skipped: 0,
  withdrawn: 0,
  missed: 0,
};

/** What a command or an end has done to a task's schedule: kept for explanations, after the task itself has gone. */
export interface LifeRow {
  readonly task: string;
  readonly namespace: string;
  /** `rescheduled`: it has another schedule from then on. `finished`: a recurring task that has no further fire. */
  readonly kind: 'rescheduled' | 'cancelled' | 'finished';
  /** Stored time of the command; decides the day partition. */
  readonly at: number;
  /** The canonical schedule that it had up to then. */
  readonly schedule: string;
  readonly createdAt: number;
}

/** Nobody watched a shard while what lies in (fromMs, untilMs] came due: it was found at `foundMs`, and is for catch-up policies to decide. */
export interface UnwatchedRow {
  readonly fromMs: number;
  readonly untilMs: number;
  readonly foundMs: number;
}

/** Spans of time in which nobody watched a shard, 60 s or longer after which they were found: (fromMs, untilMs], disjoint, in order. */
export type UnwatchedSpans = readonly (readonly [fromMs: number, untilMs: number])[];

/** Everything of one shard that has changed since its last checkpoint. Taken in one synchronous step. */
export interface ShardDelta {
  readonly shard: number;
  readonly epoch: number;
  /** Everything acknowledged before this is included, ms since 1970; without it, the time of the (first) commit is taken for it. */
  readonly takenAt?: number;
  /** Inbox sequence up to which messages are included. */
  readonly seq: number;
  /**
   * The sequence of the checkpoint that this one continues. Where the stored one is behind it, the store was put back to an older state,
   * and what is missing stands in no delta: nothing is written, and the shard is told as fenced.
   */
  readonly after?: number;
  /** Every fire of a recurring task up to here has been dispatched, but for pointers and active rows. */
  readonly watermark: number;
  /** Deletes happen before inserts, and those before patches. What is inserted is patched with its end alone; what is deleted only when it is inserted anew. */
  readonly deletes: readonly string[];
  readonly inserts: readonly TaskRow[];
  readonly patches: readonly TaskPatch[];
  readonly pointers: readonly { readonly task: string; readonly next: number | undefined }[];
  readonly active: readonly ActiveRow[];
  readonly activeDone: readonly { readonly task: string; readonly scheduledAt: number }[];
  /** Calendars that were set, each once; they replace those of the same namespace and name. */
  readonly calendars: readonly CalendarRow[];
  readonly history: readonly HistoryRow[];
  readonly life: readonly LifeRow[];
  readonly unwatched: readonly UnwatchedRow[];
  /** Commands to remember, by hash, and the time before which commands are forgotten. */
  readonly commands: readonly { readonly hash: number; readonly at: number }[];
  readonly forgetCommandsBefore: number;
  readonly counters: FireCounters;
  readonly gaps: UnwatchedSpans;
}

export interface ShardHead {
  readonly shard: number;
  readonly epoch: number;
  /** 0 before the first checkpoint. */
  readonly seq: number;
  readonly watermark: number;
  readonly counters: FireCounters;
  readonly gaps: UnwatchedSpans;
}

/** What may have changed of shards since they were loaded, besides their active rows. */
export interface Changed {
  /** Ids of the tasks whose row or pointer is another one now, or gone. */
  readonly tasks: readonly string[];
  /** Commands of this instant and later, ms since 1970; Infinity: none are new. */
  readonly commandsFrom: number;
}

/** What a dispatch needs besides the core's state. */
export interface Body {
  readonly payload: string;
  readonly metadata: string;
  readonly key: string | undefined;
  readonly traceparent: string | undefined;
  readonly createdAt: number;
}

/** The shards' snapshots, in Postgres. */
export interface CheckpointStore {
  /** Takes the next epoch of each shard, greater than `seen` and than any before; from now on older owners can't commit. */
  takeEpochs(shards: readonly number[], node: string, seen: readonly number[]): Promise<Outcome<readonly ShardHead[]>>;
  /**
   * Loads shards: active rows, commands and calendars first, then tasks in slices, each of which is the receiver's only until it has
   * returned. With `changed`, no calendars, and only those commands and tasks that it names: what the shards had when it was told of
   * their changes, brought up to now.
   */
  load(
    shards: readonly number[],
    onActive: (shard: number, rows: readonly ActiveRow[]) => void,
    onCommands: (shard: number, commands: readonly { hash: number; at: number }[]) => void,
    onCalendars: (shard: number, rows: readonly CalendarRow[]) => void,
    onTasks: (shard: number, tasks: TaskSlice) => void | Promise<void>,
    changed?: Changed,
  ): Promise<Outcome<void>>;
  /**
   * One transaction for all deltas. `ok` names the shards that were refused because a newer epoch exists, or because what is stored is
   * older than what the delta continues (`after`): nothing of theirs is written, the others' is. A repetition after `retry` is safe: a delta whose seq and epoch are stored already is skipped whole.
   * (`attemptId` tells a repetition from a new delta with the same seq.)
   */
  commit(deltas: readonly ShardDelta[], attemptId: string): Promise<Outcome<{ readonly fenced: readonly number[] }>>;
  /** Bodies by task id; ids without a row are left out. */
  bodies(refs: readonly { readonly shard: number; readonly id: string }[]): Promise<Outcome<ReadonlyMap<string, Body>>>;
  /** A growing counter for the work stream's first sequence. */
  nextFirstSeq(): Promise<number>;
}
