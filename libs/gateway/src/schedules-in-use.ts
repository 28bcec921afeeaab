import { isObject, LIMITS, wireError, type WireError } from '@belfry/protocol';

import type { Clock, GatewayEnvironment, Log } from './environment.ts';
import { Refused } from './fields.ts';

const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 500;
/** How long shards that have no owner at the moment are waited for. The client waits `LIMITS.answerMs`. */
const PATIENCE_MS = LIMITS.answerMs * 0.6;

/** What the live tasks of a namespace are scheduled by. */
export interface SchedulesInUse {
  /** Recurring ones in canonical form, those of most tasks first, up to `LIMITS.forecastSchedules`. */
  readonly items: readonly { readonly schedule: string; readonly tasks: number; readonly ids: readonly string[] }[];
  /** Recurring tasks of further schedules. */
  readonly leftOut: number;
  /** One-time tasks within 31 days of the instant asked about, put together by seconds of the first hour, minutes of the day, then hours. */
  readonly instants: readonly { readonly atMs: number; readonly tasks: number }[];
  readonly asOf: number;
}

/** A scheduler's answer. */
export interface Part {
  readonly covers: readonly number[];
  readonly items: readonly { readonly schedule: string; readonly tasks: number; readonly ids?: readonly string[] }[];
  readonly instants: readonly { readonly atMs: number; readonly tasks: number }[];
  readonly leftOut: number;
  readonly asOf: number;
}

export interface InUseOptions {
  readonly shards: number;
  readonly askShard: GatewayEnvironment['askShard'];
  readonly clock: Clock;
  readonly log: Log;
  readonly wait: (ms: number) => Promise<void>;
}

/**
 * Asks the schedulers, each of which answers for all shards that it owns: a shard that no answer has covered yet leads to the next one.
 * `idsOf`: canonical texts of which some task ids are wanted, too. @throws Refused
 */
export async function schedulesInUse(
  options: InUseOptions,
  namespace: string,
  fromMs: number,
  idsOf: readonly string[] = [],
): Promise<SchedulesInUse> {
  const { shards, askShard, clock, log, wait } = options;
  const missing = new Set(Array.from({ length: shards }, (_, shard) => shard));
  const sum = new Sum();
  const deadlineMs = clock.monotonic() + PATIENCE_MS;
  let waitMs = FIRST_WAIT_MS;
  while (missing.size > 0) {
    const [shard] = missing as unknown as [number];
    const body = JSON.stringify({ namespace, fromMs: Math.trunc(fromMs), shards: [...missing], idsOf });
    const outcome = await askShard(shard, 'schedules', body);
    const part = outcome.kind === 'ok' ? readPart(outcome.value) : undefined;
    if (outcome.kind === 'ok' && part === undefined) {
      log.error('a scheduler gave an answer that cannot be read', { shard });
      throw new Refused(wireError('unavailable', 'a scheduler cannot tell its schedules; try again later'));
    }
    if (part !== undefined && 'code' in part) throw new Refused(part);
    const covers = part?.covers.filter((covered) => missing.delete(covered)) ?? [];
    if (part !== undefined && covers.length > 0) {
      sum.add(part);
      continue;
    }
    if (clock.monotonic() + waitMs >= deadlineMs)
      throw new Refused(wireError('unavailable', `shard ${shard} does not answer; try again later`));
    await wait(waitMs);
    waitMs = Math.min(LONGEST_WAIT_MS, waitMs * 2);
  }
  return sum.result();
}

class Sum {
  readonly #schedules = new Map<string, { schedule: string; tasks: number; ids: string[] }>();
  readonly #instants = new Map<number, number>();
  #leftOut = 0;
  #asOf = Infinity;

  add({ items, instants, leftOut, asOf }: Part): void {
    for (const { schedule, tasks, ids = [] } of items) {
      const known = this.#schedules.get(schedule);
      if (known === undefined) this.#schedules.set(schedule, { schedule, tasks, ids: [...ids] });
      else {
        known.tasks += tasks;
        known.ids.push(...ids);
      }
    }
    for (const { atMs, tasks } of instants) this.#instants.set(atMs, (this.#instants.get(atMs) ?? 0) + tasks);
    this.#leftOut += leftOut;
    this.#asOf = Math.min(this.#asOf, asOf);
  }

  result(): SchedulesInUse {
    const sorted = [...this.#schedules.values()].sort((a, b) => b.tasks - a.tasks);
    return {
      items: sorted.slice(0, LIMITS.forecastSchedules),
      leftOut: sorted.slice(LIMITS.forecastSchedules).reduce((total, { tasks }) => total + tasks, this.#leftOut),
      instants: [...this.#instants].map(([atMs, tasks]) => ({ atMs, tasks })),
      asOf: this.#asOf,
    };
  }
}

/** The owner is ours, so what it counted is not looked at further; a node of another version may know nothing of the question. */
function readPart(data: Uint8Array): Part | WireError | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8'));
    if (!isObject(value)) return undefined;
    if (isObject(value['error']) && value['error']['code'] === 'overloaded')
      return value['error'] as unknown as WireError;
    const { covers, items, instants, leftOut, asOf } = value;
    if (![covers, items, instants].every(Array.isArray) || typeof leftOut !== 'number' || typeof asOf !== 'number')
      return undefined;
    return value as unknown as Part;
  } catch {
    return undefined;
  }
}
