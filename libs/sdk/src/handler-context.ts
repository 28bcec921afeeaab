import type { ExecutionId, TaskId, WorkMessage } from '@belfry/protocol';

import { withFields, type Log } from './log.ts';

/**
 * What a handler gets. It may be called twice for the same execution if its worker died or was silent for longer than its lease:
 * `executionId` is the idempotency key to guard side effects with, `epoch` a fencing token that grows.
 */
export class HandlerContext<Payload = unknown> {
  readonly payload: Payload;
  /** 1 the first time. */
  readonly attempt: number;
  /** The instant that the task was due. */
  readonly scheduledAt: Date;
  /** The fire's identity: the same in every attempt. */
  readonly executionId: ExecutionId;
  readonly task: TaskId;
  /** The task's idempotency key, if it has one. */
  readonly key: string | undefined;
  readonly namespace: string;
  readonly queue: string;
  readonly handler: string;
  readonly metadata: { readonly [label: string]: string };
  /** Fencing epoch of the shard that dispatched this attempt. */
  readonly epoch: number;
  /** How long this attempt may run, in ms from its start. */
  readonly timeoutMs: number;
  readonly #abort: () => AbortSignal;
  readonly #log: Log;
  #ownLog: Log | undefined;

  constructor(message: WorkMessage, payload: Payload, attempt: number, log: Log, abort: () => AbortSignal) {
    this.payload = payload;
    this.attempt = attempt;
    this.scheduledAt = new Date(message.scheduledAt);
    this.executionId = message.execution;
    this.task = message.task;
    this.key = message.key;
    this.namespace = message.namespace;
    this.queue = message.queue;
    this.handler = message.handler;
    this.metadata = message.metadata;
    this.epoch = message.epoch;
    this.timeoutMs = message.timeoutMs;
    this.#abort = abort;
    this.#log = log;
  }

  /**
   * Aborts when the attempt's time is up, when the connection was lost for longer than the lease (another worker may run it then),
   * or when the worker stops and its time for that is up. Its `reason` is a BelfryError that says which.
   */
  get signal(): AbortSignal {
    return this.#abort();
  }

  /** Logs with `execution`, `task`, `handler` and `attempt`. */
  get log(): Log {
    this.#ownLog ??= withFields(this.#log, {
      execution: this.executionId,
      task: this.task,
      handler: this.handler,
      attempt: this.attempt,
    });
    return this.#ownLog;
  }
}
