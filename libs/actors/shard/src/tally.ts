import { LIMITS } from '@belfry/protocol';
import type { ShardState } from './state.ts';
import { FLAG_ONCE, TASK_ENDED, TASK_FREE } from './task-table.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const HORIZON_MS = 31 * DAY_MS;
/** Task ids of a schedule that was asked for. */
const SHOWN_IDS = 20;

export interface TallyRequest {
  readonly namespace: string;
  readonly fromMs: number;
  /** Canonical texts of which some task ids are wanted, too. */
  readonly idsOf?: readonly string[];
}

export interface TallyResult {
  /** Recurring schedules in canonical form, and how many live tasks have each: those of most tasks first. */
  readonly items: readonly { readonly schedule: string; readonly tasks: number; readonly ids?: readonly string[] }[];
  /** Recurring tasks of schedules that found no room. */
  readonly leftOut: number;
  /** One-time tasks within 31 days, by seconds of the first hour, minutes of the first day, then hours. */
  readonly instants: readonly { readonly atMs: number; readonly tasks: number }[];
}

interface Counted {
  readonly ids: string[] | undefined;
  tasks: number;
}

/** Buckets of one length, from the instant asked about on. */
interface Buckets {
  readonly untilMs: number;
  readonly stepMs: number;
  readonly tasks: Uint32Array;
}

/**
 * What the tasks of a namespace are scheduled by, counted over shards that share their interned texts, in steps as small as one likes.
 *
 * A1. Memory is bounded by the schedules and targets that the process holds anyway, and by the seconds, minutes and hours of 31 days.
 * A2. Between two steps tasks come and go: each is counted as it is when its slot is looked at, at most once.
 * A3. A reference means one text within a step only: `#byRef` is 0 everywhere between two.
 */
export class Tally {
  readonly #request: TallyRequest;
  readonly #idsOf: ReadonlySet<string>;
  readonly #counted = new Map<string, Counted>();
  #byRef = new Uint32Array(1_024);
  readonly #buckets: readonly Buckets[] = [
    { untilMs: HOUR_MS, stepMs: 1_000, tasks: new Uint32Array(3_600) },
    { untilMs: DAY_MS, stepMs: 60_000, tasks: new Uint32Array(1_440) },
    { untilMs: HORIZON_MS, stepMs: HOUR_MS, tasks: new Uint32Array(744) },
  ];

  constructor(request: TallyRequest) {
    this.#request = request;
    this.#idsOf = new Set(request.idsOf);
  }

  /** Looks at `most` slots of a shard from `slot` on. Returns where to go on; undefined when all have been looked at. */
  step(shard: ShardState, slot: number, most: number): number | undefined {
    const { interned, table } = shard;
    const { state, target, flags } = table;
    const end = Math.min(table.used, slot + most);
    const isOurs: (boolean | undefined)[] = [];
    const refs: number[] = [];
    for (let at = slot; at < end; at++) {
      const place = state[at];
      if (place === TASK_FREE || place === TASK_ENDED) continue;
      const of = target[at] as number;
      if (!(isOurs[of] ??= interned.targets.get(of).namespace === this.#request.namespace)) continue;
      if (((flags[at] as number) & FLAG_ONCE) !== 0) {
        this.#countInstant(table.atOf(at));
        continue;
      }
      const ref = table.scheduleOf(at);
      const tasks = this.#byRef[ref] ?? this.#grow(ref);
      if (tasks === 0) refs.push(ref);
      this.#byRef[ref] = tasks + 1;
      if (this.#idsOf.size > 0) this.#keepId(shard, at, ref);
    }
    for (const ref of refs) {
      this.#countedOf(interned.schedules.text(ref)).tasks += this.#byRef[ref] as number;
      this.#byRef[ref] = 0; // A3
    }
    return end < table.used ? end : undefined;
  }

  /** @param chars of all texts and ids together: what does not fit is left out */
  result(chars: number): TallyResult {
    const items: TallyResult['items'][number][] = [];
    let room = chars;
    let leftOut = 0;
    for (const [schedule, { tasks, ids }] of [...this.#counted].sort(([, a], [, b]) => b.tasks - a.tasks)) {
      room -= schedule.length + 40 + (ids === undefined ? 0 : ids.length * 36);
      if (room < 0 || items.length >= LIMITS.forecastSchedules) leftOut += tasks;
      else items.push({ schedule, tasks, ...(ids !== undefined && { ids }) });
    }
    return { items, leftOut, instants: this.#instants() };
  }

  #instants(): TallyResult['instants'] {
    const { fromMs } = this.#request;
    return this.#buckets.flatMap(({ stepMs, tasks }) =>
      [...tasks.entries()]
        .filter(([, count]) => count > 0)
        .map(([at, count]) => ({ atMs: fromMs + at * stepMs, tasks: count })),
    );
  }

  #countInstant(atMs: number): void {
    const ahead = atMs - this.#request.fromMs;
    const bucket = ahead < 0 ? undefined : this.#buckets.find(({ untilMs }) => ahead < untilMs);
    if (bucket === undefined) return;
    const at = Math.floor(ahead / bucket.stepMs);
    bucket.tasks[at] = (bucket.tasks[at] as number) + 1;
  }

  #countedOf(text: string): Counted {
    let counted = this.#counted.get(text);
    if (counted === undefined) {
      counted = { tasks: 0, ids: this.#idsOf.has(text) ? [] : undefined };
      this.#counted.set(text, counted);
    }
    return counted;
  }

  #keepId({ interned, table }: ShardState, slot: number, ref: number): void {
    const text = interned.schedules.text(ref);
    if (!this.#idsOf.has(text)) return;
    const { ids } = this.#countedOf(text);
    if (ids !== undefined && ids.length < SHOWN_IDS) ids.push(table.idOf(slot));
  }

  #grow(ref: number): number {
    const bigger = new Uint32Array(Math.max(ref + 1, this.#byRef.length * 2));
    bigger.set(this.#byRef);
    this.#byRef = bigger;
    return 0;
  }
}
