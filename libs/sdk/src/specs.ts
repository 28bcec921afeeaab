import type { CatchUpSpec, CreateResult, Precision, RetrySpec, ScheduleFields, TaskSpec } from '@belfry/protocol';
import { readDuration } from '@belfry/timing';

import { belfryError } from './errors.ts';

/** RFC 3339 with an offset, milliseconds since 1970, or a `Date`. */
export type Instant = string | number | Date;

/** When a task fires. Exactly one of `at`, `in`, `every` and `cron`. */
export interface When extends Omit<ScheduleFields, (typeof INSTANTS)[number]> {
  /** Once. */
  readonly at?: Instant;
  /** Once, so long from now on this machine's clock: `90s`, `15m`, or milliseconds; 100 ms at least. */
  readonly in?: string | number;
  /** Where the grid of `every` begins. Default: the task's creation. */
  readonly anchor?: Instant;
  /** No fire is before it. */
  readonly startAt?: Instant;
  /** No fire is after it. */
  readonly endAt?: Instant;
}

/** Fields that may be a `Date`. */
const INSTANTS = ['at', 'anchor', 'startAt', 'endAt'] as const;

/** What a task may have besides its schedule and target. */
export interface TaskOptions {
  /** Idempotency key, up to 256 characters: the same key is the same task. The same spec again changes nothing, another one updates it. */
  readonly key?: string;
  /** Default `medium`. */
  readonly priority?: 'high' | 'medium' | 'low';
  /** Default: 3 attempts, 1 s before the second, then doubling. */
  readonly retry?: RetrySpec;
  /** How long one attempt may run, in ms from the handler's start. Default 300,000. */
  readonly timeoutMs?: number;
  /** How exact its instants are: `high` ±100 ms, `normal` ±1 s (the default), `low` ±10 s. Never early; lower ones are dispatched in larger groups. */
  readonly precision?: Precision;
  /**
   * What becomes of fires that the scheduler missed by 60 s or more: none runs (`skip`), the last (`latest`), or those of a window (`all`,
   * by default the last hour). Default: `latest` for recurring tasks; a one-time task runs however late.
   */
  readonly catchUp?: CatchUpSpec;
  /** Labels, up to 32. */
  readonly metadata?: { readonly [label: string]: string };
}

/** A task as `client.schedule` takes it. */
export interface ScheduleSpec extends When, TaskOptions {
  /** The line of work that runs it. */
  readonly queue: string;
  /** The handler's name. */
  readonly handler: string;
  /** What JSON can hold, up to 256 KiB as text. Default null. */
  readonly payload?: unknown;
}

/** A task that was accepted. `next`: its next fires, RFC 3339. */
export type Scheduled = Exclude<CreateResult, { readonly error: unknown }>;

/** What may be changed of a task. */
export type TaskChanges = Partial<Omit<ScheduleSpec, 'key'>>;

/**
 * The spec, or what changes of one, as it stands on the wire.
 * @throws BelfryError `invalid_field` for a `Date` that is none, `invalid_schedule` for an `in` that can't be read
 */
export function wireSpec(spec: ScheduleSpec, nowMs?: number): TaskSpec;
export function wireSpec(spec: TaskChanges, nowMs?: number): Partial<Omit<TaskSpec, 'key'>>;
export function wireSpec(spec: TaskChanges, nowMs = Date.now()): Partial<TaskSpec> {
  if (spec.in === undefined && !INSTANTS.some((field) => spec[field] instanceof Date)) return spec as Partial<TaskSpec>;
  const { in: delay, ...rest } = spec;
  const at = delay === undefined ? instant(spec, 'at') : fromNow(delay, spec, nowMs);
  const bounds = { ...instant(spec, 'anchor'), ...instant(spec, 'startAt'), ...instant(spec, 'endAt') };
  return { ...rest, ...at, ...bounds } as Partial<TaskSpec>;
}

/** A schedule alone, as it stands on the wire. */
export function wireWhen(schedule: When, nowMs = Date.now()): ScheduleFields {
  return wireSpec(schedule as TaskChanges, nowMs);
}

function instant(spec: When, field: (typeof INSTANTS)[number]): { readonly [field: string]: number } {
  const value = spec[field];
  if (!(value instanceof Date)) return {};
  const ms = value.getTime();
  if (Number.isNaN(ms)) throw belfryError('invalid_field', 'is an invalid Date', field);
  return { [field]: ms };
}

function fromNow(delay: string | number, { at }: When, nowMs: number): { readonly at: number } {
  if (at !== undefined) throw belfryError('invalid_schedule', 'only one of at and in may stand', 'in');
  const duration = readDuration(delay);
  if (!duration.ok) throw belfryError('invalid_schedule', `in: ${duration.message}`, 'in');
  return { at: nowMs + duration.ms };
}
