import {
  encodeTarget,
  executionId,
  taskIdOfCommand,
  taskIdOfKey,
  type Answer,
  type CreateRecord,
  type Envelope,
  type InboxRecord,
  type Outcome,
  type Target,
} from '@belfry/protocol';
import {
  NO_FIRES,
  type ActiveRow,
  type Changed,
  type LoadedTask,
  type ShardDelta,
  type ShardHead,
  type TaskPatch,
  type WorkRef,
} from '@belfry/ports';
import { MemoryCheckpointStore } from '@belfry/ports/testing';
import type { Dispatch } from './fires.ts';
import { Interned } from './intern.ts';
import { Shard } from './shard.ts';

export const T0 = 1_790_000_000_000;
export const TARGET: Target = {
  namespace: 'acme',
  queue: 'mail',
  handler: 'send',
  priority: 1,
  retry: { attempts: 3, initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.5 },
  timeoutMs: 10_000,
  precision: 'high',
  catchUp: undefined,
};

export const target = (change: Partial<Target> = {}): string => encodeTarget({ ...TARGET, ...change });
export const keyed = (key: string): string => taskIdOfKey('acme', key);

const PRIORITIES = [0, 1, 2] as const;

type Change<K extends InboxRecord['k']> = Partial<Extract<InboxRecord, { k: K }>>;

export interface Crash {
  /** The work stream goes with it. */
  readonly streamLost?: boolean;
  /** An owner before this one found that out, wrote it into the inbox, and died: this one sees a stream with the fence in it. */
  readonly foundBefore?: boolean;
}

/** One shard with its log, its store and its work stream, under a clock that moves when it is told to. */
export class TestShard {
  nowMs = T0;
  core: Shard;
  readonly store = new MemoryCheckpointStore({ shards: 1 });
  readonly log: { readonly seq: number; readonly timestamp: number; readonly envelope: Envelope }[] = [];
  /** The work stream: attempts that no worker is done with, and the messages that carry them. */
  readonly work = new Map<string, WorkRef>();
  readonly rememberMs: number;
  #commands = 1;
  #attempts = 0;
  #ahead: { readonly core: Shard; readonly watch: number; readonly watermark: number } | undefined;
  /** How often a core that was loaded ahead has become the next owner's. */
  broughtForward = 0;
  #head: ShardHead = {
    shard: 0,
    epoch: 1,
    seq: 0,
    watermark: 0,
    counters: NO_FIRES,
    gaps: [],
  };

  private constructor(rememberMs: number) {
    this.rememberMs = rememberMs;
    this.core = this.#newCore();
  }

  static async start(options: { readonly rememberMs?: number } = {}): Promise<TestShard> {
    const world = new TestShard(options.rememberMs ?? 86_400_000);
    await world.crash();
    return world;
  }

  nextCommand(): number {
    return this.#commands++;
  }

  /** Puts a record into the inbox without applying it. */
  append(...records: InboxRecord[]): void {
    this.log.push({ seq: this.log.length + 1, timestamp: this.nowMs, envelope: { v: 1, g: 'g', r: records } });
  }

  /** Applies what stands in the inbox and has not been applied. Returns the answers. */
  catchUp(): Answer[] {
    const answers: Answer[] = [];
    for (const { seq, timestamp, envelope } of this.log.slice(this.core.seq)) {
      for (const { answer } of this.core.apply(seq, timestamp, envelope)) answers.push(answer);
    }
    this.core.assertInvariants();
    return answers;
  }

  send(record: InboxRecord): Answer {
    this.append(record);
    return this.catchUp().at(-1) as Answer;
  }

  createRecord(change: Change<'create'> = {}): CreateRecord {
    const m = change.m ?? this.nextCommand();
    const id = change.key === undefined ? taskIdOfCommand('acme', String(m), 0) : keyed(change.key);
    return { k: 'create', c: 1, m, id, s: `a${T0 + 1_000}`, t: target(), p: '1', d: '{}', ...change };
  }

  create(change: Change<'create'> = {}): string {
    const record = this.createRecord(change);
    this.send(record);
    return record.id;
  }

  update(id: string, change: Change<'update'>): Answer {
    return this.send({ k: 'update', c: 1, m: this.nextCommand(), id, ns: 'acme', ...change });
  }

  cancel(id: string, change: Change<'cancel'> = {}): Answer {
    return this.send({ k: 'cancel', c: 1, m: this.nextCommand(), id, ns: 'acme', ...change });
  }

  result(x: string, a: number, o: Outcome, change: Change<'result'> = {}): Answer {
    return this.send({ k: 'result', c: 1, x, ns: 'acme', a, o, w: 'w', dl: 0, st: 0, fi: 0, ...change });
  }

  redelivered(x: string, a: number, n?: number, w = 'w'): Answer {
    return this.send({ k: 'redelivered', c: 1, x, ns: 'acme', a, w, ...(n === undefined ? {} : { n }) });
  }

  /** Time passes, and the wheel with it. */
  pass(ms: number): void {
    this.nowMs += ms;
    this.core.advance(this.nowMs, Infinity);
    this.core.assertInvariants();
  }

  take(limit = Infinity, queue = 'acme.mail'): Dispatch[] {
    const taken = PRIORITIES.flatMap((priority) => this.core.take(queue, priority, limit, this.nowMs));
    return this.#taken(taken);
  }

  /** Missed fires that run all the same. */
  takeLate(limit = Infinity, queue = 'acme.mail'): Dispatch[] {
    return this.#taken(PRIORITIES.flatMap((priority) => this.core.takeLate(queue, priority, limit)));
  }

  #taken(taken: Dispatch[]): Dispatch[] {
    for (const { execution } of taken) execution.dispatchedAt = this.nowMs;
    this.core.assertInvariants();
    return taken;
  }

  publish(dispatches: readonly Dispatch[]): void {
    for (const dispatch of dispatches) this.publishParcel([dispatch]);
  }

  /** All in one message. */
  publishParcel(dispatches: readonly Dispatch[]): void {
    const { namespace, queue } = (dispatches[0] as Dispatch).execution.target;
    const attempts = dispatches.map(({ execution, attempt }) => ({ execution: execution.id, attempt }));
    const message: WorkRef = { namespace, queue, shard: 0, attempts };
    for (const { execution, attempt } of dispatches) {
      execution.message = message;
      this.work.set(`${execution.id}.${attempt}`, message);
    }
  }

  /** Takes and publishes all that is due, what was missed last. Returns `<execution>.<attempt>` of each. */
  dispatch(queue?: string): string[] {
    const taken = [...this.take(Infinity, queue), ...this.takeLate(Infinity, queue)];
    this.publish(taken);
    return taken.map(({ execution, attempt }) => `${execution.id}.${attempt}`);
  }

  /** The worker's ack of an attempt's message. */
  ack(execution: string, attempt: number): void {
    this.work.delete(`${execution}.${attempt}`);
  }

  takeDelta(): ShardDelta {
    const delta = this.core.delta(true) as ShardDelta;
    assertDelta(delta);
    this.core.assertInvariants();
    return delta;
  }

  async commit(delta: ShardDelta): Promise<void> {
    const outcome = await this.store.commit([delta], String(this.#attempts++));
    if (outcome.kind !== 'ok' || outcome.value.fenced.length > 0) throw new Error('the checkpoint was refused');
    this.core.settled();
  }

  async checkpoint(): Promise<ShardDelta> {
    const delta = this.takeDelta();
    await this.commit(delta);
    return delta;
  }

  /** The owner dies, and another takes the shard over. Returns the work messages that speak of what is over. */
  async crash({ streamLost = false, foundBefore = false }: Crash = {}): Promise<readonly WorkRef[]> {
    const taken = await this.store.takeEpochs([0], 'n', [0]);
    if (taken.kind !== 'ok') throw new Error('no epoch');
    this.#head = taken.value[0] as ShardHead;
    const { epoch } = this.#head;
    if (streamLost) this.work.clear();
    if (streamLost) this.append({ k: 'ownership', c: 0, epoch, node: 'n', lost: true });
    const core = await this.#load();
    const surviving = [...new Set(this.work.values())];
    this.append({ k: 'ownership', c: 0, epoch, node: 'n' });
    this.core = core;
    this.catchUp();
    const { over, mixed } = core.reconcile(surviving, streamLost && !foundBefore, this.nowMs);
    for (const { attempts } of over) for (const { execution, attempt } of attempts) this.ack(execution, attempt);
    // The workers that have the others know, or ask.
    for (const message of mixed) {
      const carried = new Set(message.attempts.map(({ execution }) => execution));
      for (const { id, message: present } of core.dispatched([...carried])) if (present === message) carried.delete(id);
      for (const { execution, attempt } of message.attempts) if (carried.has(execution)) this.ack(execution, attempt);
    }
    core.assertInvariants();
    return over;
  }

  /** Another node begins to load the shard, which goes on: its next owner will not load it whole. */
  async loadAhead(): Promise<void> {
    const watch = this.core.watch();
    const { watermark } = this.core;
    this.#head = { ...this.#head, watermark };
    const core = this.#newCore();
    await this.store.load(
      [0],
      () => undefined,
      (_shard, commands) => core.loadCommands(commands),
      (_shard, rows) => core.loadCalendars(rows),
      (_shard, tasks) => core.loadTasks(tasks),
    );
    this.#ahead = { core, watch, watermark };
  }

  /** Whole; and where it was loaded ahead, that too, brought forward, which must come to the same. */
  async #load(): Promise<Shard> {
    const whole = this.#newCore();
    const active = new Map<string, ActiveRow[]>();
    await this.store.load(
      [0],
      ...this.#loaders(whole, active),
      (_shard, rows) => whole.loadCalendars(rows),
      (_shard, tasks) => whole.loadTasks(tasks),
    );
    whole.loadExecutions(active);
    const ahead = this.#ahead;
    this.#ahead = undefined;
    const changed = ahead === undefined ? undefined : this.core.changedSince(ahead.watch);
    if (ahead === undefined || changed === undefined || ahead.watermark > this.#head.watermark) return whole;
    this.broughtForward++;
    await this.#bringForward(ahead.core, changed);
    const [one, other] = [ahead.core.print(), whole.print()];
    if (one !== other) throw new Error(`brought forward:\n${one}\n\nloaded whole:\n${other}`);
    return ahead.core;
  }

  async #bringForward(core: Shard, changed: Changed): Promise<void> {
    const active = new Map<string, ActiveRow[]>();
    const now: LoadedTask[] = [];
    await this.store.load(
      [0],
      ...this.#loaders(core, active),
      () => undefined,
      (_shard, tasks) => void now.push(...tasks),
      changed,
    );
    core.bringForward({ head: this.#head, changed: changed.tasks, rows: now, active });
  }

  #loaders(
    core: Shard,
    active: Map<string, ActiveRow[]>,
  ): [
    (shard: number, rows: readonly ActiveRow[]) => void,
    (shard: number, commands: readonly { hash: number; at: number }[]) => void,
  ] {
    return [
      (_shard, rows) => {
        for (const row of rows) active.set(row.task, [...(active.get(row.task) ?? []), row]);
      },
      (_shard, commands) => core.loadCommands(commands),
    ];
  }

  /** Executions of a task as `<offset of scheduledAt from T0> <state> <attempt>`. */
  under(id: string): string[] {
    const executions = this.core.glance(id, 'acme')?.executions ?? [];
    return executions.map(({ scheduledAt, state, attempt }) => `${scheduledAt - T0} ${state} ${attempt}`);
  }

  /** What the history holds, as `<offset of scheduledAt from T0> <state>`. */
  history(): string[] {
    return this.store.history(0).map(({ scheduledAt, state }) => `${scheduledAt - T0} ${state}`);
  }

  events(): string[] {
    return this.core.takeEvents().map(({ type, execution }) => `${type}${execution === undefined ? '' : ' *'}`);
  }

  #newCore(): Shard {
    return new Shard({
      shard: 0,
      interned: new Interned(),
      head: this.#head,
      nowMs: this.nowMs,
      rememberMs: this.rememberMs,
    });
  }
}

export const fire = (id: string, offsetMs: number): string => executionId(id, T0 + offsetMs);

/** What the store's port asks of a delta, and the store in memory does not look at. */
function assertDelta(delta: ShardDelta): void {
  const once = (what: string, names: readonly string[]): void => {
    if (new Set(names).size !== names.length) throw new Error(`a delta has ${what} twice: ${names.join(' ')}`);
  };
  const ids = (rows: readonly { readonly id: string }[]): string[] => rows.map(({ id }) => id);
  once('a task', delta.deletes);
  once('a task', ids(delta.inserts));
  once('a task', ids(delta.patches));
  const inserted = new Set(ids(delta.inserts));
  const gone = new Set(delta.deletes.filter((id) => !inserted.has(id)));
  const patched = delta.patches.find((patch) => gone.has(patch.id) || (inserted.has(patch.id) && !onlyEnds(patch)));
  if (patched !== undefined) throw new Error(`a delta patches ${patched.id}, which it deletes or inserts`);
  once(
    'a pointer',
    delta.pointers.map(({ task }) => task),
  );
  const names = (rows: readonly { readonly task: string; readonly scheduledAt: number }[]): string[] =>
    rows.map(({ task, scheduledAt }) => `${task}-${scheduledAt}`);
  once('an active row', names(delta.active));
  once('an active row that is done', names(delta.activeDone));
}

function onlyEnds(patch: TaskPatch): boolean {
  return Object.keys(patch).sort().join() === 'ended,id';
}
