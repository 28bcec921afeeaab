import type { WireError } from './errors.ts';
import type { ExecutionId, TaskId } from './ids.ts';
import type { Precision } from './spec.ts';
import type { CatchUp } from './target.ts';

/**
 * What stands in a shard's inbox. One message is an envelope: the records that one group commit had for one shard.
 * Every record is applied in order, and carries all that its outcome depends on besides the message's stored timestamp.
 */
export interface Envelope {
  /** 2: its creates may leave out `d` (`decodeEnvelope` puts it back). */
  readonly v: 1 | 2;
  /** The gateway that wrote it and gets the answers; empty for an ownership record. */
  readonly g: string;
  readonly r: readonly InboxRecord[];
}

export type InboxRecord =
  CreateRecord | UpdateRecord | CancelRecord | CalendarRecord | ResultRecord | RedeliveredRecord | OwnershipRecord;

interface Addressed {
  /** Correlation of the answer at its gateway; 0 when nobody waits. */
  readonly c: number;
}

interface Command extends Addressed {
  /** Identity of the command, for retries: a 53-bit hash of command id and item index. */
  readonly m: number;
}

export interface CreateRecord extends Command {
  readonly k: 'create';
  readonly id: TaskId;
  readonly key?: string;
  /** Canonical schedule, encoded target. */
  readonly s: string;
  readonly t: string;
  /** Payload as JSON text. */
  readonly p: string;
  /** Metadata as JSON text, `{}` for none. */
  readonly d: string;
  /** Traceparent of the creation. */
  readonly tp?: string;
}

export interface UpdateRecord extends Command {
  readonly k: 'update';
  readonly id: TaskId;
  readonly ns: string;
  readonly s?: string;
  /** Changes of the target: the fields of a task spec, already checked. */
  readonly t?: {
    readonly queue?: string;
    readonly handler?: string;
    readonly priority?: 0 | 1 | 2;
    readonly retry?: TargetRetry;
    readonly timeoutMs?: number;
    readonly precision?: Precision;
    readonly catchUp?: CatchUp;
  };
  readonly p?: string;
  readonly d?: string;
}

type TargetRetry = {
  readonly attempts: number;
  readonly initialMs: number;
  readonly factor: number;
  readonly maxMs: number;
  readonly jitter: number;
};

export interface CancelRecord extends Command {
  readonly k: 'cancel';
  readonly id: TaskId;
  readonly ns: string;
}

/** A calendar, in the inbox of every shard: what their tasks' fires derive from must stand in their own logs. */
export interface CalendarRecord extends Command {
  readonly k: 'calendar';
  readonly ns: string;
  readonly name: string;
  /** Of two definitions, the one with the greater version counts, in whichever order they come. */
  readonly v: number;
  /** Definition as JSON text. */
  readonly d: string;
}

export const OUTCOMES = ['succeeded', 'failed', 'timed_out', 'cancelled', 'lost', 'returned'] as const;
/** How an attempt ended. `returned`: the worker gave it back unrun (a graceful stop); it counts as no attempt. */
export type Outcome = (typeof OUTCOMES)[number];

export interface ResultRecord extends Addressed {
  readonly k: 'result';
  readonly x: ExecutionId;
  readonly ns: string;
  /** Attempt. */
  readonly a: number;
  readonly o: Outcome;
  /** Worker. */
  readonly w: string;
  /** Delivered to the worker, handler started, handler ended; ms since 1970 on the worker's clock. */
  readonly dl: number;
  readonly st: number;
  readonly fi: number;
  /** Error text, whether it must not be retried, result as JSON text. */
  readonly e?: string;
  readonly f?: true;
  readonly v?: string;
}

/** A worker got a message that had been delivered before: may it run? */
export interface RedeliveredRecord extends Addressed {
  readonly k: 'redelivered';
  readonly x: ExecutionId;
  readonly ns: string;
  readonly a: number;
  readonly w: string;
  /** The broker's delivery count of the message, if the worker said it. */
  readonly n?: number;
  /** The message carries others besides. */
  readonly p?: boolean;
}

export interface OwnershipRecord extends Addressed {
  readonly k: 'ownership';
  readonly epoch: number;
  readonly node: string;
  /** The work stream had lost what the owners before had dispatched; written before the new owner's fence stands in the new stream. */
  readonly lost?: true;
}

/** What a shard answers to a record. */
export type Answer =
  | { readonly ok: true; readonly status: 'created' | 'updated' | 'unchanged'; readonly next: readonly number[] }
  | { readonly ok: true; readonly status: 'cancelled'; readonly running: readonly ExecutionId[] }
  | { readonly ok: true; readonly status: 'accepted' }
  | {
      readonly ok: true;
      readonly status: 'calendar';
      /** `superseded`: a greater version was there, or another definition of the same. */
      readonly outcome: 'set' | 'repeated' | 'superseded';
      /** The version that holds now. */
      readonly version: number;
      /** Tasks that wait for another instant now. */
      readonly rearmed: number;
    }
  | { readonly ok: true; readonly status: 'run'; readonly attempt: number }
  | { readonly ok: true; readonly status: 'skip'; readonly reason: string }
  | { readonly ok: false; readonly error: WireError };

/** One message of answers to one gateway. */
export interface Replies {
  readonly v: 1;
  readonly a: readonly (readonly [correlation: number, answer: Answer])[];
}
