import {
  isName,
  LIMITS,
  STREAMS,
  SENT_AT_HEADER,
  wireError,
  workConsumer,
  type Answer,
  type CalendarRecord,
  type ErrorCode,
  type Replies,
  type SubscribeReply,
  type Warned,
  type WireError,
} from '@belfry/protocol';
import type { InboxUsage } from '@belfry/ports';

import { Admission, type Kind } from './admission.ts';
import { AboutSchedules } from './about-schedules.ts';
import { Calendars } from './calendars.ts';
import { cancelReply, checkCancel, checkUpdate, type Addressed } from './changes.ts';
import { checkCreates, createRecord, definitionResult, isRefused, locateCalendar } from './creates.ts';
import { NO_METRICS, NO_TRACER, type GatewayEnvironment, type GatewayMetrics, type Tracer } from './environment.ts';
import {
  bounded,
  commandIdOf,
  itemsOf,
  nameOf,
  objectOf,
  parseJson,
  refuse,
  Refused,
  traceparentOf,
} from './fields.ts';
import type { Items } from './fields.ts';
import { GroupCommit } from './group-commit.ts';
import { Ingest, type IngestMessage, type IngestOutcome } from './ingest.ts';
import { Pending, type Batch } from './pending.ts';
import { Reads } from './reads.ts';
import { schedulesInUse } from './schedules-in-use.ts';
import { Tzdiff } from './tzdiff.ts';
import { checkRedelivered, checkResults, finishResult, redeliveredReply } from './results.ts';
import { Schedules } from './schedules.ts';
import { Targets } from './targets.ts';
import { Ticker } from './ticker.ts';

/** Reads one header of the message that is being handled. */
export type HeaderReader = (name: string) => string | undefined;

const DECODER = new TextDecoder();
const NO_ANSWER = 'a late answer of a shard refuses what was already answered for';
const STOPPED = wireError('unavailable', 'this gateway has stopped; try again with the same commandId');
/** Refusals that come late as a matter of course: of what was sent twice. */
const EXPECTED_LATE: ReadonlySet<ErrorCode> = new Set([
  'execution_over',
  'delivered_again',
  'unknown_execution',
  'not_found',
]);

interface Request {
  readonly namespace: string;
  readonly data: Uint8Array;
  readonly traceparent: string | undefined;
  /** The client's clock as it sent the request, as it says. */
  readonly sentAt: string | undefined;
}

type Operation = (request: Request) => Promise<string>;

/**
 * The front door: checks requests, group-commits them into the shards' inboxes, and hands the shards' answers back.
 * All transport is its host's: it calls the `handle…` methods with what came, and `tick` some ten times a second.
 *
 * G1. Every request gets one reply, in `LIMITS.answerMs` and a tick, whatever it is: no input makes a handler reject.
 * G2. A change is answered `ok` only by its shard; a result also once it is on disk for `LIMITS.resultAnswerMs`.
 */
export class Gateway {
  readonly #env: GatewayEnvironment;
  readonly #metrics: GatewayMetrics;
  readonly #tracer: Tracer;
  readonly #pending = new Pending();
  readonly #admission = new Admission();
  readonly #schedules = new Schedules();
  readonly #targets = new Targets();
  readonly #ticker: Ticker;
  readonly #commits: GroupCommit;
  readonly #reads: Reads;
  readonly #ingest: Ingest;
  readonly #calendars: Calendars;
  readonly #aboutSchedules: AboutSchedules;
  readonly #tzdiff: Tzdiff;
  #slotsDueMs = -Infinity;
  readonly #queues = new Set<string>();
  readonly #operations: ReadonlyMap<string, Operation>;

  constructor(env: GatewayEnvironment) {
    this.#env = env;
    this.#metrics = env.metrics ?? NO_METRICS;
    this.#tracer = env.tracer ?? NO_TRACER;
    const { clock, log, inbox, gatewayId, shards, queries, askShard, publishRejected } = env;
    this.#ticker = new Ticker(clock.monotonic());
    const wait = (ms: number): Promise<void> => this.#ticker.after(ms);
    const defer = env.defer ?? ((run) => void setImmediate(run));
    this.#commits = new GroupCommit({ gatewayId, inbox, clock, log, metrics: this.#metrics, wait, defer });
    this.#reads = new Reads({ shards, queries, askShard, clock, log, wait });
    this.#calendars = new Calendars({
      clock,
      stored: (namespace) => this.#reads.calendars(namespace),
      toAllShards: (record, bytes) => this.#submitToAll('calendars.set', record, bytes),
    });
    this.#aboutSchedules = new AboutSchedules({
      clock,
      defer,
      calendars: (namespace) => this.#reads.calendars(namespace),
      schedules: (...question) => schedulesInUse({ shards, askShard, clock, log, wait }, ...question),
    });
    this.#tzdiff = new Tzdiff({
      clock,
      defer,
      version: env.timeZoneVersion ?? 'unknown',
      zoneData: () => this.#reads.zoneData(),
      calendars: (namespace) => this.#reads.calendars(namespace),
      schedules: (...question) => schedulesInUse({ shards, askShard, clock, log, wait }, ...question),
    });
    this.#ingest = new Ingest({ log, publishRejected, create: (...args) => this.#ingestTasks(...args) });
    this.#operations = this.#table();
  }

  /** `belfry.v1.<namespace>.tasks.<op>`: the reply, as JSON. Never rejects. */
  handleTasks(namespace: string, op: string, data: Uint8Array, header: HeaderReader): Promise<string> {
    return this.#handle('tasks', namespace, op, data, header);
  }

  /** `belfry.v1.<namespace>.executions.<op>`. Never rejects. */
  handleExecutions(namespace: string, op: string, data: Uint8Array, header: HeaderReader): Promise<string> {
    return this.#handle('executions', namespace, op, data, header);
  }

  /** `belfry.v1.<namespace>.calendars.<op>`. Never rejects. */
  handleCalendars(namespace: string, op: string, data: Uint8Array, header: HeaderReader): Promise<string> {
    return this.#handle('calendars', namespace, op, data, header);
  }

  /** `belfry.v1.<namespace>.schedules.<op>`. Never rejects. */
  handleSchedules(namespace: string, op: string, data: Uint8Array, header: HeaderReader): Promise<string> {
    return this.#handle('schedules', namespace, op, data, header);
  }

  /** `belfry.v1.<namespace>.workers.<op>`; heartbeats are not a gateway's. Never rejects. */
  handleWorkers(namespace: string, op: string, data: Uint8Array, header: HeaderReader): Promise<string> {
    return this.#handle('workers', namespace, op, data, header);
  }

  /** A durable publish. Never rejects. */
  handleIngest(message: IngestMessage): Promise<IngestOutcome> {
    return this.#ingest.handle(message);
  }

  /** A message to `belfry.gateway.<id>.replies`: the answers of one scheduler node. */
  onReplies(data: Uint8Array): void {
    try {
      for (const [correlation, answer] of readReplies(data)) {
        const known = this.#pending.answer(correlation, answer);
        if (!known && !answer.ok && !EXPECTED_LATE.has(answer.error.code))
          this.#env.log.warn(NO_ANSWER, { ...answer.error });
      }
    } catch (error) {
      this.#env.log.error('answers of a shard cannot be read', { error: String(error) });
    }
  }

  /** What the host reads from the inbox every few seconds. */
  onInboxUsage(usage: Pick<InboxUsage, 'bytes' | 'maxBytes'>): void {
    const before = this.#admission.inboxIsFilling;
    this.#admission.onInboxUsage(usage);
    if (before !== this.#admission.inboxIsFilling)
      this.#env.log.warn(before ? 'creates are taken again' : 'the inbox is filling up: creates are refused', {
        ...usage,
      });
  }

  /** Deadlines and waits: call it every 50 to 100 ms. */
  tick(): void {
    const nowMs = this.#env.clock.monotonic();
    this.#pending.tick(nowMs);
    this.#ticker.tick(nowMs);
    if (nowMs >= this.#slotsDueMs) void this.#countSlots(nowMs);
  }

  /** Items that wait for answers, and records that are not yet on disk. */
  get load(): { readonly items: number; readonly records: number; readonly bytes: number } {
    return { items: this.#pending.items, records: this.#commits.records, bytes: this.#commits.bytes };
  }

  /** Takes nothing more; resolves when everything taken has been answered. The host goes on with ticks and replies meanwhile. */
  async drain(): Promise<void> {
    this.#admission.close();
    await Promise.all([this.#pending.idle(), this.#commits.idle()]);
  }

  /** Answers everything that still waits with `unavailable`. Idempotent. */
  stop(): void {
    this.#admission.close();
    this.#commits.stop();
    this.#pending.abandonAll(STOPPED);
    this.#ticker.stop();
  }

  #table(): ReadonlyMap<string, Operation> {
    const json = (read: (value: unknown, namespace: string) => Promise<unknown>): Operation => {
      return async ({ data, namespace }) => JSON.stringify(await read(parseJson(data), namespace));
    };
    const reads = this.#reads;
    const about = this.#aboutSchedules;
    return new Map<string, Operation>([
      ['tasks.create', (request) => this.#create(request)],
      ['tasks.update', (request) => this.#update(request)],
      ['tasks.cancel', (request) => this.#cancel(request)],
      ['tasks.get', json((value, namespace) => reads.get(value, namespace))],
      ['tasks.list', ({ data, namespace }) => reads.list(optionalJson(data), namespace)],
      ['tasks.history', ({ data, namespace }) => reads.history(optionalJson(data), namespace)],
      ['tasks.explain', json((value, namespace) => reads.explain(value, namespace))],
      ['executions.finish', (request) => this.#finish(request)],
      ['executions.redelivered', (request) => this.#redelivered(request)],
      ['executions.trace', json((value, namespace) => reads.trace(value, namespace))],
      ['schedules.preview', json((value, namespace) => about.preview(value, namespace))],
      ['schedules.lint', json((value, namespace) => about.lint(value, namespace))],
      [
        'schedules.forecast',
        async ({ data, namespace }) => JSON.stringify(await about.forecast(optionalJson(data), namespace)),
      ],
      [
        'schedules.tzdiff',
        async ({ data, namespace }) => JSON.stringify(await this.#tzdiff.answer(optionalJson(data), namespace)),
      ],
      ['calendars.set', json((value, namespace) => this.#calendars.set(value, namespace))],
      ['calendars.get', json((value, namespace) => this.#calendars.get(value, namespace))],
      [
        'calendars.list',
        async ({ data, namespace }) => JSON.stringify(await this.#calendars.list(optionalJson(data), namespace)),
      ],
      ['workers.subscribe', json((value, namespace) => this.#subscribe(value, namespace))],
    ]);
  }

  /** Which minutes are taken by tasks with a window; where that cannot be read now, what is known stays. */
  async #countSlots(nowMs: number): Promise<void> {
    this.#slotsDueMs = nowMs + LIMITS.slotsMs;
    try {
      this.#schedules.slots.load(await this.#env.queries.slots(LIMITS.slotTexts), this.#env.clock.now());
    } catch (error) {
      this.#env.log.warn('the minutes of tasks with a window cannot be counted now', { error: String(error) });
    }
  }

  /** The one door of all requests (G1). */
  async #handle(room: string, namespace: string, op: string, data: Uint8Array, header: HeaderReader): Promise<string> {
    const startedMs = this.#env.clock.monotonic();
    const name = `${room}.${op}`;
    const operation = this.#operations.get(name);
    if (operation === undefined) {
      const error = wireError('unsupported', `no operation ${name.slice(0, LIMITS.nameChars)} is known here`);
      this.#metrics.request('unknown', error.code, 0);
      return JSON.stringify({ error });
    }
    let outcome: 'ok' | ErrorCode = 'ok';
    const span = this.#tracer.startSpan(name, traceparentOf(header('traceparent')), { 'belfry.namespace': namespace });
    try {
      if (!isName(namespace))
        refuse('invalid_name', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -', 'namespace');
      const reply = await operation({
        namespace,
        data,
        traceparent: span.traceparent,
        sentAt: header(SENT_AT_HEADER),
      });
      span.end();
      return reply;
    } catch (thrown) {
      const error = this.#explain(thrown, name);
      outcome = error.code;
      span.end(thrown instanceof Error ? thrown : new Error(String(thrown)));
      return JSON.stringify({ error });
    } finally {
      this.#metrics.request(name, outcome, this.#env.clock.monotonic() - startedMs);
    }
  }

  #explain(thrown: unknown, op: string): WireError {
    if (thrown instanceof Refused) return bounded(thrown.wire);
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    this.#env.log.error('a request caused a fault', { op, error: String(thrown), stack });
    return wireError('internal', 'a fault; the log has the details');
  }

  async #create({ namespace, data, traceparent, sentAt }: Request): Promise<string> {
    const items = itemsOf(parseJson(data), true);
    const commandId = commandIdOf(items.commandId);
    const bytes = data.length;
    const nowMs = this.#env.clock.now();
    const warned = clockWarning(sentAt, nowMs);
    const { ids, answers } = this.#submitCreates(items, { namespace, commandId, nowMs, traceparent, bytes });
    const given = items.commandId !== undefined;
    const results = (await answers).map((answer, index) =>
      definitionResult(ids[index] as string, given ? answer : naming(answer, commandId)),
    );
    return JSON.stringify(items.single ? { ...results[0], ...warned } : { items: results, ...warned });
  }

  /** Sends what is right to the inbox; the rest is answered at once. @throws Refused when no room is left */
  #submitCreates(
    { items, single }: Items,
    request: Omit<Parameters<typeof checkCreates>[2], 'shards'> & {
      readonly bytes: number;
      readonly patient?: boolean;
    },
  ): { readonly ids: readonly string[]; readonly answers: Promise<readonly Answer[]> } {
    const { shards } = this.#env;
    this.#requireClock();
    this.#admit('create', items.length, request.bytes);
    const checked = checkCreates(items, single, { ...request, shards }, this.#schedules, this.#targets);
    const ids = checked.items.map((item) => (isRefused(item) ? '' : item.id));
    if (items.length === 0) return { ids, answers: Promise.resolve([]) };
    const deadlineMs = this.#env.clock.monotonic() + LIMITS.answerMs;
    const storedWillDoMs = request.patient === true ? deadlineMs : undefined;
    const batch = this.#pending.open({ size: items.length, deadlineMs, storedWillDoMs });
    checked.items.forEach((item, index) => {
      if (isRefused(item)) batch.refuse(index, item);
      else this.#commits.add(item.shard, createRecord(item, batch.correlation + index), batch, index);
    });
    const answers = this.#settled('tasks.create', batch).then((all) =>
      all.map((answer, index) => locateCalendar(answer, items[index], single ? '' : `items[${index}].`)),
    );
    return { ids, answers };
  }

  #ingestTasks(items: Items, message: IngestMessage, commandId: string): Promise<readonly Answer[]> {
    const { namespace, data, timestamp } = message;
    const parent = traceparentOf(message.header('traceparent'));
    const span = this.#tracer.startSpan('ingest', parent, { 'belfry.namespace': namespace });
    const { traceparent } = span;
    // What was in time when it was published is not refused for having waited in the stream.
    const request = { namespace, commandId, nowMs: timestamp, traceparent, bytes: data.length, patient: true };
    try {
      return this.#submitCreates(items, request).answers.finally(() => span.end());
    } catch (error) {
      span.end(error as Error);
      throw error;
    }
  }

  async #update({ namespace, data, sentAt }: Request): Promise<string> {
    const { clock, shards } = this.#env;
    this.#requireClock();
    const warned = clockWarning(sentAt, clock.now());
    const value = parseJson(data);
    const { id, path, ...change } = checkUpdate(value, namespace, clock.now(), shards, this.#schedules);
    const { set } = value as { readonly set: unknown };
    const answer = locateCalendar(await this.#submit('tasks.update', change, data.length), set, 'set.');
    return JSON.stringify({ ...definitionResult(id, answer, path), ...warned });
  }

  async #cancel({ namespace, data }: Request): Promise<string> {
    const { id, path, ...change } = checkCancel(parseJson(data), namespace, this.#env.shards);
    return JSON.stringify(cancelReply(id, await this.#submit('tasks.cancel', change, data.length), path));
  }

  async #finish({ namespace, data }: Request): Promise<string> {
    const { items, single } = itemsOf(parseJson(data), false);
    if (items.length === 0) return '{"items":[]}';
    this.#admit('other', items.length, data.length);
    const checked = checkResults(items, single, namespace, this.#env.shards);
    const nowMs = this.#env.clock.monotonic();
    const batch = this.#pending.open({
      size: items.length,
      deadlineMs: nowMs + LIMITS.answerMs,
      storedWillDoMs: nowMs + LIMITS.resultAnswerMs, // G2
    });
    checked.forEach((item, index) => {
      if ('code' in item) batch.refuse(index, item);
      else this.#add(item, batch, index);
    });
    const answers = await this.#settled('executions.finish', batch);
    const results = answers.map((answer, at) => finishResult(answer, single ? 'execution' : `items[${at}].execution`));
    return JSON.stringify(single ? results[0] : { items: results });
  }

  async #redelivered({ namespace, data }: Request): Promise<string> {
    const ask = checkRedelivered(parseJson(data), namespace, this.#env.shards);
    return JSON.stringify(redeliveredReply(await this.#submit('executions.redelivered', ask, data.length)));
  }

  async #subscribe(value: unknown, namespace: string): Promise<SubscribeReply> {
    const queue = nameOf(objectOf(value, ['queue'])['queue'], 'queue');
    const consumer = workConsumer(namespace, queue);
    if (!this.#queues.has(consumer) && this.#queues.size >= LIMITS.queues)
      refuse('overloaded', `workers subscribe to ${LIMITS.queues} queues already`, 'queue');
    try {
      await this.#env.ensureConsumer(namespace, queue);
    } catch (error) {
      this.#env.log.warn('a consumer cannot be made', { namespace, queue, error: String(error) });
      refuse('unavailable', 'the queue cannot be made ready now; try again later');
    }
    this.#queues.add(consumer);
    return { stream: STREAMS.work, consumer, ackWaitMs: LIMITS.ackWaitMs };
  }

  /** One record, and its answer. @throws Refused when no room is left */
  async #submit(op: string, addressed: Addressed<object>, bytes: number): Promise<Answer> {
    this.#admit('other', 1, bytes);
    const deadlineMs = this.#env.clock.monotonic() + LIMITS.answerMs;
    const batch = this.#pending.open({ size: 1, deadlineMs });
    this.#add(addressed, batch, 0);
    const [answer] = await this.#settled(op, batch);
    return answer as Answer;
  }

  /** One record for each shard, and all their answers. @throws Refused when no room is left */
  async #submitToAll(op: string, record: Omit<CalendarRecord, 'c'>, bytes: number): Promise<readonly Answer[]> {
    const { shards, clock } = this.#env;
    this.#admit('create', shards, bytes * shards);
    const batches: Batch[] = [];
    for (let from = 0; from < shards; from += LIMITS.batchItems) {
      const size = Math.min(LIMITS.batchItems, shards - from);
      const batch = this.#pending.open({ size, deadlineMs: clock.monotonic() + LIMITS.answerMs });
      for (let index = 0; index < size; index++) this.#add({ shard: from + index, record }, batch, index);
      batches.push(batch);
    }
    return (await Promise.all(batches.map((batch) => this.#settled(op, batch)))).flat();
  }

  #add({ shard, record }: Addressed<object>, batch: Batch, index: number): void {
    this.#commits.add(shard, JSON.stringify({ c: batch.correlation + index, ...record }), batch, index);
  }

  /** With a wrong clock, `in` and `every` would be reckoned from a wrong instant. @throws Refused `clock_skew` */
  #requireClock(): void {
    const trouble = this.#env.clockTrouble?.();
    if (trouble !== undefined) refuse('clock_skew', `${trouble}; try again, another node may answer`);
  }

  #admit(kind: Kind, count: number, bytes: number): void {
    this.#admission.admit(kind, count, bytes, this.load);
  }

  /** The batch's answers, counted. */
  async #settled(op: string, batch: Batch): Promise<readonly Answer[]> {
    const answers = await batch.settled;
    if (batch.unansweredStored > 0) this.#metrics.unanswered(op, true, batch.unansweredStored);
    if (batch.unansweredLost > 0) this.#metrics.unanswered(op, false, batch.unansweredLost);
    for (const answer of answers) if (!answer.ok) this.#metrics.refused(op, answer.error.code, 1);
    return answers;
  }
}

/** What the reply says to a client whose stated send time is far off. What is no number is no statement. */
function clockWarning(sentAt: string | undefined, nowMs: number): Warned {
  const offsetMs = sentAt === undefined || sentAt === '' ? NaN : Math.round(Number(sentAt) - nowMs);
  if (!(Math.abs(offsetMs) > LIMITS.clientSkewMs)) return {};
  const seconds = (Math.abs(offsetMs) / 1_000).toFixed(1);
  const message =
    offsetMs > 0
      ? `your clock is ${seconds} s ahead of this gateway's`
      : `your clock is ${seconds} s behind this gateway's, or the request was on its way for so long`;
  return { warnings: [{ code: 'clock_skew', message, offsetMs }] };
}

function readReplies(data: Uint8Array): Replies['a'] {
  const { v, a } = JSON.parse(DECODER.decode(data)) as Replies;
  if (v !== 1) throw new Error(`version 1 is known here, not ${String(v)}`);
  return a;
}

/** A client that gave no command id learns the one it got, where it needs it. */
function naming(answer: Answer, commandId: string): Answer {
  if (answer.ok || answer.error.code !== 'unavailable') return answer;
  return { ok: false, error: { ...answer.error, message: `${answer.error.message} (it was ${commandId})` } };
}

/** An empty message asks for everything. */
function optionalJson(data: Uint8Array): unknown {
  return data.length === 0 ? {} : parseJson(data);
}
