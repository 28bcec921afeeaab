import type { Precision, SkipReason } from '@belfry/protocol';
import type { Messenger, Timers } from '@belfry/actor-runtime';
import type { CheckpointStore, Inbox, WorkQueue } from '@belfry/ports';
import type { Body } from '@belfry/ports';
import type { Execution, TaskGlance } from '@belfry/shard';

export interface Clock {
  /** Disciplined wall clock, ms since 1970. It never goes back while a shard is owned. */
  now(): number;
  /**
   * Whether the wall clock was set back and has not come to `now` again. Nothing fires meanwhile: what was created since would fire early.
   * Absent: never.
   */
  isHeld?(): boolean;
  /** Never steps; ms since some instant. */
  monotonic(): number;
}

export interface Log {
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** What the scheduler tells about its work, in the names of `docs/telemetry.md`. */
export interface SchedulerMetrics {
  dispatched(count: number): void;
  executionOver(state: string, precision: Precision, latenessMs: number | undefined): void;
  skipped(policy: SkipReason, count: number): void;
  checkpoint(rows: number, durationMs: number): void;
  takeover(shards: number, durationMs: number): void;
  quarantined(): void;
}

/** A span that is under way. */
export interface OpenSpan {
  /** Its context, to propagate. */
  readonly traceparent: string | undefined;
  end(error?: Error): void;
}

export interface SchedulerTracer {
  /**
   * The dispatch of one attempt; `creation` is the traceparent of the task's creation, the execution's own is that of the
   * attempt before. A fire of a recurring task begins a trace and links to its creation instead of being its child.
   */
  dispatch(
    execution: Pick<Execution, 'id' | 'task' | 'target' | 'recurring' | 'traceparent'>,
    attempt: number,
    creation: string | undefined,
  ): OpenSpan;
  checkpoint(rows: number): OpenSpan;
}

/** Traces nothing. One-time tasks pass on their creation's context; years of fires would make a trace without end. */
export const NO_TRACER: SchedulerTracer = {
  dispatch: ({ recurring }, _attempt, creation) => ({
    traceparent: recurring ? undefined : creation,
    end: () => undefined,
  }),
  checkpoint: () => ({ traceparent: undefined, end: () => undefined }),
};

/** Everything outside that a scheduler node works with. */
export interface Environment {
  readonly node: string;
  readonly shards: number;
  readonly inbox: Inbox;
  readonly work: WorkQueue;
  readonly store: CheckpointStore;
  readonly messenger: Messenger;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Resolves when this process has little else to do, or `goesOn` says no more; a node waits for it before its first hand-over. */
  readonly calm?: (goesOn: () => boolean) => Promise<void>;
  /** How often shards look at the time, ms. Default 2. */
  readonly tickMs?: number;
  /** The highest level that it reads (`LEVELS`). Default: the newest. */
  readonly reads?: number;
  readonly log: Log;
  readonly metrics: SchedulerMetrics;
  readonly tracer: SchedulerTracer;
  /** The answer to a query for one task. */
  readonly renderTask: (shard: number, glance: TaskGlance, body: Body) => unknown;
}

/** Waits before try number `attempt` (from 1): 50 ms, doubling, up to 5 s. */
export function pause({ after }: Pick<Timers, 'after'>, attempt: number): Promise<void> {
  return new Promise((resolve) => void after(Math.min(5_000, 50 * 2 ** (attempt - 1)), resolve));
}

/** Lets timers and sockets have their turn. */
export function breathe({ soon }: Pick<Timers, 'soon'>): Promise<void> {
  return new Promise((resolve) => soon(resolve));
}

/** Tries until it is done. */
export async function untilOk<T>(
  env: Environment,
  what: string,
  act: () => Promise<{ kind: 'ok'; value: T } | { kind: 'retry'; error: Error } | { kind: 'refused'; reason: unknown }>,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await act();
    if (outcome.kind === 'ok') return outcome.value;
    env.log.warn(`takeover: ${what} not yet`, {
      error: outcome.kind === 'retry' ? outcome.error.message : String(outcome.reason),
      attempt,
    });
    await pause(env.timers, attempt);
  }
}
