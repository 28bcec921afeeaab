import {
  encodeTarget,
  idHash,
  wireError,
  LIMITS,
  type Answer,
  type CancelRecord,
  type CreateRecord,
  type Target,
  type UpdateRecord,
} from '@belfry/protocol';
import { sameButSlot, withSlot } from '@belfry/timing';
import { refuseUnknown } from './calendars.ts';
import { decidedAhead } from './decided.ts';
import type { Execution } from './execution.ts';
import { armAnew, enqueueAtChange } from './proofs.ts';
import { closeAs } from './results.ts';
import { withdraw } from './skips.ts';
import { NEVER_MS, type ShardState } from './state.ts';
import { hash64 } from './hash64.ts';
import { FLAG_KEYED, FLAG_POINTER, FLAG_STORED, TASK_ENDED, TASK_HELD } from './task-table.ts';

type Row = Parameters<ShardState['addTask']>[0];

/** Coming fires of a task, soonest first. */
export function nextFires(state: ShardState, slot: number): number[] {
  const fires: number[] = [];
  let next = state.pointerOf(slot);
  while (next < NEVER_MS && fires.length < LIMITS.nextFires) {
    fires.push(next);
    next = state.isRecurring(slot) ? state.nextAfter(slot, next) : Infinity;
  }
  return fires;
}

/** The same spec again is a no-op, a different one for the same key is an update, and a repeated command is the same command. */
export function applyCreate(state: ShardState, record: CreateRecord, timestamp: number): Answer {
  const slot = state.table.find(record.id);
  const next = slot < 0 ? [] : nextFires(state, slot);
  if (isRepeated(state, slot, record)) return { ok: true, status: 'unchanged', next };
  const refusal = refuseUnknown(state, record.s);
  if (refusal !== undefined) return refusal;
  if (record.key !== undefined) state.remember(record.m, timestamp);
  if (slot < 0) return create(state, record, timestamp, []);
  const bodyHash = bodyHashOf(record);
  if (sameDefinition(state, slot, record, bodyHash)) return { ok: true, status: 'unchanged', next };
  if (state.table.state[slot] !== TASK_ENDED) return redefine(state, slot, record, bodyHash, timestamp);
  return create(state, record, timestamp, state.removeTask(slot));
}

/** Without a key, the id is the command's own, so that it tells by itself. */
function isRepeated(state: ShardState, slot: number, record: CreateRecord): boolean {
  if (record.key !== undefined) return state.recent.has(record.m);
  return slot >= 0 || state.recent.has(idHash(record.id));
}

const NO_HASH: Row['bodyHash'] = [0, 0, 0, 0];

/** Only a task with a key is ever compared with what it is to become. */
function bodyHashOf({ key, p, d }: CreateRecord): Row['bodyHash'] {
  if (key === undefined) return NO_HASH;
  const [a, b] = hash64(p);
  const [c, e] = hash64(d);
  return [a, b, c, e];
}

function sameDefinition(state: ShardState, slot: number, record: CreateRecord, bodyHash: readonly number[]): boolean {
  const { table, interned } = state;
  if (!sameButSlot(state.scheduleOf(slot), record.s)) return false;
  if (interned.targets.text(table.target[slot] as number) !== record.t) return false;
  return bodyHash.every((word, at) => table.bodyHash[slot * 4 + at] === word);
}

/** `underWay` is what still runs of a task that had the same id and has ended. */
function create(state: ShardState, record: CreateRecord, timestamp: number, underWay: Execution[]): Answer {
  const bodyHash = bodyHashOf(record);
  const row: Row = { id: record.id, schedule: record.s, target: record.t, createdAt: timestamp, bodyHash };
  const slot = state.addTask(row, record.key !== undefined);
  const target = state.targetOf(slot);
  state.changes.inserts.set(record.id, {
    id: record.id,
    schedule: record.s,
    target: state.interned.targets.text(state.table.target[slot] as number), // one text for all rows, not one of each record
    createdAt: timestamp,
    bodyHash,
    key: record.key,
    namespace: target.namespace,
    queue: target.queue,
    handler: target.handler,
    payload: record.p,
    metadata: record.d,
    traceparent: record.tp,
    effectiveFrom: timestamp,
  });
  state.changes.textChars += record.p.length + record.d.length;
  state.inherit(slot, underWay);
  armAnew(state, slot, timestamp, state.decided.of(record.id, timestamp), 1);
  state.emit({ type: 'created', namespace: target.namespace, task: record.id, at: timestamp });
  return answered(state, slot, 'created', timestamp);
}

function redefine(
  state: ShardState,
  slot: number,
  record: CreateRecord,
  bodyHash: readonly [number, number, number, number],
  timestamp: number,
): Answer {
  const { namespace } = state.targetOf(slot);
  retarget(state, slot, record.t);
  if (!sameButSlot(state.scheduleOf(slot), record.s))
    reschedule(state, slot, withKeptSlot(state, slot, record.s, timestamp), timestamp);
  rebody(state, slot, record.p, record.d, bodyHash);
  state.emit({ type: 'updated', namespace, task: record.id, at: timestamp });
  return answered(state, slot, 'updated', timestamp);
}

/** A schedule without any fire up to the year 9999 ends its task. */
function answered(state: ShardState, slot: number, status: 'created' | 'updated', timestamp: number): Answer {
  const next = nextFires(state, slot);
  state.endIfOver(slot, timestamp);
  return { ok: true, status, next };
}

export function applyUpdate(state: ShardState, record: UpdateRecord, timestamp: number): Answer {
  const slot = liveSlot(state, record.id, record.ns);
  if (slot < 0) return notFound();
  if (state.recent.has(record.m)) return { ok: true, status: 'unchanged', next: nextFires(state, slot) };
  const refusal = record.s === undefined ? undefined : refuseUnknown(state, record.s);
  if (refusal !== undefined) return refusal;
  state.remember(record.m, timestamp);
  const target = state.targetOf(slot);
  if (record.t !== undefined) retarget(state, slot, encodeTarget(changedTarget(target, record.t)));
  if (record.s !== undefined && !sameButSlot(state.scheduleOf(slot), record.s)) {
    reschedule(state, slot, withKeptSlot(state, slot, record.s, timestamp), timestamp);
  }
  if (record.p !== undefined || record.d !== undefined)
    rebody(state, slot, record.p, record.d, changedHash(state, slot, record));
  state.emit({ type: 'updated', namespace: target.namespace, task: record.id, at: timestamp });
  return answered(state, slot, 'updated', timestamp);
}

function changedHash({ table }: ShardState, slot: number, { p, d }: UpdateRecord): Row['bodyHash'] {
  if (!table.has(slot, FLAG_KEYED)) return NO_HASH;
  const [a, b, c, e] = table.bodyHash.subarray(slot * 4, slot * 4 + 4) as unknown as Row['bodyHash'];
  const payload = p === undefined ? ([a, b] as const) : hash64(p);
  const metadata = d === undefined ? ([c, e] as const) : hash64(d);
  return [...payload, ...metadata];
}

function changedTarget(target: Target, change: NonNullable<UpdateRecord['t']>): Target {
  return {
    namespace: target.namespace,
    queue: change.queue ?? target.queue,
    handler: change.handler ?? target.handler,
    priority: change.priority ?? target.priority,
    retry: change.retry ?? target.retry,
    timeoutMs: change.timeoutMs ?? target.timeoutMs,
    precision: change.precision ?? target.precision,
    catchUp: change.catchUp ?? target.catchUp,
  };
}

/** Moves a task to another target, and its executions from their next attempt on: those that wait for it in the backlog at once. */
function retarget(state: ShardState, slot: number, text: string): void {
  const { table, interned } = state;
  if (interned.targets.text(table.target[slot] as number) === text) return;
  const due = state.isInBacklog(slot);
  const pointer = state.pointerOf(slot);
  if (due) {
    state.disarm(slot);
    state.ledger.expected--; // the wheel hands it out again
  }
  const ref = interned.targets.take(text);
  interned.targets.release(table.target[slot] as number);
  table.target[slot] = ref;
  if (due) state.arm(slot, pointer);
  for (const execution of state.bySlot.get(slot) ?? []) if (execution.state === 'pending') state.enqueue(execution);
  const target = interned.targets.get(ref);
  const { queue, handler } = target;
  if (table.has(slot, FLAG_STORED)) Object.assign(state.patch(slot), { queue, handler, target: text });
  else Object.assign(insertOf(state, slot), { queue, handler, target: text });
}

/** Another schedule with the same window keeps the minute that was chosen in it. */
function withKeptSlot(state: ShardState, slot: number, text: string, timestamp: number): string {
  const { schedules } = state.interned;
  if (!text.startsWith('s') || !state.isRecurring(slot)) return text;
  const before = schedules.get(state.table.scheduleOf(slot)).schedule;
  const ref = schedules.take(text);
  const after = schedules.get(ref).schedule;
  schedules.release(ref);
  if (before.kind !== 'composed' || after.kind !== 'composed') return text;
  const [{ between: was, zone, slot: minute }, { between: is }] = [before.parts, after.parts];
  const same = was !== undefined && was.from === is?.from && was.to === is.to && zone === after.parts.zone;
  return same && minute !== undefined ? withSlot(after, minute, { nowMs: timestamp }).canonical : text;
}

/**
 * Gives a task another schedule. Fires of a recurring task that are due by then run all the same, the latest of very many; the one fire of a
 * one-time task moves, if it has not been dispatched.
 */
function reschedule(state: ShardState, slot: number, text: string, timestamp: number): void {
  const { table } = state;
  if (state.isRecurring(slot)) enqueueAtChange(state, slot, timestamp, 1);
  const decided = decidedAhead(state, slot, timestamp);
  withdraw(state, slot, timestamp, undefined);
  state.noteLife(slot, 'rescheduled', timestamp);
  state.disarm(slot);
  state.changeSchedule(slot, text);
  const change = { schedule: text, effectiveFrom: timestamp };
  if (table.has(slot, FLAG_STORED)) Object.assign(state.patch(slot), change);
  else Object.assign(insertOf(state, slot), change);
  armAnew(state, slot, timestamp, decided, 1);
  if (state.isRecurring(slot)) return;
  if (table.state[slot] === TASK_HELD) state.storePointer(slot, NEVER_MS);
  else if (table.has(slot, FLAG_POINTER)) state.storePointer(slot, undefined);
}

function rebody(
  state: ShardState,
  slot: number,
  payload: string | undefined,
  metadata: string | undefined,
  bodyHash: readonly [number, number, number, number],
): void {
  state.table.bodyHash.set(bodyHash, slot * 4);
  const change = {
    bodyHash,
    ...(payload === undefined ? {} : { payload }),
    ...(metadata === undefined ? {} : { metadata }),
  };
  state.changes.textChars += (payload?.length ?? 0) + (metadata?.length ?? 0);
  if (state.table.has(slot, FLAG_STORED)) Object.assign(state.patch(slot), change);
  else Object.assign(insertOf(state, slot), change);
}

/** The row that waits for its first checkpoint (C1). */
function insertOf(state: ShardState, slot: number): object {
  const row = state.changes.inserts.get(state.table.idOf(slot));
  if (row === undefined) throw new Error('C1: a task that is not stored has no insert');
  return row;
}

/** Executions that wait are cancelled with the task; those in workers' hands run on and are named in the answer. */
export function applyCancel(state: ShardState, record: CancelRecord, timestamp: number): Answer {
  const slot = state.table.find(record.id);
  if (slot < 0 || state.targetOf(slot).namespace !== record.ns) return notFound();
  if (!state.recent.has(record.m)) {
    state.remember(record.m, timestamp);
    if (state.table.state[slot] !== TASK_ENDED) cancel(state, slot, timestamp);
  }
  const executions = state.bySlot.get(slot) ?? [];
  const running = executions.filter(({ cancelledAt }) => cancelledAt !== undefined).map(({ id }) => id);
  return { ok: true, status: 'cancelled', running };
}

function cancel(state: ShardState, slot: number, timestamp: number): void {
  const { namespace } = state.targetOf(slot);
  const executions = [...(state.bySlot.get(slot) ?? [])];
  const dropped = executions.filter(
    ({ attempts, dispatchedAt }) => attempts.length === 0 && dispatchedAt === undefined,
  );
  decidedAhead(state, slot, timestamp, new Set(dropped.map(({ scheduledAt }) => scheduledAt)));
  withdraw(state, slot, timestamp, timestamp);
  state.endTask(slot, 'cancelled', timestamp);
  state.emit({ type: 'cancelled', namespace, task: state.table.idOf(slot), at: timestamp });
  for (const execution of executions) {
    // In a replay, one that waits may have been dispatched before the cancel: the end of the replay tells.
    if (execution.state === 'dispatched' || execution.state === 'adrift' || state.doubts !== undefined) {
      execution.cancelledAt ??= timestamp;
      state.changes.active.add(execution);
    } else {
      closeAs(state, execution, 'cancelled', timestamp);
    }
  }
}

/** The slot of a task that is neither ended nor another namespace's. */
function liveSlot(state: ShardState, id: string, namespace: string): number {
  const slot = state.table.find(id);
  if (slot < 0 || state.table.state[slot] === TASK_ENDED) return -1;
  return state.targetOf(slot).namespace === namespace ? slot : -1;
}

function notFound(): Answer {
  return { ok: false, error: wireError('not_found', 'no task of this id or key') };
}
