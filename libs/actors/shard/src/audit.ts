import { LIMITS } from '@belfry/protocol';
import { NEVER_MS, type ShardState } from './state.ts';
import { TASK_ENDED, TASK_FREE, TASK_HELD, TASK_WAITING } from './task-table.ts';

/** Where a task stands whose fire is missing. */
export const MISPLACES = {
  overdue: 'its timer is in the wheel, which has passed it',
  'no timer': 'it waits for its fire, and is in no place of the wheel',
  'no line': 'it is due, and in no line of the backlog',
  'passed over': 'it waits for a later fire than its schedule says',
  idle: 'it waits for nothing, though its schedule has a fire',
} as const;

export type Misplace = keyof typeof MISPLACES;

/** A fire that nothing will run. */
export interface MissedFire {
  readonly task: string;
  readonly scheduledAt: number;
  readonly place: Misplace;
}

export interface Audit {
  /** Where the next call goes on; 0 when every task has been looked at. */
  readonly next: number;
  /** Slots that were looked at; 0 while the wheel is not empty of what is due: then nothing can be said. */
  readonly looked: number;
  /** What was not found before. */
  readonly found: readonly MissedFire[];
}

/**
 * Looks whether the next fire of each task is where it should be, for up to `limit` slots from `from` on: by its schedule and its place,
 * not by anything that was counted. So it finds what a fault has dropped, whatever the fault counted. Each missing fire is told and counted once.
 *
 * A fire that is passed over is found as long as it lies more than `LIMITS.clockSlackMs` ahead: nearer ones may have been proven.
 */
export function audit(state: ShardState, from: number, limit: number): Audit {
  if (state.doubts !== undefined || state.emptiedTo === -Infinity) return { next: from, looked: 0, found: [] };
  const end = Math.min(from + limit, state.table.used);
  const found: MissedFire[] = [];
  for (let slot = from; slot < end; slot++) {
    const place = state.table.state[slot];
    if (place === TASK_FREE || place === TASK_ENDED) continue;
    const fault = faultOf(state, slot);
    if (fault === undefined) continue;
    const missed = { task: state.table.idOf(slot), ...fault };
    if (state.ledger.miss(missed)) found.push(missed);
  }
  return { next: end < state.table.used ? end : 0, looked: Math.max(0, end - from), found };
}

type Fault = Omit<MissedFire, 'task'>;

function faultOf(state: ShardState, slot: number): Fault | undefined {
  const { table, wheel } = state;
  const place = table.state[slot];
  if (place === TASK_HELD) return idleFault(state, slot);
  const scheduledAt = wheel.dueOf(slot);
  if (place !== TASK_WAITING) return wheel.lists.isFree(slot) ? { scheduledAt, place: 'no line' } : undefined;
  if (!wheel.has(slot) || wheel.lists.isFree(slot)) return { scheduledAt, place: 'no timer' };
  if (scheduledAt <= state.emptiedTo) return { scheduledAt, place: 'overdue' };
  const toldMs = firstTold(state, slot);
  return scheduledAt > toldMs ? { scheduledAt: toldMs, place: 'passed over' } : undefined;
}

function idleFault(state: ShardState, slot: number): Fault | undefined {
  // The fire of a one-time task is either under way, or the task has ended.
  const toldMs = state.isRecurring(slot) || !state.bySlot.has(slot) ? firstTold(state, slot) : Infinity;
  return toldMs < NEVER_MS ? { scheduledAt: toldMs, place: 'idle' } : undefined;
}

/** The fire that a task must not have passed. */
function firstTold(state: ShardState, slot: number): number {
  if (!state.isRecurring(slot)) return state.table.atOf(slot);
  const fromMs = Math.max(state.watermark, state.emptiedTo) + LIMITS.clockSlackMs;
  return state.wheel.dueOf(slot) <= fromMs && state.table.state[slot] === TASK_WAITING
    ? Infinity
    : state.nextAfter(slot, fromMs);
}
