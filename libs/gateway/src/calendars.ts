import {
  isDeeperThan,
  isObject,
  LIMITS,
  wireError,
  type Answer,
  type CalendarListReply,
  type CalendarRecord,
  type CalendarSetReply,
  type CalendarSummary,
  type CalendarView,
  type Json,
  type Reply,
} from '@belfry/protocol';
import type { CalendarRow, Queries } from '@belfry/ports';
import { parseCalendar, type Calendar, type CalendarSource } from '@belfry/timing';

import { hashOfCommand } from './creates.ts';
import { commandIdOf, nameOf, objectOf, Refused, refuse } from './fields.ts';
import { iso } from './views.ts';

/** Versions are the gateways' clocks in steps that leave room for an order within a millisecond. */
const VERSIONS_A_MS = 1_024;
/** How often a calendar is set again when others set it at the same time. */
const ATTEMPTS = 5;

export interface CalendarsOptions {
  readonly clock: { now(): number };
  /** Sends one record to every shard; resolves with their answers. @throws Refused when no room is left */
  readonly toAllShards: (record: Omit<CalendarRecord, 'c'>, bytes: number) => Promise<readonly Answer[]>;
  /** Reads what is stored. @throws Refused when that cannot be done now */
  readonly stored: (namespace: string) => ReturnType<Queries['calendars']>;
}

/**
 * The operations on calendars.
 *
 * A calendar stands in every shard's inbox, since each derives its tasks' fires from its own log. That is no transaction: while a calendar is
 * being set, some shards have it and others don't yet.
 *
 * A1. `set` is answered with success once all shards have applied this definition, or had applied this command before.
 * A2. When gateways set one calendar at the same time, the greatest version wins in every shard; who was overtaken in some shard tries again
 *     with a greater one, so that all shards end with one definition.
 */
export class Calendars {
  readonly #options: CalendarsOptions;

  constructor(options: CalendarsOptions) {
    this.#options = options;
  }

  /** `{"name", "calendar", "commandId"?}`. @throws Refused */
  async set(value: unknown, namespace: string): Promise<Reply<CalendarSetReply>> {
    const fields = objectOf(value, ['name', 'calendar', 'commandId']);
    const name = nameOf(fields['name'], 'name');
    const definition = definitionOf(fields['calendar']);
    const commandId = commandIdOf(fields['commandId']);
    let atLeast = this.#options.clock.now() * VERSIONS_A_MS;
    let rearmed = 0;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const m = hashOfCommand(namespace, 'calendars.set', commandId, `${name}.${attempt}`);
      const record = {
        k: 'calendar',
        m,
        ns: namespace,
        name,
        v: atLeast + (m % VERSIONS_A_MS),
        d: definition,
      } as const;
      const answers = await this.#options.toAllShards(record, Buffer.byteLength(definition));
      const verdict = judge(answers);
      if ('error' in verdict) return verdict;
      rearmed += verdict.rearmed;
      const { version } = verdict;
      if (verdict.outcome !== 'again') return { name, status: verdict.outcome, version, rearmed };
      atLeast = version + VERSIONS_A_MS; // A2
    }
    return {
      error: wireError('overloaded', 'others set this calendar at the same time; try again with the same commandId'),
    };
  }

  /** `{"name"}`. @throws Refused */
  async get(value: unknown, namespace: string): Promise<Reply<CalendarView>> {
    const name = nameOf(objectOf(value, ['name'])['name'], 'name');
    const { items, asOf } = await this.#options.stored(namespace);
    const row = items.find((item) => item.name === name);
    if (row === undefined) return { error: wireError('not_found', 'no calendar of this name', 'name') };
    const { version, setAt, definition } = row;
    return { name, calendar: JSON.parse(definition) as Json, version, setAt: iso(setAt), asOf: iso(asOf) };
  }

  /** All of the namespace, without their definitions. @throws Refused */
  async list(value: unknown, namespace: string): Promise<CalendarListReply> {
    objectOf(value, []);
    const { items, asOf } = await this.#options.stored(namespace);
    return { items: items.map(summary), asOf: iso(asOf) };
  }
}

/** The definition as it is stored. @throws Refused */
function definitionOf(value: unknown): string {
  if (value === undefined) refuse('missing_field', 'is required', 'calendar');
  if (!isObject(value)) refuse('invalid_field', 'must be an object such as {"exclude": ["12-25"]}', 'calendar');
  if (isDeeperThan(value, LIMITS.jsonDepth))
    refuse('too_large', `more than ${LIMITS.jsonDepth} levels of arrays and objects`, 'calendar');
  const text = JSON.stringify(value);
  const bytes = Buffer.byteLength(text);
  if (bytes > LIMITS.calendarBytes)
    refuse('too_large', `${bytes} bytes; the limit is ${LIMITS.calendarBytes}`, 'calendar');
  const reading = parseCalendar(value);
  if (reading.ok) return text;
  const { path, message } = reading.error;
  const code = path === 'timezone' ? 'invalid_timezone' : 'invalid_field';
  throw new Refused(wireError(code, message, path === '' ? 'calendar' : `calendar.${path}`));
}

/** The calendars of a namespace by the names that canonical schedules have for them; each is read when it is asked for. */
export function sourceOf(rows: readonly CalendarRow[]): CalendarSource {
  const byName = new Map(rows.map((row) => [`${row.namespace}/${row.name}`, row]));
  const known = new Map<string, Calendar | undefined>();
  return (name) => {
    if (!known.has(name)) {
      const row = byName.get(name);
      const reading = row === undefined ? undefined : parseCalendar(JSON.parse(row.definition));
      known.set(name, reading?.ok === true ? reading.calendar : undefined);
    }
    return known.get(name);
  };
}

type Verdict =
  | { readonly outcome: 'set' | 'unchanged' | 'again'; readonly version: number; readonly rearmed: number }
  | { readonly error: NonNullable<Extract<Answer, { ok: false }>['error']> };

function judge(answers: readonly Answer[]): Verdict {
  let [version, rearmed, repeated] = [0, 0, 0];
  const versions = new Set<number>();
  let superseded = false;
  for (const answer of answers) {
    if (!answer.ok) return { error: answer.error };
    if (answer.status !== 'calendar')
      return { error: wireError('internal', `a shard answered ${answer.status} to a calendar`) };
    version = Math.max(version, answer.version);
    versions.add(answer.version);
    rearmed += answer.rearmed;
    if (answer.outcome === 'repeated') repeated++;
    superseded ||= answer.outcome === 'superseded';
  }
  // A command that all shards had applied is done, whatever was set since.
  if (repeated === answers.length) return { outcome: 'unchanged', version, rearmed };
  return { outcome: superseded || versions.size > 1 ? 'again' : 'set', version, rearmed };
}

function summary({ name, version, setAt, definition }: CalendarRow): CalendarSummary {
  const { exclude, include } = JSON.parse(definition) as { exclude?: unknown[]; include?: unknown[] };
  return { name, rules: (exclude?.length ?? 0) + (include?.length ?? 0), version, setAt: iso(setAt) };
}
