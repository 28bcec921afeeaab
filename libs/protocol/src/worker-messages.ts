import type { WireError } from './errors.ts';
import type { ExecutionId, TaskId } from './ids.ts';
import { LIMITS } from './limits.ts';
import type { Outcome } from './records.ts';
import type { Json } from './spec.ts';

/** Body of a work message. */
export interface WorkMessage {
  readonly v: 1;
  readonly execution: ExecutionId;
  readonly task: TaskId;
  readonly namespace: string;
  readonly key?: string;
  readonly queue: string;
  readonly handler: string;
  readonly attempt: number;
  readonly scheduledAt: number;
  readonly dispatchedAt: number;
  /** Fencing epoch of the shard that dispatched it. */
  readonly epoch: number;
  readonly timeoutMs: number;
  readonly metadata: { readonly [label: string]: string };
  readonly payload: Json;
  /** In a parcel only, which is an array of these: alone, a message has it as a header. */
  readonly traceparent?: string;
}

/** `executions.finish`: one, or `{"items": […]}` of up to 1,000. */
export interface FinishRequest {
  readonly execution: ExecutionId;
  readonly attempt: number;
  readonly worker: string;
  /** succeeded | failed | timed_out | returned */
  readonly outcome: Outcome;
  readonly deliveredAt?: number;
  readonly startedAt?: number;
  readonly finishedAt?: number;
  readonly error?: string;
  /** The failure is final: no retry. */
  readonly fatal?: boolean;
  readonly result?: Json;
}

export type FinishResult = { readonly ok: true } | { readonly error: WireError };

/** `executions.redelivered`: asked before running a message whose delivery count is above 1. */
export interface RedeliveredRequest {
  readonly execution: ExecutionId;
  readonly attempt: number;
  readonly worker: string;
  /** The broker's delivery count of the message: asked again with the same count, the answer is the same. */
  readonly deliveries?: number;
  /** The message carries others besides: this one gets a message of its own, so that none suffers for another that ends its worker. */
  readonly parcel?: boolean;
}

export type RedeliveredReply =
  { readonly run: true; readonly attempt: number } | { readonly run: false; readonly reason: string };

/** `workers.subscribe`: makes sure that the queue can be pulled from, and says how. */
export interface SubscribeRequest {
  readonly queue: string;
  /** The lease that this worker relies on, `LIMITS.workLeaseMinMs` to `workLeaseMaxMs`; `LIMITS.ackWaitMs` unless it says so. */
  readonly leaseMs?: number;
}

export interface SubscribeReply {
  readonly stream: string;
  readonly consumer: string;
  /** The lease: as long as was asked for. Extend (`+WPI`) at a third of it. */
  readonly ackWaitMs: number;
}

/** `workers.heartbeat`: plain publish, every second. */
export interface WorkerHeartbeat {
  readonly worker: string;
  readonly queues: readonly string[];
  /** Executions that it runs at the same time. */
  readonly capacity: number;
  readonly running: readonly ExecutionId[];
  /** How many executions it takes in one work message: 1, unless it says so. */
  readonly parcel?: number;
  /** The lease that it relies on: `LIMITS.ackWaitMs`, unless it says so. */
  readonly leaseMs?: number;
  /** It finishes what it has and takes no more. */
  readonly stopping?: boolean;
}

/** Whether a worker may ask for a lease of so many ms. */
export function isLease(value: unknown): value is number {
  const { workLeaseMinMs, workLeaseMaxMs } = LIMITS;
  return Number.isSafeInteger(value) && (value as number) >= workLeaseMinMs && (value as number) <= workLeaseMaxMs;
}
