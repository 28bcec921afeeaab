import type { Answer, Envelope, InboxRecord, Replies, WireError } from '@belfry/protocol';
import { MemoryInbox } from '@belfry/ports/testing';
import {
  ok,
  type CalendarRow,
  type ExecutionFilter,
  type Facts,
  type InboxAppend,
  type Outcome,
  type Queries,
  type StoredExecution,
  type StoredSlot,
  type StoredTask,
  type StoredZoneData,
  type TaskFilter,
} from '@belfry/ports';
import { nextFire, parseCanonical, seedOf } from '@belfry/timing';

import type { GatewayEnvironment } from './environment.ts';
import { Gateway } from './gateway.ts';
import type { IngestMessage } from './ingest.ts';
import type { Part } from './schedules-in-use.ts';

export const T0 = 1_790_000_000_000;
export const GATEWAY_ID = 'gateway-1';

type Append = (messages: readonly InboxAppend[]) => Promise<Outcome<readonly number[], 'full'>>;

/** The fields that replies have in common; all of them may be missing. */
export interface Reply {
  readonly id: string;
  readonly status: string;
  readonly items: readonly Reply[];
  readonly error: WireError;
  readonly [field: string]: unknown;
}

/** What a shard answers to a record; undefined for nothing at all. */
export type ShardBehaviour = (record: InboxRecord, shard: number) => Answer | undefined;

/** Tasks are made once, and unchanged from then on; everything else is accepted. */
export function plainShards(): ShardBehaviour {
  const known = new Set<string>();
  return (record) => {
    switch (record.k) {
      case 'create': {
        const next = nextFire(parseCanonical(record.s), record.s.startsWith('a') ? -1 : T0, {
          createdMs: T0,
          seed: seedOf(record.id),
        });
        const status = known.has(record.id) ? 'unchanged' : 'created';
        known.add(record.id);
        return { ok: true, status, next: [next] };
      }
      case 'update':
        return { ok: true, status: 'updated', next: [T0 + 5] };
      case 'cancel':
        return { ok: true, status: 'cancelled', running: [] };
      case 'calendar':
        return { ok: true, status: 'calendar', outcome: 'set', version: record.v, rearmed: 0 };
      case 'result':
        return { ok: true, status: 'accepted' };
      case 'redelivered':
        return { ok: true, status: 'run', attempt: record.a + 1 };
      case 'ownership':
        return undefined;
    }
  };
}

/** A gateway among shards that answer as they are told to, and a clock that moves when it is told to. */
export class TestWorld {
  nowMs = T0;
  monotonicMs = 0;
  readonly memory = new MemoryInbox({ now: () => this.nowMs });
  /** Messages of each append, in order. */
  readonly appends: (readonly InboxAppend[])[] = [];
  readonly rejected: { namespace: string; body: Record<string, unknown>; messageId: string }[] = [];
  readonly logged: string[] = [];
  readonly gateway: Gateway;
  behaviour: ShardBehaviour = plainShards();
  append: Append = (messages) => this.memory.append(messages);
  publishRejected: GatewayEnvironment['publishRejected'] = () => Promise.resolve(ok(undefined));
  /** One scheduler has all shards, and knows no task to `get`. */
  askShard: GatewayEnvironment['askShard'] = (_shard, op, body) => {
    if (op === 'get') return Promise.resolve({ kind: 'refused', reason: 'no_owner' });
    const { shards } = JSON.parse(body) as { readonly shards: readonly number[] };
    return Promise.resolve(ok(bytes(JSON.stringify({ covers: shards, asOf: this.nowMs, ...this.schedules }))));
  };
  ensureConsumer: GatewayEnvironment['ensureConsumer'] = () => Promise.resolve();
  tasks: readonly StoredTask[] = [];
  executions: readonly StoredExecution[] = [];
  calendars: readonly CalendarRow[] = [];
  schedules: Omit<Part, 'covers' | 'asOf'> = { items: [], instants: [], leftOut: 0 };
  slots: readonly StoredSlot[] = [];
  facts: Partial<Facts> = {};
  zoneData: readonly StoredZoneData[] = [];
  taskFilters: TaskFilter[] = [];
  executionFilters: ExecutionFilter[] = [];
  queryError: Error | undefined;

  constructor(options: { readonly shards?: number; readonly environment?: Partial<GatewayEnvironment> } = {}) {
    const log = (message: string, fields?: Record<string, unknown>): void =>
      void this.logged.push(fields === undefined ? message : `${message} ${JSON.stringify(fields)}`);
    this.gateway = new Gateway({
      gatewayId: GATEWAY_ID,
      shards: options.shards ?? 8,
      inbox: { append: (messages) => this.#append(messages) },
      queries: this.#queries(),
      timeZoneVersion: '2026c',
      clock: { now: () => this.nowMs, monotonic: () => this.monotonicMs },
      log: { info: log, warn: log, error: log },
      askShard: (...ask) => this.askShard(...ask),
      ensureConsumer: (...names) => this.ensureConsumer(...names),
      publishRejected: async (namespace, body, messageId) => {
        const outcome = await this.publishRejected(namespace, body, messageId);
        if (outcome.kind === 'ok')
          this.rejected.push({ namespace, body: JSON.parse(body) as Record<string, unknown>, messageId });
        return outcome;
      },
      ...options.environment,
    });
  }

  /** The reply to a request, parsed, for matchers to look at. `request` is sent as JSON; bytes and strings as they are. */
  async ask(
    subject: string,
    request: unknown,
    namespace = 'acme',
    headers: Record<string, string> = {},
  ): Promise<Reply> {
    const [room, op = ''] = subject.split('.') as [string, string?];
    const header = (name: string): string | undefined => headers[name];
    const data =
      request instanceof Uint8Array ? request : bytes(typeof request === 'string' ? request : JSON.stringify(request));
    const handle = {
      tasks: this.gateway.handleTasks,
      executions: this.gateway.handleExecutions,
      calendars: this.gateway.handleCalendars,
      schedules: this.gateway.handleSchedules,
      workers: this.gateway.handleWorkers,
    }[room];
    if (handle === undefined) throw new Error(`no such room: ${room}`);
    return JSON.parse(await handle.call(this.gateway, namespace, op, data, header)) as Reply;
  }

  ingest(body: unknown, change: Partial<IngestMessage> = {}): ReturnType<Gateway['handleIngest']> {
    return this.gateway.handleIngest({
      namespace: 'acme',
      data: bytes(typeof body === 'string' ? body : JSON.stringify(body)),
      streamSeq: 7,
      streamCreated: '2026-11-24T00:00:00Z',
      timestamp: this.nowMs,
      deliveries: 1,
      header: () => undefined,
      ...change,
    });
  }

  /** Lets time pass, in steps of the host's ticks. */
  async pass(ms: number): Promise<void> {
    const endMs = this.monotonicMs + ms;
    while (this.monotonicMs < endMs) {
      const step = Math.min(100, endMs - this.monotonicMs);
      this.monotonicMs += step;
      this.nowMs += step;
      this.gateway.tick();
      await settle();
    }
  }

  /** Every record that has been appended. */
  records(): InboxRecord[] {
    return this.appends.flatMap((messages) => messages.flatMap(({ body }) => (JSON.parse(body) as Envelope).r));
  }

  async #append(messages: readonly InboxAppend[]): Promise<Outcome<readonly number[], 'full'>> {
    this.appends.push(messages);
    const outcome = await this.append(messages);
    if (outcome.kind === 'ok') for (const message of messages) this.answer(message);
    return outcome;
  }

  /** The shard's answers to one inbox message, as one reply message. */
  answer({ shard, body }: InboxAppend): void {
    const envelope = JSON.parse(body) as Envelope;
    const answers: [number, Answer][] = [];
    for (const record of envelope.r) {
      const answer = this.behaviour(record, shard);
      if (answer !== undefined && record.c !== 0) answers.push([record.c, answer]);
    }
    const replies: Replies = { v: 1, a: answers };
    if (answers.length > 0) setImmediate(() => this.gateway.onReplies(bytes(JSON.stringify(replies))));
  }

  #queries(): Queries {
    const guard = (): void => {
      if (this.queryError !== undefined) throw this.queryError;
    };
    return {
      tasks: async (_namespace, filter) => {
        guard();
        this.taskFilters.push(filter);
        return { ...firstPage(this.tasks, filter.limit), asOf: this.nowMs };
      },
      executions: async (_namespace, filter) => {
        guard();
        this.executionFilters.push(filter);
        return { ...firstPage(this.executions, filter.limit), asOf: this.nowMs };
      },
      calendars: async (namespace) => {
        guard();
        return { items: this.calendars.filter((row) => row.namespace === namespace), asOf: this.nowMs };
      },
      slots: async () => {
        guard();
        return this.slots;
      },
      explain: async () => {
        guard();
        const none = { task: undefined, life: [], executions: [], owners: [], unwatched: [], recordedSince: 0 };
        return { ...none, asOf: this.nowMs, ...this.facts };
      },
      zoneData: async () => {
        guard();
        return this.zoneData;
      },
      execution: async (_namespace, task, scheduledAt) => {
        guard();
        return this.executions.find(({ row }) => row.task === task && row.scheduledAt === scheduledAt);
      },
    };
  }
}

function firstPage<T>(all: readonly T[], limit: number): { items: readonly T[]; cursor: string | undefined } {
  const items = all.slice(0, limit);
  return { items, cursor: items.length < all.length ? `after-${items.length}` : undefined };
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Lets everything that is due in this turn and the next ones happen. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise((resolve) => setImmediate(resolve));
}

export const SPEC = { at: new Date(T0 + 60_000).toISOString(), queue: 'mail', handler: 'send', payload: { to: 'ann' } };

export function specs(count: number, change: (index: number) => object = () => ({})): object[] {
  return Array.from({ length: count }, (_, index) => ({ ...SPEC, payload: index, ...change(index) }));
}
