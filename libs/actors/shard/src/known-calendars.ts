import type { CalendarRow } from '@belfry/ports';
import type { Calendar, CalendarSource } from '@belfry/timing';
import type { Interned } from './intern.ts';

interface KnownCalendar {
  readonly row: CalendarRow;
  /** Of the pool of definitions: shards with the same one share what was read of it. */
  readonly ref: number;
  readonly calendar: Calendar;
}

/** How schedules name a calendar of a namespace. */
export function qualifiedName(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

/** The calendars that a shard knows, by qualified name. */
export class KnownCalendars {
  readonly #interned: Interned;
  readonly #known = new Map<string, KnownCalendar>();
  /** What is not known excludes nothing. */
  readonly source: CalendarSource = (name) => this.#known.get(name)?.calendar;

  constructor(interned: Interned) {
    this.#interned = interned;
  }

  /** The calendars as they are now, for whoever asks later. */
  frozen(names: readonly string[]): CalendarSource {
    if (names.length === 0) return NO_CALENDARS;
    const now = new Map(names.map((name) => [name, this.source(name)]));
    return (name) => now.get(name);
  }

  rowOf(name: string): CalendarRow | undefined {
    return this.#known.get(name)?.row;
  }

  countOf(namespace: string): number {
    let count = 0;
    for (const { row } of this.#known.values()) if (row.namespace === namespace) count++;
    return count;
  }

  /** Throws for a definition that cannot be read: it was checked before it was stored. */
  set(row: CalendarRow): void {
    const name = qualifiedName(row.namespace, row.name);
    const ref = this.#interned.calendars.take(row.definition);
    const before = this.#known.get(name);
    this.#known.set(name, { row, ref, calendar: this.#interned.calendars.get(ref) });
    if (before !== undefined) this.#interned.calendars.release(before.ref);
  }

  /** A line per calendar, by name. */
  print(): string[] {
    const names = [...this.#known.keys()].sort();
    return names.map((name) => `calendar ${name} ${this.rowOf(name)?.version} ${this.rowOf(name)?.definition}`);
  }
}

const NO_CALENDARS: CalendarSource = () => undefined;
