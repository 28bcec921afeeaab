import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';

import {
  DurableConsumer,
  publishCore,
  requestJson,
  requestText,
  type Delivery,
  type NatsLink,
} from '@belfry/adapter-nats';
import {
  isLease,
  isName,
  LIMITS,
  parseWorkSubject,
  subjects,
  type FinishResult,
  type RedeliveredReply,
  type RedeliveredRequest,
  type Reply,
  type SubscribeReply,
  type SubscribeRequest,
  type WorkerHeartbeat,
  type WorkSubject,
} from '@belfry/protocol';
import { TICK_MS, WorkerCore, type Holding, type WorkerEffect, type WorkerInput } from '@belfry/worker';

import { Connection, type ConnectionOptions } from './connection.ts';
import { requireName, type Handler } from './define-task.ts';
import { BelfryError, belfryError } from './errors.ts';
import { execute, handlersByQueue, type Handlers } from './execute.ts';
import { firstAnswer } from './first-answer.ts';
import { ASK_AGAIN_MS, isFinal, Requester } from './requester.ts';
import { finishBody, itemBytes, verdictsOf } from './results.ts';
import { Part, partsOf, wholeOf } from './parcel.ts';
import { readWorkMessages, Run } from './run.ts';

const DEFAULT_CONCURRENCY = 16;
const DEFAULT_STOP_TIMEOUT_MS = 30_000;
/** How long a handler may go on after its signal aborted. */
const GRACE_MS = 5_000;
/** A gateway answers within `LIMITS.answerMs`; what comes on top is for the way. */
const ANSWER_MS = LIMITS.answerMs + 2_000;
/**
 * As `ASK_AGAIN_MS`, of results. More often: few requests are in flight, so that a gateway which keeps them without an answer would keep all
 * results back, and with them the executions that are dispatched for each that is over.
 */
const FINISH_AGAIN_MS = new Array<number>(5).fill(LIMITS.askMs);
/**
 * How long the broker remembers what we asked for: this, or half a lease. What it gives to us while we stand still, or are cut off, waits for
 * the end of a lease, which counts from the request: so this is short, and the price is a request in so many seconds of an idle worker.
 */
const LONGEST_PULL_MS = 5_000;
/** A queue whose consumer was made ready longer ago, while others were waited for, is subscribed to anew: the stream may have been lost since. */
const SUBSCRIBED_MS = 1_000;
/** When a message that nobody here can read is tried elsewhere. */
const UNREADABLE_AGAIN_MS = 30_000;

export interface WorkerOptions extends ConnectionOptions {
  /** What it runs; their queues are those that it pulls from. */
  readonly handlers: readonly Handler[];
  /** Executions at the same time: 1 to 10,000. Default 16. */
  readonly concurrency?: number;
  /** Shown in the history; each worker's `id` adds some random letters. Default: the machine's name. Up to 48 characters. */
  readonly name?: string;
  /**
   * How long an execution stays with this worker without a sign of life, ms: 6,000 to 3,600,000; default 8,000. Signs are given by
   * themselves, three in a lease, while the event loop turns: a handler that computes for longer than two thirds of it, without
   * awaiting, needs a longer one. The executions of a worker that died run elsewhere when the longest lease of its queue's workers is over.
   */
  readonly leaseMs?: number;
  /** How long a stop waits for handlers before their signals abort. Default 30,000. */
  readonly stopTimeoutMs?: number;
}

/**
 * Runs handlers: pulls executions from their queues, reports what became of them, and acknowledges them when that is on disk.
 * `WorkerCore` decides; this performs it.
 *
 * An execution is run again elsewhere if this process dies, or says nothing for longer than its lease (`leaseMs`, 8 s): since it lost
 * contact, or since a handler kept the event loop from everything else. `stop` finishes what runs and gives back the rest.
 */
export class Worker implements AsyncDisposable {
  /** Unique; stands with each attempt in the history. */
  readonly id: string;
  readonly namespace: string;
  readonly queues: readonly string[];
  readonly concurrency: number;
  readonly #connection: Connection;
  readonly #requester: Requester;
  readonly #handlers: Handlers;
  readonly #core: WorkerCore<Run>;
  readonly #stopTimeoutMs: number;
  readonly #leaseMs: number;
  readonly #consumers = new Map<string, DurableConsumer>();
  #link: NatsLink | undefined;
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #ticks: NodeJS.Timeout | undefined;
  #tickedAt = 0;
  #turnComes = false;
  /** The size of parcels that the last heartbeat said. */
  #told = 1;
  #onStopped: (unreported: number) => void = () => undefined;

  /** @throws BelfryError `invalid_field` or `invalid_name` */
  constructor(options: WorkerOptions) {
    const { handlers, concurrency = DEFAULT_CONCURRENCY, name = machineName() } = options;
    if (handlers.length === 0) throw belfryError('invalid_field', 'a worker needs a handler', 'handlers');
    if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > LIMITS.workerCapacity) {
      throw belfryError('invalid_field', `must be a whole number from 1 to ${LIMITS.workerCapacity}`, 'concurrency');
    }
    this.id = `${name}-${randomBytes(4).toString('hex')}`;
    requireName(this.id, 'name');
    this.#handlers = handlersByQueue(handlers);
    this.queues = [...this.#handlers.keys()];
    this.concurrency = concurrency;
    this.#leaseMs = options.leaseMs ?? LIMITS.workLeaseMs;
    if (!isLease(this.#leaseMs)) {
      const { workLeaseMinMs, workLeaseMaxMs } = LIMITS;
      throw belfryError(
        'invalid_field',
        `must be a whole number from ${workLeaseMinMs} to ${workLeaseMaxMs}`,
        'leaseMs',
      );
    }
    this.#stopTimeoutMs = options.stopTimeoutMs ?? DEFAULT_STOP_TIMEOUT_MS;
    this.#connection = new Connection(`belfry worker ${this.id}`, options);
    this.#requester = new Requester(this.#connection, { timeoutMs: options.connectTimeoutMs ?? LIMITS.connectMs });
    this.#core = new WorkerCore({ capacity: concurrency, queues: this.queues, graceMs: GRACE_MS });
    this.namespace = this.#connection.namespace;
  }

  /**
   * Resolves when its queues are subscribed to and its first heartbeat is sent. Idempotent; after a failure it may be called again.
   * @throws BelfryError when Belfry can't be reached in `connectTimeoutMs`
   */
  start(): Promise<void> {
    if (this.#stopping !== undefined) return Promise.reject(belfryError('unavailable', 'the worker has been stopped'));
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  /**
   * Takes nothing more, gives back what has not begun, and waits for handlers; after `stopTimeoutMs` their signals abort, and 5 s later
   * they are given up. Resolves when all results are accepted, or that took too long. Idempotent.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #start(): Promise<void> {
    const link = await this.#connection.link();
    // All of them before the first is pulled from: so a start that fails leaves nothing in our hands.
    const subscribed = await Promise.all(
      this.queues.map(async (queue) => ({ queue, reply: await this.#subscribe(queue), atMs: performance.now() })),
    );
    if (this.#stopping !== undefined) throw belfryError('unavailable', 'the worker has been stopped');
    this.#link = link;
    for (const { queue, reply, atMs } of subscribed)
      this.#pull(link, queue, reply, performance.now() - atMs < SUBSCRIBED_MS);
    this.#heartbeat = setInterval(() => this.#beat(), LIMITS.workerHeartbeatMs);
    this.#beat();
  }

  async #stop(): Promise<void> {
    if (this.#link !== undefined) await this.#windDown();
    await this.#connection.close(); // ends a start that is under way, too
    await this.#starting?.catch(() => undefined);
  }

  async #windDown(): Promise<void> {
    const stopped = new Promise<number>((resolve) => (this.#onStopped = resolve));
    this.#step({ kind: 'stop', timeoutMs: this.#stopTimeoutMs });
    this.#beat(); // dispatch to it ends now, not when it has fallen silent
    void Promise.all(Array.from(this.#consumers.values(), (consumer) => consumer.drain())).then(() =>
      this.#step({ kind: 'drained' }),
    );
    const unreported = await stopped;
    clearInterval(this.#heartbeat);
    clearInterval(this.#ticks);
    if (unreported === 0) return;
    this.#connection.log.warn('the worker stopped before all its results were accepted: these run again', {
      unreported,
    });
  }

  async #subscribe(queue: string): Promise<SubscribeReply> {
    const request: SubscribeRequest = { queue, leaseMs: this.#leaseMs };
    const ask = (body: SubscribeRequest): Promise<SubscribeReply> =>
      this.#requester.request<SubscribeReply>(subjects.workers(this.namespace, 'subscribe'), body);
    try {
      return await ask(request);
    } catch (error) {
      // A gateway of an older version gives leases of its own choice.
      if (error instanceof BelfryError && error.code === 'unknown_field' && error.path === 'leaseMs')
        return await ask({ queue });
      throw error;
    }
  }

  /** `isThere`: the consumer, as it was subscribed to. */
  #pull(link: NatsLink, queue: string, reply: SubscribeReply, isThere: boolean): void {
    const { stream, consumer } = reply;
    const pulling = new DurableConsumer(link, {
      stream,
      consumer,
      window: 0,
      expiresMs: Math.min(LONGEST_PULL_MS, this.#reliedOn(reply) / 2),
      weigh: (subject) => (parseWorkSubject(subject)?.more ?? 0) + 1,
      ensure: async () => {
        if (!isThere) this.#subscribed(queue, await this.#subscribe(queue));
        isThere = false; // asked again, it may be gone
      },
      onDelivery: (delivery) => this.#receive(queue, delivery),
      onTrouble: (error) =>
        this.#connection.log.warn('a queue cannot be pulled from now', { queue, error: error.message }),
    });
    this.#consumers.set(queue, pulling);
    this.#subscribed(queue, reply);
  }

  /** Of a queue whose other workers want a longer lease, ours is what we asked for all the same. */
  #reliedOn({ ackWaitMs }: SubscribeReply): number {
    return Math.min(ackWaitMs, this.#leaseMs);
  }

  #subscribed(queue: string, reply: SubscribeReply): void {
    this.#step({ kind: 'subscribed', queue, ackWaitMs: this.#reliedOn(reply) });
  }

  /** Called by the connection: must not throw. */
  #receive(queue: string, delivery: Delivery): void {
    const { subject, deliveries } = delivery;
    const named = parseWorkSubject(subject);
    const messages = readWorkMessages(delivery.data);
    // A message that carries one execution names it in its subject too.
    const count = named === undefined ? 0 : named.more + 1;
    if (messages === undefined ? count !== 1 : messages.length !== count) {
      this.#connection.log.error('a work message cannot be read; it is given back', { subject });
      delivery.nak(UNREADABLE_AGAIN_MS);
      return;
    }
    const deliveredAt = Date.now();
    const parts = messages === undefined || count === 1 ? [delivery] : partsOf(delivery, messages);
    for (const [i, part] of parts.entries()) {
      const message = messages?.[i];
      const { execution, attempt } = message ?? (named as WorkSubject);
      const key = `${execution}.${attempt}`;
      const work = new Run(part, message, deliveredAt);
      const timeoutMs = message?.timeoutMs ?? 0;
      const leasedAt = delivery.askedAt;
      this.#step({ kind: 'delivered', queue, key, execution, attempt, deliveries, leasedAt, timeoutMs, work });
    }
    this.#endTurn();
  }

  #step(input: WorkerInput<Run>): void {
    const nowMs = performance.now();
    const effects = this.#core.step(input, nowMs);
    if (this.#ticks === undefined && this.#core.isBusy) {
      this.#tickedAt = nowMs; // before a handler runs, which may take its time
      this.#ticks = setInterval(() => this.#tick(), TICK_MS);
    }
    for (const effect of effects) this.#perform(effect);
  }

  #tick(): void {
    const nowMs = performance.now();
    const stillMs = nowMs - this.#tickedAt;
    this.#tickedAt = nowMs;
    if (stillMs > this.#leaseMs / 3) {
      this.#connection.log.warn(
        'the event loop stood still, so that no lease was extended: a handler that computes for long needs a longer leaseMs, or a thread of its own',
        { stillMs: Math.round(stillMs), leaseMs: this.#leaseMs },
      );
    }
    this.#step({ kind: 'tick' });
    if (this.#core.parcel > this.#told * 2) this.#beat();
    if (this.#core.isBusy) return;
    clearInterval(this.#ticks);
    this.#ticks = undefined;
  }

  /** Once per turn of the event loop: what it brought is sent together. */
  #endTurn(): void {
    if (this.#turnComes) return;
    this.#turnComes = true;
    setImmediate(() => {
      this.#turnComes = false;
      this.#step({ kind: 'turn' });
    });
  }

  #perform(effect: WorkerEffect<Run>): void {
    switch (effect.kind) {
      case 'window':
        return this.#consumers.get(effect.queue)?.setWindow(effect.size);
      case 'run':
        return this.#run(effect.holding);
      case 'finish':
        return void this.#finish(effect.holdings);
      case 'ack':
        return effect.holding.work.delivery.ack();
      case 'forget':
        return effect.holding.work.delivery.forget();
      case 'adopt':
        effect.holding.work.delivery.forget();
        effect.holding.work.delivery = effect.work.delivery;
        return;
      case 'abort':
        return effect.holding.work.abort(effect.reason);
      case 'ask':
        return void this.#ask(effect.holding);
      case 'extend':
        return void this.#extend(effect.holdings, effect.sentAt);
      case 'unreportable':
        return this.#connection.log.error('a result was refused for good; its execution will run again', {
          execution: effect.holding.execution,
          attempt: effect.holding.attempt,
        });
      case 'stopped':
        return this.#onStopped(effect.unreported);
    }
  }

  #run(holding: Holding<Run>): void {
    const { work: run, line, attempt } = holding;
    const end = (outcome: 'succeeded' | 'failed'): void => {
      this.#step({ kind: 'ended', holding, outcome, bytes: itemBytes(run) });
      this.#endTurn();
    };
    execute(run, line.queue, attempt, this.#handlers, this.#connection.log).then(end, (error: unknown) => {
      run.fail(error, false); // only the logger that the user gave can have thrown
      end('failed');
    });
  }

  async #finish(holdings: readonly Holding<Run>[]): Promise<void> {
    const subject = subjects.executions(this.namespace, 'finish');
    const traceparent = holdings.length === 1 ? holdings[0]?.work.traceparent : undefined;
    const body = finishBody(holdings, this.id);
    const headers = traceparent === undefined ? {} : { headers: { traceparent } };
    const ask = (
      timeoutMs: number,
    ): ReturnType<typeof requestText<Reply<{ readonly items: readonly FinishResult[] }>>> =>
      requestText(this.#link as NatsLink, subject, body, { timeoutMs, ...headers });
    const outcome = await firstAnswer(ask, { withinMs: ANSWER_MS, pausesMs: FINISH_AGAIN_MS, isFinal });
    const verdicts = outcome.kind === 'ok' ? verdictsOf(outcome.value, holdings.length) : undefined;
    if (verdicts === undefined) {
      const error = outcome.kind === 'retry' ? outcome.error.message : 'an answer of another shape';
      this.#connection.log.warn('results were not accepted yet; trying again', { results: holdings.length, error });
    }
    this.#step({ kind: 'finished', holdings, verdicts });
  }

  async #ask(holding: Holding<Run>): Promise<void> {
    const { execution, attempt, deliveries } = holding;
    const parcel = holding.work.delivery instanceof Part ? { parcel: true } : {};
    const request: RedeliveredRequest = { execution, attempt, worker: this.id, deliveries, ...parcel };
    const subject = subjects.executions(this.namespace, 'redelivered');
    const ask = (timeoutMs: number): ReturnType<typeof requestJson<Reply<RedeliveredReply>>> =>
      requestJson(this.#link as NatsLink, subject, request, { timeoutMs });
    const outcome = await firstAnswer(ask, { withinMs: ANSWER_MS, pausesMs: ASK_AGAIN_MS, isFinal });
    const answer = outcome.kind === 'ok' ? answerOf(outcome.value) : 'retry';
    this.#step({ kind: 'answered', holding, answer });
  }

  /**
   * The leader of a queue's consumer is told of all of them, in order, and answers for the last: one that is being replaced answers nothing, and
   * the leases count from before.
   */
  async #extend(holdings: readonly Holding<Run>[], sentAt: number): Promise<void> {
    if (!(this.#link as NatsLink).isConnected) return;
    const byQueue = Map.groupBy(holdings, ({ line }) => line);
    await Promise.all(
      Array.from(byQueue.values(), async (ofQueue) => {
        const deliveries = [...new Set(ofQueue.map(({ work }) => wholeOf(work.delivery)))];
        const last = deliveries.pop();
        for (const delivery of deliveries) delivery.extend();
        if ((await last?.extendConfirmed()) === true) this.#step({ kind: 'extended', holdings: ofQueue, sentAt });
      }),
    );
  }

  #beat(): void {
    this.#told = this.#core.parcel;
    const beat: WorkerHeartbeat = {
      worker: this.id,
      queues: this.queues,
      capacity: this.concurrency,
      running: this.#core.running().slice(0, LIMITS.heartbeatExecutions),
      parcel: this.#told,
      leaseMs: this.#leaseMs,
      ...(this.#core.isStopping ? { stopping: true } : {}),
    };
    publishCore(this.#link as NatsLink, subjects.workers(this.namespace, 'heartbeat'), JSON.stringify(beat));
  }
}

function answerOf(reply: Reply<RedeliveredReply>): number | 'over' | 'superseded' | 'retry' {
  if ('run' in reply) return reply.run ? reply.attempt : 'over';
  const { code } = reply.error;
  if (code === 'delivered_again') return 'superseded';
  return code === 'execution_over' || code === 'unknown_execution' ? 'over' : 'retry';
}

function machineName(): string {
  const name = hostname()
    .replaceAll(/[^A-Za-z0-9_-]+/g, '-')
    .slice(0, 48);
  return isName(name) ? name : 'worker';
}
