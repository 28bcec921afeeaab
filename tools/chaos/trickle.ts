import { setTimeout as delay } from 'node:timers/promises';

import { taskIdOfKey } from '@belfry/protocol';
import { BelfryError, type ScheduleSpec, type Scheduled } from '@belfry/sdk';

import { listProblems, type Told } from './answers.ts';
import { isWaiting, type BookedTask, type Version } from './booked.ts';
import { pick } from './random.ts';
import type { Requests } from './requests.ts';

const DAY_MS = 86_400_000;
/** Before the end, nothing is begun any more. */
const LATEST_MS = 2_000;
/** From the creation of a task to its only fire. */
const SOON_MS = 1_500;
/** From the creation of a recurring task to its first fire, and on to its last one; longer where a cancel is to come before. */
const LEAD_MS = 300;
const LIFE_MS = 5_000;
const LONG_LIFE_MS = 30_000;
/** Before and after an update: some instants may be of both. */
const EVERY_MS = 1_000;
const OTHER_EVERY_MS = 900;
/** From the acknowledgement of a task to its update or cancel. */
const LEAST_WAIT_MS = 1_000;
const MOST_WAIT_MS = 3_500;

/** The most that a list has on one page. */
const PAGE = 1_000;

/** What is done, in turn: half of it makes tasks and lets them be. */
const STEPS = [
  'create',
  'cancel',
  'publish',
  'update',
  'cancel',
  'create',
  'publish',
  'wait',
  'update',
  'spoil',
] as const;

/** Each is refused when its message is read: so nothing of it can be told at once. */
const BAD: readonly Partial<ScheduleSpec>[] = [{ every: 'soon' }, { cron: '0 0 30 2 *' }, { at: 0 }];

export interface TrickleOptions {
  readonly requests: Requests;
  /** Steps a second. */
  readonly perSecond: number;
  readonly endMs: number;
  readonly queue: string;
  readonly random: () => number;
  readonly spec: (key: string, when: Partial<ScheduleSpec>) => ScheduleSpec;
}

/**
 * Makes tasks one by one, changes, cancels and asks about them, and books what it was promised.
 *
 * L1. In the books stands what was acknowledged, and nothing else: a request without an answer may or may not have been done.
 */
export class Trickle {
  readonly tasks: BookedTask[] = [];
  readonly told: Told[] = [];
  /** Keys of acknowledged publishes, and of such whose message can be no task. */
  readonly published: string[] = [];
  readonly spoilt: string[] = [];
  /** What lists lacked, or had, against their `asOf`. */
  readonly wrongLists: string[] = [];
  readonly #options: TrickleOptions;
  #lists = 0;
  #going = true;

  constructor(options: TrickleOptions) {
    this.#options = options;
  }

  /** Goes on until it is stopped or the end is near; resolves when all has its answer. */
  async run(): Promise<void> {
    const { perSecond, endMs } = this.#options;
    const under: Promise<unknown>[] = [];
    for (let index = 0; this.#going && Date.now() < endMs - LATEST_MS; index++) {
      under.push(this.#step(index));
      if (index % 2 === 0 && this.tasks.length > 0) under.push(this.ask([pick(this.tasks, this.#options.random)]));
      if (index % STEPS.length === 0) under.push(this.#list());
      await delay(1_000 / perSecond);
    }
    await Promise.all(under);
  }

  stop(): void {
    this.#going = false;
  }

  /** What never came about: its checks have shown nothing. */
  get missing(): string[] {
    const { tasks, told, published, spoilt } = this;
    const counts = {
      'an update': tasks.filter(({ versions }) => versions.length > 1 && versions.at(-1)?.ackedMs !== undefined).length,
      'a cancel': tasks.filter(({ cancel }) => cancel?.ackedMs !== undefined).length,
      'a publish': published.length,
      'a bad publish': spoilt.length,
      'a question': told.filter(({ askedMs }) => askedMs < this.#options.endMs).length,
      'a list': this.#lists,
    };
    return Object.entries(counts).flatMap(([what, count]) => (count === 0 ? [what] : []));
  }

  /** What is said of these tasks now. */
  async ask(tasks: readonly BookedTask[]): Promise<Told[]> {
    const told = await Promise.all(tasks.map((task) => this.#ask(task)));
    return told.flatMap((one) => one ?? []);
  }

  async #ask({ id }: BookedTask): Promise<Told | undefined> {
    const askedMs = Date.now();
    const view = await this.#options.requests.question((client) => client.get({ id }));
    if (view === undefined) return undefined;
    const times = { task: id, askedMs, answeredMs: Date.now() };
    const told: Told =
      view instanceof BelfryError
        ? { ...times, state: 'not_found', next: [] }
        : { ...times, state: view.state, next: view.next.map((at) => Date.parse(at)) };
    this.told.push(told);
    return told;
  }

  /** A list of active tasks has all that was acknowledged before its `asOf`. */
  async #list(): Promise<void> {
    const { requests, queue } = this.#options;
    const active = new Set<string>();
    let firstAsOf: string | undefined;
    for (let cursor: string | undefined, pages = 0; pages === 0 || cursor !== undefined; pages++) {
      const from = cursor === undefined ? {} : { cursor };
      const page = await requests.question((client) => client.list({ queue, state: 'active', limit: PAGE, ...from }));
      if (page === undefined || page instanceof BelfryError) return;
      for (const { id } of page.items) active.add(id);
      firstAsOf ??= page.asOf;
      cursor = page.cursor;
    }
    if (firstAsOf === undefined) return;
    this.#lists++;
    const [asOf, nowMs] = [Date.parse(firstAsOf), Date.now()];
    const isBefore = (change: { readonly ackedMs: number | undefined } | undefined): boolean =>
      (change?.ackedMs ?? Infinity) < asOf;
    const waiting = this.tasks.filter((task) => isBefore(task.versions[0]) && isWaiting(task, nowMs));
    const ended = this.tasks.filter(({ cancel }) => isBefore(cancel));
    const problems = listProblems(active, { waiting: waiting.map(({ id }) => id), ended: ended.map(({ id }) => id) });
    this.wrongLists.push(...problems.map((problem) => `in a list as of ${firstAsOf}, ${problem}`));
  }

  /** Books a task that was acknowledged. */
  book(id: string, version: Version): BookedTask {
    const task: BookedTask = { id, versions: [version], cancel: undefined };
    this.tasks.push(task);
    return task;
  }

  async cancel(task: BookedTask): Promise<void> {
    const cancel = { sentMs: Date.now(), ackedMs: undefined, running: [] };
    task.cancel = cancel;
    const reply = await this.#options.requests.change((client) => client.cancel({ id: task.id }));
    if (reply !== undefined) task.cancel = { ...cancel, ackedMs: Date.now(), running: reply.running };
  }

  async #step(index: number): Promise<unknown> {
    const step = STEPS[index % STEPS.length] as (typeof STEPS)[number];
    const key = `${step}-${index}`;
    switch (step) {
      case 'create':
        return await this.#create(key, once(Date.now() + SOON_MS));
      case 'wait':
        return await this.#create(key, once(Date.now() + DAY_MS));
      case 'cancel':
        return await this.#createAndCancel(key);
      case 'update':
        return await this.#createAndUpdate(key, index);
      case 'publish':
        return await this.#publish(key);
      case 'spoil':
        return await this.#spoil(key, BAD[Math.floor(index / STEPS.length) % BAD.length] as Partial<ScheduleSpec>);
    }
  }

  async #create(key: string, { when, instants }: Timetable): Promise<BookedTask | undefined> {
    const { requests, spec } = this.#options;
    const sentMs = Date.now();
    const made = await requests.change((client) => client.schedule(spec(key, when)));
    if (made === undefined) return undefined; // L1
    return this.book(made.id, { instants, sentMs, ackedMs: Date.now(), owedFromMs: owedFrom(when, made) });
  }

  /** After the answer to the cancel, nothing of it starts. */
  async #createAndCancel(key: string): Promise<void> {
    const task = await this.#create(key, this.#recurring(EVERY_MS, LONG_LIFE_MS));
    if (task === undefined) return;
    await this.#aWhile();
    await this.cancel(task);
  }

  /** Another schedule for the same key, by one or the other way to say so. */
  async #createAndUpdate(key: string, index: number): Promise<void> {
    const { requests, spec, endMs } = this.#options;
    const task = await this.#create(key, this.#recurring(EVERY_MS));
    if (task === undefined) return;
    await this.#aWhile();
    const sentMs = Date.now();
    const lastMs = task.versions[0]?.instants.at(-1) ?? 0;
    if (sentMs > Math.min(lastMs, endMs - LATEST_MS)) return; // it has ended, or is about to
    const { when, instants } = this.#recurring(OTHER_EVERY_MS);
    const version: Version = { instants, sentMs, ackedMs: undefined, owedFromMs: Infinity };
    task.versions.push(version);
    const made = await requests.change((client) =>
      index % 2 === 0 ? client.schedule(spec(key, when)) : client.update({ id: task.id }, when),
    );
    if (made === undefined) return;
    version.ackedMs = Date.now();
    version.owedFromMs = owedFrom(when, made);
  }

  /** The acknowledgement of the broker is a promise, too; but it does not say that the task is there by now. */
  async #publish(key: string): Promise<void> {
    const { requests, spec } = this.#options;
    const { when, instants } = once(Date.now() + SOON_MS);
    const whole = spec(key, when);
    const sentMs = Date.now();
    if (!(await requests.change((client) => client.publish(whole).then(() => true)))) return;
    const id = taskIdOfKey(requests.client.namespace, whole.key ?? '');
    this.book(id, { instants, sentMs, ackedMs: undefined, owedFromMs: -Infinity });
    this.published.push(whole.key ?? '');
  }

  async #spoil(key: string, bad: Partial<ScheduleSpec>): Promise<void> {
    const { requests, spec } = this.#options;
    const whole = spec(key, bad);
    if (await requests.change((client) => client.publish(whole).then(() => true))) this.spoilt.push(whole.key ?? '');
  }

  async #aWhile(): Promise<void> {
    await delay(LEAST_WAIT_MS + (MOST_WAIT_MS - LEAST_WAIT_MS) * this.#options.random());
  }

  #recurring(every: number, lifeMs = LIFE_MS): Timetable {
    const anchor = Date.now() + LEAD_MS;
    const endAt = Math.min(anchor + lifeMs, this.#options.endMs);
    const count = Math.max(0, Math.floor((endAt - anchor) / every) + 1);
    const instants = Array.from({ length: count }, (_, k) => anchor + k * every);
    return { when: { every, anchor, endAt }, instants };
  }
}

interface Timetable {
  readonly when: Partial<ScheduleSpec>;
  readonly instants: readonly number[];
}

function once(at: number): Timetable {
  return { when: { at }, instants: [at] };
}

/** A task that fires once does so however late it was made; of others, the answer says when it begins. */
function owedFrom({ at }: Partial<ScheduleSpec>, { next }: Scheduled): number {
  return at === undefined ? Date.parse(next[0] ?? '') || Infinity : -Infinity;
}
