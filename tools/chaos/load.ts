import { setTimeout as delay } from 'node:timers/promises';

import { Belfry, BelfryError, type ScheduleSpec } from '@belfry/sdk';

import type { Cancel, Fire, Run } from './check.ts';

export const QUEUE = 'chaos';
/** Has few slots of its own: they can be filled while the load goes on. */
export const NARROW = { queue: 'chaos-narrow', slots: 20 } as const;
/** Tasks that are made with one call. */
const AT_ONCE = 50_000;
/** Tasks of each kind. */
const STIRRED = 40;
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
  /** Creates a second while it goes on; of these, half are cancelled again. */
  readonly trickle: number;
  readonly work: (index: number) => Work;
  readonly more?: Partial<ScheduleSpec>;
  readonly random: () => number;
}

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * Tasks of all kinds, and the ledger of what was acknowledged of them.
 *
 * L1. In the ledger stands what was acknowledged, and nothing else: a create or cancel without an answer may or may not have been done.
 * L2. Every schedule ends with the window: which fires there are is known beforehand, from the schedule and the acknowledged first one.
 */
export class Load {
  readonly plan: LoadPlan;
  readonly fires: Fire[] = [];
  readonly cancels: Cancel[] = [];
  readonly retries = new Map<string, number>();
  readonly doomed = new Set<string>();
  /** Requests that were refused or not answered. */
  unanswered = 0;
  /** What requests ended with that is no error of Belfry's. */
  readonly untyped: string[] = [];
  /** Acknowledged requests, and how long the slowest took. */
  acknowledged = 0;
  slowestMs = 0;
  readonly #client: Belfry;
  /** Executions of `addMany`. */
  readonly #many = new Set<string>();
  #going = true;
  #trickles: Promise<unknown> = Promise.resolve();

  constructor(natsUrl: string, plan: LoadPlan) {
    this.plan = plan;
    this.#client = new Belfry({ url: natsUrl, log: SILENT, timeoutMs: 30_000 });
  }

  /** Creates the tasks; false when that took so long that the first is due already. @throws when one is refused */
  async create(): Promise<boolean> {
    const { tasks, startMs } = this.plan;
    const planned = Array.from({ length: tasks }, (_, index) => this.#planned(index));
    const results = await this.#client.scheduleMany(planned.map(({ spec }) => spec));
    for (const [index, result] of results.entries()) {
      if ('error' in result) throw new Error(`a task was refused: ${JSON.stringify(result.error)}`);
      this.#enter(planned[index] as Planned, result);
    }
    return Date.now() <= startMs;
  }

  /** One more task, whose acknowledgement is waited for. */
  async add(spec: Partial<ScheduleSpec> & { readonly at: number }, work: Work = { ms: 0 }): Promise<string> {
    const whole = this.#spec(`extra-${this.fires.length}-${spec.at}`, work, spec);
    const result = await this.#client.schedule(whole);
    this.#enter({ spec: whole, due: (from, to) => (spec.at >= from && spec.at <= to ? [spec.at] : []) }, result);
    return result.id;
  }

  /** The same for many tasks of one kind. */
  async addMany(count: number, when: Partial<ScheduleSpec> & { readonly at: number }, work: Work): Promise<void> {
    const { at } = when;
    for (let from = 0; from < count; from += AT_ONCE) {
      const length = Math.min(AT_ONCE, count - from);
      const specs = Array.from({ length }, (_, index) => this.#spec(`many-${at}-${from + index}`, work, when));
      const results = await this.#client.scheduleMany(specs);
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
    await Promise.all([...cancelled].map((execution) => this.#cancel(execution.slice(0, 32))));
  }

  /**
   * Brings shards into all states at once: executions that run for `runMs` from now on, such that wait for a retry as long, tasks
   * that wait for tomorrow, and cancelled ones. Resolves when all have begun.
   */
  async stir(runMs: number, runs: () => readonly Run[]): Promise<void> {
    const at = Date.now() + 500;
    const retry = { attempts: 3, initialMs: runMs, factor: 1 };
    const waiting = Array.from({ length: STIRRED }, (_, index) =>
      this.#spec(`tomorrow-${at}-${index}`, { ms: 0 }, { at: at + 86_400_000 + index }),
    );
    const [results] = await Promise.all([
      this.#client.scheduleMany(waiting),
      this.addMany(STIRRED, { at, timeoutMs: runMs + STIR_TIMEOUT_MS }, { ms: runMs }),
      this.addMany(STIRRED, { at: at + 1, retry }, { ms: 0, failures: 1 }),
    ]);
    const made = results.flatMap((result) => ('error' in result ? [] : [result.id]));
    if (made.length < STIRRED) throw new Error('a task that waits was refused');
    await Promise.all(made.slice(STIRRED / 2).map((id) => this.#client.cancel({ id })));
    while (!this.haveRun(runs(), at) || !this.haveRun(runs(), at + 1)) await delay(50);
  }

  /** Whether all fires of this instant have begun. */
  haveRun(runs: readonly Run[], scheduledAt: number): boolean {
    const begun = new Set(runs.map(({ execution }) => execution));
    return this.fires.every((fire) => fire.scheduledAt !== scheduledAt || begun.has(fire.execution));
  }

  /** How an execution ended, as the history has it; undefined while it has not. */
  async stateOf(id: string, execution: string): Promise<string | undefined> {
    const { items } = await this.#client.history({ id });
    const over = items.find((item) => item.execution === execution);
    return over === undefined || over.state === 'dispatched' || over.state === 'retrying' ? undefined : over.state;
  }

  /** Starts to create, and to cancel, until the window ends. */
  begin(): void {
    if (this.plan.trickle > 0) this.#trickles = this.#trickle();
  }

  async finish(): Promise<void> {
    this.#going = false;
    await this.#trickles;
  }

  async close(): Promise<void> {
    await this.finish();
    await this.#client.close();
  }

  async #trickle(): Promise<void> {
    const { trickle, endMs } = this.plan;
    const under: Promise<void>[] = [];
    for (let index = 0; this.#going && Date.now() < endMs - 2_000; index++) {
      under.push(index % 2 === 0 ? this.#createOne(index) : this.#createAndCancel(index));
      await delay(1_000 / trickle);
    }
    await Promise.all(under);
  }

  async #createOne(index: number): Promise<void> {
    const at = Date.now() + 1_500;
    const spec = this.#spec(`late-${index}`, this.plan.work(index), { at });
    const one = await this.#ask(() => this.#client.schedule(spec));
    if (one !== undefined) this.#enter({ spec, due: (from, to) => (at >= from && at <= to ? [at] : []) }, one);
  }

  /** A task that would fire every second, cancelled after a while: after the answer, nothing of it starts. */
  async #createAndCancel(index: number): Promise<void> {
    const { endMs, random } = this.plan;
    const anchor = Date.now() + 500;
    const spec = this.#spec(`cancelled-${index}`, { ms: 0 }, { every: 1_000, anchor, endAt: endMs });
    const one = await this.#ask(() => this.#client.schedule(spec));
    if (one === undefined) return;
    await delay(500 + 2_000 * random());
    await this.#cancel(one.id);
  }

  async #cancel(id: string): Promise<void> {
    const reply = await this.#ask(() => this.#client.cancel({ id }));
    if (reply !== undefined) this.cancels.push({ task: id, ackedMs: Date.now(), running: reply.running });
  }

  async #ask<T>(request: () => Promise<T>): Promise<T | undefined> {
    const startMs = performance.now();
    try {
      const reply = await request();
      this.acknowledged++;
      this.slowestMs = Math.max(this.slowestMs, performance.now() - startMs);
      return reply;
    } catch (error) {
      this.unanswered++; // L1
      if (!(error instanceof BelfryError)) this.untyped.push(String(error));
      return undefined;
    }
  }

  #enter({ spec, due }: Planned, { id, next }: { readonly id: string; readonly next: readonly string[] }): void {
    const firstMs = Date.parse(next[0] ?? '');
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

  #spec(key: string, work: Work, when: Partial<ScheduleSpec>): ScheduleSpec {
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
    const spec = (when: Partial<ScheduleSpec>): ScheduleSpec => this.#spec(`task-${index}`, work(index), when);
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
