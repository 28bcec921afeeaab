import { setTimeout as delay } from 'node:timers/promises';

import type { ScheduleSpec } from '@belfry/sdk';

import { endProblems, listProblems, refusalProblems, type Told } from './answers.ts';
import { isOver, isWaiting, type BookedTask, type Fire } from './booked.ts';
import { taskOf, type Evidence, type Run } from './check.ts';
import { Requests } from './requests.ts';
import { Trickle } from './trickle.ts';

export const QUEUE = 'chaos';
/** Has few slots of its own: they can be filled while the load goes on. */
export const NARROW = { queue: 'chaos-narrow', slots: 20 } as const;
/** Tasks that are made with one call. */
const AT_ONCE = 50_000;
/** Tasks of each kind. */
const STIRRED = 40;
/** Tasks that are there from the start, and still have to be in the end. */
const WAITING = 10;
const DAY_MS = 86_400_000;
/** How many are asked about at a time. */
const ASKED_AT_ONCE = 50;
const MOST_REFUSED = 10_000;
/** On top of what their handlers take, whatever time the other tasks of the load have. */
const STIR_TIMEOUT_MS = 60_000;

/** What a task's payload tells its handler to do. */
export interface Work {
  readonly ms: number;
  /** So many attempts fail. */
  readonly failures?: number;
  /** The handler's process kills itself. */
  readonly crash?: boolean;
  /** The first attempt goes on until it is aborted. */
  readonly hang?: boolean;
}

interface Planned {
  readonly spec: ScheduleSpec;
  /** Instants of the schedule from `from` to `to`, both included. */
  readonly due: (from: number, to: number) => number[];
}

export interface LoadPlan {
  /** Prefix of all keys: no two loads share one. */
  readonly name: string;
  readonly tasks: number;
  readonly startMs: number;
  readonly endMs: number;
  /** Tasks a second that are made while it goes on: of these, some are changed or cancelled again (`Trickle`). */
  readonly trickle: number;
  readonly work: (index: number) => Work;
  readonly more?: Partial<ScheduleSpec>;
  readonly random: () => number;
}

/**
 * Tasks of all kinds, and the books of what was acknowledged of them.
 *
 * L2. Every schedule ends with the window: which fires there are is known beforehand, from the schedule and the acknowledged first one.
 */
export class Load {
  readonly plan: LoadPlan;
  /** Of tasks that are let be: all that they have. Others are in the books of `trickle`. */
  readonly fires: Fire[] = [];
  readonly retries = new Map<string, number>();
  readonly doomed = new Set<string>();
  readonly requests: Requests;
  readonly trickle: Trickle;
  /** Executions of `addMany`. */
  readonly #many = new Set<string>();
  #trickles: Promise<unknown> = Promise.resolve();

  constructor(natsUrl: string, plan: LoadPlan) {
    this.plan = plan;
    this.requests = new Requests(natsUrl);
    this.trickle = new Trickle({
      requests: this.requests,
      perSecond: plan.trickle,
      endMs: plan.endMs,
      queue: QUEUE,
      random: plan.random,
      spec: (key, when) => this.spec(key, { ms: 20 }, when),
    });
  }

  /** Requests that were acknowledged, those that were not, and how long the slowest took. */
  get acknowledged(): number {
    return this.requests.acknowledged;
  }

  get unanswered(): number {
    return this.requests.unanswered;
  }

  get slowestMs(): number {
    return this.requests.slowestMs;
  }

  /** What must be, as far as a client knows. */
  get books(): Pick<Evidence, 'fires' | 'tasks' | 'toMs' | 'retries' | 'doomed'> {
    const { fires, retries, doomed, trickle, plan } = this;
    return { fires, retries, doomed, tasks: trickle.tasks, toMs: plan.endMs };
  }

  /** Creates the tasks; false when that took so long that the first is due already. @throws when one is refused */
  async create(): Promise<boolean> {
    const { tasks, startMs, endMs } = this.plan;
    const planned = Array.from({ length: tasks }, (_, index) => this.#planned(index));
    const results = await this.requests.client.scheduleMany(planned.map(({ spec }) => spec));
    for (const [index, result] of results.entries()) {
      if ('error' in result) throw new Error(`a task was refused: ${JSON.stringify(result.error)}`);
      this.#enter(planned[index] as Planned, result);
    }
    await this.#addWaiting(WAITING, endMs + DAY_MS);
    return Date.now() <= startMs;
  }

  /** One more task, whose acknowledgement is waited for. */
  async add(spec: Partial<ScheduleSpec> & { readonly at: number }, work: Work = { ms: 0 }): Promise<string> {
    const whole = this.spec(`extra-${this.fires.length}-${spec.at}`, work, spec);
    const result = await this.requests.client.schedule(whole);
    this.#enter({ spec: whole, due: (from, to) => (spec.at >= from && spec.at <= to ? [spec.at] : []) }, result);
    return result.id;
  }

  /** The same for many tasks of one kind. */
  async addMany(count: number, when: Partial<ScheduleSpec> & { readonly at: number }, work: Work): Promise<void> {
    const { at } = when;
    for (let from = 0; from < count; from += AT_ONCE) {
      const length = Math.min(AT_ONCE, count - from);
      const specs = Array.from({ length }, (_, index) => this.spec(`many-${at}-${from + index}`, work, when));
      const results = await this.requests.client.scheduleMany(specs);
      for (const [index, result] of results.entries()) {
        if ('error' in result) throw new Error(`a task was refused: ${JSON.stringify(result.error)}`);
        this.#enter({ spec: specs[index] as ScheduleSpec, due: () => [at] }, result);
        this.#many.add(`${result.id}-${at.toString(36)}`);
      }
    }
  }

  /** How many fires of this instant have begun, and how long the slowest of these waited. */
  begunOf(runs: readonly Run[], scheduledAt: number): { readonly count: number; readonly worstMs: number } {
    const mine = new Set(
      this.fires.filter((fire) => fire.scheduledAt === scheduledAt).map(({ execution }) => execution),
    );
    const begun = runs.filter(({ execution }) => mine.has(execution));
    return {
      count: begun.length,
      worstMs: begun.reduce((worst, { startMs }) => Math.max(worst, startMs - scheduledAt), 0),
    };
  }

  /** Cancels what was added for this instant: whether it runs is open until the answer, and closed after it. */
  async cancelMany(scheduledAt: number): Promise<void> {
    const ofInstant = this.fires.filter((fire) => fire.scheduledAt === scheduledAt && this.#many.has(fire.execution));
    const cancelled = new Set(ofInstant.map(({ execution }) => execution));
    this.fires.splice(0, Infinity, ...this.fires.filter(({ execution }) => !cancelled.has(execution)));
    const tasks = [...cancelled].map((execution) => this.#bookOnce(taskOf(execution), scheduledAt, Infinity));
    await Promise.all(tasks.map((task) => this.trickle.cancel(task)));
  }

  /**
   * Brings shards into all states at once: executions that run for `runMs` from now on, such that wait for a retry as long, tasks
   * that wait for tomorrow, and cancelled ones. Resolves when all have begun.
   */
  async stir(runMs: number, runs: () => readonly Run[]): Promise<void> {
    const at = Date.now() + 500;
    const retry = { attempts: 3, initialMs: runMs, factor: 1 };
    const [tasks] = await Promise.all([
      this.#addWaiting(STIRRED, at + DAY_MS),
      this.addMany(STIRRED, { at, timeoutMs: runMs + STIR_TIMEOUT_MS }, { ms: runMs }),
      this.addMany(STIRRED, { at: at + 1, retry }, { ms: 0, failures: 1 }),
    ]);
    await Promise.all(tasks.slice(STIRRED / 2).map((task) => this.trickle.cancel(task)));
    while (!this.haveRun(runs(), at) || !this.haveRun(runs(), at + 1)) await delay(50);
  }

  /** Whether all fires of this instant have begun. */
  haveRun(runs: readonly Run[], scheduledAt: number): boolean {
    const begun = new Set(runs.map(({ execution }) => execution));
    return this.fires.every((fire) => fire.scheduledAt !== scheduledAt || begun.has(fire.execution));
  }

  /** How an execution ended, as the history has it; undefined while it has not. */
  async stateOf(id: string, execution: string): Promise<string | undefined> {
    const { items } = await this.requests.client.history({ id });
    const over = items.find((item) => item.execution === execution);
    return over === undefined || over.state === 'dispatched' || over.state === 'retrying' ? undefined : over.state;
  }

  /** Starts to create, change and cancel, until the window ends. */
  begin(): void {
    if (this.plan.trickle > 0) this.#trickles = this.trickle.run();
  }

  async finish(): Promise<void> {
    this.trickle.stop();
    await this.#trickles;
  }

  async close(): Promise<void> {
    await this.finish();
    await this.requests.client.close();
  }

  /** Now that all is over: what has not ended, and does not wait, as it was acknowledged. */
  async endProblems(): Promise<string[]> {
    const { tasks } = this.trickle;
    const told: Told[] = [];
    for (let from = 0; from < tasks.length; from += ASKED_AT_ONCE)
      told.push(...(await this.trickle.ask(tasks.slice(from, from + ASKED_AT_ONCE))));
    return endProblems(tasks, told);
  }

  /** The same of all tasks, as they are listed by now, and of what ingest refused. */
  async listProblems(): Promise<string[]> {
    const { client } = this.requests;
    const active = new Set<string>();
    for (const queue of [QUEUE, NARROW.queue])
      for await (const { id } of client.list({ queue, state: 'active', limit: 1_000 })) active.add(id);
    const { tasks, spoilt, published } = this.trickle;
    const nowMs = Date.now();
    const refused = await client.rejected(MOST_REFUSED);
    return [
      ...listProblems(active, {
        waiting: tasks.filter((task) => isWaiting(task, nowMs)).map(({ id }) => id),
        ended: [
          ...tasks.filter((task) => isOver(task, nowMs)).map(({ id }) => id),
          ...this.fires.map(({ execution }) => taskOf(execution)),
        ],
      }),
      ...refusalProblems(spoilt, published, refused.map(({ message }) => message)), // prettier-ignore
    ];
  }

  /** Tasks that wait for tomorrow. */
  async #addWaiting(count: number, at: number): Promise<BookedTask[]> {
    const specs = Array.from({ length: count }, (_, index) =>
      this.spec(`tomorrow-${at}-${index}`, { ms: 0 }, { at: at + index }),
    );
    const results = await this.requests.client.scheduleMany(specs);
    return results.map((result, index) => {
      if ('error' in result) throw new Error(`a task that waits was refused: ${JSON.stringify(result.error)}`);
      return this.#bookOnce(result.id, at + index, -Infinity);
    });
  }

  #bookOnce(id: string, at: number, owedFromMs: number): BookedTask {
    const nowMs = Date.now();
    return this.trickle.book(id, { instants: [at], sentMs: nowMs, ackedMs: nowMs, owedFromMs });
  }

  #enter({ spec, due }: Planned, { id, next }: { readonly id: string; readonly next: readonly string[] }): void {
    // One that fires once does so however late it was made; whose answer was late may have fired by then.
    const firstMs = spec.at === undefined ? Date.parse(next[0] ?? '') : -Infinity;
    if (Number.isNaN(firstMs)) return; // its window was over before it was made
    const { crash, failures, hang } = spec.payload as Work;
    for (const scheduledAt of due(firstMs, this.plan.endMs)) {
      const execution = `${id}-${scheduledAt.toString(36)}`;
      this.fires.push({ execution, scheduledAt });
      if (failures !== undefined) this.retries.set(execution, failures);
      if (hang === true) this.retries.set(execution, 1);
      if (crash === true) this.doomed.add(execution);
    }
  }

  /** A task of this load. */
  spec(key: string, work: Work, when: Partial<ScheduleSpec>): ScheduleSpec {
    return {
      queue: QUEUE,
      handler: 'work',
      key: `${this.plan.name}-${key}`,
      precision: 'high',
      payload: work,
      // Every fire is to be accounted for, also after an outage of more than a minute.
      catchUp: { policy: 'all', window: '1h' },
      ...this.plan.more,
      ...when,
    };
  }

  /** The mix of the scale page: 30 % one-time, 50 % recurring, 20 % cron. */
  #planned(index: number): Planned {
    const { startMs, endMs, work } = this.plan;
    const spec = (when: Partial<ScheduleSpec>): ScheduleSpec => this.spec(`task-${index}`, work(index), when);
    const offset = (index * 7_919) % (endMs - startMs);
    if (index % 10 < 3) {
      const at = startMs + offset;
      return { spec: spec({ at }), due: (from, to) => (at >= from && at <= to ? [at] : []) };
    }
    if (index % 10 < 8) {
      const every = 2_000 + 500 * (index % 5);
      const anchor = startMs + (offset % every);
      const when = { every, anchor, startAt: startMs, endAt: endMs };
      return { spec: spec(when), due: (from, to) => grid(anchor, every, from, to) };
    }
    const cron = `*/${2 + (index % 3)} * * * * *`;
    const due = (from: number, to: number): number[] =>
      grid(0, 1_000, from, to).filter((at) => new Date(at).getUTCSeconds() % (2 + (index % 3)) === 0);
    return { spec: spec({ cron, startAt: startMs, endAt: endMs }), due };
  }
}

function grid(anchor: number, every: number, from: number, to: number): number[] {
  const due: number[] = [];
  for (let at = anchor + Math.ceil((from - anchor) / every) * every; at <= to; at += every) due.push(at);
  return due;
}
