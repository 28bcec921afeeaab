import {
  catchUpOf,
  decodeTarget,
  executionId,
  LIMITS,
  type CreateRecord,
  type Outcome,
  type UpdateRecord,
} from '@belfry/protocol';
import { backoffDelayMs, nextFire, parseCanonical, seedOf } from '@belfry/timing';
import { TARGET } from './test-world.ts';

interface ModelTask {
  readonly id: string;
  readonly keyed: boolean;
  readonly createdAt: number;
  schedule: string;
  target: string;
  payload: string;
  state: 'live' | 'finished' | 'cancelled';
  endedAt: number;
  /** The first fire that is not due yet. */
  next: number;
  /** When it got its present schedule. */
  since: number;
}

export interface ModelFire {
  readonly task: string;
  readonly scheduledAt: number;
  /** `open` is due and with nobody; `running` was dispatched; `adrift` lost its message with the work stream. */
  phase: 'open' | 'running' | 'adrift' | 'retrying';
  attempt: number;
  failures: number;
  lost: number;
  /** When the backoff ends (`retrying`). */
  dueAt: number;
  /** The attempt that its work message was made for, and the delivery of it that was last asked about. */
  carried: number;
  asked: number;
  /** Who was told to run it, and when. */
  told: { readonly worker: string; readonly atMs: number } | undefined;
  cancelled: boolean;
  /** The one fire of a one-time schedule: it moves with the schedule until it is dispatched. */
  readonly movable: boolean;
  /** It was dispatched, and a new owner would know; `moved` if its schedule has moved since. */
  begun: boolean;
  moved: boolean;
  /** The last attempt that the inbox proves to be with a worker. */
  proven: number;
  /** When the schedule that it is of was taken. */
  readonly since: number;
}

/** Something in the inbox by which a new owner knows that a task's fires before `beforeMs` were decided about at `atMs`. */
interface Witness {
  readonly task: string;
  readonly beforeMs: number;
  readonly atMs: number;
}

/** What a checkpoint tells, and what it settles. */
export interface Snapshot {
  readonly begun: ReadonlyMap<string, number>;
  readonly takenBack: readonly [string, ModelFire][];
  readonly moved: readonly [string, number][];
  readonly skips: readonly [string, number][];
  readonly witnesses: number;
  /** Up to where the checkpoint says that somebody watched: the shard's own word. */
  readonly watermark: number;
}

/**
 * What the contract says of one shard, in plain objects: every fire of a live task is open, running, retrying or over, and each is run
 * once, retries and lost workers aside, but for what came due unseen for a minute or more and is not kept by its task's policy. It knows no wheel, no backlog and no pointers, and nothing is replayed: what is acknowledged stays
 * as it is when the owner dies.
 *
 * Only of dispatches is less than all known after a crash: they stand in no inbox. A new owner has the work stream, the inbox, and the last
 * checkpoint that was written. The model keeps what these tell, to say which fires a new owner must take for running.
 *
 * And fires that nobody is known to have dispatched, and that came due since that checkpoint, may have been missed for a new owner: their policy
 * decides anew. Where the inbox holds a word on later fires, a new owner may have decided as of then; either is right, and the model
 * takes what the shard has.
 */
export class NaiveModel {
  readonly tasks = new Map<string, ModelTask>();
  readonly fires = new Map<string, ModelFire>();
  readonly history: string[] = [];
  dead = 0;
  /** Unkeyed tasks that are over: their creation is not repeated. */
  readonly #over = new Set<string>();
  readonly #commands = new Set<number>();
  #now: number;

  /** Of the last checkpoint that was written: fires that had been dispatched, with the attempt that ran, or 0. */
  #stored: Snapshot['begun'] = new Map();
  /** Since that checkpoint: fires that were taken back, and tasks whose fires were taken back or moved, with the instant. */
  readonly #takenBack = new Map<string, ModelFire>();
  readonly #moved = new Map<string, number>();
  /** One-time tasks that were skipped since. */
  readonly #skips = new Map<string, number>();
  readonly #forgotten = new Map<string, ModelTask>();
  #witnesses: Witness[] = [];
  #watermark: number;
  /** Fires that are over, or of one-time tasks and skipped. */
  readonly #ran = new Set<string>();

  constructor(nowMs: number, watermark: number) {
    this.#now = nowMs;
    this.#watermark = watermark;
  }

  /** Time comes to `nowMs`. */
  roll(nowMs: number): void {
    const seenMs = this.#now;
    this.#now = nowMs;
    for (const task of [...this.tasks.values()]) {
      const due: number[] = [];
      for (; task.state === 'live' && task.next <= nowMs; task.next = this.#after(task, task.next)) due.push(task.next);
      for (const atMs of due) {
        const id = executionId(task.id, atMs);
        const underWay = this.fires.get(id);
        // One that a cancelled task has left is the present task's: it is not run beside it.
        if (underWay !== undefined) underWay.cancelled = false;
        else if (isKept(task, atMs, due, seenMs, nowMs)) this.fires.set(id, newFire(task, atMs));
        else if (isOnce(task)) this.#skipOnce(task, atMs);
      }
    }
    for (const fire of this.fires.values()) {
      if (fire.phase === 'retrying' && fire.dueAt <= nowMs)
        Object.assign(fire, { phase: 'open', attempt: fire.attempt + 1 });
    }
  }

  // — Commands: each returns the status, or the code of the error.

  create({ id, m, key, s, t, p }: CreateRecord): string {
    const task = this.tasks.get(id);
    const keyed = key !== undefined;
    if (keyed ? this.#commands.has(m) : task !== undefined || this.#over.has(id)) return 'unchanged';
    this.#commands.add(m);
    if (task?.schedule === s && task.target === t && task.payload === p) return 'unchanged';
    if (task?.state === 'live') {
      Object.assign(task, { target: t, payload: p });
      if (task.schedule !== s) this.#reschedule(task, s);
      return 'updated';
    }
    const definition = { id, keyed, schedule: s, target: t, payload: p, createdAt: this.#now };
    const made: ModelTask = { ...definition, state: 'live', endedAt: 0, next: 0, since: this.#now };
    this.tasks.set(id, made);
    this.#arm(made);
    return 'created';
  }

  update({ id, m, s, p }: UpdateRecord): string {
    const task = this.tasks.get(id);
    if (task?.state !== 'live') return 'not_found';
    if (this.#commands.has(m)) return 'unchanged';
    this.#commands.add(m);
    if (s !== undefined && s !== task.schedule) this.#reschedule(task, s);
    if (p !== undefined) task.payload = p;
    return 'updated';
  }

  /** Also names the executions that run on. */
  cancel(id: string, m: number): string {
    const task = this.tasks.get(id);
    if (task === undefined) return 'not_found';
    if (!this.#commands.has(m) && task.state === 'live') {
      Object.assign(task, { state: 'cancelled', endedAt: this.#now });
      this.#moved.set(id, this.#now);
      for (const [execution, fire] of this.#firesOf(id)) {
        if (isRunning(fire)) fire.cancelled = true;
        else this.#takeBack(execution, fire);
      }
    }
    this.#commands.add(m);
    const running = this.#firesOf(id).flatMap(([execution, fire]) => (fire.cancelled ? [execution] : []));
    return ['cancelled', ...running.sort()].join(' ');
  }

  // — Workers

  /** Whether the result counts. */
  result(execution: string, attempt: number, outcome: Outcome): boolean {
    const fire = this.fires.get(execution);
    if (fire === undefined || !isRunning(fire) || attempt !== fire.attempt) return false;
    this.#witnesses.push({ task: fire.task, beforeMs: fire.scheduledAt, atMs: this.#now });
    const returned = outcome === 'returned';
    if (outcome !== 'succeeded' && !returned) fire.failures++;
    if (outcome === 'succeeded') this.#close(execution, 'succeeded');
    else if (fire.cancelled) this.#close(execution, returned ? 'cancelled' : outcome);
    else if (!returned && fire.failures >= TARGET.retry.attempts) this.#close(execution, 'dead');
    else {
      const delay = returned ? 0 : backoffDelayMs({ ...TARGET.retry, attempt: fire.failures, seed: execution });
      Object.assign(fire, { phase: 'retrying', dueAt: this.#now + delay });
    }
    return true;
  }

  /** A message, or a `parcel` of several, has been delivered again: `run <attempt>`, `skip`, or `refused` where it is another worker's. */
  redelivered(execution: string, attempt: number, deliveries: number, parcel: boolean, worker: string): string {
    const fire = this.fires.get(execution);
    if (fire === undefined || !isRunning(fire) || attempt < fire.carried || attempt > fire.attempt) return 'skip';
    const askedBefore = isRunning(fire) && attempt < fire.attempt;
    const { told } = fire;
    const isSame = told?.worker === worker;
    if (askedBefore && isSame && deliveries === fire.asked) return `run ${fire.attempt}`;
    if (askedBefore && deliveries < fire.asked) return 'refused';
    if (askedBefore && told !== undefined && !isSame && this.#now < told.atMs + LIMITS.toldMs) return 'refused';
    this.#witnesses.push({ task: fire.task, beforeMs: fire.scheduledAt, atMs: this.#now });
    fire.lost++;
    if (fire.cancelled || fire.lost >= LIMITS.lostAttempts) {
      this.#close(execution, fire.cancelled ? 'cancelled' : 'dead');
      return 'skip';
    }
    if (parcel) {
      Object.assign(fire, { phase: 'retrying', dueAt: this.#now });
      return 'skip';
    }
    fire.attempt++;
    const phase = fire.phase === 'adrift' ? 'adrift' : 'running';
    Object.assign(fire, { phase, asked: deliveries, told: { worker, atMs: this.#now }, proven: fire.attempt });
    return `run ${fire.attempt}`;
  }

  // — The shard

  /** The shard has dispatched this, `onGrid` if it was no execution before. Says what is wrong with that; undefined for nothing. */
  dispatched(execution: string, attempt: number, target: string, onGrid: boolean): string | undefined {
    const fire = this.fires.get(execution);
    if (fire === undefined) return `there is no fire ${execution}`;
    if (fire.phase !== 'open' || fire.cancelled) return `${execution} is ${fire.phase}`;
    if (fire.scheduledAt > this.#now) return `${execution} is early`;
    const gridMs = GRID_MS[decodeTarget(target).precision];
    if (onGrid && Math.ceil(fire.scheduledAt / gridMs) * gridMs > this.#now) return `${execution} is before its grid`;
    if (fire.attempt !== attempt) return `${execution} has attempt ${attempt}, not ${fire.attempt}`;
    if (this.tasks.get(fire.task)?.target !== target) return `${execution} has another target`;
    Object.assign(fire, { phase: 'running', begun: true, carried: attempt, asked: 0, told: undefined });
    return undefined;
  }

  /** What a checkpoint that is taken now tells, once it is written. */
  snapshot(watermark: number): Snapshot {
    const begun = [...this.fires].filter(([, fire]) => fire.begun);
    return {
      begun: new Map(begun.map(([execution, fire]) => [execution, isRunning(fire) ? fire.attempt : 0])),
      takenBack: [...this.#takenBack],
      moved: [...this.#moved],
      skips: [...this.#skips],
      witnesses: this.#witnesses.length,
      watermark,
    };
  }

  written({ begun, takenBack, moved, skips, witnesses, watermark }: Snapshot): void {
    this.#stored = begun;
    this.#witnesses.splice(0, witnesses);
    this.#watermark = watermark;
    for (const [execution, fire] of takenBack) {
      if (this.#takenBack.get(execution) === fire) this.#takenBack.delete(execution);
    }
    for (const [task, atMs] of moved) if (this.#moved.get(task) === atMs) this.#moved.delete(task);
    for (const [task, atMs] of skips) if (this.#skips.get(task) === atMs) this.#skips.delete(task);
  }

  /**
   * The owner has died, and another has taken the shard over. What has no message in the work stream was not run, so that it waits again.
   * When the stream itself is lost, that cannot be told of what is known to have been dispatched: it may be with a worker.
   */
  crashed(
    hasMessage: (execution: string, fire: ModelFire) => boolean,
    streamLost: boolean,
    nowMs: number,
    isThere: (task: string, atMs: number) => boolean,
  ): void {
    if (streamLost) this.#recall();
    for (const [execution, fire] of [...this.fires]) {
      if (fire.phase !== 'running' && fire.phase !== 'open') continue;
      if (streamLost && this.#isKnownToRun(execution, fire)) {
        fire.phase = 'adrift';
        continue;
      }
      if (fire.phase === 'open' || hasMessage(execution, fire)) continue;
      const begun = fire.attempt > 1 || this.#stored.has(execution);
      if (fire.cancelled || (fire.moved && !begun)) this.#takeBack(execution, fire);
      else Object.assign(fire, { phase: 'open', begun });
    }
    for (const task of [...this.tasks.values()]) if (task.state === 'live') this.#decideAnew(task, nowMs, isThere);
    this.roll(nowMs);
  }

  /** What came due since the checkpoint, and nobody is known to have dispatched, is looked at for the first time as far as the new owner knows. */
  #decideAnew(task: ModelTask, nowMs: number, isThere: (task: string, atMs: number) => boolean): void {
    const open = this.#firesOf(task.id).filter(([, { phase, begun }]) => phase === 'open' && !begun);
    for (const [execution, { scheduledAt, since }] of open) {
      if (dueOf(task, scheduledAt) <= this.#watermark) continue;
      // Of a schedule before, what came due in the minute before it was changed has become an execution with that.
      const old = since !== task.since;
      if (!old || (!isThere(task.id, scheduledAt) && this.#wasLate(task, scheduledAt))) this.fires.delete(execution);
    }
    const due = isOnce(task)
      ? [this.#after(task, -Infinity)]
      : this.#firesBetween(task, Math.max(this.#watermark, task.since), nowMs);
    for (const atMs of due) {
      const execution = executionId(task.id, atMs);
      if (atMs > nowMs || dueOf(task, atMs) <= this.#watermark || this.fires.has(execution) || this.#ran.has(execution))
        continue;
      const kept = isKept(task, atMs, due, this.#watermark, nowMs);
      const may = this.#witnesses.some(
        (seen) => seen.task === task.id && atMs < seen.beforeMs && isKept(task, atMs, due, this.#watermark, seen.atMs),
      );
      if (kept || (may && isThere(task.id, atMs))) this.fires.set(execution, newFire(task, atMs));
      else if (isOnce(task)) this.#skipOnce(task, atMs);
    }
    if (due.length > 0 && task.next <= nowMs) task.next = this.#after(task, nowMs);
  }

  /** Whether a fire of a schedule before was a minute late when that was changed. */
  #wasLate(task: ModelTask, atMs: number): boolean {
    return atMs <= task.since - LIMITS.catchUpAfterMs;
  }

  #firesBetween(task: ModelTask, fromMs: number, toMs: number): number[] {
    const fires: number[] = [];
    for (let atMs = this.#after(task, fromMs); atMs <= toMs; atMs = this.#after(task, atMs)) fires.push(atMs);
    return fires;
  }

  /** The one fire of a task was missed, and is not kept. */
  #skipOnce(task: ModelTask, atMs: number): void {
    this.history.push(`${task.id} ${atMs} skipped`);
    this.#ran.add(executionId(task.id, atMs));
    this.#skips.set(task.id, this.#now);
    task.next = Infinity;
    this.#endIfOver(task);
  }

  /** Brings back what was taken back, and may be with a worker all the same as far as the new owner knows. */
  #recall(): void {
    for (const [execution, fire] of this.#takenBack) {
      if (!this.#isKnownToRun(execution, fire)) continue;
      const cancelled = !this.fires.has(execution);
      this.fires.set(execution, { ...fire, phase: 'adrift', cancelled });
    }
    this.#takenBack.clear();
  }

  #isKnownToRun(execution: string, { attempt, proven }: ModelFire): boolean {
    return proven === attempt || this.#stored.get(execution) === attempt;
  }

  // — What can be seen

  /** The state in words: of each task, its next fire and what is due or under way. */
  view(): Map<string, string> {
    const view = new Map<string, string>();
    for (const { id, state, next } of this.tasks.values()) {
      const fires = this.#firesOf(id).map(
        ([execution, fire]) => `${execution} ${isRunning(fire) ? 'running' : 'waiting'} ${fire.attempt}`,
      );
      view.set(id, [state, state === 'live' ? next : Infinity, ...fires.sort()].join('\n'));
    }
    return view;
  }

  /** The shard remembers an ended task no longer. */
  forget(id: string): void {
    const task = this.tasks.get(id);
    this.tasks.delete(id);
    if (task !== undefined && this.#skips.has(id)) this.#forgotten.set(id, task);
  }

  /** A task that was skipped and forgotten, without a checkpoint that tells, is skipped again by a new owner. Returns its view; undefined for others. */
  remembersAgain(id: string): string | undefined {
    const task = this.#forgotten.get(id);
    if (task === undefined || !this.#skips.has(id)) return undefined;
    this.tasks.set(id, { ...task, endedAt: this.#now });
    return this.view().get(id);
  }

  isUnderWay(id: string): boolean {
    return this.#firesOf(id).length > 0;
  }

  /**
   * The task is over, and fires of it were taken back or moved since the last checkpoint. A new owner cannot tell that none of them was
   * dispatched: until it has read the whole inbox it holds the task, and further commands would find it alive. Nothing is promised of those.
   * The same holds of one that was skipped: that stands in no inbox.
   */
  isUnclear(id: string): boolean {
    const task = this.tasks.get(id);
    if (this.#skips.has(id)) return true;
    return this.#moved.has(id) && (task === undefined || task.state === 'finished');
  }

  // — Tasks and their fires

  #firesOf(task: string): [string, ModelFire][] {
    return [...this.fires].filter(([, fire]) => fire.task === task);
  }

  #after(task: ModelTask, ms: number): number {
    return nextFire(parseCanonical(task.schedule), ms, { createdMs: task.createdAt, seed: seedOf(task.id) });
  }

  #arm(task: ModelTask): void {
    task.next = this.#after(task, isOnce(task) ? -Infinity : this.#now);
    this.roll(this.#now);
  }

  #reschedule(task: ModelTask, schedule: string): void {
    this.#moved.set(task.id, this.#now);
    for (const [execution, fire] of isOnce(task) ? this.#firesOf(task.id) : []) {
      if (!fire.movable) continue;
      if (fire.phase === 'open' && !fire.begun) this.fires.delete(execution);
      else if (isRunning(fire)) fire.moved = true;
    }
    task.schedule = schedule;
    task.since = this.#now;
    this.#arm(task);
  }

  /** Ends a fire that is with no worker. */
  #takeBack(execution: string, fire: ModelFire): void {
    if (fire.phase !== 'retrying') this.#takenBack.set(execution, fire);
    this.#close(execution, 'cancelled');
  }

  /** A fire is over; with the last one, so is its task. */
  #close(execution: string, how: string): void {
    const { task: id, scheduledAt } = this.fires.get(execution) as ModelFire;
    this.fires.delete(execution);
    this.#ran.add(execution);
    if (how === 'dead') this.dead++;
    if (how !== 'cancelled') this.history.push(`${id} ${scheduledAt} ${how}`);
    const task = this.tasks.get(id);
    if (task !== undefined) this.#endIfOver(task);
  }

  #endIfOver(task: ModelTask): void {
    const { id } = task;
    if (task.state !== 'live' || task.next < Infinity || this.isUnderWay(id)) return;
    if (task.keyed) {
      Object.assign(task, { state: 'finished', endedAt: this.#now });
    } else {
      this.tasks.delete(id);
      this.#over.add(id);
    }
  }
}

const GRID_MS = { high: 1, normal: LIMITS.normalGridMs, low: LIMITS.lowGridMs } as const;

/** Whether a fire is to run when it is first seen at `nowMs`, nobody having watched since `seenMs`. `due` are its task's fires since then. */
function isKept(task: ModelTask, atMs: number, due: readonly number[], seenMs: number, nowMs: number): boolean {
  const isMissed = (ms: number): boolean => ms > seenMs && ms <= nowMs - LIMITS.catchUpAfterMs;
  if (!isMissed(dueOf(task, atMs))) return true;
  const { policy, windowMs } = catchUpOf(decodeTarget(task.target), !isOnce(task));
  if (policy === 'skip') return false;
  return policy === 'all' ? atMs >= nowMs - windowMs : atMs === due.findLast(isMissed) || isOnce(task);
}

/** When a fire came due: not before its task was made. */
function dueOf(task: ModelTask, atMs: number): number {
  return isOnce(task) ? Math.max(atMs, task.createdAt) : atMs;
}

function isOnce({ schedule }: ModelTask): boolean {
  return schedule.startsWith('a');
}

function isRunning({ phase }: ModelFire): boolean {
  return phase === 'running' || phase === 'adrift';
}

function newFire(task: ModelTask, scheduledAt: number): ModelFire {
  return {
    task: task.id,
    scheduledAt,
    phase: 'open',
    attempt: 1,
    failures: 0,
    lost: 0,
    dueAt: 0,
    carried: 1,
    asked: 0,
    told: undefined,
    cancelled: false,
    movable: isOnce(task),
    begun: false,
    moved: false,
    proven: 0,
    since: task.since,
  };
}
