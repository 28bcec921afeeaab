import {
  isLease,
  isName,
  LEVELS,
  LIMITS,
  STREAMS,
  SENT_AT_HEADER,
  wireError,
  workConsumer,
  type Answer,
  type ErrorCode,
  type SubscribeReply,
  type Warned,
  type WireError,
} from '@belfry/protocol';
import type { InboxUsage } from '@belfry/ports';

import { AboutSchedules } from './about-schedules.ts';
import { Calendars } from './calendars.ts';
import { cancelReply, checkCancel, checkUpdate } from './changes.ts';
import { checkCreates, definitionResult, isRefused, locateCalendar } from './creates.ts';
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
import { Ingest, type IngestMessage, type IngestOutcome } from './ingest.ts';
import { Reads } from './reads.ts';
import { schedulesInUse } from './schedules-in-use.ts';
import { Tzdiff } from './tzdiff.ts';
import { checkRedelivered, checkResults, finishResult, redeliveredReply } from './results.ts';
import { Schedules } from './schedules.ts';
import { Submissions } from './submissions.ts';
import { Targets } from './targets.ts';
import { Ticker } from './ticker.ts';

/** Reads one header of the message that is being handled. */
export type HeaderReader = (name: string) => string | undefined;

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
 * G2. What an answer tells of a change is its shard's word (`Submissions`, U2).
 */
export class Gateway {
  readonly #env: GatewayEnvironment;
  readonly #metrics: GatewayMetrics;
  readonly #tracer: Tracer;
  readonly #schedules = new Schedules();
  readonly #targets = new Targets();
  readonly #ticker: Ticker;
  readonly #submissions: Submissions;
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
    this.#submissions = new Submissions({ gatewayId, shards, inbox, clock, log, metrics: this.#metrics, wait, defer });
    this.#reads = new Reads({ shards, queries, askShard, clock, log, wait });
    this.#calendars = new Calendars({
      clock,
      stored: (namespace) => this.#reads.calendars(namespace),
      toAllShards: (record, bytes) => this.#submissions.toAllShards('calendars.set', record, bytes),
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
    this.#submissions.onReplies(data);
  }

  /** What the host reads from the inbox every few seconds. */
  onInboxUsage(usage: Pick<InboxUsage, 'bytes' | 'maxBytes'>): void {
    this.#submissions.onInboxUsage(usage);
  }

  /** Deadlines and waits: call it every 50 to 100 ms. */
  tick(): void {
    const nowMs = this.#env.clock.monotonic();
    this.#submissions.tick(nowMs);
    this.#ticker.tick(nowMs);
    if (nowMs >= this.#slotsDueMs) void this.#countSlots(nowMs);
  }

  /** Items that wait for answers, and records that are not yet on disk. */
  get load(): { readonly items: number; readonly records: number; readonly bytes: number } {
    return this.#submissions.load;
  }

  /** Takes nothing more; resolves when everything taken has been answered. The host goes on with ticks and replies meanwhile. */
  drain(): Promise<void> {
    return this.#submissions.drain();
  }

  /** Answers everything that still waits with `unavailable`. Idempotent. */
  stop(): void {
    this.#submissions.stop();
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
    request: Omit<Parameters<typeof checkCreates>[2], 'shards' | 'level'> & {
      readonly bytes: number;
      readonly patient?: boolean;
    },
  ): { readonly ids: readonly string[]; readonly answers: Promise<readonly Answer[]> } {
    const { shards } = this.#env;
    this.#requireClock();
    this.#submissions.admit('create', items.length, request.bytes);
    const level = this.#env.level?.() ?? LEVELS.oldest;
    const checked = checkCreates(items, single, { ...request, shards, level }, this.#schedules, this.#targets);
    const ids = checked.map((item) => (isRefused(item) ? '' : item.id));
    const answers = this.#submissions
      .creates(checked, request.patient === true)
      .then((all) =>
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
    const answer = locateCalendar(await this.#submissions.one('tasks.update', change, data.length), set, 'set.');
    return JSON.stringify({ ...definitionResult(id, answer, path), ...warned });
  }

  async #cancel({ namespace, data }: Request): Promise<string> {
    const { id, path, ...change } = checkCancel(parseJson(data), namespace, this.#env.shards);
    return JSON.stringify(cancelReply(id, await this.#submissions.one('tasks.cancel', change, data.length), path));
  }

  async #finish({ namespace, data }: Request): Promise<string> {
    const { items, single } = itemsOf(parseJson(data), false);
    if (items.length === 0) return '{"items":[]}';
    this.#submissions.admit('other', items.length, data.length);
    const checked = checkResults(items, single, namespace, this.#env.shards);
    const answers = await this.#submissions.results(checked);
    const results = answers.map((answer, at) => finishResult(answer, single ? 'execution' : `items[${at}].execution`));
    return JSON.stringify(single ? results[0] : { items: results });
  }

  async #redelivered({ namespace, data }: Request): Promise<string> {
    const ask = checkRedelivered(parseJson(data), namespace, this.#env.shards);
    return JSON.stringify(redeliveredReply(await this.#submissions.one('executions.redelivered', ask, data.length)));
  }

  async #subscribe(value: unknown, namespace: string): Promise<SubscribeReply> {
    const { queue: name, leaseMs = LIMITS.ackWaitMs } = objectOf(value, ['queue', 'leaseMs']);
    const queue = nameOf(name, 'queue');
    if (!isLease(leaseMs)) {
      const { workLeaseMinMs, workLeaseMaxMs } = LIMITS;
      refuse('invalid_field', `must be a whole number from ${workLeaseMinMs} to ${workLeaseMaxMs}`, 'leaseMs');
    }
    const consumer = workConsumer(namespace, queue);
    const isNew = !this.#queues.has(consumer);
    if (isNew && this.#queues.size >= LIMITS.queues)
      refuse('overloaded', `workers subscribe to ${LIMITS.queues} queues already`, 'queue');
    this.#queues.add(consumer); // before it is made: requests at the same time count, too
    try {
      await this.#env.ensureConsumer(namespace, queue, leaseMs);
    } catch (error) {
      if (isNew) this.#queues.delete(consumer);
      this.#env.log.warn('a consumer cannot be made', { namespace, queue, error: String(error) });
      refuse('unavailable', 'the queue cannot be made ready now; try again later');
    }
    this.#queues.add(consumer);
    return { stream: STREAMS.work, consumer, ackWaitMs: leaseMs };
  }

  /** With a wrong clock, `in` and `every` would be reckoned from a wrong instant. @throws Refused `clock_skew` */
  #requireClock(): void {
    const trouble = this.#env.clockTrouble?.();
    if (trouble !== undefined) refuse('clock_skew', `${trouble}; try again, another node may answer`);
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

/** A client that gave no command id learns the one it got, where it needs it. */
function naming(answer: Answer, commandId: string): Answer {
  if (answer.ok || answer.error.code !== 'unavailable') return answer;
  return { ok: false, error: { ...answer.error, message: `${answer.error.message} (it was ${commandId})` } };
}

/** An empty message asks for everything. */
function optionalJson(data: Uint8Array): unknown {
  return data.length === 0 ? {} : parseJson(data);
}
