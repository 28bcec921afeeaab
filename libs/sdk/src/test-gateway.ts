import { randomBytes } from 'node:crypto';

import { connectNats, ensureDurable, natsNames, NatsWorkQueue, serve, type NatsLink } from '@belfry/adapter-nats';
import {
  executionId,
  STREAMS,
  subjects,
  workConsumer,
  type FinishRequest,
  type Json,
  type RedeliveredReply,
  type RedeliveredRequest,
  type Reply,
  type SubscribeReply,
  type WorkerHeartbeat,
  type WorkMessage,
} from '@belfry/protocol';

import { belfryError, asWireError } from './errors.ts';
import { jsonLog, type Log } from './log.ts';

const NANOS_PER_MS = 1_000_000;

export interface TestGatewayOptions {
  /** Default: one that no other test has. */
  readonly namespace?: string;
  /** How long the broker leases a work message. Default 30,000. */
  readonly ackWaitMs?: number;
}

/** A request as it came. */
export interface Asked {
  readonly op: string;
  readonly body: unknown;
  header(name: string): string | undefined;
}

export interface Dispatch {
  readonly handler: string;
  readonly payload?: Json;
  readonly attempt?: number;
  readonly timeoutMs?: number;
  readonly traceparent?: string;
  /** The body as it is, instead of a work message. */
  readonly raw?: string;
}

/**
 * Stands for gateway and shards on a real broker, in a namespace of its own: it answers as it is told, keeps what it was asked, and
 * dispatches. What a worker reports is accepted, unless `onFinish` says otherwise; what was delivered before may run.
 */
export class TestGateway implements AsyncDisposable {
  readonly namespace: string;
  readonly url: string;
  readonly asked: Asked[] = [];
  readonly results: FinishRequest[] = [];
  readonly heartbeats: WorkerHeartbeat[] = [];
  /** Answers by `<room>.<op>`, such as `tasks.create`; a thrown BelfryError is answered as an error. */
  readonly answers = new Map<string, (body: never) => unknown>();
  onFinish: (results: readonly FinishRequest[]) => unknown = (results) => ({
    items: results.map(() => ({ ok: true })),
  });
  onRedelivered: (request: RedeliveredRequest) => Reply<RedeliveredReply> = ({ attempt }) => ({ run: true, attempt });
  readonly #link: NatsLink;
  readonly #work: NatsWorkQueue;
  readonly #ackWaitMs: number;
  readonly #shard = 1_000_000 + randomBytes(3).readUIntBE(0, 3);
  readonly #queues = new Set<string>();
  #fires = 0;

  private constructor(url: string, link: NatsLink, work: NatsWorkQueue, options: TestGatewayOptions) {
    this.url = url;
    this.#link = link;
    this.#work = work;
    this.namespace = options.namespace ?? `sdk-${randomBytes(8).toString('hex')}`;
    this.#ackWaitMs = options.ackWaitMs ?? 30_000;
    this.answers.set('workers.subscribe', ({ queue }: { queue: string }) => this.#subscribe(queue));
    this.answers.set('executions.finish', ({ items }: { items: FinishRequest[] }) => this.#finish(items));
    this.answers.set('executions.redelivered', (request: RedeliveredRequest) => this.onRedelivered(request));
    for (const room of ['tasks', 'executions', 'workers']) this.#serve(room);
  }

  static async open(url: string, options: TestGatewayOptions = {}): Promise<TestGateway> {
    const link = await connectNats(url, { name: 'test gateway' });
    const work = new NatsWorkQueue(link, { names: natsNames() });
    await work.ensure(async () => 1);
    const gateway = new TestGateway(url, link, work, options);
    await link.nc.flush();
    return gateway;
  }

  /** Bodies of the requests of one kind. */
  bodies(op: string): unknown[] {
    return this.asked.filter((asked) => asked.op === op).map(({ body }) => body);
  }

  /** Puts executions into the queue, each in its message; returns their ids. */
  async dispatch(queue: string, items: readonly Dispatch[]): Promise<string[]> {
    return await this.#dispatch(
      queue,
      items.map((item) => [item]),
    );
  }

  /** Puts executions into the queue, all in one message. */
  async dispatchParcel(queue: string, items: readonly Dispatch[]): Promise<string[]> {
    return await this.#dispatch(queue, [items]);
  }

  async #dispatch(queue: string, parcels: readonly (readonly Dispatch[])[]): Promise<string[]> {
    const fence = await this.#work.takeFence(this.#shard, ++this.#fires);
    if (fence.kind !== 'ok') throw new Error('no fence');
    const messages = parcels.map((items) => items.map((item) => this.#message(queue, item)));
    const published = await this.#work.publish(
      fence.value,
      randomBytes(8).toString('hex'),
      parcels.map(([item], i) => {
        const carried = messages[i] as [WorkMessage];
        const body = item?.raw ?? JSON.stringify(carried.length === 1 ? carried[0] : carried);
        return {
          namespace: this.namespace,
          queue,
          attempts: carried.map(({ execution, attempt }) => ({ execution, attempt })),
          body: Buffer.from(body),
          ...(item?.traceparent === undefined ? {} : { traceparent: item.traceparent }),
        };
      }),
    );
    if (published.kind !== 'ok') throw new Error(`not dispatched: ${JSON.stringify(published)}`);
    return messages.flat().map(({ execution }) => execution);
  }

  /** Work messages of a queue that are not acknowledged, and those of them that are in workers' hands. */
  async unsettled(queue: string): Promise<{ readonly waiting: number; readonly held: number }> {
    const name = workConsumer(this.namespace, queue);
    const info = await this.api<{ num_pending: number; num_ack_pending: number }>(
      `CONSUMER.INFO.${STREAMS.work}.${name}`,
    );
    return { waiting: info.num_pending, held: info.num_ack_pending };
  }

  async api<T>(operation: string, body?: unknown): Promise<T> {
    const reply = await this.#link.nc.request(`$JS.API.${operation}`, body === undefined ? '' : JSON.stringify(body));
    return reply.json<T>();
  }

  /** Takes messages of a queue as a worker does, and never settles them. */
  pull(stream: string, consumer: string, count: number): void {
    const reply = `${this.namespace}.pulled`;
    this.#link.nc.subscribe(reply);
    const body = JSON.stringify({ batch: count, expires: 30_000 * NANOS_PER_MS });
    this.#link.nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, body, { reply });
  }

  publish(subject: string, body: string): void {
    this.#link.nc.publish(subject, body);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const queue of this.#queues) {
      await this.api(`CONSUMER.DELETE.${STREAMS.work}.${workConsumer(this.namespace, queue)}`);
      await this.api(`STREAM.PURGE.${STREAMS.work}`, { filter: subjects.workOfQueue(this.namespace, queue) });
    }
    await this.api(`STREAM.PURGE.${STREAMS.work}`, { filter: subjects.fence(this.#shard) });
    this.#work.close();
    await this.#link.close();
  }

  #serve(room: string): void {
    const options = {
      concurrency: 1_000,
      pending: 1_000,
      onError: (error: Error) => {
        throw error;
      },
    };
    serve(this.#link, `belfry.v1.${this.namespace}.${room}.*`, options, async ({ subject, data, header }) => {
      const op = subject.split('.').slice(3).join('.');
      const body = JSON.parse(Buffer.from(data).toString('utf8')) as unknown;
      if (op === 'workers.heartbeat') {
        this.heartbeats.push(body as WorkerHeartbeat);
        return undefined;
      }
      this.asked.push({ op, body, header });
      try {
        const answer = this.answers.get(op);
        if (answer === undefined) throw belfryError('unsupported', op);
        return JSON.stringify(await answer(body as never));
      } catch (error) {
        return JSON.stringify({ error: asWireError(error as Parameters<typeof asWireError>[0]) });
      }
    });
  }

  async #subscribe(queue: string): Promise<SubscribeReply> {
    const consumer = workConsumer(this.namespace, queue);
    await ensureDurable(this.#link, STREAMS.work, consumer, {
      filter_subject: subjects.workOfQueue(this.namespace, queue),
      ack_policy: 'explicit',
      ack_wait: this.#ackWaitMs * NANOS_PER_MS,
      max_ack_pending: 100_000,
    });
    this.#queues.add(queue);
    return { stream: STREAMS.work, consumer, ackWaitMs: this.#ackWaitMs };
  }

  #finish(items: readonly FinishRequest[]): unknown {
    const answer = this.onFinish(items);
    this.results.push(...items);
    return answer;
  }

  #message(queue: string, item: Dispatch): WorkMessage {
    const task = randomBytes(16).toString('hex');
    const scheduledAt = Date.now();
    return {
      v: 1,
      execution: executionId(task, scheduledAt),
      task,
      namespace: this.namespace,
      queue,
      handler: item.handler,
      attempt: item.attempt ?? 1,
      scheduledAt,
      dispatchedAt: scheduledAt,
      epoch: 1,
      timeoutMs: item.timeoutMs ?? 60_000,
      metadata: {},
      payload: item.payload ?? null,
    };
  }
}

/** Keeps its lines instead of printing them. */
export function memoryLog(): { readonly log: Log; readonly lines: string[] } {
  const lines: string[] = [];
  return { log: jsonLog('debug', (line) => lines.push(line)), lines };
}
