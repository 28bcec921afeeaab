import type { Execution } from './execution.ts';
import { NEVER_MS, type ShardState } from './state.ts';
import {
  FLAG_CANCELLED,
  FLAG_KEYED,
  FLAG_POINTER,
  TASK_DUE,
  TASK_ENDED,
  TASK_FREE,
  TASK_HELD,
  TASK_LATE,
  TASK_READY,
  TASK_WAITING,
} from './task-table.ts';

/** Throws where an invariant of the state or of one of its parts does not hold. */
export function assertInvariants(state: ShardState): void {
  state.table.assertInvariants();
  state.gaps.assertInvariants();
  for (const slot of slotsOf(state)) assertTask(state, slot);
  assertExecutions(state);
  assertBacklog(state);
}

function* slotsOf({ table }: ShardState): IterableIterator<number> {
  for (let slot = 0; slot < table.capacity; slot++) if (table.state[slot] !== TASK_FREE) yield slot;
}

function assertTask(state: ShardState, slot: number): void {
  const { table, wheel, bySlot } = state;
  const place = table.state[slot];
  const id = table.idOf(slot);
  check(wheel.has(slot) === (place === TASK_WAITING || place === TASK_ENDED), `S1: task ${id} and the wheel`);
  check(wheel.lists.isFree(slot) === (place === TASK_HELD), `S1: task ${id} and its list`);
  check(
    place !== TASK_HELD || bySlot.has(slot) || state.doubts?.has(id) === true || state.calendarsOf(slot).length > 0,
    `S4: task ${id} is held for nothing`,
  );
  if (place === TASK_ENDED || state.changes.lagging.has(slot) || table.has(slot, FLAG_POINTER)) return;
  const pointer = Math.min(state.pointerOf(slot), NEVER_MS);
  if (state.isRecurring(slot)) {
    const told = Math.min(state.nextAfter(slot, state.watermark), NEVER_MS);
    check(pointer > state.watermark && told === pointer, `S5: task ${id} fires at ${pointer}, told is ${told}`);
  } else {
    const at = state.nextAfter(slot, -Infinity);
    const fired = bySlot.get(slot)?.some(({ scheduledAt }) => scheduledAt === at) === true;
    check(pointer === (fired ? NEVER_MS : at), `S5: task ${id} fires at ${pointer}, told is ${fired ? 'never' : at}`);
  }
}

function assertExecutions(state: ShardState): void {
  const { executions, bySlot, table, retries } = state;
  const out = new Map<string, number>();
  const retrying = retries.waiting();
  for (const [id, execution] of executions) {
    const { slot, task, target, cancelledAt } = execution;
    check(execution.id === id && bySlot.get(slot)?.includes(execution) === true, `S3: ${id} is not under its slot`);
    check(table.find(task) === slot, `S3: the task of ${id} is elsewhere`);
    check(execution.state !== 'opened', `S3: ${id} has no place`);
    check((execution.state === 'retrying') === retrying.has(execution), `S3: ${id} and the retries`);
    const mayRun = isWithWorker(execution) || state.doubts !== undefined;
    check(cancelledAt === undefined || mayRun, `S7: ${id} is cancelled and ${execution.state}`);
    if (execution.state === 'dispatched') out.set(target.queueKey, (out.get(target.queueKey) ?? 0) + 1);
  }
  const bySlots = [...bySlot.values()].reduce((sum, { length }) => sum + length, 0);
  check(bySlots === executions.size, `S3: ${executions.size} executions, ${bySlots} by slot`);
  for (const [queue, count] of state.out) check(count === (out.get(queue) ?? 0), `S8: ${count} are out of ${queue}`);
  for (const [queue, count] of out) check(count === state.out.get(queue), `S8: ${count} were found out of ${queue}`);
  const { expected, fired, finished, skipped, withdrawn, missed } = state.ledger;
  check(fired === finished + executions.size, `L2: ${fired} fired, ${finished} finished, ${executions.size} under way`);
  let waiting = 0;
  for (const slot of slotsOf(state)) if (state.isInBacklog(slot)) waiting++;
  check(
    expected === waiting + fired + skipped + withdrawn + missed,
    `L1: expected ${expected}, waiting ${waiting}, fired ${fired}, skipped ${skipped}, withdrawn ${withdrawn}, missed ${missed}`,
  );
}

function isWithWorker({ state }: Execution): boolean {
  return state === 'dispatched' || state === 'adrift';
}

function assertBacklog(state: ShardState): void {
  const lines = new Map<string, { slots: Set<number>[]; executions: Set<Execution> }>();
  const line = ({ queueKey, priority }: Execution['target']) => {
    const name = `${queueKey}/${priority}`;
    const known = lines.get(name) ?? { slots: [0, 1, 2, 3].map(() => new Set<number>()), executions: new Set() };
    lines.set(name, known);
    return known;
  };
  for (const slot of slotsOf(state)) {
    if (state.isInBacklog(slot)) line(state.targetOf(slot)).slots[state.laneOf(slot)]?.add(slot);
  }
  for (const execution of state.executions.values()) {
    if (execution.state === 'pending') line(execution.target).executions.add(execution);
  }
  state.backlog.assertInvariants(lines);
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`shard: ${what}`);
}

const PLACES: Readonly<Record<number, string>> = {
  [TASK_WAITING]: 'waiting',
  [TASK_DUE]: 'due',
  [TASK_LATE]: 'late',
  [TASK_READY]: 'ready',
  [TASK_HELD]: 'held',
  [TASK_ENDED]: 'ended',
};

/** The state as text: a line per task by id, its executions under it, then the backlog by queue and priority. */
export function printState(state: ShardState): string {
  const { table, executions, ledger } = state;
  const lines = [
    `shard ${state.shard}, epoch ${state.epoch}, seq ${state.seq}, watermark ${state.watermark}`,
    `${table.size} tasks, ${executions.size} under way; ${ledger.print(state.backlog.fires)}`,
    ...state.gaps.spans.map(([fromMs, untilMs]) => `nobody watched from ${fromMs}: missed until ${untilMs}`),
  ];
  const slots = [...slotsOf(state)].sort((a, b) => (table.idOf(a) < table.idOf(b) ? -1 : 1));
  for (const slot of slots) {
    lines.push(taskLine(state, slot));
    for (const execution of state.bySlot.get(slot) ?? []) lines.push(`  ${executionLine(execution)}`);
  }
  return [...lines, ...state.calendars.print(), ...state.backlog.print()].join('\n');
}

function taskLine(state: ShardState, slot: number): string {
  const { table, wheel } = state;
  const place = table.state[slot] as number;
  const { queueKey, priority } = state.targetOf(slot);
  return [
    table.idOf(slot),
    place === TASK_ENDED && table.has(slot, FLAG_CANCELLED) ? 'cancelled' : PLACES[place],
    ...(place === TASK_HELD ? [] : [wheel.dueOf(slot)]),
    state.scheduleOf(slot),
    `${queueKey}/${priority}`,
    ...(table.has(slot, FLAG_KEYED) ? ['keyed'] : []),
    ...(table.has(slot, FLAG_POINTER) ? ['pointer'] : []),
  ].join(' ');
}

function executionLine(execution: Execution): string {
  const { scheduledAt, state, attempt, dueAt, attempts, cancelledAt } = execution;
  return [
    `${scheduledAt} ${state}`,
    ...(state === 'retrying' ? [`until ${dueAt}`] : []),
    `attempt ${attempt}`,
    ...(attempts.length === 0 ? [] : [`after ${attempts.map(({ outcome }) => outcome).join(', ')}`]),
    ...(cancelledAt === undefined ? [] : [`cancelled ${cancelledAt}`]),
  ].join(' ');
}
