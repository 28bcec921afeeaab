import { TimerTable } from '@belfry/timing';

/** As in production: the shards of one process. */
export const SHARDS = 256;
export const TICK_MS = 2;
export const START_MS = Date.UTC(2027, 0, 1);
const DAY_MS = 86_400_000;
export const YEAR_MS = 365 * DAY_MS;
export const SCHEDULES = 10_000;
/** Many that are due in the same ten minutes, and in one second of them: one far slot holds them all until it comes near. */
export const PILE_MS = START_MS + 200 * DAY_MS;
export const PILE_LASTS_MS = 600_000;
export const PILE_SECOND_MS = PILE_MS + PILE_LASTS_MS / 2;
const PILE_SHARE = 0.05;
const SECOND_SHARE = 0.005;
const WAITING = 1;

/** Seeded 32-bit numbers: xorshift, since it must cost little next to what is measured. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }
}

/** CPU time of this thread, ms: what other processes of the machine do is not in it, other than through its caches. */
export function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

/** Some systems count CPU time in steps of 10 ms. */
const CPU_CLOCK_MS = 50;

/** CPU time of `work`, ms; by the wall clock where it is too short for the CPU clock. */
export function timed(work: () => void): { readonly cpuMs: number } {
  const wall = performance.now();
  const cpu = cpuMs();
  work();
  const wallMs = performance.now() - wall;
  const took = cpuMs() - cpu;
  return { cpuMs: took < CPU_CLOCK_MS ? wallMs : took };
}

/** Timers over shards, as one process holds them. */
export class Fleet {
  readonly tables = Array.from({ length: SHARDS }, () => new TimerTable({ tickMs: 1, startMs: START_MS }));
  readonly #random = new Random(1);
  /** A table's timers are armed again for a year later. The schedule is read, as it is to know the next fire. */
  readonly #again = this.tables.map((table) => (slot: number): void => {
    const { wheel } = table;
    wheel.insert(slot, wheel.dueOf(slot) + YEAR_MS + (table.schedule[slot] as number));
  });

  get size(): number {
    return this.tables.reduce((sum, table) => sum + table.size, 0);
  }

  get memoryBytes(): number {
    return this.tables.reduce((sum, table) => sum + table.memoryBytes, 0);
  }

  /** Inserts timers with random ids, from a day ahead on over a year; some of them piled up. */
  insert(count: number, shards = SHARDS): void {
    const random = this.#random;
    for (let at = 0; at < count; at++) {
      const a = random.next();
      const table = this.tables[a & (shards - 1)] as TimerTable;
      const slot = table.addWords(a, random.next(), random.next(), random.next());
      table.state[slot] = WAITING;
      table.schedule[slot] = a % SCHEDULES;
      table.wheel.insert(slot, dueOf(random.next() / 2 ** 32, random.next() / 2 ** 32));
    }
  }

  /** Cancels and forgets everything in the first shards. Returns how many there were. */
  clear(shards: number): number {
    let cleared = 0;
    for (const table of this.tables.slice(0, shards))
      for (let slot = 0; slot < table.used; slot++) {
        if (table.state[slot] !== WAITING) continue;
        table.wheel.cancel(slot);
        table.remove(slot);
        cleared++;
      }
    return cleared;
  }

  /** One tick of the process: every shard, until `limit` have fired. Returns how many fired; each is armed again. */
  tick(nowMs: number, limit: number): number {
    let fired = 0;
    for (let shard = 0; shard < SHARDS; shard++) {
      const { wheel } = this.tables[shard] as TimerTable;
      fired += wheel.advance(nowMs, this.#again[shard] as (slot: number) => void, limit - fired);
    }
    return fired;
  }
}

function dueOf(kind: number, spread: number): number {
  if (kind < SECOND_SHARE) return PILE_SECOND_MS + Math.floor(spread * 1_000);
  if (kind < SECOND_SHARE + PILE_SHARE) return PILE_MS + Math.floor(spread * PILE_LASTS_MS);
  return START_MS + DAY_MS + Math.floor(spread * (YEAR_MS - DAY_MS));
}
