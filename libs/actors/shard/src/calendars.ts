import { LIMITS, wireError, type Answer, type CalendarRecord } from '@belfry/protocol';
import type { CalendarRow } from '@belfry/ports';
import { parseCalendar } from '@belfry/timing';
import { qualifiedName } from './known-calendars.ts';
import { decidedAhead, type Decided } from './decided.ts';
import { armAnew, enqueueAtChange } from './proofs.ts';
import { withdraw } from './skips.ts';
import type { ShardState } from './state.ts';
import { TASK_ENDED, TASK_FREE } from './task-table.ts';

/**
 * Takes a calendar, and arms the tasks anew whose schedules name it. Gateways that set the same one at the same time may come to the shards in
 * different orders: the version decides, so that all shards end with the same.
 */
export function applyCalendar(state: ShardState, record: CalendarRecord, timestamp: number): Answer {
  const { ns: namespace, name, v: version, d: definition } = record;
  const known = state.calendars.rowOf(qualifiedName(namespace, name));
  if (state.recent.has(record.m)) return answered('repeated', known?.version ?? 0, 0);
  if (known !== undefined && known.version >= version) {
    const same = known.version === version && known.definition === definition;
    // Not remembered: whoever sends it again must learn the same.
    return answered(same ? 'set' : 'superseded', known.version, 0);
  }
  const refusal = whyNot(state, record, known === undefined);
  if (refusal !== undefined) return refusal;
  state.remember(record.m, timestamp);
  const row = { namespace, name, version, definition, setAt: timestamp };
  state.changes.calendars.set(qualifiedName(namespace, name), row);
  if (known?.definition !== definition) return answered('set', version, change(state, row, timestamp));
  state.calendars.set(row);
  return answered('set', version, 0);
}

function whyNot(state: ShardState, { ns, d }: CalendarRecord, isNew: boolean): Answer | undefined {
  if (isNew && state.calendars.countOf(ns) >= LIMITS.calendars)
    return { ok: false, error: wireError('overloaded', `the namespace has ${LIMITS.calendars} calendars`, 'name') };
  // The gateway has checked it: one that cannot be read here is of a newer version.
  const reading = parseCalendar(JSON.parse(d));
  if (reading.ok) return undefined;
  return {
    ok: false,
    error: wireError('unsupported', `no calendar that this shard can read: ${reading.error.message}`),
  };
}

/**
 * Fires that are due by then run all the same, the latest of very many, as when a task gets another schedule; those to come are told by the
 * new definition. Returns the number of tasks that wait for their fires anew.
 */
function change(state: ShardState, row: CalendarRow, timestamp: number): number {
  const slots = slotsNaming(state, qualifiedName(row.namespace, row.name));
  const decided = slots.map((slot) => {
    enqueueAtChange(state, slot, timestamp, slots.length);
    const ahead = decidedAhead(state, slot, timestamp);
    withdraw(state, slot, timestamp, undefined);
    return ahead;
  });
  state.calendars.set(row);
  slots.forEach((slot, at) => {
    state.disarm(slot);
    armAnew(state, slot, timestamp, decided[at] as Decided, slots.length);
    state.endIfOver(slot, timestamp);
  });
  return slots.length;
}

function slotsNaming(state: ShardState, name: string): number[] {
  const { table } = state;
  const slots: number[] = [];
  for (let slot = 0; slot < table.capacity; slot++) {
    const place = table.state[slot];
    if (place === TASK_FREE || place === TASK_ENDED || !state.isRecurring(slot)) continue;
    if (state.calendarsOf(slot).includes(name)) slots.push(slot);
  }
  return slots;
}

/** A schedule that names a calendar which the shard does not know is refused; the gateway puts the name's place for it. */
export function refuseUnknown(state: ShardState, schedule: string): Answer | undefined {
  if (!schedule.startsWith('s')) return undefined;
  const { schedules } = state.interned;
  const ref = schedules.take(schedule);
  const unknown = schedules.get(ref).calendars.find((name) => state.calendars.rowOf(name) === undefined);
  schedules.release(ref);
  if (unknown === undefined) return undefined;
  const name = unknown.slice(unknown.indexOf('/') + 1);
  return { ok: false, error: wireError('not_found', `no calendar ${name} in this namespace`, `calendars.${name}`) };
}

function answered(outcome: 'set' | 'repeated' | 'superseded', version: number, rearmed: number): Answer {
  return { ok: true, status: 'calendar', outcome, version, rearmed };
}
