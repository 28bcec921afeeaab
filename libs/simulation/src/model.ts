import type { Fence, HistoryRow, InboxAppend, ShardDelta, ShardHead, WorkItem, WorkRef } from '@belfry/ports';
import {
  executionId,
  LIMITS,
  parseExecutionId,
  shardOf,
  type CancelReply,
  type Envelope,
  type Outcome,
  type TaskView,
  type WorkMessage,
} from '@belfry/protocol';
import { acknowledged, contradiction, type Acknowledged } from './answers.ts';
import { wrongEnd } from './ends.ts';
import { firesOf } from './fires.ts';
import { miss, missingFires, type KnownTask, type Version } from './known-task.ts';
import type { Observer } from './observer.ts';
import type { SimSchedule, SimTask } from './plan.ts';
import { T0, type Process } from './process.ts';
import { said } from './said.ts';
import { Silence } from './silence.ts';
import type { VirtualTime } from './virtual-time.ts';
import { UnwatchedSpans } from './unwatched-spans.ts';
import { UnsavedDispatches } from './unsaved-dispatches.ts';
import type { Behaviour, Witness } from './worker-host.ts';

/** What is late by less than this may be another instant on another clock. */
const SLACK_MS = 2_000;

/** The contract is broken. */
export class Violation extends Error {
  /** Names the rule: stable. */
  readonly rule: string;

  constructor(rule: string, message: string) {
    super(`${rule}: ${message}`);
    this.rule = rule;
  }
}

/** What an execution's handlers were started for, until it is over. */
interface Runs {
  started: number;
  /** Runs that ended otherwise than well, as their workers said: each may be followed by another. */
  readonly ended: Set<number>;
  /** Times that a lease of its message ran out, or that its silence gave it back after the stream was lost: the same. */
  excuses: number;
  lastAt: number;
  lastWorker: string;
}

/**
 * The contract as a simple model: it sees what clients are told, what services store, and what handlers are run for, and throws a
 * `Violation` at the first thing that must not be.
 */
export class Model implements Observer, Witness {
  executions = 0;
  /** The first one; whoever it is thrown at may not care. */
  violation: Violation | undefined;
  readonly #time: VirtualTime;
  readonly #shards: number;
  readonly #trace: (line: string) => void;
  readonly #tasks = new Map<string, KnownTask>();
  /** Those of which something may be missing, until it is found that nothing is. */
  readonly #open = new Set<KnownTask>();
  readonly #epochs = new Map<number, number>();
  readonly #fences = new Map<number, number>();
  /** By execution. */
  readonly #runs = new Map<string, Runs>();
  /** All attempts that ever ran, and for how long the worker of each relies on having it, ms. */
  readonly #attempts = new Map<string, number>();
  readonly #stored = new Set<string>();
  /** Rows of what is over, by execution. */
  readonly #overOnce = new Map<string, HistoryRow>();
  /** Executions with a result, or whose shard was asked about. */
  readonly #told = new Set<string>();
  readonly #silence = new Silence();
  readonly #gaps = new UnwatchedSpans();
  readonly #dispatches = new UnsavedDispatches();
  /** What is known to be weaker than the contract, by what it is. */
  readonly tolerated = new Map<string, number>();
  readonly #schedulers = new Set<Process>();

  constructor(time: VirtualTime, trace: (line: string) => void, shards = 1) {
    this.#time = time;
    this.#trace = trace;
    this.#shards = shards;
  }

  get #now(): number {
    return T0 + this.#time.nowMs;
  }

  #broken(rule: string, message: string): never {
    this.violation ??= new Violation(rule, message);
    throw this.violation;
  }

  // — Clients

  creating(id: string, { schedule, catchUp }: Pick<SimTask, 'schedule' | 'catchUp'>): void {
    const known = this.#tasks.get(id);
    if (known !== undefined) return;
    const fires = firesOf(schedule);
    this.#tasks.set(id, {
      id,
      versions: [{ number: 0, kind: schedule.kind, fires, storedAt: undefined, ackedAt: undefined, refused: false }],
      allowed: new Set(fires),
      catchUp,
      over: new Set(),
      missed: new Set(),
      cancelStoredAt: undefined,
      cancelAckedAt: undefined,
      running: new Set(),
    });
  }

  created(id: string): void {
    const task = this.#task(id);
    const [first] = task.versions as [Version];
    if (first.storedAt === undefined) this.#broken('durable', `task ${id} was acknowledged, and is in no inbox`);
    first.ackedAt ??= this.#now;
  }

  /** Returns the number of the version. */
  updating(id: string, schedule: SimSchedule | undefined): number {
    const task = this.#task(id);
    const last = task.versions.at(-1) as Version;
    const { kind, fires } = schedule === undefined ? last : { kind: schedule.kind, fires: firesOf(schedule) };
    const number = task.versions.length;
    task.versions.push({ number, kind, fires, storedAt: undefined, ackedAt: undefined, refused: false });
    for (const fire of fires) task.allowed.add(fire);
    return number;
  }

  updated(id: string, number: number): void {
    const version = this.#task(id).versions[number] as Version;
    if (version.storedAt === undefined)
      this.#broken('durable', `an update of ${id} was acknowledged, and is in no inbox`);
    version.ackedAt ??= this.#now;
  }

  updateRefused(id: string, number: number): void {
    (this.#task(id).versions[number] as Version).refused = true;
  }

  cancelled(id: string, { running }: CancelReply): void {
    const task = this.#task(id);
    if (task.cancelStoredAt === undefined)
      this.#broken('durable', `a cancel of ${id} was acknowledged, and is in no inbox`);
    task.cancelAckedAt ??= this.#now;
    task.running = new Set([...task.running, ...running]);
  }

  /** What an answer to a question that is asked now may not fall behind. */
  asking(id: string): Acknowledged {
    return acknowledged(this.#task(id));
  }

  /** What the answer says of the task; undefined: that there is none. */
  told(id: string, known: Acknowledged, view: TaskView | undefined): void {
    const task = this.#task(id);
    const skippedUntil = task.catchUp === 'all' ? -Infinity : this.#now + this.#mostAheadMs() - LIMITS.catchUpAfterMs;
    const isOver = (fire: number): boolean =>
      task.over.has(fire) || this.#told.has(executionId(id, fire)) || fire <= skippedUntil;
    const wrong = contradiction(task, known, view, isOver);
    if (wrong !== undefined) this.#broken('answer', `of ${id} it is said that ${wrong}`);
    this.#trace(`told ${id} ${view?.state ?? 'not found'}`);
  }

  #task(id: string): KnownTask {
    const task = this.#tasks.get(id);
    if (task === undefined) this.#broken('unknown', `nobody created ${id}`);
    return task;
  }

  // — Services

  appending(messages: readonly InboxAppend[], by: Process): void {
    for (const { body } of messages) {
      if (!body.includes('"returned"')) continue;
      for (const record of (JSON.parse(body) as Envelope).r)
        if (record.k === 'result' && record.o === 'returned' && record.w === '')
          this.#silence.givesUp(record.x, record.a, by, this.#now);
    }
  }

  appended(messages: readonly InboxAppend[], timestamp: number): void {
    for (const { shard, body } of messages) {
      for (const record of (JSON.parse(body) as Envelope).r) {
        this.#trace(`inbox ${shard} ${said(record)}`);
        if (record.k === 'create') {
          this.#storedVersion(this.#task(record.id), 0, timestamp);
        } else if (record.k === 'update') {
          const { version } = JSON.parse(record.p ?? '{}') as Behaviour;
          const task = this.#task(record.id);
          // Before its task is there, it changes nothing.
          if (task.versions[0]?.storedAt !== undefined) this.#storedVersion(task, version, timestamp);
        } else if (record.k === 'cancel') {
          this.#task(record.id).cancelStoredAt ??= timestamp;
        } else if (record.k === 'redelivered') {
          this.#told.add(record.x); // what was lost may get a message of its own
        } else if (record.k === 'result') {
          const attempt = `${record.x}.${record.a}`;
          if (record.o === 'returned' && record.w === '' && !this.#stored.has(attempt))
            this.#givenBack(record.x, record.a);
          this.#stored.add(attempt);
          this.#told.add(record.x);
        }
      }
    }
  }

  #storedVersion(task: KnownTask, number: number, timestamp: number): void {
    const version = task.versions[number] as Version;
    if (version.storedAt !== undefined) return;
    version.storedAt = timestamp;
    this.#open.add(task);
  }

  epochsTaken(heads: readonly ShardHead[], by: Process): void {
    for (const { shard, epoch } of heads) {
      if (epoch <= (this.#epochs.get(shard) ?? 0)) this.#broken('epoch', `shard ${shard} got epoch ${epoch} twice`);
      this.#epochs.set(shard, epoch);
      this.#trace(`epoch ${shard} ${epoch} ${by.name}`);
    }
  }

  fenceTaken({ shard, epoch }: Fence): void {
    if (epoch <= (this.#fences.get(shard) ?? 0))
      this.#broken('fence', `shard ${shard} was fenced with ${epoch} too late`);
    this.#fences.set(shard, epoch);
    this.#trace(`fence ${shard} ${epoch}`);
  }

  published(fence: Fence, items: readonly WorkItem[], by: Process): void {
    if (items.length === 0) return;
    if (fence.epoch < (this.#fences.get(fence.shard) ?? 0))
      this.#broken('stale dispatch', `shard ${fence.shard} was dispatched for with epoch ${fence.epoch}`);
    const attempts = items.flatMap((item) => item.attempts);
    for (const { execution, attempt } of attempts) {
      const key = `${execution}.${attempt}`;
      const isForgotten = this.#isForgotten(execution, key);
      this.#checkDispatch(execution, attempt, by, isForgotten);
      if (isForgotten) this.#dispatches.repeat(key);
      this.#dispatches.made(key, fence.epoch);
    }
    this.#trace(
      `publish ${fence.shard} ${fence.epoch} ${attempts.map(({ execution, attempt }) => `${execution}.${attempt}`).join(' ')}`,
    );
  }

  #checkDispatch(execution: string, attempt: number, by: Process, isForgotten: boolean): void {
    const { task, scheduledAt } = this.#fire(execution);
    // An owner before may have been ahead, and have found it due.
    if (this.#now + this.#mostAheadMs() < scheduledAt)
      this.#broken('early', `${execution} was dispatched ${scheduledAt - this.#now} ms early by ${by.name}`);
    if (task.cancelAckedAt !== undefined && this.#now > task.cancelAckedAt)
      this.#broken('cancelled', `${execution}.${attempt} was dispatched after its task's cancel was acknowledged`);
    // A dispatch that is made again, since nobody knows of the first, may be on its way when the first one's result is.
    if (task.over.has(scheduledAt) && !isForgotten)
      this.#broken('over', `${execution}.${attempt} was dispatched, and is over`);
  }

  #fire(execution: string): { readonly task: KnownTask; readonly scheduledAt: number } {
    const fire = parseExecutionId(execution);
    if (fire === undefined) this.#broken('fire', `${execution} is no execution`);
    const task = this.#task(fire.taskId);
    if (!task.allowed.has(fire.scheduledAt)) this.#broken('fire', `${execution} is no fire of its task`);
    return { task, scheduledAt: fire.scheduledAt };
  }

  leaseExpired(
    { attempts }: WorkRef,
    heldMs: number,
    by: { readonly process: Process; readonly leaseMs: number },
  ): void {
    const isSilent = this.#silence.isPastLease(by, heldMs, this.#now);
    for (const { execution } of attempts) {
      if (heldMs < by.leaseMs && !isSilent)
        this.#broken(
          'lease',
          `${execution} was taken after ${heldMs} ms from ${by.process.name}, which relies on ${by.leaseMs} ms`,
        );
      this.#runsOf(execution).excuses++;
      this.#trace(`lease expired ${execution}`);
    }
  }

  acknowledged({ attempts }: WorkRef): void {
    for (const { execution, attempt } of attempts) {
      const { task, scheduledAt } = this.#fire(execution);
      if (task.over.has(scheduledAt) || task.cancelStoredAt !== undefined || this.#told.has(execution)) continue;
      this.#broken('acknowledged', `${execution}.${attempt} was acknowledged, and no result of it is in the inbox`);
    }
  }

  workStreamLost(): void {
    this.#fences.clear();
    this.#dispatches.streamLost();
    this.#trace('work stream lost');
  }

  committed(deltas: readonly ShardDelta[], fenced: readonly number[], by: Process): void {
    for (const delta of deltas) {
      if (fenced.includes(delta.shard)) continue;
      if (delta.epoch < (this.#epochs.get(delta.shard) ?? 0))
        this.#broken('stale checkpoint', `shard ${delta.shard} was written with epoch ${delta.epoch} by ${by.name}`);
      if (delta.counters.missed > 0)
        this.#broken(
          'missed',
          `shard ${delta.shard} of ${by.name} has lost ${delta.counters.missed} fires, as its ledger says`,
        );
      this.#unwatched(delta);
      for (const row of delta.history) this.#over(row);
      for (const row of delta.active)
        if (row.state === 'dispatched')
          this.#dispatches.saved(`${executionId(row.task, row.scheduledAt)}.${row.attempt}`, delta.epoch);
      this.#trace(`commit ${delta.shard} ${delta.epoch} ${delta.seq} ${delta.history.length}`);
    }
  }

  /** What nobody watched since the checkpoint before: what came due then may be skipped, by the policy of its task. */
  #unwatched(delta: ShardDelta): void {
    for (const row of delta.unwatched) {
      if (row.untilMs > row.foundMs - LIMITS.catchUpAfterMs || row.foundMs > this.#now + this.#mostAheadMs())
        this.#broken('unwatched', `shard ${delta.shard} has a gap until ${row.untilMs - T0} at ${row.foundMs - T0}`);
      const span = this.#gaps.found(delta.shard, row);
      for (const task of this.#open) if (shardOf(task.id, this.#shards) === delta.shard) miss(task, span);
      this.#trace(`unwatched ${delta.shard} ${span.fromMs - T0} ${span.untilMs - T0}`);
    }
    this.#gaps.watched(delta.shard, delta.watermark);
  }

  #over(row: HistoryRow): void {
    const { task: id, scheduledAt, attempt } = row;
    const task = this.#task(id);
    const execution = executionId(id, scheduledAt);
    for (let past = 1; past <= attempt; past++) this.#dispatches.over(`${execution}.${past}`, this.#now);
    if (!task.allowed.has(scheduledAt)) this.#broken('fire', `${execution} is over, and was no fire of its task`);
    const repeated = task.over.has(scheduledAt);
    if (repeated && this.#overOnce.has(execution) && this.#overOnce.get(execution) !== row)
      this.#broken('accepted twice', `${execution} ended twice`);
    if (repeated) return; // the same commit, repeated
    this.#overOnce.set(execution, row);
    task.over.add(scheduledAt);
    const key = `${execution}.${attempt}`;
    const wrong = wrongEnd(row, task, { hasRun: this.#attempts.has(key), hasResult: this.#stored.has(key) });
    if (wrong !== undefined) this.#broken(...wrong);
    this.#silence.over(execution);
  }

  // — Workers

  schedulerStarted(process: Process): void {
    this.#schedulers.add(process);
    this.#silence.schedulerStarted(process, this.#now);
  }

  spoke(worker: Process, leaseMs: number): void {
    this.#silence.spoke(worker, leaseMs, this.#now);
  }

  reported(running: readonly string[], to: Process): void {
    this.#silence.reported(running, to, this.#now);
  }

  started(message: WorkMessage, attempt: number, worker: Process, leaseMs: number): void {
    const { execution } = message;
    const { task, scheduledAt } = this.#fire(execution);
    this.executions++;
    const key = `${execution}.${attempt}`;
    if (this.#attempts.has(key) && !this.#dispatches.isRepeated(key)) this.#broken('doubled', `${key} was run twice`);
    this.#attempts.set(key, Math.max(leaseMs, this.#attempts.get(key) ?? 0));
    const runs = this.#runsOf(execution);
    // One that was silent past its lease may start what is long over.
    if (task.cancelAckedAt !== undefined && !task.running.has(execution) && runs.excuses === 0)
      this.#broken('cancelled', `${key} was started after its task's cancel was acknowledged`);
    this.#checkPayload(message, task);
    if (runs.started > runs.ended.size + runs.excuses)
      this.#broken(
        'doubled',
        `${key} runs on ${worker.name} beside the run on ${runs.lastWorker} since ${runs.lastAt - T0}`,
      );
    runs.started++;
    runs.lastAt = this.#now;
    runs.lastWorker = worker.name;
    this.#trace(`start ${key} ${worker.name} ${this.#now - scheduledAt}`);
  }

  startedInVain(execution: string, attempt: number, worker: Process): void {
    this.#broken('in vain', `${execution}.${attempt} is started at ${worker.name}, which has no lease of it any more`);
  }

  #checkPayload(message: WorkMessage, task: KnownTask): void {
    const { version } = message.payload as unknown as Behaviour;
    const newest = task.versions.findLast(
      ({ ackedAt }) => ackedAt !== undefined && ackedAt + SLACK_MS < message.dispatchedAt,
    );
    // A clock that is ahead says that it was dispatched later than it was.
    if (newest === undefined || version >= newest.number || this.#mostAheadMs() > 0) return;
    this.#broken(
      'payload',
      `${message.execution} runs with version ${version}, and ${newest.number} was acknowledged before`,
    );
  }

  #mostAheadMs(): number {
    let most = 0;
    for (const process of this.#schedulers) most = Math.max(most, process.mostAheadMs);
    return most;
  }

  /** Whether nobody knows of an attempt any more that was dispatched. It is so once. */
  #isForgotten(execution: string, key: string): boolean {
    if (!this.#dispatches.isForgotten(key, this.#now)) return false;
    this.#tolerate('a dispatch was forgotten with its node and the work stream', execution);
    return true;
  }

  #tolerate(what: string, execution: string): void {
    this.tolerated.set(what, (this.tolerated.get(what) ?? 0) + 1);
    this.#runsOf(execution).excuses++;
  }

  #runsOf(execution: string): Runs {
    let runs = this.#runs.get(execution);
    if (runs === undefined) {
      runs = { started: 0, ended: new Set(), excuses: 0, lastAt: 0, lastWorker: '' };
      this.#runs.set(execution, runs);
    }
    return runs;
  }

  /** A scheduler gave an attempt back: nobody has run it, or nobody has spoken for it for the time of a lease. */
  #givenBack(execution: string, attempt: number): void {
    const key = `${execution}.${attempt}`;
    // Its next owner takes it for one that was never dispatched.
    if (this.#isForgotten(execution, key)) return;
    if (this.#dispatches.isRepeated(key))
      return this.#tolerate(
        'a forgotten dispatch was made again, and taken back while its first worker ran',
        execution,
      );
    const runs = this.#runsOf(execution);
    runs.excuses++;
    const leaseMs = this.#attempts.get(key);
    if (leaseMs === undefined || this.#silence.givenUpAfterMs(key) >= leaseMs) return;
    this.#broken('given back', `${key} was given back, and runs on ${runs.lastWorker}`);
  }

  ended(execution: string, attempt: number, outcome: Outcome): void {
    if (outcome !== 'succeeded') this.#runs.get(execution)?.ended.add(attempt);
    this.#trace(`end ${execution}.${attempt} ${outcome}`);
  }

  /** A worker was told that its result is taken. */
  resultTaken(execution: string, attempt: number): void {
    if (!this.#stored.has(`${execution}.${attempt}`))
      this.#broken('durable', `the result of ${execution}.${attempt} was acknowledged, and is in no inbox`);
  }

  // — The end

  /** Nothing must run any more that is not over. */
  get isOver(): boolean {
    for (const task of this.#open) {
      if (missingFires(task).length > 0) return false;
      this.#open.delete(task);
    }
    return true;
  }

  /** Fires that are not over `boundMs` after they were due, and after `calmAtMs` of the world; up to `limit` of them. */
  overdue(calmAtMs: number, boundMs: number, limit: number): string[] {
    const found: string[] = [];
    for (const task of this.#open) {
      for (const { fire, dueAt } of missingFires(task)) {
        if (found.length >= limit) return found;
        if (Math.max(dueAt, T0 + calmAtMs) + boundMs < this.#now)
          found.push(`${executionId(task.id, fire)} (${fire - T0})`);
      }
    }
    return found;
  }

  /** Whether a cancel has been stored and not been acknowledged: it may have come before its task. */
  isCancelOpen(id: string): boolean {
    const { cancelStoredAt, cancelAckedAt } = this.#task(id);
    return cancelStoredAt !== undefined && cancelAckedAt === undefined;
  }

  /** All tasks that were ever asked for. */
  ids(): IterableIterator<string> {
    return this.#tasks.keys();
  }
}
