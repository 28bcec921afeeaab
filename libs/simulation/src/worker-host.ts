import {
  LIMITS,
  type FinishResult,
  type Outcome,
  type RedeliveredReply,
  type Reply,
  type SubscribeReply,
  type WorkMessage,
} from '@belfry/protocol';
import { subjects } from '@belfry/protocol';
import { Parcel, WorkerCore, type Holding, type Verdict, type WorkerEffect, type WorkerInput } from '@belfry/worker';
import type { Doors } from './doors.ts';
import type { Network } from './network.ts';
import type { Process } from './process.ts';
import type { Services } from './services.ts';
import type { Delivery, Puller } from './sim-work.ts';

const TICK_MS = 200;
const GRACE_MS = 5_000;
const ANSWER_MS = LIMITS.answerMs + 2_000;
const SUBSCRIBE_AGAIN_MS = 1_000;
const SUBSCRIBED_MS = 1_000;
const STOP_TIMEOUT_MS = 30_000;
/** How long a pull stands, of the SDK and of the one before it. */
const PULL_MS = LIMITS.workLeaseMs / 2;
const OLDER_PULL_MS = 30_000;
/** Executions that it takes in a message, however long they take: more than the production core would say. */
const PARCEL = 3;
/** How long what is on its way to a worker that pulls no more may take. */
const DRAIN_MS = 3_000;

/** What a task's handler does, as its payload says. */
export interface Behaviour {
  /** Grows with each update of the task. */
  readonly version: number;
  readonly takesMs: number;
  /** Attempts up to this one fail. */
  readonly failures: number;
}

/** What workers do, as it happens. */
export interface Witness {
  started(message: WorkMessage, attempt: number, worker: Process, leaseMs: number): void;
  /** A worker of this version is about to start what the broker has given to another since. */
  startedInVain(execution: string, attempt: number, worker: Process): void;
  /** A handler ended, or its worker ended it. */
  ended(execution: string, attempt: number, outcome: Outcome): void;
  /** A worker was told that its result is taken. */
  resultTaken(execution: string, attempt: number): void;
  /** A worker that relies on such leases sends a heartbeat, and nothing keeps it back. */
  spoke(worker: Process, leaseMs: number): void;
  /** A scheduler was told that these run at this worker. */
  reported(running: readonly string[], to: Process): void;
}

interface Run {
  readonly message: WorkMessage;
  delivery: Delivery;
  parcel: Parcel;
  readonly deliveredAt: number;
  startedAt: number;
  finishedAt: number;
  cancel: () => void;
}

/** A worker's process: the production core, with handlers that do what payloads say. */
export class WorkerHost {
  readonly process: Process;
  readonly #services: Services;
  readonly #network: Network;
  readonly #doors: Doors;
  readonly #witness: Witness;
  readonly #namespace: string;
  readonly #queues: readonly string[];
  /** Of the version before: it says nothing of its lease and of parcels. */
  readonly #isOlder: boolean;
  readonly #core: WorkerCore<Run>;
  readonly #pullers = new Map<string, Puller>();
  #stopTicks: (() => void) | undefined;
  #turnComes = false;
  #onStopped: () => void = () => undefined;

  constructor(
    process: Process,
    services: Services,
    network: Network,
    doors: Doors,
    witness: Witness,
    options: {
      readonly namespace: string;
      readonly queues: readonly string[];
      readonly capacity: number;
      readonly isOlder: boolean;
    },
  ) {
    this.process = process;
    this.#services = services;
    this.#network = network;
    this.#doors = doors;
    this.#witness = witness;
    this.#namespace = options.namespace;
    this.#queues = options.queues;
    this.#isOlder = options.isOlder;
    this.#core = new WorkerCore({ capacity: options.capacity, queues: options.queues, graceMs: GRACE_MS });
  }

  async start(): Promise<void> {
    const subscribed = await Promise.all(
      this.#queues.map(async (queue) => ({ queue, reply: await this.#subscribe(queue), atMs: this.#now })),
    );
    for (const { queue, reply, atMs } of subscribed)
      this.#pull(queue, reply.ackWaitMs, this.#now - atMs < SUBSCRIBED_MS);
    this.process.every(LIMITS.workerHeartbeatMs, () => this.#beat());
    this.#beat();
  }

  /** Gives back what has not begun, waits for its handlers, and ends. */
  async stop(): Promise<void> {
    const stopped = new Promise<void>((resolve) => (this.#onStopped = resolve));
    this.#services.work.leave(this.process);
    this.#step({ kind: 'stop', timeoutMs: STOP_TIMEOUT_MS });
    this.#beat();
    this.process.after(DRAIN_MS, () => this.#step({ kind: 'drained' }));
    await stopped;
  }

  async #subscribe(queue: string): Promise<SubscribeReply> {
    for (;;) {
      const body = JSON.stringify(this.#isOlder ? { queue } : { queue, leaseMs: LIMITS.workLeaseMs });
      const reply = (await this.#request('workers.subscribe', body)) as Reply<SubscribeReply> | undefined;
      if (reply !== undefined && !('error' in reply)) return reply;
      await new Promise<void>((resolve) => this.process.after(SUBSCRIBE_AGAIN_MS, resolve));
    }
  }

  #pull(queue: string, ackWaitMs: number, isBound: boolean): void {
    const puller: Puller = {
      process: this.process,
      namespace: this.#namespace,
      queue,
      leaseMs: this.#leaseMs,
      pullMs: this.#isOlder ? OLDER_PULL_MS : PULL_MS,
      askedAt: -Infinity,
      sentAt: -Infinity,
      window: 0,
      wanted: 0,
      isBound,
      receive: (delivery) => this.#receive(queue, delivery),
      onGone: () =>
        void this.#subscribe(queue).then(() => {
          puller.isBound = true;
          this.#askForMore(puller);
        }),
    };
    this.#pullers.set(queue, puller);
    this.#services.work.pull(puller);
    if (!isBound) puller.onGone();
    this.#step({ kind: 'subscribed', queue, ackWaitMs });
  }

  #receive(queue: string, delivery: Delivery): void {
    const body = JSON.parse(delivery.work.body) as WorkMessage | WorkMessage[];
    const messages = Array.isArray(body) ? body : [body];
    const { deliveries } = delivery;
    const parcel = new Parcel(messages.length);
    for (const message of messages) {
      const { execution, attempt, timeoutMs } = message;
      const key = `${execution}.${attempt}`;
      const work: Run = {
        message,
        delivery,
        parcel,
        deliveredAt: this.process.wall(),
        startedAt: 0,
        finishedAt: 0,
        cancel: () => undefined,
      };
      const leasedAt = this.#isOlder ? this.#now : delivery.askedAt;
      this.#step({ kind: 'delivered', queue, key, execution, attempt, deliveries, leasedAt, timeoutMs, work });
    }
    this.#endTurn();
  }

  get #now(): number {
    return this.process.clock.monotonic();
  }

  /** For how long it relies on what it holds. */
  get #leaseMs(): number {
    return this.#isOlder ? LIMITS.ackWaitMs : LIMITS.workLeaseMs;
  }

  #step(input: WorkerInput<Run>): void {
    for (const effect of this.#core.step(input, this.#now)) this.#perform(effect);
    if (this.#stopTicks === undefined && this.#core.isBusy)
      this.#stopTicks = this.process.every(TICK_MS, () => this.#tick());
  }

  #tick(): void {
    this.#step({ kind: 'tick' });
    if (this.#core.isBusy) return;
    this.#stopTicks?.();
    this.#stopTicks = undefined;
  }

  #endTurn(): void {
    if (this.#turnComes) return;
    this.#turnComes = true;
    this.process.soon(() => {
      this.#turnComes = false;
      this.#step({ kind: 'turn' });
    });
  }

  #perform(effect: WorkerEffect<Run>): void {
    switch (effect.kind) {
      case 'window': {
        const puller = this.#pullers.get(effect.queue);
        if (puller === undefined) return;
        puller.wanted = effect.size;
        return this.#askForMore(puller);
      }
      case 'run':
        return this.#run(effect.holding);
      case 'finish':
        return void this.#finish(effect.holdings);
      case 'ack':
      case 'forget': {
        const { parcel, delivery } = effect.holding.work;
        if (parcel.settle(effect.kind) !== 'ack') return;
        return this.#network.tell(this.process, 'work', () => void this.#services.work.acknowledge(delivery.work));
      }
      case 'adopt':
        effect.holding.work.delivery = effect.work.delivery;
        effect.holding.work.parcel = effect.work.parcel;
        return;
      case 'abort':
        return this.#end(effect.holding, 'failed');
      case 'ask':
        return void this.#ask(effect.holding);
      case 'extend':
        return void this.#extend(effect.holdings, effect.sentAt);
      case 'stopped':
        return this.#onStopped();
      case 'unreportable':
        return;
    }
  }

  #askForMore(puller: Puller): void {
    const { wanted } = puller;
    const sentAt = this.#now;
    this.#network.tell(this.process, 'work', () => this.#services.work.setWindow(puller, wanted, sentAt));
  }

  #run(holding: Holding<Run>): void {
    const { work: run, attempt } = holding;
    const { takesMs, failures } = run.message.payload as unknown as Behaviour;
    run.startedAt = this.process.wall();
    const isGone = this.#services.work.isWithAnother(run.delivery.work, this.process);
    if (isGone && !this.#isOlder) this.#witness.startedInVain(holding.execution, attempt, this.process);
    this.#witness.started(run.message, attempt, this.process, this.#leaseMs);
    run.cancel = this.process.after(takesMs, () => this.#end(holding, attempt <= failures ? 'failed' : 'succeeded'));
  }

  /** A handler ends: by itself, or since its signal was aborted. */
  #end(holding: Holding<Run>, outcome: 'succeeded' | 'failed'): void {
    holding.work.cancel();
    // What its core has ended already, it has told by then.
    holding.work.finishedAt = this.process.wall();
    this.process.soon(() => {
      this.#step({ kind: 'ended', holding, outcome, bytes: 100 });
      this.#endTurn();
    });
  }

  async #finish(holdings: readonly Holding<Run>[]): Promise<void> {
    const items = holdings.map((holding) => {
      const { execution, attempt, outcome, work } = holding;
      const { deliveredAt, startedAt } = work;
      this.#witness.ended(execution, attempt, outcome as Outcome);
      const times = startedAt > 0 ? { startedAt, finishedAt: Math.max(startedAt, work.finishedAt) } : {};
      return { execution, attempt, worker: this.process.name, outcome, deliveredAt, ...times };
    });
    const reply = (await this.#request('executions.finish', JSON.stringify({ items }))) as
      Reply<{ readonly items: readonly FinishResult[] }> | undefined;
    const verdicts = reply === undefined || 'error' in reply ? undefined : reply.items.map(verdictOf);
    if (reply !== undefined && 'items' in reply)
      reply.items.forEach((item, at) => {
        const { execution, attempt } = items[at] as (typeof items)[number];
        if ('ok' in item) this.#witness.resultTaken(execution, attempt);
      });
    this.#step({ kind: 'finished', holdings, verdicts });
  }

  async #ask(holding: Holding<Run>): Promise<void> {
    const { execution, attempt, deliveries, work } = holding;
    const parcel = work.delivery.work.ref.attempts.length > 1;
    const body = JSON.stringify({ execution, attempt, worker: this.process.name, deliveries, parcel });
    const reply = (await this.#request('executions.redelivered', body)) as Reply<RedeliveredReply> | undefined;
    this.#step({ kind: 'answered', holding, answer: reply === undefined ? 'retry' : answerOf(reply) });
  }

  async #extend(holdings: readonly Holding<Run>[], sentAt: number): Promise<void> {
    try {
      await this.#network.ask(this.process, 'work', () => {
        for (const work of new Set(holdings.map((holding) => holding.work.delivery.work)))
          this.#services.work.extend(work);
        return Promise.resolve();
      });
    } catch {
      return; // nobody knows, so the lease counts from before
    }
    this.#step({ kind: 'extended', holdings, sentAt });
  }

  #request(operation: string, body: string): Promise<unknown> {
    return this.#doors.request(this.process, this.#namespace, operation, body, ANSWER_MS);
  }

  #beat(): void {
    // As a client of the broker pulls anew when what it has asked for does not come, and when its pull ends.
    const now = this.#now;
    for (const puller of this.#pullers.values()) {
      if (puller.window !== puller.wanted) this.#askForMore(puller);
      else if (now + LIMITS.workerHeartbeatMs < puller.sentAt + puller.pullMs) continue;
      else if (!this.#network.isOff(this.process, 'work', 'out')) this.#services.work.renew(puller, now);
    }
    const running = this.#core.running();
    const beat = {
      worker: this.process.name,
      queues: this.#queues,
      capacity: this.#core.capacity,
      running,
      ...(this.#isOlder ? {} : { parcel: PARCEL, leaseMs: LIMITS.workLeaseMs }),
      ...(this.#core.isStopping ? { stopping: true } : {}),
    };
    if (!this.#network.isOff(this.process, 'messages', 'out')) this.#witness.spoke(this.process, this.#leaseMs);
    this.#services.messages.of(this.process).tell(subjects.workers(this.#namespace, 'heartbeat'), JSON.stringify(beat));
  }
}

function answerOf(reply: Reply<RedeliveredReply>): number | 'over' | 'superseded' | 'retry' {
  if ('run' in reply) return reply.run ? reply.attempt : 'over';
  const { code } = reply.error;
  if (code === 'delivered_again') return 'superseded';
  return code === 'execution_over' || code === 'unknown_execution' ? 'over' : 'retry';
}

/** As the SDK judges: a result that comes a second time, or too late, is settled too. */
function verdictOf(result: FinishResult): Verdict {
  if (!('error' in result)) return 'accepted';
  const { code, retryable } = result.error;
  if (code === 'execution_over' || code === 'unknown_execution') return 'accepted';
  if (code === 'delivered_again') return 'superseded';
  return retryable === true ? 'retry' : 'refused';
}
