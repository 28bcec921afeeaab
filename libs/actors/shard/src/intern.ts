import { decodeTarget, PRECISIONS, type Target } from '@belfry/protocol';
import {
  isUniform,
  nextFire,
  parseCalendar,
  parseCanonical,
  type Calendar,
  type CalendarSource,
  type Schedule,
} from '@belfry/timing';
import type { Lane } from './backlog.ts';

/**
 * Texts that many tasks share, kept once per process, with a count of their users.
 *
 * N1. A reference stays valid until its users have released it as often as they took it.
 */
class Pool<T> {
  readonly #refs = new Map<string, number>();
  readonly #values: (T | undefined)[] = [];
  readonly #texts: string[] = [];
  readonly #users: number[] = [];
  readonly #free: number[] = [];
  readonly #parse: (text: string) => T;
  /** What was taken last: users come in runs. */
  #lastText: string | undefined;
  #lastRef = 0;

  constructor(parse: (text: string) => T) {
    this.#parse = parse;
  }

  /** The reference of `text`; counts one more user. Throws what parsing throws. */
  take(text: string): number {
    const known = text === this.#lastText ? this.#lastRef : this.#refs.get(text);
    if (known !== undefined) {
      this.#users[known] = (this.#users[known] as number) + 1;
      this.#lastText = text;
      this.#lastRef = known;
      return known;
    }
    const value = this.#parse(text);
    const ref = this.#free.pop() ?? this.#values.length;
    this.#values[ref] = value;
    this.#texts[ref] = text;
    this.#users[ref] = 1;
    this.#refs.set(text, ref);
    return ref;
  }

  release(ref: number): void {
    const users = (this.#users[ref] as number) - 1;
    this.#users[ref] = users;
    if (users > 0) return;
    if (ref === this.#lastRef) this.#lastText = undefined;
    this.#refs.delete(this.#texts[ref] as string);
    this.#values[ref] = undefined;
    this.#texts[ref] = '';
    this.#free.push(ref);
  }

  get(ref: number): T {
    return this.#values[ref] as T;
  }

  text(ref: number): string {
    return this.#texts[ref] as string;
  }

  get size(): number {
    return this.#refs.size;
  }
}

/** A schedule with its last answer: tasks that share it mostly ask the same question. */
class SharedSchedule {
  readonly schedule: Schedule;
  /** Names of the calendars that it leaves to whoever asks, qualified. */
  readonly calendars: readonly string[];
  readonly #isUniform: boolean;
  #asked: (Calendar | undefined)[] = [];
  #after = NaN;
  #next = NaN;

  constructor(schedule: Schedule) {
    this.schedule = schedule;
    this.calendars = schedule.kind === 'composed' ? schedule.parts.calendars : [];
    this.#isUniform = isUniform(schedule);
  }

  /** `createdMs` and `seed` are the task's, as in `TaskContext`; the calendars are those of its shard. */
  next(afterMs: number, createdMs: number, seed: number, calendars: CalendarSource): number {
    const { schedule } = this;
    if (schedule.kind === 'every') return schedule.next(afterMs, createdMs);
    if (!this.#isUniform) return nextFire(schedule, afterMs, { createdMs, seed, calendars });
    if (this.calendars.length > 0) this.#compare(calendars);
    if (afterMs !== this.#after && !(afterMs > this.#after && afterMs < this.#next)) {
      this.#next = nextFire(schedule, afterMs, { createdMs, seed, calendars });
      this.#after = afterMs;
    }
    return this.#next;
  }

  /** Forgets the last answer when it was given by other calendars: those of one name change, and differ from shard to shard meanwhile. */
  #compare(source: CalendarSource): void {
    this.calendars.forEach((name, at) => {
      const calendar = source(name);
      if (calendar === this.#asked[at]) return;
      this.#asked[at] = calendar;
      this.#after = NaN;
    });
  }
}

/** What a target means to a shard. */
export interface SharedTarget extends Target {
  /** Names the queue within the installation. */
  readonly queueKey: string;
  /** The line of punctual fires of its precision. */
  readonly lane: Lane;
}

/** One per process, shared by its shards: it holds nothing but what their texts say. */
export class Interned {
  /** Of recurring tasks. */
  readonly schedules = new Pool<SharedSchedule>((text) => new SharedSchedule(parseCanonical(text)));
  /** By definition. */
  readonly calendars = new Pool<Calendar>((text) => {
    const reading = parseCalendar(JSON.parse(text));
    if (!reading.ok) throw new Error(`not a calendar: ${reading.error.path}: ${reading.error.message}`);
    return reading.calendar;
  });
  readonly targets = new Pool<SharedTarget>((text) => {
    const target = decodeTarget(text);
    return {
      ...target,
      queueKey: queueKey(target.namespace, target.queue),
      lane: PRECISIONS.indexOf(target.precision) as Lane,
    };
  });
}

export function queueKey(namespace: string, queue: string): string {
  return `${namespace}.${queue}`;
}
