import { executionId, LIMITS, type CreateRecord, type Outcome, type UpdateRecord } from '@belfry/protocol';
import { backoffDelayMs, nextFire, parseCanonical } from '@belfry/timing';
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
  cancelled: boolean;
  /** The one fire of a one-time schedule: it moves with the schedule until it is dispatched. */
  readonly movable: boolean;
  /** It was dispatched, and a new owner would know; `moved` if its schedule has moved since. */
  begun: boolean;
  moved: boolean;
  /** The last attempt that the inbox proves to be with a worker. */
  proven: number;
}

/** What a checkpoint tells, and what it settles. */
export interface Snapshot {
  readonly begun: ReadonlyMap<string, number>;
  readonly takenBack: readonly [string, ModelFire][];
  readonly moved: readonly [string, number][];
}

/**
 * What the contract says of one shard, in plain objects: every fire of a live task is open, running, retrying or over, and each is run
 * once, retries and lost workers aside. It knows no wheel, no backlog and no pointers, and nothing is replayed: what is acknowledged stays
 * as it is when the owner dies.
 *
 * Only of dispatches is less than all known after a crash: they stand in no inbox. A new owner has the work stream, the inbox, and the last
 * checkpoint that was written. The model keeps what these tell, to say which fires a new owner must take for running.
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

  constructor(nowMs: number) {
    this.#now = nowMs;
  }

  /** Time comes to `nowMs`. */
  roll(nowMs: number): void {
    this.#now = nowMs;
    for (const task of this.tasks.values()) {
      for (; task.state === 'live' && task.next <= nowMs; task.next = this.#after(task, task.next)) {
        const id = executionId(task.id, task.next);
        const underWay = this.fires.get(id);
        // One that a cancelled task has left is the present task's: it is not run beside it.
        if (underWay === undefined) this.fires.set(id, newFire(task, task.next));
        else underWay.cancelled = false;
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
    const made: ModelTask = { ...definition, state: 'live', endedAt: 0, next: 0 };
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

  /** A message has been delivered again: `run <attempt>` or `skip`. */
  redelivered(execution: string, attempt: number, deliveries: number): string {
    const fire = this.fires.get(execution);
    if (fire === undefined || !isRunning(fire) || attempt < fire.carried || attempt > fire.attempt) return 'skip';
    const askedBefore = fire.phase === 'running' && attempt < fire.attempt;
    if (askedBefore && deliveries === fire.asked) return `run ${fire.attempt}`;
    if (askedBefore && deliveries < fire.asked) return 'skip';
    fire.lost++;
    if (fire.cancelled || fire.lost >= LIMITS.lostAttempts) {
      this.#close(execution, fire.cancelled ? 'cancelled' : 'dead');
      return 'skip';
    }
    fire.attempt++;
    Object.assign(fire, { phase: 'running', asked: deliveries, proven: fire.attempt });
    return `run ${fire.attempt}`;
  }

  // — The shard

  /** The shard has dispatched this. Says what is wrong with that; undefined for nothing. */
  dispatched(execution: string, attempt: number, target: string): string | undefined {
    const fire = this.fires.get(execution);
    if (fire === undefined) return `there is no fire ${execution}`;
    if (fire.phase !== 'open' || fire.cancelled) return `${execution} is ${fire.phase}`;
    if (fire.scheduledAt > this.#now) return `${execution} is early`;
    if (fire.attempt !== attempt) return `${execution} has attempt ${attempt}, not ${fire.attempt}`;
    if (this.tasks.get(fire.task)?.target !== target) return `${execution} has another target`;
    Object.assign(fire, { phase: 'running', begun: true, carried: attempt, asked: 0 });
    return undefined;
  }

  /** What a checkpoint that is taken now tells, once it is written. */
  snapshot(): Snapshot {
    const begun = [...this.fires].filter(([, fire]) => fire.begun);
    return {
      begun: new Map(begun.map(([execution, fire]) => [execution, isRunning(fire) ? fire.attempt : 0])),
      takenBack: [...this.#takenBack],
      moved: [...this.#moved],
    };
  }

  written({ begun, takenBack, moved }: Snapshot): void {
    this.#stored = begun;
    for (const [execution, fire] of takenBack) {
      if (this.#takenBack.get(execution) === fire) this.#takenBack.delete(execution);
    }
    for (const [task, atMs] of moved) if (this.#moved.get(task) === atMs) this.#moved.delete(task);
  }

  /**
   * The owner has died, and another has taken the shard over. What has no message in the work stream was not run, so that it waits again.
   * When the stream itself is lost, that cannot be told of what is known to have been dispatched: it may be with a worker.
   */
  crashed(hasMessage: (execution: string, fire: ModelFire) => boolean, streamLost: boolean): void {
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
    this.roll(this.#now);
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

  isUnderWay(id: string): boolean {
    return this.#firesOf(id).length > 0;
  }

  /**
   * The task is over, and fires of it were taken back or moved since the last checkpoint. A new owner cannot tell that none of them was
   * dispatched: until it has read the whole inbox it holds the task, and further commands would find it alive. Nothing is promised of those.
   */
  isUnclear(id: string): boolean {
    const task = this.tasks.get(id);
    return this.#moved.has(id) && (task === undefined || task.state === 'finished');
  }

  // — Tasks and their fires

  #firesOf(task: string): [string, ModelFire][] {
    return [...this.fires].filter(([, fire]) => fire.task === task);
  }

  #after(task: ModelTask, ms: number): number {
    return nextFire(parseCanonical(task.schedule), ms, task.createdAt);
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
    if (how === 'dead') this.dead++;
    if (how !== 'cancelled') this.history.push(`${id} ${scheduledAt} ${how}`);
    const task = this.tasks.get(id);
    if (task?.state !== 'live' || task.next < Infinity || this.isUnderWay(id)) return;
    if (task.keyed) {
      Object.assign(task, { state: 'finished', endedAt: this.#now });
    } else {
      this.tasks.delete(id);
      this.#over.add(id);
    }
  }
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
    cancelled: false,
    movable: isOnce(task),
    begun: false,
    moved: false,
    proven: 0,
  };
}
