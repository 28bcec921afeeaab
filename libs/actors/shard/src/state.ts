import { executionId, idHash, type EventType, type WireError } from '@belfry/protocol';
import type { HistoryRow, LifeRow, ShardHead, TaskRow, TaskSlice } from '@belfry/ports';
import type { TimingWheel } from '@belfry/timing';
import { Backlog, LATE_LANE, type Lane } from './backlog.ts';
import { Changes, type Patch } from './changes.ts';
import { DecidedFires } from './decided.ts';
import type { Doubt } from './doubts.ts';
import { RetryHeap, type Execution, type ExecutionPhase } from './execution.ts';
import { Gaps } from './gaps.ts';
import { Ledger } from './ledger.ts';
import type { Interned, SharedTarget } from './intern.ts';
import { KnownCalendars } from './known-calendars.ts';
import { RecentSet } from './recent-set.ts';
import type { Skipped } from './catch-up.ts';
import {
  FLAG_CANCELLED,
  FLAG_KEYED,
  FLAG_ONCE,
  FLAG_POINTER,
  FLAG_STORED,
  TASK_DUE,
  TASK_ENDED,
  TASK_HELD,
  TASK_LATE,
  TASK_READY,
  TASK_WAITING,
  TaskTable,
} from './task-table.ts';

/** A lifecycle event for whoever listens. */
export interface ShardEvent {
  readonly type: EventType;
  readonly namespace: string;
  readonly task: string;
  readonly at: number;
  readonly execution?: string;
  readonly attempt?: number;
  readonly error?: string;
  readonly skipped?: Skipped;
}

/** A schedule on its way into the columns: an instant, or a reference that counts as used. */
type ReadSchedule = { readonly atMs: number } | { readonly ref: number };

/** Pointer of a task that will not fire again while its executions go on. */
export const NEVER_MS = 8_640_000_000_000_000;

export const TICK_MS = 1;

const ZERO = '0'.charCodeAt(0);

/**
 * The state of one shard. It derives from messages and their stored timestamps alone.
 *
 * S1. A task in state `waiting` or `ended` is in the wheel; in state `due`, `ready` or `late` it is in a backlog list of its target; `held` in neither.
 * S2. The wheel's due time of a task that waits in wheel or backlog is its pointer: the first of its fires that was neither dispatched nor skipped.
 * S3. Every execution stands in `executions`, and in `bySlot` under its slot. A task with executions is not forgotten.
 * S4. A task that is held has executions, or during a replay doubts; when the last is over, it ends. One that is kept from firing by its
 *     calendars alone is held without any.
 * S5. After a checkpoint, a live task's pointer is the one that a load would find: it is stored where definition, watermark and
 *     active rows do not tell it. Until then the slot is `lagging`.
 * S6. The ledger balances (L1, L2).
 * S7. A cancelled execution is dispatched or adrift: one that no worker can have ends with the cancel, or at the end of the replay.
 * S8. `out` counts the dispatched executions by the queue of their own target.
 * S9. A fire is skipped only by moving the pointer past it, so that none is skipped that has become an execution. What a worker or the work
 *     stream then proves of it all the same, during a replay, is a doubt like any other.
 */
export class ShardState {
  readonly shard: number;
  readonly rememberMs: number;
  readonly interned: Interned;
  readonly table: TaskTable;
  readonly wheel: TimingWheel;
  readonly backlog: Backlog;
  readonly executions = new Map<string, Execution>();
  readonly bySlot = new Map<number, Execution[]>();
  readonly retries = new RetryHeap();
  /** Dispatched executions by queue. */
  readonly out = new Map<string, number>();
  readonly recent = new RecentSet();
  readonly calendars: KnownCalendars;
  readonly decided = new DecidedFires();
  changes = new Changes();
  events: ShardEvent[] = [];
  epoch = 0;
  /** Inbox sequence up to which messages have been applied. */
  seq = 0;
  /** Stored timestamp of the last applied message. */
  lastTimestamp = 0;
  /** Up to where the wheel has been advanced whole: no timer that is due by then is left in it. */
  watermark = 0;
  /** The greatest epoch that an ownership record has named. */
  ownerEpoch = 0;
  /** While messages are replayed: fires that may have been dispatched and that no pointer tells any more. */
  doubts: Map<string, Doubt[]> | undefined = new Map();
  /** Up to where the wheel has been emptied of what is due, as of now; -Infinity while something may be left in it. */
  emptiedTo = -Infinity;
  ledger: Ledger;
  gaps: Gaps;

  constructor(head: ShardHead, interned: Interned, startMs: number, rememberMs: number) {
    this.shard = head.shard;
    this.epoch = head.epoch;
    this.seq = head.seq;
    this.watermark = head.watermark;
    this.gaps = new Gaps(head.gaps, head.watermark);
    this.ledger = new Ledger(head.counters);
    this.interned = interned;
    this.calendars = new KnownCalendars(interned);
    this.rememberMs = rememberMs;
    this.table = new TaskTable({ tickMs: TICK_MS, startMs });
    this.wheel = this.table.wheel;
    this.backlog = new Backlog(this.wheel.lists);
  }

  /** Takes the place of what was begun with: nothing has been applied since. */
  continueFrom({ epoch, seq, watermark, gaps, counters }: ShardHead): void {
    this.epoch = epoch;
    this.seq = seq;
    this.watermark = watermark;
    this.gaps = new Gaps(gaps, watermark);
    this.ledger = new Ledger(counters);
  }

  targetOf(slot: number): SharedTarget {
    return this.interned.targets.get(this.table.target[slot] as number);
  }

  /** The first fire after `afterMs`; Infinity when there is none. */
  nextAfter(slot: number, afterMs: number): number {
    if (!this.isRecurring(slot)) return nextOnce(this.table.atOf(slot), afterMs);
    const schedule = this.interned.schedules.get(this.table.scheduleOf(slot));
    const { table, calendars } = this;
    return schedule.next(afterMs, table.createdAt[slot] as number, table.seedOf(slot), calendars.source);
  }

  /** `nextAfter` by the schedule and the calendars that the task has now, whatever they become later. */
  firesOf(slot: number): (afterMs: number) => number {
    const atMs = this.table.atOf(slot);
    if (!this.isRecurring(slot)) return (afterMs) => nextOnce(atMs, afterMs);
    const schedule = this.interned.schedules.get(this.table.scheduleOf(slot));
    const createdAt = this.table.createdAt[slot] as number;
    const seed = this.table.seedOf(slot);
    const calendars = this.calendars.frozen(schedule.calendars);
    return (afterMs) => schedule.next(afterMs, createdAt, seed, calendars);
  }

  /** Names of the calendars that a task's schedule names, qualified. */
  calendarsOf(slot: number): readonly string[] {
    return this.isRecurring(slot) ? this.interned.schedules.get(this.table.scheduleOf(slot)).calendars : [];
  }

  /** Whether nothing but its calendars keeps a task from firing again after `afterMs`: they may change, so it has not ended. */
  isAsleep(slot: number, afterMs: number): boolean {
    if (this.calendarsOf(slot).length === 0) return false;
    const schedule = this.interned.schedules.get(this.table.scheduleOf(slot));
    const { createdAt } = this.table;
    return schedule.next(afterMs, createdAt[slot] as number, this.table.seedOf(slot), () => undefined) < Infinity;
  }

  /** The distance of a task's fires where it is always the same. */
  periodOf(slot: number): number | undefined {
    const { schedule } = this.interned.schedules.get(this.table.scheduleOf(slot));
    return schedule.kind === 'every' ? schedule.everyMs : undefined;
  }

  isRecurring(slot: number): boolean {
    return !this.table.has(slot, FLAG_ONCE);
  }

  /** The schedule in canonical form. */
  scheduleOf(slot: number): string {
    if (!this.isRecurring(slot)) return `a${this.table.atOf(slot)}`;
    return this.interned.schedules.text(this.table.scheduleOf(slot));
  }

  /** Gives a task another schedule; its place is the caller's to change. Throws for a text that is not canonical. */
  changeSchedule(slot: number, text: string): void {
    const read = this.#readSchedule(text);
    this.#releaseSchedule(slot);
    this.#setSchedule(slot, read);
  }

  #readSchedule(text: string): ReadSchedule {
    if (!text.startsWith('a')) return { ref: this.interned.schedules.take(text) };
    const atMs = instantOf(text);
    if (!(atMs < NEVER_MS)) throw new Error(`not a canonical schedule: ${text.slice(0, 200)}`);
    return { atMs };
  }

  #setSchedule(slot: number, read: ReadSchedule): void {
    this.table.set(slot, FLAG_ONCE, 'atMs' in read);
    if ('atMs' in read) this.table.setAt(slot, read.atMs);
    else this.table.setSchedule(slot, read.ref);
  }

  #releaseSchedule(slot: number): void {
    if (this.isRecurring(slot)) this.interned.schedules.release(this.table.scheduleOf(slot));
  }

  /** The task's pointer; Infinity when it has none. */
  pointerOf(slot: number): number {
    const state = this.table.state[slot];
    return state === TASK_WAITING || this.isInBacklog(slot) ? this.wheel.dueOf(slot) : Infinity;
  }

  /** Puts a task without a place into the wheel at `dueMs`, or holds it when there is no coming fire. */
  arm(slot: number, dueMs: number): void {
    this.place(slot, dueMs);
    if (this.isRecurring(slot)) this.changes.lagging.add(slot);
    else this.changes.lagging.delete(slot);
  }

  /** The same where what is stored tells its pointer (S5). */
  place(slot: number, dueMs: number): void {
    if (dueMs >= NEVER_MS) {
      this.table.state[slot] = TASK_HELD;
    } else {
      this.table.state[slot] = TASK_WAITING;
      this.wheel.insert(slot, dueMs);
      if (dueMs <= this.emptiedTo) this.emptiedTo = -Infinity;
    }
  }

  isInBacklog(slot: number): boolean {
    const state = this.table.state[slot];
    return state === TASK_DUE || state === TASK_LATE || state === TASK_READY;
  }

  /** The backlog's line for a task that is in it, within its queue and priority. */
  laneOf(slot: number): Lane {
    const state = this.table.state[slot];
    return state === TASK_LATE ? LATE_LANE : state === TASK_READY ? 0 : this.targetOf(slot).lane;
  }

  /** Puts a task without a place into the backlog with its fire at `dueMs`. */
  enterBacklog(slot: number, dueMs: number, as: typeof TASK_DUE | typeof TASK_READY | typeof TASK_LATE): void {
    if (this.wheel.dueOf(slot) !== dueMs) {
      // S2: the wheel keeps the due time of what is in no bucket.
      this.wheel.insert(slot, dueMs);
      this.wheel.cancel(slot);
    }
    this.table.state[slot] = as;
    const target = this.targetOf(slot);
    this.backlog.addSlot(target.queueKey, target.priority, this.laneOf(slot), slot);
    if (this.isRecurring(slot)) this.changes.lagging.add(slot);
  }

  /** Takes a task out of wheel or backlog (S1). */
  disarm(slot: number): void {
    const state = this.table.state[slot];
    if (state === TASK_WAITING || state === TASK_ENDED) this.wheel.cancel(slot);
    else if (this.isInBacklog(slot)) {
      const target = this.targetOf(slot);
      this.backlog.removeSlot(target.queueKey, target.priority, this.laneOf(slot), slot);
    }
    this.table.state[slot] = TASK_HELD;
  }

  /** Adds a task's columns; it has no place yet. */
  addTask(row: Pick<TaskRow, 'id' | 'schedule' | 'target' | 'createdAt' | 'bodyHash'>, keyed: boolean): number {
    const schedule = this.#readSchedule(row.schedule);
    const target = this.interned.targets.take(row.target);
    const slot = this.table.add(row.id);
    this.table.bodyHash.set(row.bodyHash, slot * 4);
    return this.#define(slot, schedule, target, row.createdAt, keyed);
  }

  /** The same for the task at a place of a load's slice. */
  addLoaded({ ids, bodyHashes, atMs, schedules, targets, createdAt, keyed }: TaskSlice, at: number): number {
    const onceMs = atMs[at] as number;
    const schedule = Number.isNaN(onceMs) ? this.#readSchedule(schedules[at] as string) : { atMs: onceMs };
    const target = this.interned.targets.take(targets[at] as string);
    const { table } = this;
    const from = at * 4;
    const slot = table.addWords(
      ids[from] as number,
      ids[from + 1] as number,
      ids[from + 2] as number,
      ids[from + 3] as number,
    );
    for (let word = 0; word < 4; word++) table.bodyHash[slot * 4 + word] = bodyHashes[from + word] as number;
    return this.#define(slot, schedule, target, createdAt[at] as number, keyed[at] === 1);
  }

  #define(slot: number, schedule: ReadSchedule, target: number, createdAt: number, keyed: boolean): number {
    const { table } = this;
    table.target[slot] = target;
    table.createdAt[slot] = createdAt;
    table.flags[slot] = keyed ? FLAG_KEYED : 0;
    this.#setSchedule(slot, schedule);
    table.state[slot] = TASK_HELD;
    return slot;
  }

  /** Forgets a task whole, in memory and, with the next checkpoint, in Postgres. Returns what is under way of it: the caller's to place (S3). */
  removeTask(slot: number): Execution[] {
    const id = this.table.idOf(slot);
    this.disarm(slot);
    const underWay = this.bySlot.get(slot) ?? [];
    this.bySlot.delete(slot);
    this.#releaseSchedule(slot);
    this.interned.targets.release(this.table.target[slot] as number);
    this.changes.inserts.delete(id);
    this.changes.patches.delete(id);
    this.changes.lagging.delete(slot);
    if (this.table.has(slot, FLAG_STORED)) this.changes.deletes.push(id);
    if (this.table.has(slot, FLAG_POINTER)) this.changes.pointers.set(id, undefined);
    this.table.remove(slot);
    return underWay;
  }

  /** Ends the memory of an ended task; one with executions under way is kept for as long again (S3). */
  forgetTask(slot: number): void {
    if (this.bySlot.has(slot)) this.wheel.insert(slot, this.wheel.dueOf(slot) + this.rememberMs);
    else this.removeTask(slot);
  }

  /** Puts the executions of a task that was removed under the slot of the one that was made in its place. */
  inherit(slot: number, executions: Execution[]): void {
    if (executions.length === 0) return;
    for (const execution of executions) execution.slot = slot;
    this.bySlot.set(slot, executions);
  }

  /**
   * Ends a task: keyed and cancelled ones stay as tombstones for as long as commands are remembered, others go,
   * and their id is remembered, so that a late repetition of the creation does not make them again.
   */
  endTask(slot: number, how: 'finished' | 'cancelled', atMs: number): void {
    if (how === 'cancelled' || this.isRecurring(slot)) this.noteLife(slot, how, atMs);
    if (how === 'finished' && !this.table.has(slot, FLAG_KEYED)) {
      const id = this.table.idOf(slot);
      if (atMs - (this.table.createdAt[slot] as number) < this.rememberMs) this.remember(idHash(id), atMs);
      this.removeTask(slot);
      return;
    }
    this.disarm(slot);
    this.table.state[slot] = TASK_ENDED;
    this.table.set(slot, FLAG_CANCELLED, how === 'cancelled');
    this.wheel.insert(slot, atMs + this.rememberMs);
    this.changes.lagging.delete(slot);
    this.patch(slot).ended = { state: how, at: atMs };
  }

  /** Records what becomes of a task's schedule, which it still has. Of the end of a one-time task, its history tells. */
  noteLife(slot: number, kind: LifeRow['kind'], atMs: number): void {
    this.changes.life.push({
      task: this.table.idOf(slot),
      namespace: this.targetOf(slot).namespace,
      kind,
      at: atMs,
      schedule: this.scheduleOf(slot),
      createdAt: this.table.createdAt[slot] as number,
    });
  }

  patch(slot: number): Patch {
    return this.changes.patch(this.table.idOf(slot));
  }

  remember(hash: number, atMs: number): void {
    this.recent.add(hash, atMs);
    this.changes.commands.push({ hash, at: atMs });
  }

  /** A new execution, `opened` but in no backlog. */
  open(slot: number, scheduledAt: number): Execution {
    const task = this.table.idOf(slot);
    const execution: Execution = {
      id: executionId(task, scheduledAt),
      task,
      scheduledAt,
      createdAt: this.table.createdAt[slot] as number,
      slot,
      target: this.targetOf(slot),
      state: 'opened',
      attempt: 1,
      failures: 0,
      lost: 0,
      dueAt: scheduledAt,
      dispatchedAt: undefined,
      message: undefined,
      attempts: [],
      traceparent: undefined,
      epoch: this.epoch,
      cancelledAt: undefined,
      recurring: this.isRecurring(slot),
      stored: false,
    };
    this.addExecution(execution);
    for (const { opened } of this.doubts?.get(task) ?? []) opened.add(scheduledAt);
    this.ledger.fired++;
    return execution;
  }

  addExecution(execution: Execution): void {
    this.executions.set(execution.id, execution);
    const others = this.bySlot.get(execution.slot);
    if (others === undefined) this.bySlot.set(execution.slot, [execution]);
    else others.push(execution);
    this.changes.active.add(execution);
  }

  /** Moves an execution to another phase, with all that counts by phase. */
  move(execution: Execution, to: ExecutionPhase): void {
    const from = execution.state;
    if (from === to) return;
    const { queueKey } = execution.target;
    if (from === 'pending') this.backlog.dropExecution(execution);
    else if (from === 'dispatched') this.countOut(queueKey, -1);
    execution.state = to;
    if (to === 'pending') this.backlog.addExecution(execution);
    else if (to === 'dispatched') this.countOut(queueKey, 1);
  }

  /** Puts an execution that no worker holds into the backlog, with the task's present target. */
  enqueue(execution: Execution): void {
    this.move(execution, 'opened');
    execution.target = this.targetOf(execution.slot);
    this.move(execution, 'pending');
  }

  countOut(queue: string, by: 1 | -1): void {
    const out = (this.out.get(queue) ?? 0) + by;
    if (out === 0) this.out.delete(queue);
    else this.out.set(queue, out);
  }

  /** An execution is over: history, and the end of a one-time task with its last execution (S4). */
  closeExecution(execution: Execution, row: HistoryRow): void {
    this.move(execution, 'opened');
    this.executions.delete(execution.id);
    this.changes.active.delete(execution);
    this.changes.history.push(row);
    this.changes.textChars += (row.result?.length ?? 0) + (row.attempts?.length ?? 0);
    if (execution.stored) this.changes.activeDone.push({ task: execution.task, scheduledAt: execution.scheduledAt });
    this.ledger.finish(row.state);
    const { slot } = execution;
    const others = this.bySlot.get(slot) as Execution[];
    if (others.length > 1) {
      others.splice(others.indexOf(execution), 1);
      // Nothing else would tell that its fire is over.
      if (this.table.state[slot] === TASK_HELD && !this.isRecurring(slot)) this.storePointer(slot, NEVER_MS);
    } else {
      this.bySlot.delete(slot);
      // One that a cancelled task has left may end, as of then, after the task that was made in its place.
      this.endIfOver(slot, Math.max(row.acceptedAt, this.lastTimestamp));
    }
  }

  /** Ends a task that has neither a coming fire nor an execution (S4). One that may have another one is held to the end of the replay. */
  endIfOver(slot: number, atMs: number): void {
    if (this.table.state[slot] !== TASK_HELD || this.bySlot.has(slot) || this.isAsleep(slot, atMs)) return;
    if (this.doubts?.has(this.table.idOf(slot)) !== true) this.endTask(slot, 'finished', atMs);
    else if (!this.isRecurring(slot)) this.storePointer(slot, NEVER_MS);
  }

  /** Records where a task's pointer differs from what its definition and the watermark say; undefined forgets it. */
  storePointer(slot: number, next: number | undefined): void {
    this.table.set(slot, FLAG_POINTER, next !== undefined);
    this.changes.pointers.set(this.table.idOf(slot), next);
  }

  /** Stores pointers where definition and watermark do not tell them, and deletes those that are told (S5). */
  settlePointers(): void {
    for (const slot of this.changes.lagging) {
      const pointer = Math.min(this.pointerOf(slot), NEVER_MS);
      const told = pointer > this.watermark && Math.min(this.nextAfter(slot, this.watermark), NEVER_MS) === pointer;
      if (!told) this.storePointer(slot, pointer);
      else if (this.table.has(slot, FLAG_POINTER)) this.storePointer(slot, undefined);
      // The watermark is about to pass the fire of a due task: nothing but this says that its pointer is to be stored then.
      if (!told || !this.isInBacklog(slot)) this.changes.lagging.delete(slot);
    }
  }

  emit(event: ShardEvent): void {
    this.events.push(event);
  }
}

/** The instant of a canonical one-time schedule: `a`, and milliseconds without a leading zero. NaN for any other text. */
function instantOf(text: string): number {
  const { length } = text;
  if (length < 2 || length > 17 || (length > 2 && text.charCodeAt(1) === ZERO)) return NaN;
  let atMs = 0;
  for (let at = 1; at < length; at++) {
    const digit = text.charCodeAt(at) - ZERO;
    if (digit < 0 || digit > 9) return NaN;
    atMs = atMs * 10 + digit;
  }
  return atMs;
}

function nextOnce(atMs: number, afterMs: number): number {
  return afterMs < atMs ? atMs : Infinity;
}

export type Refusal = { readonly ok: false; readonly error: WireError };
