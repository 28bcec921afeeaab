import { Turns } from '@belfry/scheduler';
import { MOVES_A_FIRE, TimerTable } from '@belfry/timing';

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
/** Tasks come to a shard in messages of many. */
const BATCH = 64;

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

/**
 * CPU time of this thread, ms: what other processes of the machine do is not in it, other than through its caches. On Linux the times of a thread
 * stand still between two of the scheduler's ticks (4 or 10 ms), unless those of the process are asked for: that brings them up to date.
 */
export function cpuMs(): number {
  process.cpuUsage();
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

/** CPU time of `work`, ms. */
export function timed(work: () => void): { readonly cpuMs: number } {
  const cpu = cpuMs();
  work();
  return { cpuMs: cpuMs() - cpu };
}

/** Timers over shards, as one process holds them. */
export class Fleet {
  readonly tables = Array.from({ length: SHARDS }, () => new TimerTable({ tickMs: 1, startMs: START_MS }));
  readonly #random = new Random(1);
  readonly #turns = new Turns({ now: () => 0, monotonic: () => performance.now() });
  /** A table's timers are armed again so much later. The schedule is read, as it is to know the next fire. */
  #intervalMs = YEAR_MS;
  #fired = 0;
  #turnsTaken = 0;
  #isShort = false;
  readonly #hosts = this.tables.map((table) => {
    const { wheel } = table;
    const again = (slot: number): void => {
      wheel.insert(slot, wheel.dueOf(slot) + this.#intervalMs + table.scheduleOf(slot));
    };
    const advance = (nowMs: number, limit: number): boolean => {
      const fired = wheel.advance(nowMs, again, limit, limit * MOVES_A_FIRE);
      this.#fired += fired;
      this.#turnsTaken++;
      if (fired === limit || wheel.nextDueMs <= nowMs) this.#isShort = true;
      return fired > 0;
    };
    return { leaving: false, core: { advance } };
  });

  get size(): number {
    return this.tables.reduce((sum, table) => sum + table.size, 0);
  }

  get memoryBytes(): number {
    return this.tables.reduce((sum, table) => sum + table.memoryBytes, 0);
  }

  /** Inserts timers with random ids, from a day ahead on over a year; some of them piled up. A shard gets `BATCH` at a time. */
  insert(count: number, shards = SHARDS): void {
    const random = this.#random;
    const words = new Uint32Array(BATCH * 4);
    for (let left = count; left > 0; left -= BATCH) {
      const table = this.tables[random.next() & (shards - 1)] as TimerTable;
      const length = Math.min(left, BATCH) * 4;
      for (let at = 0; at < length; at++) words[at] = random.next();
      for (let at = 3; at < length; at += 4) table.lookWord(words[at] as number);
      for (let at = 0; at < length; at += 4) {
        const a = words[at] as number;
        const slot = table.addWords(a, words[at + 1] as number, words[at + 2] as number, words[at + 3] as number);
        table.state[slot] = WAITING;
        table.setSchedule(slot, a % SCHEDULES);
        table.wheel.insert(slot, dueOf(random.next() / 2 ** 32, random.next() / 2 ** 32));
      }
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

  /** One tick as a node does it: each shard's turn, while there is time. Returns how many fired; each is armed again. */
  tick(nowMs: number): number {
    this.#fired = 0;
    this.#turnsTaken = 0;
    this.#isShort = false;
    this.#turns.take(this.#hosts, nowMs, (_host, act) => act());
    return this.#fired;
  }

  /** Whether the last tick has left nothing that is due: each shard had its turn, and none reached the limits of one. */
  get isDone(): boolean {
    return this.#turnsTaken === SHARDS && !this.#isShort;
  }

  /** Arms every timer anew, to fire each `intervalMs` and up to 10 s (its schedule) from `nowMs` on. */
  speedUp(nowMs: number, intervalMs: number): void {
    const random = this.#random;
    this.#intervalMs = intervalMs;
    for (const { wheel, used } of this.tables)
      for (let slot = 0; slot < used; slot++)
        if (wheel.has(slot)) wheel.reschedule(slot, nowMs + 1 + Math.floor((random.next() / 2 ** 32) * intervalMs));
  }
}

function dueOf(kind: number, spread: number): number {
  if (kind < SECOND_SHARE) return PILE_SECOND_MS + Math.floor(spread * 1_000);
  if (kind < SECOND_SHARE + PILE_SHARE) return PILE_MS + Math.floor(spread * PILE_LASTS_MS);
  return START_MS + DAY_MS + Math.floor(spread * (YEAR_MS - DAY_MS));
}
