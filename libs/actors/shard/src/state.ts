import type { EventType, WireError } from '@belfry/protocol';
import type { HistoryRow, TaskRow } from '@belfry/ports';
import { TimingWheel } from '@belfry/timing';
import { Backlog } from './backlog.ts';
import { Changes, type Patch } from './changes.ts';
import { RetryHeap, type Execution, type ExecutionPhase } from './execution.ts';
import type { Interned, SharedTarget } from './intern.ts';
import { RecentSet } from './recent-set.ts';
import {
  FLAG_CANCELLED,
  FLAG_KEYED,
  FLAG_POINTER,
  FLAG_STORED,
  TASK_DUE,
  TASK_ENDED,
  TASK_HELD,
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
}

/** Pointer of a task that will not fire again while its executions go on. */
export const NEVER_MS = 8_640_000_000_000_000;

const TICK_MS = 5;

/**
 * The state of one shard. It derives from messages and their stored timestamps alone.
 *
 * S1. A task in state `waiting` or `ended` is in the wheel; in state `due` it is in the backlog list of its target; `held` in neither.
 * S2. The wheel's due time of a waiting or due task is its pointer: the first of its fires that has not been dispatched.
 * S3. Every execution stands in `executions`; and in `bySlot` under its task's slot while that task is there.
 * S4. A one-time task that is held has executions; when the last is over, it ends.
 */
export class ShardState {
  readonly shard: number;
  readonly rememberMs: number;
  readonly interned: Interned;
  readonly table = new TaskTable();
  readonly wheel: TimingWheel;
  readonly backlog: Backlog;
  readonly executions = new Map<string, Execution>();
  readonly bySlot = new Map<number, Execution[]>();
  readonly retries = new RetryHeap();
  /** Dispatched executions by queue. */
  readonly out = new Map<string, number>();
  readonly recent = new RecentSet();
  changes = new Changes();
  events: ShardEvent[] = [];
  epoch = 0;
  /** Inbox sequence up to which messages have been applied. */
  seq = 0;
  /** Stored timestamp of the last applied message. */
  lastTimestamp = 0;
  /** Up to where the wheel has been advanced whole. */
  watermark = 0;
  fired = 0;
  finished = 0;
  dead = 0;

  constructor(shard: number, interned: Interned, startMs: number, rememberMs: number) {
    this.shard = shard;
    this.interned = interned;
    this.rememberMs = rememberMs;
    this.wheel = new TimingWheel({ tickMs: TICK_MS, startMs, capacity: this.table.capacity });
    this.backlog = new Backlog(this.wheel.links);
  }

  targetOf(slot: number): SharedTarget {
    return this.interned.targets.get(this.table.target[slot] as number);
  }

  /** The first fire after `afterMs`; Infinity when there is none. */
  nextAfter(slot: number, afterMs: number): number {
    const schedule = this.interned.schedules.get(this.table.schedule[slot] as number);
    return schedule.next(afterMs, this.table.createdAt[slot] as number);
  }

  isRecurring(slot: number): boolean {
    return this.interned.schedules.get(this.table.schedule[slot] as number).schedule.kind !== 'at';
  }

  /** The task's pointer; Infinity when it has none. */
  pointerOf(slot: number): number {
    const state = this.table.state[slot];
    return state === TASK_WAITING || state === TASK_DUE ? this.wheel.dueOf(slot) : Infinity;
  }

  /** Puts a task without a place into the wheel at `dueMs`, or holds it when there is no coming fire. */
  arm(slot: number, dueMs: number): void {
    if (dueMs >= NEVER_MS) {
      this.table.state[slot] = TASK_HELD;
    } else {
      this.table.state[slot] = TASK_WAITING;
      this.wheel.ensureCapacity(this.table.capacity);
      this.wheel.insert(slot, dueMs);
    }
    if (this.isRecurring(slot)) this.changes.lagging.add(slot);
  }

  /** Takes a task out of wheel or backlog (S1). */
  disarm(slot: number): void {
    const state = this.table.state[slot];
    if (state === TASK_WAITING || state === TASK_ENDED) this.wheel.cancel(slot);
    else if (state === TASK_DUE) {
      const target = this.targetOf(slot);
      this.backlog.removeSlot(target.queueKey, target.priority, slot);
    }
    this.table.state[slot] = TASK_HELD;
  }

  /** Adds a task's columns; it has no place yet. */
  addTask(row: Pick<TaskRow, 'id' | 'schedule' | 'target' | 'createdAt' | 'bodyHash'>, keyed: boolean): number {
    const schedule = this.interned.schedules.take(row.schedule);
    const target = this.interned.targets.take(row.target);
    const slot = this.table.add(row.id);
    this.table.schedule[slot] = schedule;
    this.table.target[slot] = target;
    this.table.createdAt[slot] = row.createdAt;
    this.table.bodyHash.set(row.bodyHash, slot * 4);
    this.table.flags[slot] = keyed ? FLAG_KEYED : 0;
    this.table.state[slot] = TASK_HELD;
    return slot;
  }

  /** Forgets a task whole, in memory and, with the next checkpoint, in Postgres. */
  removeTask(slot: number): void {
    const id = this.table.idOf(slot);
    this.disarm(slot);
    for (const execution of this.bySlot.get(slot) ?? []) execution.slot = -1;
    this.bySlot.delete(slot);
    this.interned.schedules.release(this.table.schedule[slot] as number);
    this.interned.targets.release(this.table.target[slot] as number);
    this.changes.inserts.delete(id);
    this.changes.patches.delete(id);
    this.changes.lagging.delete(slot);
    if (this.table.has(slot, FLAG_STORED)) this.changes.deletes.push(id);
    if (this.table.has(slot, FLAG_POINTER)) this.changes.pointers.push({ task: id, next: undefined });
    this.table.remove(slot);
  }

  /**
   * Ends a task: keyed and cancelled ones stay as tombstones for as long as commands are remembered, others go,
   * and their id is remembered, so that a late repetition of the creation does not make them again.
   */
  endTask(slot: number, how: 'finished' | 'cancelled', atMs: number): void {
    if (how === 'finished' && !this.table.has(slot, FLAG_KEYED)) {
      const id = this.table.idOf(slot);
      if (atMs - (this.table.createdAt[slot] as number) < this.rememberMs) this.remember(idHash(id), atMs);
      this.removeTask(slot);
      return;
    }
    this.disarm(slot);
    this.table.state[slot] = TASK_ENDED;
    this.table.set(slot, FLAG_CANCELLED, how === 'cancelled');
    this.wheel.ensureCapacity(this.table.capacity);
    this.wheel.insert(slot, atMs + this.rememberMs);
    this.changes.lagging.delete(slot);
    this.patch(slot).ended = { state: how, at: atMs };
  }

  patch(slot: number): Patch {
    return this.changes.patch(this.table.idOf(slot));
  }

  remember(hash: number, atMs: number): void {
    this.recent.add(hash, atMs);
    this.changes.commands.push({ hash, at: atMs });
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

  countOut(queue: string, by: 1 | -1): void {
    this.out.set(queue, (this.out.get(queue) ?? 0) + by);
  }

  /** An execution is over: history, and the end of a one-time task with its last execution (S4). */
  closeExecution(execution: Execution, row: HistoryRow): void {
    this.move(execution, 'opened');
    this.executions.delete(execution.id);
    this.changes.active.delete(execution);
    this.changes.history.push(row);
    if (execution.stored) this.changes.activeDone.push({ task: execution.task, scheduledAt: execution.scheduledAt });
    this.finished++;
    const { slot } = execution;
    if (slot < 0) return;
    const others = this.bySlot.get(slot) as Execution[];
    if (others.length > 1) {
      others.splice(others.indexOf(execution), 1);
      if (this.table.state[slot] === TASK_HELD) this.storePointer(slot, NEVER_MS);
    } else {
      this.bySlot.delete(slot);
      if (this.table.state[slot] === TASK_HELD) this.endTask(slot, 'finished', row.acceptedAt);
    }
  }

  /** Records where a task's pointer differs from what its definition and the watermark say; undefined forgets it. */
  storePointer(slot: number, next: number | undefined): void {
    this.table.set(slot, FLAG_POINTER, next !== undefined);
    this.changes.pointers.push({ task: this.table.idOf(slot), next });
  }

  emit(event: ShardEvent): void {
    this.events.push(event);
  }
}

/** 52 bits of a task id. */
export function idHash(id: string): number {
  return parseInt(id.slice(8, 21), 16);
}

export type Refusal = { readonly ok: false; readonly error: WireError };
