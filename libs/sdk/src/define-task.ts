import { isName } from '@belfry/protocol';
import type { StandardSchemaV1 } from '@standard-schema/spec';

import { belfryError } from './errors.ts';
import type { HandlerContext } from './handler-context.ts';
import type { ScheduleSpec, TaskOptions, When } from './specs.ts';

/** What stands for every task of a kind; each schedule may say otherwise. */
export type TaskDefaults = Omit<TaskOptions, 'key'>;

export interface TaskDefinitionOptions extends TaskDefaults {
  /** The handler's name: 1 to 64 characters of A-Z, a-z, 0-9, _ and -. */
  readonly name: string;
  /** The queue that its workers pull from, named likewise. */
  readonly queue: string;
}

/** One use of a definition: when, with which payload, and what differs from the defaults. */
export type TypedSpec<Input> = When &
  TaskOptions &
  (undefined extends Input ? { readonly payload?: Input } : { readonly payload: Input });

/** A handler's function. What it returns is kept in the history, if JSON can hold it in 8 KiB. */
export type HandlerFunction<Payload> = (context: HandlerContext<Payload>) => unknown;

/** A definition with its function: what a `Worker` takes. */
export interface Handler {
  readonly name: string;
  readonly queue: string;
  readonly schema: StandardSchemaV1 | undefined;
  readonly run: HandlerFunction<unknown>;
}

/**
 * A kind of task: its name, queue, payload type and defaults, shared by those who schedule it and those who run it.
 * `Input` is what callers send, `Output` what the schema makes of it for the handler.
 */
export interface TaskDefinition<Input, Output = Input> {
  readonly name: string;
  readonly queue: string;
  readonly schema: StandardSchemaV1<unknown, Output> | undefined;
  readonly defaults: TaskDefaults;
  /** For a `Worker`. */
  handler(run: HandlerFunction<Output>): Handler;
  /** The plain spec, unchecked: for `client.schedule`, where tasks of several kinds go together. */
  spec(use: TypedSpec<Input>): ScheduleSpec;
}

/**
 * Defines a kind of task. The schema (zod, valibot, arktype or any other Standard Schema) checks payloads before they are sent and
 * again before they are handled; without one the payload's type is only stated: `defineTask<{ to: string }>({ … })`.
 * @throws BelfryError `invalid_name`
 */
export function defineTask<Schema extends StandardSchemaV1>(
  options: TaskDefinitionOptions & { readonly schema: Schema },
): TaskDefinition<StandardSchemaV1.InferInput<Schema>, StandardSchemaV1.InferOutput<Schema>>;
export function defineTask<Payload = unknown>(options: TaskDefinitionOptions): TaskDefinition<Payload>;
export function defineTask(
  options: TaskDefinitionOptions & { readonly schema?: StandardSchemaV1 },
): TaskDefinition<unknown> {
  const { name, queue, schema, ...defaults } = options;
  requireName(name, 'name');
  requireName(queue, 'queue');
  return {
    name,
    queue,
    schema,
    defaults,
    handler: (run) => ({ name, queue, schema, run }),
    spec: (use) => ({ ...defaults, ...use, queue, handler: name }),
  };
}

/** @throws BelfryError `invalid_name` */
export function requireName(value: unknown, path: string): void {
  if (!isName(value)) throw belfryError('invalid_name', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -', path);
}
