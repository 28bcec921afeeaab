import {
  EXECUTION_STATES,
  isName,
  isObject,
  isStorable,
  LIMITS,
  parseExecutionId,
  shardOf,
  wireError,
  type ExecutionView,
  type ExplainReply,
  type HistoryReply,
  type ListReply,
  type Reply,
  type ShardGetReply,
  type TaskView,
} from '@belfry/protocol';
import type { ExecutionFilter, Queries, TaskFilter } from '@belfry/ports';

import type { Clock, GatewayEnvironment, Log } from './environment.ts';
import {
  instantOf,
  nameOf,
  objectOf,
  oneOf,
  optionalReference,
  referenceOf,
  refuse,
  Refused,
  textOf,
  wholeOf,
} from './fields.ts';
import { sourceOf } from './calendars.ts';
import { explain } from './explain.ts';
import { iso, storedExecutionView, storedTaskView } from './views.ts';

const DEFAULT_PAGE = 100;
const CURSOR_CHARS = 200;
const DEFAULT_EXPLAINED = 20;
const DEFAULT_SPAN_MS = 86_400_000;
/** An explanation does without the shard's word where nobody owns it: that is when it is asked for. */
const EXPLAIN_PATIENCE_MS = 2_000;
/** A reply must fit a message; beside the items it has little. */
const REPLY_BYTES = LIMITS.messageBytes - 16_384;
const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 500;

/** Stable codes of what `Queries` may throw besides being out of reach. */
const INVALID_CURSOR = 'BELFRY_INVALID_CURSOR';
const QUERY_TOO_WIDE = 'BELFRY_QUERY_TOO_WIDE';

export interface ReadsOptions {
  readonly shards: number;
  readonly queries: Queries;
  readonly askShard: GatewayEnvironment['askShard'];
  readonly clock: Clock;
  readonly log: Log;
  /** Waits while a shard is between owners. */
  readonly wait: (ms: number) => Promise<void>;
}

/** The operations that change nothing. `get` asks the shard; the others read what has been checkpointed. */
export class Reads {
  readonly #options: ReadsOptions;

  constructor(options: ReadsOptions) {
    this.#options = options;
  }

  /** @throws Refused */
  async get(value: unknown, namespace: string): Promise<Reply<TaskView>> {
    const { taskId, path } = referenceOf(namespace, objectOf(value, ['id', 'key']));
    const reply = await this.#ask(taskId, namespace);
    if (!('error' in reply)) return reply.task;
    return reply.error.code === 'not_found' ? { error: { ...reply.error, path } } : { error: reply.error };
  }

  /** @throws Refused */
  async list(value: unknown, namespace: string): Promise<string> {
    const filter = taskFilter(value);
    return this.#page(filter.limit, async (limit) => {
      const { items, cursor, asOf } = await this.#options.queries.tasks(namespace, { ...filter, limit });
      // An idle shard's checkpoint may be half a minute old: what comes next is told from now on.
      const nowMs = Math.max(asOf, this.#options.clock.now());
      const named = items.some(({ schedule }) => schedule.startsWith('s') && schedule.includes('"cal":'));
      const source = named ? sourceOf((await this.#options.queries.calendars(namespace)).items) : undefined;
      const views = items.map((task) => storedTaskView(task, nowMs, source));
      return { items: views, ...(cursor === undefined ? {} : { cursor }), asOf: iso(asOf) } satisfies ListReply;
    });
  }

  /** @throws Refused */
  async history(value: unknown, namespace: string): Promise<string> {
    const filter = executionFilter(value, namespace, this.#options.shards);
    return this.#page(filter.limit, async (limit) => {
      const { items, cursor, asOf } = await this.#options.queries.executions(namespace, { ...filter, limit });
      const views = items.map((stored) => storedExecutionView(stored));
      return { items: views, ...(cursor === undefined ? {} : { cursor }), asOf: iso(asOf) } satisfies HistoryReply;
    });
  }

  /** The calendars of a namespace as they are stored. @throws Refused */
  calendars(namespace: string): ReturnType<Queries['calendars']> {
    return this.#query(() => this.#options.queries.calendars(namespace));
  }

  /** The time-zone data that was recorded. @throws Refused */
  zoneData(): ReturnType<Queries['zoneData']> {
    return this.#query(() => this.#options.queries.zoneData());
  }

  /** One execution with all its instants; one that no checkpoint has yet is told by its shard. @throws Refused */
  async trace(value: unknown, namespace: string): Promise<Reply<ExecutionView>> {
    const { execution } = objectOf(value, ['execution']);
    if (execution === undefined) refuse('missing_field', 'is required', 'execution');
    const fire = parseExecutionId(execution);
    if (fire === undefined) refuse('invalid_field', 'must be an execution id', 'execution');
    const stored = await this.#query(() => this.#options.queries.execution(namespace, fire.taskId, fire.scheduledAt));
    if (stored !== undefined) return storedExecutionView(stored, true);
    const reply = await this.#ask(fire.taskId, namespace);
    if (!('error' in reply)) {
      const { executions, createdAt } = reply.task;
      const found = executions?.find((candidate) => candidate.execution === execution);
      if (found !== undefined) return { ...found, createdAt };
    } else if (reply.error.code !== 'not_found') {
      return { error: reply.error };
    }
    return {
      error: wireError('unknown_execution', 'no such execution: it never was, or its record is gone', 'execution'),
    };
  }

  /** Why a task did or did not run: `{"id" | "key", "at"? | "from"?, "to"?, "limit"?}`. @throws Refused */
  async explain(value: unknown, namespace: string): Promise<Reply<ExplainReply>> {
    const { shards, queries, clock } = this.#options;
    const fields = objectOf(value, ['id', 'key', 'at', 'from', 'to', 'limit']);
    const { taskId: id, path } = referenceOf(namespace, fields);
    const nowMs = clock.now();
    const span = spanOf(fields, nowMs);
    const limit = wholeOf(fields['limit'], 'limit', 1, LIMITS.explainFires, DEFAULT_EXPLAINED);
    const shard = shardOf(id, shards);
    const [facts, answer] = await Promise.all([
      this.#query(() => queries.explain(namespace, id, shard, span, LIMITS.pageRows)),
      this.#ask(id, namespace, EXPLAIN_PATIENCE_MS),
    ]);
    const live = 'error' in answer ? undefined : answer.task;
    if (facts.task === undefined && live === undefined && facts.life.length + facts.executions.length === 0)
      return { error: wireError('not_found', 'no task of this id or key', path) };
    const { items: calendars } = await this.calendars(namespace);
    try {
      return explain({ id, namespace, shard, facts, live, calendars, ...span, nowMs, limit });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      refuse('too_large', `the span has more than ${LIMITS.explainLooks} fires; ask for a shorter one`, 'from');
    }
  }

  /** Asks until an owner answers or `patienceMs` have passed: a shard may be on its way to another node. */
  async #ask(taskId: string, namespace: string, patienceMs: number = LIMITS.answerMs): Promise<ShardGetReply> {
    const { clock, askShard, wait, shards, log } = this.#options;
    const body = JSON.stringify({ id: taskId, namespace });
    const shard = shardOf(taskId, shards);
    const deadlineMs = clock.monotonic() + patienceMs;
    for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2)) {
      const outcome = await askShard(shard, 'get', body);
      if (outcome.kind === 'ok') return readAnswer(outcome.value, shard, log);
      if (clock.monotonic() + waitMs >= deadlineMs)
        return { error: wireError('unavailable', `shard ${shard} does not answer; try again later`) };
      await wait(waitMs);
    }
  }

  /** A page that does not fit a message is asked for again, shorter, so that its cursor is right. */
  async #page(
    wanted: number,
    read: (limit: number) => Promise<{ readonly items: readonly unknown[] }>,
  ): Promise<string> {
    for (let limit = wanted; ;) {
      const page = await this.#query(() => read(limit));
      const text = JSON.stringify(page);
      const bytes = Buffer.byteLength(text);
      if (bytes <= REPLY_BYTES || page.items.length <= 1) return text;
      limit = Math.max(1, Math.floor((page.items.length * REPLY_BYTES * 0.9) / bytes));
    }
  }

  async #query<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === INVALID_CURSOR) refuse('invalid_field', 'is none that a page came with', 'cursor');
      if (code === QUERY_TOO_WIDE) refuse('too_large', (error as Error).message);
      this.#options.log.warn('a query failed', { error: String(error) });
      throw new Refused(wireError('unavailable', 'what is stored cannot be read now; try again later'));
    }
  }
}

function readAnswer(data: Uint8Array, shard: number, log: Log): ShardGetReply {
  try {
    const reply = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8')) as unknown;
    if (isObject(reply) && (isObject(reply['task']) || isObject(reply['error'])))
      return reply as unknown as ShardGetReply;
  } catch {
    // Said below.
  }
  log.error('a shard gave an answer that cannot be read', { shard });
  return { error: wireError('internal', 'a fault; the log has the details') };
}

function taskFilter(value: unknown): TaskFilter {
  const fields = objectOf(value, ['queue', 'handler', 'state', 'metadata', 'limit', 'cursor']);
  const { queue, handler, state, metadata } = fields;
  const cursor = cursorOf(fields['cursor']);
  return {
    ...(queue === undefined ? {} : { queue: nameOf(queue, 'queue') }),
    ...(handler === undefined ? {} : { handler: nameOf(handler, 'handler') }),
    ...(state === undefined ? {} : { state: oneOf(state, ['active', 'ended'] as const, 'state') }),
    ...(metadata === undefined ? {} : { metadata: labelsOf(metadata) }),
    limit: wholeOf(fields['limit'], 'limit', 1, LIMITS.pageRows, DEFAULT_PAGE),
    ...(cursor === undefined ? {} : { cursor }),
  };
}

/** The span to explain: an instant that is a whole second stands for all of it. */
function spanOf(
  fields: ReturnType<typeof objectOf>,
  nowMs: number,
): { readonly fromMs: number; readonly toMs: number } {
  const { at, from, to } = fields;
  if (at !== undefined) {
    if (from !== undefined || to !== undefined) refuse('invalid_field', 'goes with neither `from` nor `to`', 'at');
    const atMs = instantOf(at, 'at');
    return { fromMs: atMs, toMs: atMs % 1_000 === 0 ? atMs + 999 : atMs };
  }
  const toMs =
    to === undefined ? Math.max(nowMs, from === undefined ? 0 : instantOf(from, 'from')) : instantOf(to, 'to');
  const fromMs = from === undefined ? Math.max(0, toMs - DEFAULT_SPAN_MS) : instantOf(from, 'from');
  if (fromMs > toMs) refuse('invalid_field', 'must not lie after `to`', 'from');
  return { fromMs, toMs };
}

function cursorOf(value: unknown): string | undefined {
  const cursor = textOf(value, 'cursor', CURSOR_CHARS);
  if (cursor !== undefined && !isStorable(cursor)) refuse('invalid_field', 'is none that a page came with', 'cursor');
  return cursor;
}

function labelsOf(value: unknown): { readonly [label: string]: string } {
  if (!isObject(value)) refuse('invalid_field', 'must be an object of strings', 'metadata');
  const labels = Object.entries(value);
  if (labels.length > LIMITS.metadataLabels)
    refuse('too_large', `more than ${LIMITS.metadataLabels} labels`, 'metadata');
  for (const [label, text] of labels) {
    if (!isName(label))
      refuse('invalid_name', 'a label is 1 to 64 characters of A-Z, a-z, 0-9, _ and -', `metadata.${label}`);
    if (typeof text !== 'string' || text.length > LIMITS.labelValueChars || !isStorable(text))
      refuse('invalid_field', `must be a string of at most ${LIMITS.labelValueChars} characters`, `metadata.${label}`);
  }
  return value as { readonly [label: string]: string };
}

function executionFilter(value: unknown, namespace: string, shards: number): ExecutionFilter {
  const fields = objectOf(value, ['id', 'key', 'state', 'limit', 'before', 'cursor']);
  const task = optionalReference(namespace, fields)?.taskId;
  const { state, before } = fields;
  const cursor = cursorOf(fields['cursor']);
  return {
    ...(task === undefined ? {} : { task, shard: shardOf(task, shards) }),
    ...(state === undefined ? {} : { state: oneOf(state, EXECUTION_STATES, 'state') }),
    limit: wholeOf(fields['limit'], 'limit', 1, LIMITS.pageRows, DEFAULT_PAGE),
    ...(before === undefined ? {} : { before: instantOf(before, 'before') }),
    ...(cursor === undefined ? {} : { cursor }),
  };
}
