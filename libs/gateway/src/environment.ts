import type { ErrorCode } from '@belfry/protocol';
import type { Inbox, Outcome, Queries } from '@belfry/ports';

export interface Clock {
  /** Disciplined wall clock, ms since 1970: decides whether an `at` lies too far in the past. Goes back only while creates are refused. */
  now(): number;
  /** Never steps; ms since some instant: deadlines. */
  monotonic(): number;
}

export interface Log {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** What a gateway tells about its work. */
export interface GatewayMetrics {
  /** One request was answered; `outcome` is `ok`, or the code of the error that the request as a whole got. */
  request(op: string, outcome: 'ok' | ErrorCode, durationMs: number): void;
  /** Items of requests and of ingest messages that were refused, by code. */
  refused(op: string, code: ErrorCode, count: number): void;
  /** One append to the inbox, of so many records in so many envelopes. */
  commit(outcome: 'ok' | 'retry' | 'full' | 'fault', records: number, envelopes: number, durationMs: number): void;
  /** Records that no shard answered in time, by what was known of them. */
  unanswered(op: string, stored: boolean, count: number): void;
}

export const NO_METRICS: GatewayMetrics = {
  request: () => undefined,
  refused: () => undefined,
  commit: () => undefined,
  unanswered: () => undefined,
};

/** A span that is under way. */
export interface OpenSpan {
  /** Its context, to propagate. */
  readonly traceparent: string | undefined;
  end(error?: Error): void;
}

export interface Tracer {
  startSpan(
    name: string,
    parent: string | undefined,
    attributes: { readonly [name: string]: string | number },
  ): OpenSpan;
}

/** Traces nothing, and passes on the context that came. */
export const NO_TRACER: Tracer = {
  startSpan: (_name, parent) => ({ traceparent: parent, end: () => undefined }),
};

/** Everything outside that a gateway works with. */
export interface GatewayEnvironment {
  /** Of this process, and new with each start: a late answer to a former one must not meet a request of this one. */
  readonly gatewayId: string;
  /** Shards of the installation. */
  readonly shards: number;
  readonly inbox: Pick<Inbox, 'append'>;
  readonly queries: Queries;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics?: GatewayMetrics;
  readonly tracer?: Tracer;
  /** Why this node's clock cannot be trusted: then tasks are neither created nor updated here. */
  readonly clockTrouble?: () => string | undefined;
  /** The level at which records may be written now (`LEVELS`). Default: the oldest, which everybody reads. */
  readonly level?: () => number;
  /** What this machine calls its time-zone data. */
  readonly timeZoneVersion?: string;
  /** Asks the shard's owner. Refused `no_owner`: nobody serves the shard at the moment. */
  readonly askShard: (shard: number, op: 'get' | 'schedules', body: string) => Promise<Outcome<Uint8Array, 'no_owner'>>;
  /** Makes the queue's pull consumer if it is not there, with leases of this length at least. Rejects when that cannot be known. */
  readonly ensureConsumer: (namespace: string, queue: string, leaseMs: number) => Promise<void>;
  /** Publishes to the namespace's rejected stream, durably; the same `messageId` again is the same message. */
  readonly publishRejected: (namespace: string, body: string, messageId: string) => Promise<Outcome<unknown, unknown>>;
  /** Runs something at the end of this turn of the event loop; default `setImmediate`. */
  readonly defer?: (run: () => void) => void;
}
