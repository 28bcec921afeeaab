import { isName, isObject, LIMITS, wireError } from '@belfry/protocol';
import { Tally, type Shard, type TallyRequest } from '@belfry/shard';

import { breathe, type Environment } from './environment.ts';

/** Slots between two looks at the clock: some tenths of a millisecond. */
const SLOTS_A_STEP = 10_000;
/** How long the shards' own work waits for a count at most. */
const TURN_MS = 2;
/** Counts that wait for the one under way. */
const MOST_WAITING = 8;
/** A reply is one message. */
const REPLY_CHARS = LIMITS.messageBytes * 0.8;

interface Host {
  readonly core: Pick<Shard, 'shard' | 'tally'>;
  readonly gone: boolean;
}

/**
 * Answers `shard.<n>.schedules`: what the tasks of a namespace are scheduled by, over all shards of this node that are asked for, so that a
 * schedule that they share is told once. The answer names the shards that it covers.
 *
 * Y1. One count is under way at a time, in turns of some milliseconds, so that fires are not late for it.
 */
export class Tallies {
  readonly #env: Pick<Environment, 'clock' | 'timers'>;
  readonly #hosts: () => Iterable<Host>;
  #underWay: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(env: Pick<Environment, 'clock' | 'timers'>, hosts: () => Iterable<Host>) {
    this.#env = env;
    this.#hosts = hosts;
  }

  /** `{"namespace", "fromMs", "shards", "idsOf"?}`, from a gateway. */
  async answer(body: Uint8Array): Promise<string> {
    const request = readRequest(body);
    if (request === undefined) return JSON.stringify({ error: wireError('malformed', 'no request for schedules') });
    if (this.#waiting >= MOST_WAITING)
      return JSON.stringify({ error: wireError('overloaded', 'schedules are being counted for others') });
    this.#waiting++;
    const count = this.#underWay.then(() => this.#count(request)); // Y1
    this.#underWay = count.catch(() => undefined);
    try {
      return await count;
    } finally {
      this.#waiting--;
    }
  }

  async #count({ shards, ...request }: TallyRequest & { readonly shards: ReadonlySet<number> }): Promise<string> {
    const { clock, timers } = this.#env;
    const tally = new Tally(request);
    const covers: number[] = [];
    let turnMs = clock.monotonic();
    for (const host of [...this.#hosts()].filter(({ core }) => shards.has(core.shard))) {
      for (let slot: number | undefined = 0; slot !== undefined && !host.gone;) {
        slot = host.core.tally(tally, slot, SLOTS_A_STEP);
        if (clock.monotonic() - turnMs < TURN_MS) continue;
        await breathe(timers);
        turnMs = clock.monotonic();
      }
      if (!host.gone) covers.push(host.core.shard);
    }
    return JSON.stringify({ covers, asOf: clock.now(), ...tally.result(REPLY_CHARS) });
  }
}

function readRequest(body: Uint8Array): (TallyRequest & { readonly shards: ReadonlySet<number> }) | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(body));
  } catch {
    return undefined;
  }
  if (!isObject(value)) return undefined;
  const { namespace, fromMs, shards, idsOf = [] } = value;
  if (!isName(namespace) || !Number.isSafeInteger(fromMs) || !Array.isArray(shards) || !Array.isArray(idsOf))
    return undefined;
  if (!idsOf.every((text) => typeof text === 'string')) return undefined;
  return { namespace, fromMs: fromMs as number, idsOf, shards: new Set(shards as number[]) };
}
