import { SYSTEM_TIMERS, type Messenger } from '@belfry/actor-runtime';
import type { Placement } from '@belfry/ports';
import { MemoryCheckpointStore, MemoryInbox, MemoryWorkQueue, type PulledWork } from '@belfry/ports/testing';
import {
  encodeTarget,
  executionId,
  LIMITS,
  shardOf,
  subjects,
  taskIdOfKey,
  type Answer,
  type InboxRecord,
  type Outcome,
  type Replies,
  type Target,
} from '@belfry/protocol';
import { vi } from 'vitest';
import { NO_TRACER, type Clock, type Environment } from './environment.ts';
import { SchedulerNode } from './scheduler-node.ts';
import type { Crashes } from './takeover.ts';

export const T0 = 1_790_000_000_000;
export const SHARDS = 4;
/** Silence after which what was lost with the work stream is given back, of workers that do not say their lease. */
export const LOST_CONTACT_MS = LIMITS.ackWaitMs + LIMITS.lostContactMs;
export const GATEWAY = 'g';
const TARGET: Target = {
  namespace: 'acme',
  queue: 'mail',
  handler: 'send',
  priority: 1,
  retry: { attempts: 3, initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0 },
  timeoutMs: 10_000,
  precision: 'high',
  catchUp: undefined,
};

type Handler = (body: Uint8Array, subject: string) => unknown;

/** Subjects in memory: told at once, asked of whoever serves. */
class MemoryMessenger implements Messenger {
  readonly #serving = new Map<string, Handler>();
  readonly #listening = new Set<{ readonly subject: string; readonly handler: Handler }>();

  tell(subject: string, body: string | Uint8Array): void {
    const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body;
    for (const listener of [...this.#listening]) {
      if (matches(listener.subject, subject)) listener.handler(bytes, subject);
    }
  }

  async ask(subject: string, body: string): Promise<Uint8Array> {
    const served = [...this.#serving].find(([pattern]) => matches(pattern, subject));
    if (served === undefined) throw Object.assign(new Error(`nobody serves ${subject}`), { code: 'no_owner' });
    return new TextEncoder().encode((await served[1](new TextEncoder().encode(body), subject)) as string);
  }

  serve(subject: string, handler: Handler): () => void {
    if (this.#serving.has(subject)) throw new Error(`${subject} is served already`);
    this.#serving.set(subject, handler);
    return () => this.#serving.delete(subject);
  }

  listen(subject: string, handler: Handler): () => void {
    const listener = { subject, handler };
    this.#listening.add(listener);
    return () => this.#listening.delete(listener);
  }
}

function matches(pattern: string, subject: string): boolean {
  const [wanted, given] = [pattern.split('.'), subject.split('.')];
  return wanted.length === given.length && wanted.every((token, at) => token === '*' || token === given[at]);
}

/** A node in the cluster, which can be killed: what it then does reaches nobody, and nobody answers it. */
export class TestNode {
  readonly name: string;
  readonly scheduler: SchedulerNode;
  readonly quarantined = new Set<string>();
  readonly #stopServing = new Set<() => void>();
  #dead = false;
  #deaf = false;

  constructor(name: string, cluster: TestCluster) {
    this.name = name;
    const env: Environment = {
      node: name,
      shards: SHARDS,
      inbox: this.#port('inbox', cluster.inbox, cluster),
      work: this.#port('work', cluster.work, cluster),
      store: this.#port('store', cluster.store, cluster),
      messenger: this.#messenger(cluster.messenger),
      clock: cluster.clock ?? { now: () => T0 + cluster.elapsedMs, monotonic: () => cluster.elapsedMs },
      timers: SYSTEM_TIMERS,
      log: this.#log(cluster),
      metrics: {
        dispatched: (count) => cluster.count('dispatched', count),
        executionOver: (state) => cluster.count(`over ${state}`, 1),
        skipped: (policy, count) => cluster.count(`skipped ${policy}`, count),
        checkpoint: () => cluster.count('checkpoint', 1),
        takeover: (shards) => cluster.count('takeover', shards),
        quarantined: () => cluster.count('quarantined', 1),
      },
      tracer: NO_TRACER,
      calm: cluster.calm,
      renderTask: (_shard, { state }, { payload }) => ({ state, payload }),
    };
    this.scheduler = new SchedulerNode(env, this.#crashes(cluster));
  }

  get owned(): readonly number[] {
    return this.scheduler.status().owned;
  }

  get isDeaf(): boolean {
    return this.#deaf;
  }

  kill(): void {
    this.#dead = true;
    this.deafen();
  }

  /** From now on no message reaches it, while the servers do. */
  deafen(): void {
    this.#deaf = true;
    for (const stop of this.#stopServing) stop();
  }

  #port<T extends object>(name: string, port: T, cluster: TestCluster): T {
    return new Proxy(port, {
      get:
        (target, property) =>
        (...args: unknown[]) => {
          if (this.#dead) return new Promise(() => undefined);
          cluster.calls.push(`${this.name} ${name}.${String(property)}`);
          return (target[property as keyof T] as (...args: unknown[]) => unknown)(...args);
        },
    });
  }

  #messenger(messenger: Messenger): Messenger {
    const whileAlive = (stop: () => void): (() => void) => {
      this.#stopServing.add(stop);
      return stop;
    };
    return {
      tell: (subject, body) => (this.#dead ? undefined : messenger.tell(subject, body)),
      ask: (subject, body, timeoutMs) =>
        this.#dead ? new Promise(() => undefined) : messenger.ask(subject, body, timeoutMs),
      serve: (subject, handler) => whileAlive(messenger.serve(subject, handler)),
      listen: (subject, handler) => whileAlive(messenger.listen(subject, handler)),
    };
  }

  #log({ lines }: TestCluster): Environment['log'] {
    const write =
      (level: string) =>
      (message: string, fields: Record<string, unknown> = {}): void => {
        if (!this.#dead) lines.push(`${this.name} ${level}: ${message} ${JSON.stringify(fields)}`);
      };
    return { info: write('info'), warn: write('warn'), error: write('error') };
  }

  #crashes(cluster: TestCluster): Crashes {
    return {
      isQuarantined: (shard, seq) => this.quarantined.has(`${shard}/${seq}`),
      count: async (shard, seq) => {
        if (!cluster.countsCrashes) throw new Error('Postgres is away');
        const times = (cluster.crashes.get(`${shard}/${seq}`) ?? 0) + 1;
        cluster.crashes.set(`${shard}/${seq}`, times);
        if (times < LIMITS.crashesBeforeQuarantine) return false;
        this.quarantined.add(`${shard}/${seq}`);
        return true;
      },
    };
  }
}

/**
 * Scheduler nodes on one inbox, work stream and store in memory, with clients and workers played by the test. Timers are vitest's, and
 * the clock moves when it is told to.
 */
export class TestCluster {
  elapsedMs = 0;
  readonly inbox = new MemoryInbox({ now: () => T0 + this.elapsedMs });
  readonly work = new MemoryWorkQueue();
  readonly store = new MemoryCheckpointStore({ shards: SHARDS });
  readonly messenger = new MemoryMessenger();
  /** What nodes asked of the ports, in order. */
  readonly calls: string[] = [];
  readonly lines: string[] = [];
  readonly counts = new Map<string, number>();
  readonly crashes = new Map<string, number>();
  countsCrashes = true;
  /** Of nodes that are started from here on, where it is not `elapsedMs`. */
  clock: Clock | undefined;
  /** Of nodes that are started from here on. */
  calm: NonNullable<Environment['calm']> = () => Promise.resolve();
  /** Answers by correlation. */
  readonly answers = new Map<number, Answer>();
  readonly #workers = new Map<string, { queues: readonly string[]; capacity: number; running: readonly string[] }>();
  readonly #nodes: TestNode[] = [];
  #correlation = 0;
  #version = 0;

  constructor() {
    this.messenger.listen(subjects.replies(GATEWAY), (body) => {
      const { a } = JSON.parse(new TextDecoder().decode(body)) as Replies;
      for (const [correlation, answer] of a) this.answers.set(correlation, answer);
    });
  }

  count(what: string, by: number): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + by);
  }

  // — Nodes

  async start(name: string): Promise<TestNode> {
    const node = new TestNode(name, this);
    this.#nodes.push(node);
    await this.finish(node.scheduler.start());
    return node;
  }

  /** One node that owns all shards. */
  async startOwner(name = 'a'): Promise<TestNode> {
    const node = await this.start(name);
    await this.place([node, node, node, node]);
    return node;
  }

  /** Places shard n on the nth node, and waits until it is so. */
  async place(owners: readonly TestNode[]): Promise<void> {
    this.tellPlacement(owners);
    await this.until(() => owners.every((owner, shard) => owner.owned.includes(shard)), 'the placement is followed');
  }

  tellPlacement(owners: readonly TestNode[]): void {
    const nodes = [...new Set(owners)];
    const placement: Placement = {
      term: 1,
      version: ++this.#version,
      nodes: nodes.map(({ name }) => name),
      assignment: owners.map((owner) => nodes.indexOf(owner)),
    };
    for (const { scheduler, isDeaf } of this.#nodes) if (!isDeaf) scheduler.place(placement);
  }

  // — Time

  /** Lets everything happen that follows from what was done; the clock stands. Living workers' heartbeats come first. */
  async settle(): Promise<void> {
    for (const worker of this.#workers.keys()) this.#beat(worker);
    await vi.advanceTimersByTimeAsync(20);
  }

  /** The clock moves, and timers have some turns. */
  async pass(ms: number): Promise<void> {
    this.elapsedMs += ms;
    await this.settle();
  }

  /** Seconds with all their timers: checkpoints, checks of the work stream, expiry. */
  async seconds(count: number): Promise<void> {
    for (let second = 0; second < count; second++) {
      await this.pass(1_000);
      await vi.advanceTimersByTimeAsync(1_000);
    }
  }

  async until(holds: () => boolean, what: string): Promise<void> {
    for (let turn = 0; turn < 2_000; turn++) {
      if (holds()) return;
      await vi.advanceTimersByTimeAsync(5);
    }
    throw new Error(`it did not come to this: ${what}\n${this.lines.join('\n')}`);
  }

  async finish<T>(work: Promise<T>): Promise<T> {
    let over = false;
    const done = work.finally(() => (over = true));
    done.catch(() => undefined); // it is awaited below
    await this.until(() => over, 'a promise is settled');
    return await done;
  }

  async checkpoint(): Promise<void> {
    const before = this.counts.get('checkpoint') ?? 0;
    await this.until(() => (this.counts.get('checkpoint') ?? 0) > before, 'a checkpoint');
  }

  // — Clients

  /** Appends records for one shard without waiting. Returns their correlations. */
  async append(shard: number, ...records: InboxRecord[]): Promise<number[]> {
    const r = records.map((record) => ({ ...record, c: ++this.#correlation }));
    await this.appendRaw(shard, JSON.stringify({ v: 1, g: GATEWAY, r }));
    return r.map(({ c }) => c);
  }

  /** Returns the sequence. */
  async appendRaw(shard: number, body: string): Promise<number> {
    const outcome = await this.inbox.append([{ shard, body }]);
    if (outcome.kind !== 'ok') throw new Error('the inbox refuses');
    return outcome.value[0] as number;
  }

  async send(shard: number, record: InboxRecord): Promise<Answer> {
    const [correlation] = (await this.append(shard, record)) as [number];
    await this.until(() => this.answers.has(correlation), 'an answer');
    return this.answers.get(correlation) as Answer;
  }

  /** Creates a one-time task of the shard, due at T0 + `dueMs`. Returns the id of its execution. */
  async create(shard: number, name: string, dueMs: number, change: Partial<Target> = {}): Promise<string> {
    const answer = await this.send(shard, this.createRecord(shard, name, dueMs, change));
    if (!answer.ok) throw new Error(answer.error.message);
    return fire(shard, name, dueMs);
  }

  nextCommand(): number {
    return ++this.#correlation;
  }

  createRecord(shard: number, name: string, dueMs: number, change: Partial<Target> = {}): InboxRecord {
    const key = keyIn(shard, name);
    return {
      k: 'create',
      c: 0,
      m: this.nextCommand(),
      id: taskIdOfKey('acme', key),
      key,
      s: `a${T0 + dueMs}`,
      t: encodeTarget({ ...TARGET, ...change }),
      p: JSON.stringify(name),
      d: '{}',
    };
  }

  async result(execution: string, a: number, o: Outcome): Promise<Answer> {
    const shard = shardOf(execution.slice(0, 32), SHARDS);
    return await this.send(shard, { k: 'result', c: 0, x: execution, ns: 'acme', a, o, w: 'w', dl: 0, st: 0, fi: 0 });
  }

  async get(shard: number, name: string): Promise<unknown> {
    return JSON.parse(new TextDecoder().decode(await this.finish(this.askFor(shard, name))));
  }

  /** The same without waiting for the answer. */
  askFor(shard: number, name: string): Promise<Uint8Array> {
    const question = JSON.stringify({ id: taskIdOfKey('acme', keyIn(shard, name)), namespace: 'acme' });
    return this.messenger.ask(subjects.shard(shard, 'get'), question);
  }

  // — Workers

  /** A worker that says so from now on, in every second that passes. */
  async worker(
    name: string,
    capacity: number,
    running: readonly string[] = [],
    queues = ['mail'],
    says: { readonly parcel?: number; readonly leaseMs?: number } = {},
  ): Promise<void> {
    for (const queue of queues) await this.work.ensureConsumer('acme', queue, says.leaseMs ?? LIMITS.ackWaitMs);
    this.#workers.set(name, { queues, capacity, running, ...says });
    await this.settle();
  }

  /** It says nothing any more. */
  silence(name: string): void {
    this.#workers.delete(name);
  }

  /** Changes what a worker says it runs. */
  running(name: string, running: readonly string[]): void {
    const worker = this.#workers.get(name);
    if (worker === undefined) throw new Error(`no worker ${name}`);
    this.#workers.set(name, { ...worker, running });
  }

  #beat(worker: string): void {
    const beat = { worker, ...this.#workers.get(worker) };
    this.messenger.tell(subjects.workers('acme', 'heartbeat'), JSON.stringify(beat));
  }

  pull(count = 1_000, queue = 'mail'): PulledWork[] {
    return this.work.pull('acme', queue, count);
  }

  /** What is in the work stream, message by message. */
  async messages(): Promise<string[][]> {
    const all = await Promise.all(Array.from({ length: SHARDS }, (_, shard) => this.work.surviving(shard)));
    return all.flat().map(({ attempts }) => attempts.map(({ execution, attempt }) => `${execution}.${attempt}`));
  }

  /** `<execution>.<attempt>` of all that is in the work stream. */
  async inStream(): Promise<string[]> {
    return (await this.messages()).flat();
  }

  history(): string[] {
    return Array.from({ length: SHARDS }, (_, shard) => this.store.history(shard))
      .flat()
      .map(({ task, scheduledAt, state, attempt }) => `${executionId(task, scheduledAt)} ${state} ${attempt}`);
  }

  /** Lines of the log that hold a text. */
  logged(text: string): string[] {
    return this.lines.filter((line) => line.includes(text));
  }
}

/** A key that begins with `name`, of a task that belongs to the shard. */
export function keyIn(shard: number, name: string): string {
  for (let at = 0; ; at++) {
    const key = `${name}-${at}`;
    if (shardOf(taskIdOfKey('acme', key), SHARDS) === shard) return key;
  }
}

export function fire(shard: number, name: string, dueMs: number): string {
  return executionId(taskIdOfKey('acme', keyIn(shard, name)), T0 + dueMs);
}

/** Timers are the test's from here on, and the system's again after it. */
export function testCluster(): TestCluster {
  vi.useFakeTimers({
    toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate'],
  });
  return new TestCluster();
}
