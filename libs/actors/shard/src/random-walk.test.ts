import {
  encodeTarget,
  executionId,
  LIMITS,
  PRECISIONS,
  type Answer,
  type CancelRecord,
  type CreateRecord,
  type InboxRecord,
  type Outcome,
  type ResultRecord,
  type Target,
  type UpdateRecord,
} from '@belfry/protocol';
import type { AttemptRef, ShardDelta } from '@belfry/ports';
import { nextFire, parseCanonical, seedOf } from '@belfry/timing';
import { seeded } from '@belfry/timing/testing';
import { describe, expect, it } from 'vitest';
import type { Dispatch } from './fires.ts';
import { NaiveModel, type Snapshot } from './naive-model.ts';
import { T0, target, TestShard } from './test-world.ts';

/** Longer than a leap: a replay of more than is remembered may find what was forgotten. */
const REMEMBER_MS = 200_000;
const KEYS = ['a', 'b', 'c', 'd'];
const QUEUES = ['mail', 'post'];
const LEAP_MS = 150_000;

/** A key has the same policies whenever its task is made; without a key, any. */
function policiesOf(name: string): Pick<Target, 'precision' | 'catchUp'> {
  const at = parseInt(name, 36);
  const catchUps: readonly Target['catchUp'][] = [
    { policy: 'skip' },
    undefined,
    { policy: 'latest' },
    { policy: 'all', windowMs: 75_000 },
  ];
  return { precision: PRECISIONS[at % 3] as Target['precision'], catchUp: catchUps[at % 4] };
}

/** A message of the work stream as the worker knows it that was given it last. */
interface Holding {
  deliveries: number;
  attempt: number;
}

const nameOf = ({ execution, attempt }: AttemptRef): string => `${execution}.${attempt}`;

/** One shard and the model of it, led through the same changes and crashes. */
class Walk {
  readonly #random: () => number;
  readonly #shard: TestShard;
  readonly #model = new NaiveModel(T0, 0);
  readonly #holdings = new Map<string, Holding>();
  readonly #sent: { readonly record: InboxRecord; readonly atMs: number }[] = [];
  readonly #ids: string[] = [];
  #unpublished: Dispatch[] = [];
  /** A checkpoint that was taken and is not written yet. */
  #checkpoint: { readonly delta: ShardDelta; readonly snapshot: Snapshot } | undefined;

  constructor(seed: number, shard: TestShard) {
    this.#random = seeded(seed);
    this.#shard = shard;
  }

  async step(done: string[]): Promise<void> {
    const dice = this.#random();
    const steps: [number, string, () => void | Promise<void>][] = [
      [0.14, 'create', () => this.#say(this.#create())],
      [0.21, 'update', () => this.#say(this.#update())],
      [0.26, 'cancel', () => this.#say(this.#cancel())],
      [0.28, 'repeat', () => this.#say(this.#repeat())],
      [0.48, 'time', () => this.#pass()],
      [0.614, 'take', () => this.#take(1 + this.#below(4))],
      [0.62, 'drain', () => this.#drain()],
      [0.68, 'publish', () => this.#publish()],
      [0.82, 'work', () => this.#work()],
      [0.84, 'bogus', () => this.#say(this.#bogus())],
      [0.92, 'checkpoint', () => this.#takeOrWrite()],
      [0.94, 'ahead', () => this.#shard.loadAhead()],
      [0.99, 'crash', () => this.#crash(false)],
      [1, 'loss', () => this.#crash(true)],
    ];
    const [, name, act] = steps.find(([below]) => dice < below) as (typeof steps)[number];
    done.push(name);
    await act();
    this.#compare();
  }

  /** Once everything is known, all tasks are cancelled, workers succeed with what they still have, and a last checkpoint is written. */
  async finish(): Promise<void> {
    await this.#write();
    this.#takeCheckpoint();
    await this.#write();
    this.#compare();
    for (const id of this.#ids) this.#say({ k: 'cancel', c: 1, m: this.#shard.nextCommand(), id, ns: 'acme' });
    this.#publish();
    for (const [execution, { attempt }] of [...this.#model.fires]) {
      this.#say(this.#resultOf(execution, attempt, 'succeeded'));
    }
    await this.#write();
    this.#takeCheckpoint();
    await this.#write();
    this.#compare();
    expect([this.#shard.core.underWay, this.#shard.core.backlog, this.#model.fires.size]).toEqual([0, 0, 0]);
    const rows = this.#shard.store.history(0).filter(({ state }) => state !== 'cancelled');
    const lines = rows.map(({ task, scheduledAt, state }) => `${task} ${scheduledAt} ${state}`);
    expect(lines.sort()).toEqual(this.#model.history.sort());
    expect(this.#shard.core.counters.dead).toBe(this.#model.dead);
    this.#compareLedger();
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #pick<T>(items: readonly T[]): T | undefined {
    return items[this.#below(items.length)];
  }

  #schedule(): string {
    const soon = this.#shard.nowMs + this.#below(900) - 300;
    if (this.#random() < 0.5) return `a${soon}`;
    const dice = this.#random();
    if (dice < 0.4) return `e${5_000 + this.#below(20_000)}`;
    return dice < 0.7 ? `e${300 + this.#below(400)}` : `e500@${T0 + this.#below(3) * 100}`;
  }

  #create(): InboxRecord {
    const key = this.#random() < 0.7 ? this.#pick(KEYS) : undefined;
    const priority = this.#below(3) as 0 | 1 | 2;
    const policies = policiesOf(key ?? String(this.#below(8)));
    const t = target({ queue: this.#pick(QUEUES) as string, priority, ...policies });
    const body = { s: this.#schedule(), t, p: String(this.#below(3)) };
    return this.#shard.createRecord(key === undefined ? body : { key, ...body });
  }

  #update(): InboxRecord | undefined {
    const id = this.#pick(this.#ids);
    if (id === undefined) return undefined;
    const s = this.#random() < 0.8 ? { s: this.#schedule() } : { p: '"changed"' };
    return { k: 'update', c: 1, m: this.#shard.nextCommand(), id, ns: 'acme', ...s };
  }

  #cancel(): InboxRecord | undefined {
    const id = this.#pick(this.#ids);
    return id === undefined ? undefined : { k: 'cancel', c: 1, m: this.#shard.nextCommand(), id, ns: 'acme' };
  }

  /** A command that is still remembered; later, nothing is promised of it. */
  #repeat(): InboxRecord | undefined {
    const since = this.#shard.nowMs - REMEMBER_MS;
    return this.#pick(this.#sent.filter(({ atMs }) => atMs > since))?.record;
  }

  #resultOf(x: string, a: number, o: Outcome): ResultRecord {
    return { k: 'result', c: 1, x, ns: 'acme', a, o, w: 'w', dl: 0, st: 0, fi: 0 };
  }

  /** A result that no worker can have: of no attempt, of no fire, of another namespace. */
  #bogus(): InboxRecord | undefined {
    const [execution, fire] = this.#pick([...this.#model.fires]) ?? [];
    const id = this.#pick(this.#ids);
    if (execution === undefined || fire === undefined || id === undefined) return undefined;
    return this.#pick([
      this.#resultOf(execution, fire.attempt + 2, 'succeeded'),
      this.#resultOf(executionId(id, this.#shard.nowMs - 1_000_000), 1, 'succeeded'),
      { ...this.#resultOf(execution, fire.attempt, 'succeeded'), ns: 'other' },
    ]);
  }

  /** Puts a record through the shard and the model, whose answers must agree. Returns the answer in words. */
  #say(record: InboxRecord | undefined): string | undefined {
    if (record === undefined || this.#isUnclear(record)) return undefined;
    const answer = inWords(this.#shard.send(record));
    if (isCommand(record) && this.#sent.every((sent) => sent.record !== record))
      this.#sent.push({ record, atMs: this.#shard.nowMs });
    expect(answer, JSON.stringify(record)).toBe(this.#tell(record));
    return answer;
  }

  #isUnclear(record: InboxRecord): boolean {
    return isCommand(record) && this.#model.isUnclear(record.id);
  }

  /** The model's answer. */
  #tell(record: InboxRecord): string {
    switch (record.k) {
      case 'create':
        if (!this.#ids.includes(record.id)) this.#ids.push(record.id);
        return this.#model.create(record);
      case 'update':
        return this.#model.update(record);
      case 'cancel':
        return this.#model.cancel(record.id, record.m);
      case 'result':
        return record.ns === 'acme' && this.#model.result(record.x, record.a, record.o) ? 'accepted' : 'refused';
      case 'redelivered':
        return this.#model.redelivered(record.x, record.a, record.n as number, record.p === true, record.w);
      case 'calendar':
      case 'ownership':
        throw new Error('the walk says no such record');
    }
  }

  #pass(): void {
    const scale = this.#random();
    this.#shard.pass(this.#below(scale < 0.02 ? LEAP_MS : scale < 0.07 ? 40_000 : 400));
    this.#model.roll(this.#shard.nowMs);
  }

  /** Ended tasks that the shard has forgotten since: only those whose time is over. */
  #forget(): void {
    for (const id of this.#ids) {
      const task = this.#model.tasks.get(id);
      if (task === undefined || task.state === 'live' || this.#shard.core.glance(id, 'acme') !== undefined) continue;
      expect(this.#shard.nowMs - task.endedAt, 'a tombstone goes too early').toBeGreaterThanOrEqual(REMEMBER_MS);
      expect(this.#model.isUnderWay(id), 'a tombstone goes while executions are under way').toBe(false);
      this.#model.forget(id);
    }
  }

  #take(limit: number): void {
    this.#shard.pass(0);
    this.#model.roll(this.#shard.nowMs);
    const queue = `acme.${this.#pick(QUEUES) as string}`;
    this.#took(() => (this.#random() < 0.8 ? this.#shard.take(limit, queue) : this.#shard.takeLate(limit, queue)));
    if (this.#random() < 0.7) this.#publish();
  }

  /** Takes all that there is: nothing is left but what its grid has not come to. */
  #drain(): void {
    for (let taken = Infinity; taken > 0;) {
      this.#shard.pass(0);
      const queues = QUEUES.map((queue) => `acme.${queue}`);
      taken = this.#took(() =>
        queues.flatMap((queue) => [...this.#shard.take(100, queue), ...this.#shard.takeLate(100, queue)]),
      );
    }
    const left = [...this.#model.fires].filter(
      ([, { phase, scheduledAt }]) => phase === 'open' && scheduledAt <= this.#shard.nowMs - 2 * LIMITS.lowGridMs,
    );
    expect(left.map(([execution]) => execution)).toEqual([]);
    this.#publish();
  }

  #took(take: () => ReturnType<TestShard['take']>): number {
    const known = new Set(
      this.#ids.flatMap((id) => this.#shard.core.glance(id, 'acme')?.executions.map((execution) => execution.id) ?? []),
    );
    const taken = take();
    for (const { execution, attempt } of taken) {
      const onGrid = !known.has(execution.id);
      const wrong = this.#model.dispatched(execution.id, attempt, encodeTarget(execution.target), onGrid);
      expect(wrong).toBeUndefined();
    }
    this.#unpublished.push(...taken);
    return taken.length;
  }

  #publish(): void {
    for (const { execution, attempt } of this.#unpublished)
      expect(this.#shard.work.has(`${execution.id}.${attempt}`), 'a message is in the stream twice').toBe(false);
    while (this.#unpublished.length > 0) {
      const [first] = this.#unpublished as [Dispatch];
      const others = this.#unpublished.slice(1, 1 + this.#below(3));
      const isTogether = others.every(({ execution }) => execution.target.queueKey === first.execution.target.queueKey);
      const parcel = isTogether ? [first, ...others] : [first];
      this.#shard.publishParcel(parcel);
      this.#unpublished.splice(0, parcel.length);
    }
  }

  #work(): void {
    const adrift = [...this.#model.fires].find(([, { phase }]) => phase === 'adrift');
    if (adrift !== undefined && this.#random() < 0.3) {
      const outcome = this.#pick(['succeeded', 'failed', 'returned'] as const) as Outcome;
      this.#say(this.#resultOf(adrift[0], adrift[1].attempt, outcome));
      return;
    }
    const [message, ref] = this.#pick([...this.#shard.work]) ?? [];
    if (message === undefined || ref === undefined) return;
    const { execution, attempt } = ref.attempts.find((one) => nameOf(one) === message) as AttemptRef;
    const holding = this.#holdings.get(message) ?? { deliveries: 1, attempt };
    this.#holdings.set(message, holding);
    if (this.#random() < 0.25) {
      // Its worker died, or asks again because it had no answer.
      if (holding.deliveries === 1 || this.#random() < 0.7) holding.deliveries++;
      const n = holding.deliveries;
      const said = this.#say({
        k: 'redelivered',
        c: 1,
        x: execution,
        ns: 'acme',
        a: attempt,
        w: this.#pick(['v', 'w']) as string,
        n,
        p: ref.attempts.length > 1,
      });
      if (said === 'skip') this.#shard.ack(execution, attempt);
      else if (said?.startsWith('run ')) holding.attempt = Number(said.slice('run '.length));
      return;
    }
    const outcome = this.#pick(['succeeded', 'failed', 'timed_out', 'returned'] as const) as Outcome;
    this.#say(this.#resultOf(execution, holding.attempt, outcome));
    if (this.#random() < 0.8) this.#shard.ack(execution, attempt);
  }

  async #takeOrWrite(): Promise<void> {
    if (this.#checkpoint === undefined) this.#takeCheckpoint();
    else await this.#write();
  }

  #takeCheckpoint(): void {
    // Some of what is due has not been moved on yet.
    this.#shard.nowMs += this.#below(200);
    this.#shard.core.advance(this.#shard.nowMs, this.#below(4));
    this.#model.roll(this.#shard.nowMs);
    const delta = this.#shard.takeDelta();
    this.#checkpoint = { delta, snapshot: this.#model.snapshot(delta.watermark) };
  }

  async #write(): Promise<void> {
    if (this.#checkpoint === undefined) return;
    await this.#shard.commit(this.#checkpoint.delta);
    this.#model.written(this.#checkpoint.snapshot);
    this.#checkpoint = undefined;
  }

  async #crash(streamLost: boolean): Promise<void> {
    if (this.#random() < 0.5) await this.#write();
    this.#checkpoint = undefined;
    // It may take long until somebody owns the shard again.
    if (this.#random() < 0.15) this.#shard.nowMs += this.#below(LEAP_MS);
    this.#model.roll(this.#shard.nowMs);
    // The inbox holds more than its owner has applied.
    const more = [this.#random() < 0.5 ? this.#update() : undefined, this.#random() < 0.3 ? this.#cancel() : undefined];
    for (const record of more) {
      if (record === undefined || this.#isUnclear(record)) continue;
      this.#shard.append(record);
      this.#tell(record);
    }
    const survived = new Set(streamLost ? [] : this.#shard.work.keys());
    const foundBefore = this.#random() < 0.5;
    await this.#shard.crash({ streamLost, foundBefore });
    const hasMessage = (execution: string, { carried }: { readonly carried: number }): boolean =>
      survived.has(`${execution}.${carried}`);
    this.#model.crashed(hasMessage, streamLost, this.#shard.nowMs, (task, atMs) => this.#isThere(task, atMs));
    this.#unpublished = [];
    for (const name of this.#shard.work.keys()) {
      const [execution, attempt] = name.split('.') as [string, string];
      expect(this.#model.fires.get(execution), `a message of ${execution} is stale`).toMatchObject({
        carried: Number(attempt),
      });
    }
  }

  /** Whether a fire is an execution, or the next to become one. */
  #isThere(id: string, atMs: number): boolean {
    const { core } = this.#shard;
    const executions = core.glance(id, 'acme')?.executions ?? [];
    return core.pointerOf(id) === atMs || executions.some(({ scheduledAt }) => scheduledAt === atMs);
  }

  #compare(): void {
    this.#shard.pass(0);
    this.#model.roll(this.#shard.nowMs);
    this.#forget();
    const expected = this.#model.view();
    const seen = new Map<string, string>();
    for (const id of this.#ids) {
      const view = this.#view(id);
      if (view !== undefined) seen.set(id, view);
      if (view?.startsWith('finished') === true && !expected.has(id)) {
        const again = this.#model.remembersAgain(id);
        if (again !== undefined) expected.set(id, again);
      }
    }
    expect(Object.fromEntries(seen)).toEqual(Object.fromEntries(expected));
    expect(this.#shard.core.audit(0, Infinity).found).toEqual([]);
  }

  /** With nothing under way and everything written, the ledger is what the history has. */
  #compareLedger(): void {
    const { finished, dead, failed, cancelled, fired, skipped, withdrawn, missed } = this.#shard.core.counters;
    const rows = this.#shard.store.history(0).map(({ state }) => state);
    const count = (...states: string[]): number => rows.filter((state) => states.includes(state)).length;
    expect({ fired, finished, dead, failed, cancelled, missed }).toEqual({
      fired: rows.length - count('skipped'),
      finished: rows.length - count('skipped'),
      dead: count('dead'),
      failed: count('failed', 'timed_out'),
      cancelled: count('cancelled'),
      missed: 0,
    });
    expect(this.#shard.core.expected).toBe(fired + skipped + withdrawn);
    expect(skipped).toBeGreaterThanOrEqual(count('skipped'));
  }

  /** The same as `NaiveModel.view` of one task, from what the shard tells. */
  #view(id: string): string | undefined {
    const { core, nowMs } = this.#shard;
    const glance = core.glance(id, 'acme');
    if (glance === undefined) return undefined;
    const fires = new Map(
      glance.executions.map(({ id: execution, state, attempt }) => [
        execution,
        `${execution} ${state === 'dispatched' ? 'running' : 'waiting'} ${attempt}`,
      ]),
    );
    const pointer = core.pointerOf(id);
    // What waits behind the pointer is what the model says, as long as the pointer is the first of it.
    const behind = [...this.#model.fires]
      .filter(([execution, { task, scheduledAt }]) => task === id && scheduledAt >= pointer && !fires.has(execution))
      .sort(([, one], [, other]) => one.scheduledAt - other.scheduledAt);
    if (pointer <= nowMs) expect(behind[0]?.[1].scheduledAt, `the pointer of ${id}`).toBe(pointer);
    for (const [execution] of behind) fires.set(execution, `${execution} waiting 1`);
    const next =
      pointer > nowMs
        ? pointer
        : nextFire(parseCanonical(glance.schedule), nowMs, { createdMs: glance.createdAt, seed: seedOf(id) });
    const state = glance.state === 'finished' || glance.state === 'cancelled' ? glance.state : 'live';
    return [state, next, ...[...fires.values()].sort()].join('\n');
  }
}

/** An answer in the model's words. Why a result is refused is the unit tests' matter. */
function inWords(answer: Answer): string {
  if (!answer.ok)
    return /^(execution_over|delivered_again|unknown_execution)$/.test(answer.error.code)
      ? 'refused'
      : answer.error.code;
  if (answer.status === 'run') return `run ${answer.attempt}`;
  if (answer.status === 'cancelled') return ['cancelled', ...[...answer.running].sort()].join(' ');
  return answer.status;
}

function isCommand(record: InboxRecord): record is CreateRecord | UpdateRecord | CancelRecord {
  return record.k === 'create' || record.k === 'update' || record.k === 'cancel';
}

/** Returns how often a shard was brought forward instead of loaded whole. */
async function walk(seed: number, steps: number): Promise<number> {
  const done: string[] = [];
  try {
    const shard = await TestShard.start({ rememberMs: REMEMBER_MS });
    const walker = new Walk(seed, shard);
    for (let step = 0; step < steps; step++) await walker.step(done);
    await walker.finish();
    return shard.broughtForward;
  } catch (error) {
    throw new Error(`seed ${seed}, step ${done.length}: ${done.slice(-12).join(' ')}`, { cause: error });
  }
}

describe('a shard among crashes', () => {
  const seeds = process.env['BELFRY_SEEDS'] ?? '1-20';
  const [first, last] = seeds.split('-').map(Number) as [number, number | undefined];

  it(`agrees with a naive model over random walks, seeds ${seeds} (BELFRY_SEEDS=7 or 1-1000 takes others)`, async () => {
    let broughtForward = 0;
    for (let seed = first; seed <= (last ?? first); seed++) broughtForward += await walk(seed, 250);
    if (last !== undefined) expect(broughtForward).toBeGreaterThan(0);
  });
});
