import type { Reason, ScheduleFields } from '@belfry/protocol';
import {
  explainFire,
  localText,
  nextFire,
  parseSchedule,
  zoneOf,
  type CalendarSource,
  type Schedule,
} from '@belfry/timing';

import { span } from './explain-run.ts';
import type { Fires, Period } from './task-life.ts';
import { iso, scheduleFields } from './views.ts';

/** What of a schedule may keep a fire away, and the schedule without it. */
const RESTRICTIONS: readonly {
  readonly code: string;
  readonly without: (fields: ScheduleFields) => ScheduleFields | undefined;
  readonly text: (fields: ScheduleFields) => string;
}[] = [
  {
    code: 'before_start',
    without: ({ startAt, ...rest }) => (startAt === undefined ? undefined : rest),
    text: ({ startAt }) => `its schedule starts at ${String(startAt)}`,
  },
  {
    code: 'after_end',
    without: ({ endAt, ...rest }) => (endAt === undefined ? undefined : rest),
    text: ({ endAt }) => `its schedule ended at ${String(endAt)}`,
  },
  {
    code: 'limit',
    without: ({ limit, ...rest }) => (limit === undefined ? undefined : rest),
    text: ({ limit }) => `its schedule is limited to ${limit} fires, which lie before`,
  },
  {
    code: 'calendar',
    without: ({ calendars, onExcluded: _, ...rest }) => (calendars === undefined ? undefined : rest),
    text: ({ calendars, onExcluded }) =>
      `excluded by the calendars of its schedule (${(calendars ?? []).join(', ')})${onExcluded === 'next' ? ': moved to the next instant that they allow' : ''}`,
  },
  {
    code: 'fold',
    without: ({ fold, ...rest }) => (fold === 'both' ? undefined : { ...rest, fold: 'both' }),
    text: () => 'that wall time occurs twice on that day, and the fire is that of the other pass',
  },
  {
    code: 'jitter',
    without: ({ jitter, ...rest }) => (jitter === undefined ? undefined : rest),
    text: ({ jitter }) => `its fires are moved by an amount of its own of up to ${String(jitter)}`,
  },
];

export interface AbsenceInput {
  readonly periods: readonly Period[];
  readonly fires: Fires;
  readonly calendars: CalendarSource;
  readonly namespace: string;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Absence {
  readonly reasons: readonly Reason[];
  readonly previousMs: number | undefined;
  readonly nextMs: number | undefined;
}

/** Why a task has no fire in [fromMs, toMs]: by the first of what keeps it away, without which it had one. */
export function explainAbsence(input: AbsenceInput): Absence {
  const { periods, fires, fromMs, toMs } = input;
  const previous = periods.map((period) => fires.before(period, fromMs)).filter((ms) => ms !== undefined);
  const next = periods
    .map((period) => ({ period, ms: fires.after(period, toMs) }))
    .filter(({ period, ms }) => ms <= period.toMs && ms < Infinity);
  return {
    reasons: reasonsOf(input),
    previousMs: previous.length === 0 ? undefined : Math.max(...previous),
    nextMs: next.length === 0 ? undefined : Math.min(...next.map(({ ms }) => ms)),
  };
}

function reasonsOf({ periods, fires, namespace, fromMs, toMs }: AbsenceInput): Reason[] {
  const [first] = periods;
  if (first === undefined) return [{ code: 'not_recorded', text: 'what its schedule was is not recorded' }];
  if (toMs < first.createdMs) return [{ code: 'before_creation', text: 'it was made later', at: iso(first.createdMs) }];
  const then = periods.findLast((period) => period.fromMs <= toMs) ?? first;
  if (then.toMs < fromMs) return [ended(then, periods)];
  const { schedule } = then;
  if (schedule === undefined)
    return [{ code: 'unknown_zone', text: 'this machine does not know the time zone of its schedule' }];
  if (schedule.kind === 'at') {
    const at = iso(fires.after(then, -1));
    return [{ code: 'once', text: 'it is a one-time task of another instant', at }];
  }
  const reason = restriction(then, schedule, { fires, namespace, fromMs, toMs });
  if (reason !== undefined) return [reason];
  if (fires.after({ ...then, fromMs: -Infinity }, fromMs - 1) <= Math.min(toMs, then.fromMs))
    return [{ code: 'before_schedule', text: 'it got this schedule later', at: iso(then.fromMs) }];
  return [{ code: 'not_scheduled', text: 'its schedule has no fire then' }];
}

function ended({ end, toMs }: Period, periods: readonly Period[]): Reason {
  const again = periods.find(({ fromMs }) => fromMs > toMs);
  const since = again === undefined ? '' : `, and was made again at ${iso(again.fromMs)}`;
  const how = end === 'cancelled' ? 'it was cancelled' : 'it had finished';
  return {
    code: end === 'cancelled' ? 'cancelled' : 'finished',
    text: `${how} before that${since}`,
    at: iso(toMs),
  };
}

function restriction(
  period: Period,
  schedule: Schedule,
  { fires, namespace, fromMs, toMs }: Pick<AbsenceInput, 'fires' | 'namespace' | 'fromMs' | 'toMs'>,
): Reason | undefined {
  const fields = scheduleFields(schedule.canonical);
  for (const { code, without, text } of RESTRICTIONS) {
    const free = without(fields);
    if (free === undefined) continue;
    const reading = parseSchedule(free, { nowMs: period.createdMs, namespace });
    if (!reading.ok) continue;
    const atMs = nextFire(reading.schedule, Math.max(fromMs - 1, period.fromMs), fires.context(period));
    if (atMs > toMs) continue;
    const movedTo = code === 'jitter' ? fires.after(period, atMs - 1) : Infinity;
    const note = movedTo < Infinity ? `: by ${span(movedTo - atMs)}` : '';
    return { code, text: text(fields) + note };
  }
  return undefined;
}

/** What its schedule says of a fire, for people: its wall clock, and why it is not where the text puts it. */
export function scheduleNotes(period: Period, atMs: number, fires: Fires): { local: string; reasons: Reason[] } {
  const { schedule } = period;
  if (schedule === undefined) return { local: iso(atMs), reasons: [] };
  const notes = explainFire(schedule, atMs, fires.context(period));
  return {
    local: localText(atMs, zoneOf(schedule)),
    reasons: notes.map((text) => ({ code: 'schedule', text })),
  };
}
