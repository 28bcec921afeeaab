import { randomUUID } from 'node:crypto';

import {
  EVENT_TYPES,
  parseTaskId,
  subjects,
  type CancelReply,
  type CreateReply,
  type CreateResult,
  type EventType,
  type ForecastReply,
  type ForecastRequest,
  type TzdiffReply,
  type TzdiffRequest,
  type ExecutionView,
  type ExplainReply,
  type ExplainRequest,
  type HistoryReply,
  type HistoryRequest,
  type LifecycleEvent,
  type LintReply,
  type ListReply,
  type ListRequest,
  type PreviewReply,
  type PreviewRequest,
  type TaskOp,
  type TaskRef,
  type TaskView,
  type Warned,
} from '@belfry/protocol';

import { createAll } from './batches.ts';
import { Calendars } from './calendars.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import type { TaskDefinition, TypedSpec } from './define-task.ts';
import { BelfryError, belfryError } from './errors.ts';
import { eventStream } from './event-stream.ts';
import { executionPages, taskPages, type Pages } from './pages.ts';
import { IngestPublisher } from './publisher.ts';
import { listRejected, type RejectedTask } from './rejected.ts';
import { Requester, type RequesterOptions, type RequestSettings } from './requester.ts';
import { validatePayload } from './schema.ts';
import { SendTime } from './send-time.ts';
import {
  wireSpec,
  wireWhen,
  type Instant,
  type Scheduled,
  type ScheduleSpec,
  type TaskChanges,
  type When,
} from './specs.ts';

export interface BelfryOptions extends ConnectionOptions, RequesterOptions {}

export interface EventFilter {
  /** Default: all types. */
  readonly type?: string;
  /** A task's id. Default: all tasks of the namespace. */
  readonly task?: string;
}

const DEFAULT_TIMEOUT_MS = 30_000;

/**
 * A client of one namespace. It connects when it is first used, and lives through disconnections: what got no answer is sent again
 * with the same command id until `timeoutMs` have passed, so that it is done once. All methods throw BelfryError.
 */
export class Belfry implements AsyncDisposable {
  readonly namespace: string;
  /** Named sets of dates and windows that schedules refer to. */
  readonly calendars: Calendars;
  readonly #connection: Connection;
  readonly #requester: Requester;
  readonly #publisher: IngestPublisher;
  readonly #sendTime: SendTime;

  /** @throws BelfryError `invalid_name` for the namespace */
  constructor(options: BelfryOptions = {}) {
    const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#connection = new Connection('belfry client', options);
    this.#requester = new Requester(this.#connection, { timeoutMs });
    this.#publisher = new IngestPublisher(this.#connection, timeoutMs);
    this.#sendTime = new SendTime(this.#connection.log);
    this.namespace = this.#connection.namespace;
    this.calendars = new Calendars(this.#requester, this.namespace);
  }

  /** The next fires of a schedule, with local times and what moved them. `count`: 1 to 1,000, default 10; `after`: default now. */
  async preview(
    schedule: When,
    options: { readonly after?: Instant; readonly count?: number } = {},
  ): Promise<PreviewReply> {
    const { after, count } = options;
    const request: PreviewRequest = {
      schedule: wireWhen(schedule),
      ...(after === undefined ? {} : { after: after instanceof Date ? after.getTime() : after }),
      ...(count === undefined ? {} : { count }),
    };
    return await this.#requester.request<PreviewReply>(subjects.schedules(this.namespace, 'preview'), request);
  }

  /** What is allowed in a schedule, and perhaps not meant. */
  async lint(schedule: When): Promise<LintReply> {
    return await this.#requester.request<LintReply>(subjects.schedules(this.namespace, 'lint'), {
      schedule: wireWhen(schedule),
    });
  }

  /** How many fires of stored tasks come in each second of an hour, minute of a day (the default), or hour of 31 days. */
  async forecast(window: NonNullable<ForecastRequest['window']> = 'day'): Promise<ForecastReply> {
    return await this.#requester.request<ForecastReply>(subjects.schedules(this.namespace, 'forecast'), { window });
  }

  /** Which fires of stored tasks move with the time-zone data: from what was recorded (by default, the latest other) to the servers' own. */
  async tzdiff(from?: string): Promise<TzdiffReply> {
    const request: TzdiffRequest = from === undefined ? {} : { from };
    return await this.#requester.request<TzdiffReply>(subjects.schedules(this.namespace, 'tzdiff'), request);
  }

  /**
   * Creates a task, or, where its key is known, updates it. When this resolves it is on disk and its next fires are known.
   * With a definition, the payload is checked by its schema first.
   */
  async schedule<Input>(definition: TaskDefinition<Input, unknown>, use: TypedSpec<Input>): Promise<Scheduled>;
  async schedule(spec: ScheduleSpec): Promise<Scheduled>;
  async schedule<Input>(
    target: TaskDefinition<Input, unknown> | ScheduleSpec,
    use?: TypedSpec<Input>,
  ): Promise<Scheduled> {
    const [result] = await this.scheduleMany([await checkedSpec(target, use)]);
    if (result === undefined || 'error' in result) {
      throw result === undefined
        ? belfryError('internal', 'an answer without a result')
        : new BelfryError(result.error);
    }
    return result;
  }

  /**
   * Creates or updates tasks of any number, in requests of up to 1,000. One result per spec, in their order: one that is refused
   * does not sink the others.
   */
  async scheduleMany(specs: readonly ScheduleSpec[]): Promise<readonly CreateResult[]> {
    return await createAll(specs, (request, again) => this.#create(request, again));
  }

  /**
   * Publishes a task for creation. When this resolves it is on disk and will be created; nothing is known yet of what the scheduler
   * says to it. What is refused later is listed by `rejected`.
   */
  async publish<Input>(definition: TaskDefinition<Input, unknown>, use: TypedSpec<Input>): Promise<void>;
  async publish(spec: ScheduleSpec): Promise<void>;
  async publish<Input>(target: TaskDefinition<Input, unknown> | ScheduleSpec, use?: TypedSpec<Input>): Promise<void> {
    await this.#publisher.publish(await checkedSpec(target, use));
  }

  /** Changes what `set` names; the rest stays. */
  async update(ref: TaskRef, set: TaskChanges): Promise<Scheduled> {
    return await this.#define<Scheduled & Warned>('update', {
      ...refOf(ref),
      set: wireSpec(set),
      commandId: randomUUID(),
    });
  }

  /** The task fires no more. Executions that workers have already run on, and are named in the reply. */
  async cancel(ref: TaskRef): Promise<CancelReply> {
    return await this.#tasks('cancel', { ...refOf(ref), commandId: randomUUID() }, { repeatable: true });
  }

  /** The task as its shard knows it now. Throws `not_found`. */
  async get(ref: TaskRef): Promise<TaskView> {
    return await this.#tasks('get', refOf(ref), { repeatable: true });
  }

  /** Tasks, newest first: awaited, a page; iterated, all. As of the last checkpoint (`asOf`). */
  list(request: ListRequest = {}): Pages<ListReply, TaskView> {
    return taskPages(request, (page) => this.#tasks('list', page));
  }

  /** Executions of one task or of all, latest first: awaited, a page; iterated, all. As of the last checkpoint (`asOf`). */
  history(request: HistoryRequest = {}): Pages<HistoryReply, ExecutionView> {
    return executionPages(request, (page) => this.#tasks('history', page));
  }

  /** One execution with all its instants. Throws `unknown_execution`. */
  async trace(execution: string): Promise<ExecutionView> {
    return await this.#requester.request(subjects.executions(this.namespace, 'trace'), { execution });
  }

  /**
   * Why a task did or did not run: at an instant, in a span of time, or in the last day. Throws `not_found` for a task that nothing is known
   * of, `too_large` for a span with too many fires.
   */
  async explain(request: ExplainRequest): Promise<ExplainReply> {
    return await this.#tasks('explain', request);
  }

  /** What ingest refused, oldest first: up to `limit`, after the sequence `after`. */
  async rejected(limit = 100, after = 0): Promise<readonly RejectedTask[]> {
    return await listRejected(await this.#connection.link(), this.namespace, limit, after);
  }

  /**
   * What happens from now on, until the signal aborts or the loop is left. Events are not kept: what happens while the connection is
   * away is missed.
   */
  async *events(filter: EventFilter = {}, signal?: AbortSignal): AsyncGenerator<LifecycleEvent, void, undefined> {
    const { type = '*', task = '*' } = filter;
    if (type !== '*' && !EVENT_TYPES.includes(type as EventType)) {
      throw belfryError('invalid_field', `must be one of ${EVENT_TYPES.join(', ')}`, 'type');
    }
    const id = task === '*' ? task : parseTaskId(task);
    if (id === undefined) throw belfryError('invalid_field', 'must be a task id: 32 hex digits, or a UUID', 'task');
    yield* eventStream(await this.#connection.link(), subjects.event(this.namespace, type, id), signal);
  }

  /** Sends what is under way, then closes the connection. Idempotent. */
  async close(): Promise<void> {
    await this.#publisher.close();
    await this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #create(request: Uint8Array, again: (reply: CreateReply) => boolean): Promise<CreateReply> {
    return await this.#define<CreateReply>('create', request, again);
  }

  /** A request that may be answered with a warning. */
  async #define<T extends Warned>(op: TaskOp, body: object, again?: (reply: T) => boolean): Promise<T> {
    const headers = (): { readonly [name: string]: string } => this.#sendTime.headers();
    const settings = { headers, repeatable: true, ...(again === undefined ? {} : { again }) };
    const reply = await this.#requester.request<T>(subjects.tasks(this.namespace, op), body, settings);
    this.#sendTime.onReply(reply);
    return reply;
  }

  async #tasks<T extends object>(op: TaskOp, body: object, settings: RequestSettings<T> = {}): Promise<T> {
    return await this.#requester.request<T>(subjects.tasks(this.namespace, op), body, settings);
  }
}

/** Only these: whoever has a `Scheduled` or a `TaskView` may give it as it is. */
function refOf({ id, key }: TaskRef): TaskRef {
  if (id !== undefined) return { id };
  return key === undefined ? {} : { key };
}

async function checkedSpec<Input>(
  target: TaskDefinition<Input, unknown> | ScheduleSpec,
  use: TypedSpec<Input> | undefined,
): Promise<ScheduleSpec> {
  if (use === undefined) return target as ScheduleSpec;
  const definition = target as TaskDefinition<Input, unknown>;
  if (definition.schema !== undefined) {
    const checked = await validatePayload(definition.schema, use.payload);
    if ('error' in checked) throw checked.error;
  }
  return definition.spec(use);
}
