import { BUCKETS, Buckets } from './buckets.ts';
import { grownCapacity, grownColumn, newColumn } from './columns.ts';
import { SlotLinks } from './slot-links.ts';

/** Half of a level's buckets: the ratio between levels. */
const RATIO = 32;
/** A little beyond the year 9999. */
const MAX_DUE_MS = 2 ** 48;
const POWERS = Array.from({ length: 11 }, (_, level) => RATIO ** level);
const INVERSE = POWERS.map((power) => 1 / power);
/** Level for a distance of `2 ** bits` ticks at most. */
const LEVEL_OF_BITS = Int8Array.from({ length: 33 }, (_, bits) => Math.max(0, Math.ceil(bits / 5) - 1));

export interface TimingWheelOptions {
  /** Resolution in milliseconds, at least 1. */
  readonly tickMs: number;
  /** The instant the wheel starts from, in milliseconds since 1970. */
  readonly startMs: number;
  /** Slots to make room for at first. */
  readonly capacity: number;
}

/**
 * A hierarchical timing wheel over slot numbers that the caller hands out (0 to 2³¹ − 2): 16 bytes a slot and about 7 KiB a wheel.
 * Insert, cancel and reschedule are O(1), however far the due time. A slot fires when `nowMs >= dueMs`, at most one tick late.
 *
 * A bucket of level k spans a block of 32^k ticks. Each level has 64 buckets in a ring: those of the parent block that is
 * running and those of the one after it. So the bucket of the coming block can be emptied into the level below during the
 * whole block before it: cascades are spread over that time in proportion, and no tick has to move a whole bucket.
 *
 * W1. Every armed slot is in exactly one bucket, `due >= 0`; one that is not armed keeps the complement `-1 - due`.
 * W2. Ticks up to and including `#tick` are opened: their slots have fired or are in the due list.
 * W3. A bucket of level k that holds slots is a block after the running one, in the running parent block or the one after it.
 * W4. A slot's tick lies in its bucket's block.
 * W5. `#nextTick` is not after the start of any occupied block.
 * W6. `#draining` has a bit for every level above 0 whose coming block's bucket is occupied.
 */
export class TimingWheel {
  readonly tickMs: number;
  /** To queue fired slots in `SlotList`s without further memory. */
  readonly links: SlotLinks;
  /** By slot, as W1 says. To be read; only `TimerTable.load` writes, before `restore`. */
  due: Float64Array<ArrayBuffer>;
  readonly #levels: number;
  readonly #buckets: Buckets;
  #tick: number;
  #nextTick = Infinity;
  #draining = 0;
  #size = 0;

  constructor({ tickMs, startMs, capacity }: TimingWheelOptions) {
    if (!(tickMs >= 1)) throw new RangeError(`tickMs is ${tickMs}: at least 1 is needed`);
    if (!(startMs >= 0 && startMs <= MAX_DUE_MS)) throw new RangeError(`startMs is ${startMs}`);
    this.tickMs = tickMs;
    this.#levels = Math.ceil(Math.log2(MAX_DUE_MS / tickMs) / Math.log2(RATIO) + 0.01);
    this.links = new SlotLinks(capacity);
    this.#buckets = new Buckets(this.links, this.#levels);
    this.due = newColumn(Float64Array<ArrayBuffer>, 8, capacity).fill(NaN);
    this.#tick = Math.floor(startMs / tickMs);
  }

  /** Armed slots. */
  get size(): number {
    return this.#size;
  }

  get capacity(): number {
    return this.due.length;
  }

  get memoryBytes(): number {
    return this.due.byteLength + this.links.memoryBytes + this.#buckets.memoryBytes;
  }

  /** Nothing fires before this instant (ms); Infinity when nothing is armed. The true first fire may be later. */
  get nextDueMs(): number {
    if (!this.#buckets.isEmpty(this.#buckets.extra)) return this.#tick * this.tickMs;
    if (this.#size === 0) return Infinity;
    return this.#nextTick * this.tickMs;
  }

  ensureCapacity(slots: number): void {
    if (slots <= this.capacity) return;
    const capacity = grownCapacity(this.capacity, slots);
    const before = this.capacity;
    this.due = grownColumn(this.due, 8, capacity);
    this.due.fill(NaN, before);
    this.links.grow(capacity);
  }

  has(slot: number): boolean {
    return (this.due[slot] as number) >= 0;
  }

  /** The due time of an armed slot, or the last one of a slot that has fired or was cancelled; NaN if there was none. */
  dueOf(slot: number): number {
    const due = this.due[slot] as number;
    return due < 0 ? -1 - due : due;
  }

  /**
   * Arms a slot that is in no list. One that is due already fires with the next `advance`, before later ones.
   * Throws for a due time below 0 or beyond 2⁴⁸ ms, and for a slot that is armed, queued or beyond the capacity.
   */
  insert(slot: number, dueMs: number): void {
    if (!(dueMs >= 0 && dueMs <= MAX_DUE_MS)) throw new RangeError(`slot ${slot}: a due time of ${dueMs} ms`);
    if (!this.links.isFree(slot)) throw new Error(`slot ${slot} is in a list already, or beyond the capacity`);
    this.due[slot] = dueMs;
    this.#size++;
    this.#place(slot, Math.ceil(dueMs / this.tickMs));
  }

  /** Arms a slot that is in no list, if its due time in the column says that it was armed (W1). */
  restore(slot: number): void {
    const due = this.due[slot] as number;
    if (due >= 0) this.insert(slot, due);
  }

  /** Returns whether the slot was armed. */
  cancel(slot: number): boolean {
    const due = this.due[slot] as number;
    if (!(due >= 0)) return false;
    this.#buckets.unlink(slot);
    this.due[slot] = -1 - due;
    this.#size--;
    return true;
  }

  /** Arms a slot anew, whether it is armed or not. */
  reschedule(slot: number, dueMs: number): void {
    this.cancel(slot);
    this.insert(slot, dueMs);
  }

  /**
   * Fires what is due at `nowMs`, in the order of ticks, at most `limit` slots; the next call goes on where this one stopped.
   * A fired slot is no longer armed and in no list when `onDue` gets it, so that it can be armed again or queued.
   * Returns how many fired. A `nowMs` before the last one fires only what is due by then.
   */
  advance(nowMs: number, onDue: (slot: number) => void, limit = Infinity): number {
    const target = Math.floor(nowMs / this.tickMs);
    if (target < this.#tick) return this.#fireBefore(nowMs, onDue, limit);
    let fired = 0;
    for (;;) {
      if (!this.#buckets.isEmpty(this.#buckets.extra)) fired += this.#fire(onDue, limit - fired);
      if (this.#tick === target || fired >= limit) return fired;
      if (this.#nextTick > target) {
        this.#moveTo(target);
        return fired;
      }
      const next = this.#firstOccupied();
      this.#nextTick = next;
      if (next > target) continue;
      this.#moveTo(next);
      this.#open(next);
    }
  }

  /** Calls `visit` with every armed slot that is due in (fromMs, toMs], in no order. `visit` must not change the wheel. */
  peek(fromMs: number, toMs: number, visit: (slot: number) => void): void {
    const first = Math.ceil(fromMs / this.tickMs);
    const last = Math.ceil(toMs / this.tickMs);
    this.#eachBucket((bucket, start, span) => {
      if (bucket !== this.#buckets.extra && (start > last || start + span <= first)) return;
      for (let slot = this.#buckets.head(bucket); slot >= 0; slot = this.links.next[slot] as number) {
        const due = this.due[slot] as number;
        if (due > fromMs && due <= toMs) visit(slot);
      }
    });
  }

  #place(slot: number, tick: number): void {
    const ahead = tick - this.#tick;
    if (ahead <= 0) {
      this.#buckets.push(this.#buckets.extra, slot);
      return;
    }
    let level = ahead <= 2 ** 32 ? (LEVEL_OF_BITS[32 - Math.clz32(ahead - 1)] as number) : farLevel(ahead);
    let block = Math.floor(tick * (INVERSE[level] as number));
    // W6: the coming block's bucket only ever drains; what lies in that block has its place one level down.
    if (level > 0 && block - Math.floor(this.#tick * (INVERSE[level] as number)) === 1)
      block = Math.floor(tick * (INVERSE[--level] as number));
    this.#buckets.push(level * BUCKETS + (block & (BUCKETS - 1)), slot);
    const start = block * (POWERS[level] as number);
    if (start < this.#nextTick) this.#nextTick = start;
  }

  #placeAgain(slot: number): void {
    this.#place(slot, Math.ceil((this.due[slot] as number) / this.tickMs));
  }

  #fire(onDue: (slot: number) => void, limit: number): number {
    const buckets = this.#buckets;
    const list = buckets.extra;
    let fired = 0;
    while (fired < limit && !buckets.isEmpty(list)) {
      const slot = buckets.shift(list);
      this.due[slot] = -1 - (this.due[slot] as number);
      this.#size--;
      fired++;
      onDue(slot);
    }
    return fired;
  }

  /** The clock stands before the wheel: of what is in the due list, some may not be due (never early). */
  #fireBefore(nowMs: number, onDue: (slot: number) => void, limit: number): number {
    const due: number[] = [];
    for (let slot = this.#buckets.head(this.#buckets.extra); slot >= 0; slot = this.links.next[slot] as number)
      if ((this.due[slot] as number) <= nowMs && due.length < limit) due.push(slot);
    let fired = 0;
    for (const slot of due) {
      if (!this.has(slot) || this.dueOf(slot) > nowMs) continue;
      this.cancel(slot);
      fired++;
      onDue(slot);
    }
    return fired;
  }

  /** Moves to a tick at or before the first occupied block. */
  #moveTo(tick: number): void {
    if (this.#draining !== 0) this.#drain(tick);
    const crossed = Math.floor(tick / RATIO) !== Math.floor(this.#tick / RATIO);
    this.#tick = tick;
    if (crossed) this.#draining = this.#comingBlocks();
  }

  /** Opens the running tick: every bucket that starts with it. */
  #open(tick: number): void {
    const buckets = this.#buckets;
    for (let level = 1; level < this.#levels; level++) {
      const block = tick * (INVERSE[level] as number);
      if (block !== Math.floor(block)) break;
      const bucket = level * BUCKETS + (block & (BUCKETS - 1));
      while (!buckets.isEmpty(bucket)) this.#placeAgain(buckets.shift(bucket));
    }
    buckets.moveAll(tick & (BUCKETS - 1), buckets.extra);
    this.#nextTick = this.#firstOccupied();
  }

  /** Moves the share of the coming blocks' slots that is owed for the time up to `tick`. */
  #drain(tick: number): void {
    const buckets = this.#buckets;
    for (let levels = this.#draining; levels !== 0; levels &= levels - 1) {
      const level = 31 - Math.clz32(levels & -levels);
      const block = Math.floor(this.#tick * (INVERSE[level] as number)) + 1;
      const left = block * (POWERS[level] as number) - this.#tick;
      const bucket = level * BUCKETS + (block & (BUCKETS - 1));
      const share = Math.min(1, (tick - this.#tick) / left);
      for (let owed = Math.ceil(buckets.count(bucket) * share); owed > 0 && !buckets.isEmpty(bucket); owed--)
        this.#placeAgain(buckets.shift(bucket));
      if (buckets.isEmpty(bucket)) this.#draining &= ~(1 << level);
    }
  }

  /** W6. */
  #comingBlocks(): number {
    let coming = 0;
    for (let levels = this.#buckets.occupied & ~1; levels !== 0; levels &= levels - 1) {
      const level = 31 - Math.clz32(levels & -levels);
      const block = Math.floor(this.#tick * (INVERSE[level] as number)) + 1;
      if (!this.#buckets.isEmpty(level * BUCKETS + (block & (BUCKETS - 1)))) coming |= 1 << level;
    }
    return coming;
  }

  /** The start of the first occupied block; Infinity when there is none. */
  #firstOccupied(): number {
    let first = Infinity;
    for (let levels = this.#buckets.occupied; levels !== 0; levels &= levels - 1) {
      const level = 31 - Math.clz32(levels & -levels);
      const block = Math.floor(this.#tick * (INVERSE[level] as number)) + 1;
      const start = (block + this.#buckets.distance(level, block & (BUCKETS - 1))) * (POWERS[level] as number);
      if (start < first) first = start;
    }
    return first;
  }

  /** Calls `visit` with every occupied bucket, its first tick and its ticks, nearest first within a level; the due list comes first. */
  #eachBucket(visit: (bucket: number, start: number, span: number) => void): void {
    if (!this.#buckets.isEmpty(this.#buckets.extra)) visit(this.#buckets.extra, this.#tick, 1);
    for (let levels = this.#buckets.occupied; levels !== 0; levels &= levels - 1) {
      const level = 31 - Math.clz32(levels & -levels);
      const span = POWERS[level] as number;
      const from = Math.floor(this.#tick * (INVERSE[level] as number)) + 1;
      for (let ahead = 0; ahead < BUCKETS; ahead++) {
        const bucket = level * BUCKETS + ((from + ahead) & (BUCKETS - 1));
        if (!this.#buckets.isEmpty(bucket)) visit(bucket, (from + ahead) * span, span);
      }
    }
  }

  /** Throws if one of W1 to W6, or a list's links, does not hold. Visits every slot. */
  assertInvariants(): void {
    let armed = 0;
    this.#eachBucket((bucket, start, span) => {
      const isDueList = bucket === this.#buckets.extra;
      const parent = span * RATIO;
      const parentsAhead = Math.floor(start / parent) - Math.floor(this.#tick / parent);
      if (!isDueList) check(start > this.#tick && parentsAhead <= 1, `W3: bucket ${bucket} starts at ${start}`);
      check(isDueList || start >= this.#nextTick, `W5: bucket ${bucket} starts at ${start}, before ${this.#nextTick}`);
      const coming = !isDueList && span > 1 && start / span === Math.floor(this.#tick / span) + 1;
      check(!coming || (this.#draining & (1 << (bucket >>> 6))) !== 0, `W6: bucket ${bucket} does not drain`);
      let before = ~bucket;
      let held = 0;
      for (let slot = this.#buckets.head(bucket); slot >= 0; slot = this.links.next[slot] as number) {
        const tick = Math.ceil((this.due[slot] as number) / this.tickMs);
        check(this.has(slot) && this.links.prev[slot] === before, `W1: slot ${slot} in bucket ${bucket}`);
        check(
          isDueList || (tick >= start && tick < start + span),
          `W4: slot ${slot} of tick ${tick} in ${start}+${span}`,
        );
        before = slot;
        held++;
      }
      check(this.links.next[before] === ~bucket, `L2: bucket ${bucket} ends with ${before}`);
      check(this.#buckets.count(bucket) >= held, `B2: bucket ${bucket} holds ${held}`);
      armed += held;
    });
    let marked = 0;
    for (const due of this.due) if (due >= 0) marked++;
    check(armed === this.#size && marked === this.#size, `W1: ${this.#size} armed, ${armed} found, ${marked} marked`);
  }

  /** The wheel as text, a line per occupied bucket: `level 2, ticks 2048 to 3071: 7 12`. */
  print(): string {
    const lines = [`tick ${this.#tick}, ${this.#size} armed`];
    this.#eachBucket((bucket, start, span) => {
      const slots: number[] = [];
      for (let slot = this.#buckets.head(bucket); slot >= 0; slot = this.links.next[slot] as number) slots.push(slot);
      const ticks = span === 1 ? `tick ${start}` : `ticks ${start} to ${start + span - 1}`;
      lines.push(`${bucket === this.#buckets.extra ? 'due' : `level ${bucket >>> 6}, ${ticks}`}: ${slots.join(' ')}`);
    });
    return lines.join('\n');
  }
}

function farLevel(ahead: number): number {
  let level = 6;
  while (ahead > (POWERS[level + 1] as number)) level++;
  return level;
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`timing wheel: ${what}`);
}
