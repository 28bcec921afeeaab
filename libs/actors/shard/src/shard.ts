import { wireError, type Answer, type Envelope, type InboxRecord } from '@belfry/protocol';
import type {
  ActiveRow,
  CalendarRow,
  Changed,
  ShardDelta,
  ShardHead,
  TaskRow,
  TaskSlice,
  WorkRef,
} from '@belfry/ports';
import { audit, type Audit } from './audit.ts';
import { applyCalendar } from './calendars.ts';
import { activeRow, Changes } from './changes.ts';
import { ChangeWatch } from './change-watch.ts';
import { applyCancel, applyCreate, applyUpdate } from './definitions.ts';
import type { Execution } from './execution.ts';
import {
  advance,
  hasReady,
  reconcile,
  setAdrift,
  strand,
  take,
  takeLate,
  type Dispatch,
  type Reconciled,
} from './fires.ts';
import { glance, type TaskGlance } from './glance.ts';
import { assertInvariants, printState } from './inspect.ts';
import type { Interned } from './intern.ts';
import { bringForward, loadExecutions, loadTasks, type Later } from './load.ts';
import { applyRedelivered, applyResult } from './results.ts';
import { ShardState, type ShardEvent } from './state.ts';
import { FLAG_STORED, TASK_ENDED } from './task-table.ts';
import type { Tally } from './tally.ts';

/** An answer on its way to a gateway. */
export interface Reply {
  readonly gateway: string;
  readonly correlation: number;
  readonly answer: Answer;
}

/** A dispatched execution whose work message was lost. */
export interface AdriftExecution {
  readonly id: string;
  readonly namespace: string;
  /** `queueKey` of its queue. */
  readonly queue: string;
}

/**
 * One shard: a deterministic machine. Messages and the passing of time go in; answers, events, dispatches and checkpoint deltas come
 * out. It reads no clock and performs nothing: its host does.
 */
export class Shard {
  readonly shard: number;
  readonly #state: ShardState;
  #committing: ReadonlyMap<string, TaskRow> = new Map();
  /** The delta that was taken last, until it is settled. */
  #unsettled: ShardDelta | undefined;
  #watch: { readonly number: number; readonly changes: ChangeWatch } | undefined;

  constructor(options: { shard: number; interned: Interned; head: ShardHead; nowMs: number; rememberMs: number }) {
    this.shard = options.shard;
    this.#state = new ShardState(options.head, options.interned, options.nowMs, options.rememberMs);
  }

  get epoch(): number {
    return this.#state.epoch;
  }

  /** Inbox sequence up to which messages have been applied. */
  get seq(): number {
    return this.#state.seq;
  }

  get tasks(): number {
    return this.#state.table.size;
  }

  get underWay(): number {
    return this.#state.executions.size;
  }

  get backlog(): number {
    return this.#state.backlog.total;
  }

  get counters(): ShardDelta['counters'] {
    return this.#state.ledger.counters(this.#state.backlog.fires);
  }

  /** Fires that came due, whatever became of them. */
  get expected(): number {
    return this.#state.ledger.expected;
  }

  /** Fires that are due and have not become executions. */
  get waitingFires(): number {
    return this.#state.backlog.fires;
  }

  /** Fires that are expected and in no account, or, below 0, in one and not expected: anything but 0 is a fault of this program. */
  get imbalance(): number {
    return this.#state.ledger.imbalance(this.#state.backlog.fires);
  }

  get changedRows(): number {
    return this.#state.changes.rows;
  }

  /** Characters of the texts in them, about. */
  get changedChars(): number {
    return this.#state.changes.textChars;
  }

  /** Up to where no timer that is due is left in the wheel. */
  get watermark(): number {
    return this.#state.watermark;
  }

  get memoryBytes(): number {
    return this.#state.table.memoryBytes;
  }

  // — Loading: commands, calendars, tasks, then executions; then messages are applied, and `reconcile` ends it.

  loadCommands(commands: readonly { readonly hash: number; readonly at: number }[]): void {
    for (const { hash, at } of commands) this.#state.recent.add(hash, at);
  }

  /** Before the tasks: their fires depend on them. */
  loadCalendars(rows: readonly CalendarRow[]): void {
    for (const row of rows) this.#state.calendars.set(row);
  }

  /** Tasks whose next fire is not told by definition and watermark come with a pointer. */
  loadTasks(tasks: TaskSlice): void {
    loadTasks(this.#state, tasks);
  }

  /** After all tasks: this shard's stored executions, by task. */
  loadExecutions(active: ReadonlyMap<string, readonly ActiveRow[]>): void {
    loadExecutions(this.#state, active);
  }

  /** Instead of a new load, of a shard that was loaded while another node owned it, without active rows. Its commands come before or after it. */
  bringForward(later: Later): void {
    bringForward(this.#state, later);
  }

  /** After the replay, with the work messages that survived. */
  reconcile(surviving: readonly WorkRef[], streamLost: boolean, nowMs: number): Reconciled {
    return reconcile(this.#state, surviving, streamLost, nowMs);
  }

  /** Dispatched executions of a work stream that was lost: somebody must speak for them, or they are given back. */
  adrift(): readonly AdriftExecution[] {
    const adrift: AdriftExecution[] = [];
    for (const { state, id, target } of this.#state.executions.values()) {
      if (state === 'adrift') adrift.push({ id, namespace: target.namespace, queue: target.queueKey });
    }
    return adrift;
  }

  /** The present attempts of what is in the work stream, as far as this state knows. */
  inStream(): ReadonlyMap<string, number> {
    const dispatched = new Map<string, number>();
    for (const { id, attempt, state } of this.#state.executions.values())
      if (state === 'dispatched') dispatched.set(id, attempt);
    return dispatched;
  }

  /** Sets adrift what of `dispatched` is not among what the work stream was found to hold after that. Returns how many. */
  strand(dispatched: ReadonlyMap<string, number>, surviving: readonly WorkRef[]): number {
    return strand(this.#state, dispatched, surviving);
  }

  /** The present attempt of an execution that is adrift; undefined when it is not, or not any more. */
  adriftAttempt(id: string): number | undefined {
    const execution = this.#state.executions.get(id);
    return execution?.state === 'adrift' ? execution.attempt : undefined;
  }

  // — Messages

  /** Applies one inbox message; one that was applied before is passed over. Returns the answers. */
  apply(seq: number, timestamp: number, envelope: Envelope): Reply[] {
    if (seq <= this.#state.seq) return [];
    const replies: Reply[] = [];
    for (const record of envelope.r) {
      const answer = this.#applyRecord(record, timestamp);
      if (record.c !== 0 && answer !== undefined) replies.push({ gateway: envelope.g, correlation: record.c, answer });
    }
    this.pass(seq, timestamp);
    return replies;
  }

  /** Counts a message as applied without applying it: one in quarantine. */
  pass(seq: number, timestamp: number): void {
    this.#state.seq = seq;
    this.#state.lastTimestamp = timestamp;
    this.#state.recent.forget(timestamp - this.#state.rememberMs);
    this.#state.decided.forget(timestamp);
  }

  #applyRecord(record: InboxRecord, timestamp: number): Answer | undefined {
    switch (record.k) {
      case 'create':
        return applyCreate(this.#state, record, timestamp);
      case 'update':
        return applyUpdate(this.#state, record, timestamp);
      case 'cancel':
        return applyCancel(this.#state, record, timestamp);
      case 'calendar':
        return applyCalendar(this.#state, record, timestamp);
      case 'result':
        return applyResult(this.#state, record, timestamp);
      case 'redelivered':
        return applyRedelivered(this.#state, record, timestamp);
      case 'ownership':
        // A node that lost the race for the shard may have written of an older epoch.
        if (record.epoch < this.#state.ownerEpoch) return undefined;
        this.#state.ownerEpoch = record.epoch;
        if (record.lost === true) setAdrift(this.#state);
        return undefined;
      default:
        return unknownRecord(record);
    }
  }

  // — Time

  /** Moves what is due into the backlog, at most `limit` timers; true when there is more at `nowMs`. */
  advance(nowMs: number, limit: number): boolean {
    return advance(this.#state, nowMs, limit);
  }

  /** Whether work of a queue (`<namespace>.<queue>`), or of any, may be dispatched at `nowMs`. */
  isReady(nowMs: number, queue?: string): boolean {
    return hasReady(this.#state, nowMs, queue);
  }

  /** What is due of a queue and priority. */
  waiting(queue: string, priority: 0 | 1 | 2): number {
    return this.#state.backlog.waiting(queue, priority);
  }

  /** A task's pointer: its next fire that has not been dispatched; Infinity for none. */
  pointerOf(id: string): number {
    const slot = this.#state.table.find(id);
    return slot < 0 ? Infinity : this.#state.pointerOf(slot);
  }

  /** Executions of a queue that are in the work stream or with workers. */
  outstanding(queue: string): number {
    return this.#state.out.get(queue) ?? 0;
  }

  /**
   * Takes attempts to dispatch, of fires as far as the grid of their precision has come at `nowMs`. From here on they count as dispatched:
   * a host that cannot publish them loads the shard again.
   */
  take(queue: string, priority: 0 | 1 | 2, limit: number, nowMs: number): Dispatch[] {
    return take(this.#state, queue, priority, limit, nowMs);
  }

  /** The same of missed fires that their tasks' policies keep: for when there is room beside what is punctual. */
  takeLate(queue: string, priority: 0 | 1 | 2, limit: number): Dispatch[] {
    return takeLate(this.#state, queue, priority, limit);
  }

  /** Those of these executions that are dispatched. */
  dispatched(ids: readonly string[]): Execution[] {
    return ids.flatMap((id) => this.#state.executions.get(id) ?? []).filter(({ state }) => state === 'dispatched');
  }

  /** Ids of tasks whose next fire lies in (fromMs, toMs]: their bodies will be needed. */
  upcoming(fromMs: number, toMs: number, onTask: (id: string) => void): void {
    const state = this.#state;
    state.wheel.peek(fromMs, toMs, (slot) => {
      if (state.table.state[slot] !== TASK_ENDED) onTask(state.table.idOf(slot));
    });
  }

  /** Looks for missing fires among up to `limit` slots from `from` on: see `Audit`. */
  audit(from: number, limit: number): Audit {
    return audit(this.#state, from, limit);
  }

  // — Out

  takeEvents(): ShardEvent[] {
    const { events } = this.#state;
    if (events.length > 0) this.#state.events = [];
    return events;
  }

  /** A task's row that stands in the delta that was taken last, until `settled`. Patches since then are not in it. */
  committingRow(id: string): TaskRow | undefined {
    return this.#committing.get(id);
  }

  /** What a dispatch or a query needs of a task that no checkpoint has yet: undefined for one that is stored. */
  unsavedRow(id: string): ReturnType<Changes['inserts']['get']> {
    return this.#state.changes.inserts.get(id);
  }

  unsavedPatch(id: string): ReturnType<Changes['patches']['get']> {
    return this.#state.changes.patches.get(id);
  }

  /** Counts `most` of this shard's slots, from `slot` on, into `tally`. Returns where to go on; undefined when it is through. */
  tally(tally: Tally, slot: number, most: number): number | undefined {
    return tally.step(this.#state, slot, most);
  }

  glance(id: string, namespace: string): TaskGlance | undefined {
    return glance(this.#state, id, namespace);
  }

  /**
   * Everything that has changed since the last call, in one step. The host commits deltas in order, each until it is done or fenced.
   * Undefined when there is nothing to write; `always` asks for the head alone, too.
   */
  delta(always: boolean): ShardDelta | undefined {
    const state = this.#state;
    state.settlePointers();
    const { changes } = state;
    if (changes.rows === 0 && !always) return undefined;
    state.changes = new Changes();
    state.changes.lagging = changes.lagging;
    this.#committing = changes.inserts;
    const inserts = [...changes.inserts.values()];
    for (const { id } of inserts) state.table.set(state.table.find(id), FLAG_STORED, true);
    const active: ActiveRow[] = [];
    for (const execution of changes.active) {
      execution.stored = true;
      active.push(activeRow(execution));
    }
    const delta: ShardDelta = {
      shard: this.shard,
      epoch: state.epoch,
      seq: state.seq,
      watermark: state.watermark,
      deletes: changes.deletes,
      inserts,
      patches: [...changes.patches.values()],
      pointers: [...changes.pointers].map(([task, next]) => ({ task, next })),
      active,
      activeDone: changes.activeDone,
      calendars: [...changes.calendars.values()],
      history: changes.history,
      life: changes.life,
      unwatched: changes.unwatched,
      commands: changes.commands,
      forgetCommandsBefore: state.lastTimestamp - state.rememberMs,
      counters: this.counters,
      gaps: state.gaps.spans,
    };
    this.#unsettled = delta;
    this.#watch?.changes.note(delta);
    return delta;
  }

  /** The delta that was taken last is written, or will never be. */
  settled(): void {
    this.#committing = new Map();
    this.#unsettled = undefined;
  }

  /** Begins to note what is written of this shard, for a node that loads it meanwhile; ends the watch before. Returns its number. */
  watch(): number {
    const changes = new ChangeWatch();
    if (this.#unsettled !== undefined) changes.note(this.#unsettled);
    this.#watch = { number: (this.#watch?.number ?? 0) + 1, changes };
    return this.#watch.number;
  }

  /** What has been written since a watch began, with the delta that was taken last; undefined where nobody knows. */
  changedSince(watch: number): Changed | undefined {
    return this.#watch?.number === watch ? this.#watch.changes.changed : undefined;
  }

  /** Throws where an invariant does not hold. Visits every task. */
  assertInvariants(): void {
    assertInvariants(this.#state);
  }

  /** The state as text: a line per task, with its executions, then the backlog. */
  print(): string {
    return printState(this.#state);
  }
}

/** A record of a newer version: refused, not guessed at. */
function unknownRecord(record: never): Answer {
  return {
    ok: false,
    error: wireError('unsupported', `this shard knows no record like ${JSON.stringify(record).slice(0, 100)}`),
  };
}
