import type { Answer, CalendarRecord } from '@belfry/protocol';
import type { ShardState } from './state.ts';

/** How schedules name a calendar of a namespace. */
export function qualifiedName(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

/**
 * Takes a calendar. Gateways that set the same one at the same time may come to the shards in different orders: the version decides, so that
 * all shards end with the same.
 */
export function applyCalendar(state: ShardState, record: CalendarRecord, timestamp: number): Answer {
  const { ns: namespace, name, v: version, d: definition } = record;
  const known = state.calendars.get(qualifiedName(namespace, name));
  if (state.recent.has(record.m)) return answered('repeated', known?.version ?? 0, 0);
  state.remember(record.m, timestamp);
  if (known !== undefined && known.version >= version) {
    const same = known.version === version && known.definition === definition;
    return answered(same ? 'set' : 'superseded', known.version, 0);
  }
  const row = { namespace, name, version, definition, setAt: timestamp };
  state.calendars.set(qualifiedName(namespace, name), row);
  state.changes.calendars.set(qualifiedName(namespace, name), row);
  return answered('set', version, 0);
}

function answered(outcome: 'set' | 'repeated' | 'superseded', version: number, rearmed: number): Answer {
  return { ok: true, status: 'calendar', outcome, version, rearmed };
}
