import { BUCKETS, Buckets, LEVEL_SHIFT } from './buckets.ts';
import { grownCapacity, type Column } from './columns.ts';
import { CHUNK, SlotList, SlotLists, SOON } from './slot-lists.ts';
import { assertSound, SnapshotError, type ColumnReader } from './snapshot.ts';
import { SoonTimers } from './soon-timers.ts';

/** Half of a level's buckets: the ratio between levels. */
const RATIO = BUCKETS / 2;
const RATIO_BITS = LEVEL_SHIFT - 1;
/** A little beyond the year 9999. */
const MAX_DUE_MS = 2 ** 48;
const POWERS = Array.from({ length: 10 }, (_, level) => RATIO ** level);
const INVERSE = POWERS.map((power) => 1 / power);
/** Level for a distance of `2 ** bits` ticks at most. */
const LEVEL_OF_BITS = Int8Array.from({ length: 33 }, (_, bits) => Math.max(0, Math.ceil(bits / RATIO_BITS) - 1));
/**
 * Buckets with so few slots are not emptied in advance: they go to the soonest in one step when their blocks begin. All wheels of a process
 * take that step in one tick, so that it is shorter where nothing needs it: 500 slots is what a block of 64 ms brings to each of
 * 256 wheels when 2 million fire a second.
 */
const FEW = 256;
const FEW_OF_LEVEL_1 = 1_024;
/** A block's bucket is emptied in so many slices, so that a slice is worth a look ahead (`Buckets.take`). */
const SLICES = 256;

/**
 * Where the clock leaps (a process was paused, or its computer slept), a call of `advance` should move so many slots within the wheel for each that
 * it may fire: a move takes 0.1 to 0.5 µs, and of a big wheel hundreds of thousands may be owed at once.
 */
export const MOVES_A_FIRE = 8;

type Row6 = readonly [number, number, number, number, number, number];

export interface TimingWheelOptions {
  /** Resolution in milliseconds, at least 1. */
  readonly tickMs: number;
  /** The instant the wheel starts from, in milliseconds since 1970. */
  readonly startMs: number;
  /** Slots to make room for at first. */
  readonly capacity: number;
}

/**
 * A hierarchical timing wheel over slot numbers that the caller hands out (0 to 2²⁴ − 2): 16 bytes a slot, 4.3 more for each that is
 * armed, and about 12 KiB a wheel. Insert, cancel and reschedule are O(1), however far the due time. A slot fires when
 * `nowMs >= dueMs`, at most one tick late.
 *
 * A bucket of level k spans a block of 64^k ticks. Each level has 128 buckets in a ring: those of the parent block that is
 * running and those of the one after it. So the bucket of the coming block can be emptied into the level below during the
 * whole block before it: cascades are spread over that time in proportion, and no tick has to move a whole bucket. A bucket of few
 * slots skips the levels below: its slots are put in order when its block begins, and wait there (`SoonTimers`).
 *
 * W1. Every armed slot is in exactly one bucket, among the soonest, or in the due list, and has `due >= 0`; one that is not armed
 *     keeps the complement `-1 - due`.
 * W2. Ticks up to and including `#tick` are opened: their slots have fired, or are in the due list, among the soonest, or in the
 *     running tick's bucket of level 0.
 * W3. Any other bucket of level k that holds slots is a block after the running one, in the running parent block or the one after it.
 * W4. A slot's tick lies in its bucket's block.
 * W5. `#nextTick` is not after the start of any occupied block (W3).
 * W6. `#draining` has a bit for every level above 0 whose coming block's bucket holds more than a few (`few`); `#sliceEnd` is not
 *     after the end of the running slice of any of them.
 */
export class TimingWheel {
  readonly tickMs: number;
  /** Where slots wait; callers queue slots that have fired in lists of it. */
  readonly lists: SlotLists;
  readonly #levels: number;
  readonly #buckets: Buckets;
  readonly #soon = new SoonTimers();
  readonly #dueList = new SlotList();
  #tick: number;
  #nextTick = Infinity;
  #draining = 0;
  #sliceEnd = Infinity;
  #size = 0;
  /** How many more slots the running `advance` may move to lower levels. */
  #moves = Infinity;

  constructor({ tickMs, startMs, capacity }: TimingWheelOptions) {
    if (!(tickMs >= 1)) throw new RangeError(`tickMs is ${tickMs}: at least 1 is needed`);
    if (!(startMs >= 0 && startMs <= MAX_DUE_MS)) throw new RangeError(`startMs is ${startMs}`);
    this.tickMs = tickMs;
    this.#levels = Math.ceil(Math.log2(MAX_DUE_MS / tickMs) / RATIO_BITS + 0.01);
    this.lists = new SlotLists(capacity);
    this.#buckets = new Buckets(this.lists, this.#levels);
    this.#tick = Math.floor(startMs / tickMs);
  }

  /** Armed slots. */
  get size(): number {
    return this.#size;
  }

  get capacity(): number {
    return this.lists.capacity;
  }

  get memoryBytes(): number {
    return this.lists.memoryBytes + this.#buckets.memoryBytes + this.#soon.memoryBytes;
  }

  /** Nothing fires before this instant (ms); Infinity when nothing is armed. The true first fire may be later. */
  get nextDueMs(): number {
    if (this.#hasDue()) return this.#tick * this.tickMs;
    if (this.#size === 0) return Infinity;
    return Math.min(this.#nextTick, this.#soon.first) * this.tickMs;
  }

  ensureCapacity(slots: number): void {
    if (slots > this.capacity) this.lists.grow(grownCapacity(this.capacity, slots));
  }

  has(slot: number): boolean {
    return (this.lists.due[slot * 2] as number) >= 0;
  }

  /** The due time of an armed slot, or the last one of a slot that has fired or was cancelled; NaN if there was none. */
  dueOf(slot: number): number {
    const due = this.lists.due[slot * 2] as number;
    return due < 0 ? -1 - due : due;
  }

  /**
   * Arms a slot that is in no list. One that is due already fires with the next `advance`, before later ones.
   * Throws for a due time below 0 or beyond 2⁴⁸ ms, and for a slot that is armed, queued or beyond the capacity.
   */
  insert(slot: number, dueMs: number): void {
    if (!(dueMs >= 0 && dueMs <= MAX_DUE_MS)) throw new RangeError(`slot ${slot}: a due time of ${dueMs} ms`);
    if (!this.lists.isFree(slot)) throw new Error(`slot ${slot} is in a list already, or beyond the capacity`);
    this.lists.due[slot * 2] = dueMs;
    this.#size++;
    this.#place(slot, Math.ceil(dueMs / this.tickMs));
  }

  /** What another wheel needs to go on where this one stands, with the records of its first `used` slots. */
  columns(used: number): Column[] {
    const words = Float64Array.of(this.tickMs, this.#tick, this.#nextTick, this.#draining, this.#sliceEnd, this.#size);
    return [words, ...this.lists.columns(this.#dueList, used), ...this.#buckets.columns(), ...this.#soon.columns()];
  }

  /** Becomes the wheel whose columns these are, at the instant where it stood. Throws `SnapshotError`. */
  load(columns: ColumnReader, used: number): void {
    const words = new Float64Array(6);
    columns.into('words of the wheel', words);
    const [tickMs, tick, nextTick, draining, sliceEnd, size] = words as unknown as Row6;
    if (tickMs !== this.tickMs)
      throw new SnapshotError('resolution', `ticks of ${tickMs} ms, this wheel's are of ${this.tickMs}`);
    this.#tick = tick;
    this.#nextTick = nextTick;
    this.#draining = draining;
    this.#sliceEnd = sliceEnd;
    this.#size = size;
    this.lists.load(columns, this.#dueList, used);
    const listed = this.#buckets.load(columns) + this.#dueList.size;
    this.#soon.load(columns, this.lists);
    const waiting = this.lists.countWaiting();
    // L1, W1: each place is one that was found from its list.
    const isWhole = waiting.listed === listed && waiting.soon === this.#soon.size && listed + waiting.soon === size;
    assertSound(isWhole, `${size} slots are armed, ${listed} in lists, ${this.#soon.size} among the soon timers`);
  }

  /** Returns whether the slot was armed. */
  cancel(slot: number): boolean {
    const { due } = this.lists;
    const dueMs = due[slot * 2] as number;
    if (!(dueMs >= 0)) return false;
    due[slot * 2] = -1 - dueMs;
    this.#size--;
    if (this.lists.placeOf(slot) === SOON) {
      this.#soon.remove(slot, Math.ceil(dueMs / this.tickMs));
      this.lists.setFree(slot);
    } else if (this.lists.isInBucket(slot)) this.#buckets.remove(slot);
    else this.lists.remove(this.#dueList, slot);
    return true;
  }

  /** Arms a slot anew, whether it is armed or not. */
  reschedule(slot: number, dueMs: number): void {
    this.cancel(slot);
    this.insert(slot, dueMs);
  }

  /**
   * Fires what is due at `nowMs`, in the order of ticks, at most `limit` slots; the next call goes on where this one stopped. Where the
   * clock has leapt over blocks of many slots, which are still to be moved to lower levels, a call stops after about `moves` of them:
   * `nextDueMs` is then not after `nowMs`, though fewer than `limit` have fired.
   * A fired slot is no longer armed and in no list when `onDue` gets it, so that it can be armed again or queued.
   * Returns how many fired. A `nowMs` before the last one fires only what is due by then.
   */
  advance(nowMs: number, onDue: (slot: number) => void, limit = Infinity, moves = Infinity): number {
    const target = Math.floor(nowMs / this.tickMs);
    this.#moves = moves;
    if (target < this.#tick) return this.#fireBefore(nowMs, onDue, limit);
    let fired = 0;
    if (this.#soon.first <= target) this.#soon.look(target, limit, this.lists);
    for (;;) {
      if (this.#hasDue()) fired += this.#fire(onDue, limit - fired);
      if (this.#tick === target || fired >= limit) return fired;
      if (Math.min(this.#nextTick, this.#soon.first) > target) {
        this.#moveTo(target);
        return fired;
      }
      if (this.#nextTick <= this.#soon.first) this.#nextTick = this.#firstOccupied();
      const next = Math.min(this.#nextTick, this.#soon.first);
      if (next > target) continue;
      if (next === this.#nextTick && !this.#prepare(next)) return fired;
      this.#moveTo(next);
      if (next === this.#nextTick) this.#open(next);
    }
  }

  /** Calls `visit` with every armed slot that is due in (fromMs, toMs], in no order. `visit` must not change the wheel. */
  peek(fromMs: number, toMs: number, visit: (slot: number) => void): void {
    const first = Math.ceil(fromMs / this.tickMs);
    const last = Math.ceil(toMs / this.tickMs);
    const look = (slot: number): void => {
      const due = this.lists.due[slot * 2] as number;
      if (due > fromMs && due <= toMs) visit(slot);
    };
    this.#eachWaiting(look);
    this.#eachBucket((bucket, start, span) => {
      if (start <= last && start + span > first) this.#buckets.each(bucket, look);
    });
  }

  #place(slot: number, tick: number): void {
    const ahead = tick - this.#tick;
    if (ahead <= 0) {
      // One that comes from a bucket still has its place there.
      this.lists.setFree(slot);
      this.lists.pushBack(this.#dueList, slot);
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

  #tickOf(slot: number): number {
    return Math.ceil((this.lists.due[slot * 2] as number) / this.tickMs);
  }

  /** Whether something of the opened ticks has not fired (W2). */
  #hasDue(): boolean {
    return (
      this.#dueList.size > 0 || this.#soon.first <= this.#tick || this.#buckets.count(this.#tick & (BUCKETS - 1)) > 0
    );
  }

  /** Fires what is due (W2): first what was due when it was armed. */
  #fire(onDue: (slot: number) => void, limit: number): number {
    const { lists } = this;
    const bucket = this.#tick & (BUCKETS - 1);
    let fired = 0;
    let looked = 0;
    while (fired < limit) {
      let slot = lists.shift(this.#dueList);
      if (slot < 0) {
        if (this.#buckets.count(bucket) > 0) {
          if (looked-- <= 0) looked = this.#buckets.look(bucket) - 1;
          slot = this.#buckets.pop(bucket);
        } else if (this.#soon.first <= this.#tick) {
          slot = this.#soon.pop();
          lists.setFree(slot);
        } else break;
      }
      lists.due[slot * 2] = -1 - (lists.due[slot * 2] as number);
      this.#size--;
      fired++;
      onDue(slot);
    }
    return fired;
  }

  /** The clock stands before the wheel: of what is in the due list, some may not be due (never early). */
  #fireBefore(nowMs: number, onDue: (slot: number) => void, limit: number): number {
    const due: number[] = [];
    for (const slot of this.lists.slots(this.#dueList))
      if (this.dueOf(slot) <= nowMs && due.length < limit) due.push(slot);
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
    if (tick >= this.#sliceEnd) this.#drain(tick);
    const crossed = Math.floor(tick / RATIO) !== Math.floor(this.#tick / RATIO);
    this.#tick = tick;
    if (!crossed) return;
    this.#draining = this.#comingBlocks();
    this.#sliceEnd = this.#draining === 0 ? Infinity : tick + 1;
  }

  /**
   * Empties buckets that start with the first occupied tick but for a few of their slots, as they would have been during the block before it.
   * Returns false where that takes more moves than are left: the wheel waits right before that tick then, for which W6 is the same.
   */
  #prepare(tick: number): boolean {
    const buckets = this.#buckets;
    for (let level = 1; level < this.#levels; level++) {
      const block = tick * (INVERSE[level] as number);
      if (block !== Math.floor(block)) break;
      const bucket = level * BUCKETS + (block & (BUCKETS - 1));
      while (buckets.count(bucket) > few(level)) {
        if (this.#moves <= 0) return false;
        if (this.#tick < tick - 1) this.#moveTo(tick - 1);
        this.#cascade(bucket, Math.min(buckets.count(bucket), CHUNK));
      }
    }
    return true;
  }

  /** Opens the running tick: every bucket that starts with it. That of level 0 is fired as it is. */
  #open(tick: number): void {
    const buckets = this.#buckets;
    for (let level = 1; level < this.#levels; level++) {
      const block = tick * (INVERSE[level] as number);
      if (block !== Math.floor(block)) break;
      const bucket = level * BUCKETS + (block & (BUCKETS - 1));
      const count = buckets.count(bucket);
      if (count === 0) continue;
      if (count <= few(level) && count <= this.#soon.room) this.#skip(bucket, count);
      else this.#cascade(bucket, count);
    }
    this.#nextTick = this.#firstOccupied();
  }

  /** Takes so many slots out of a bucket, to where they belong by now: to lower levels. */
  #cascade(bucket: number, count: number): void {
    const buckets = this.#buckets;
    this.#moves -= count;
    for (let left = count; left > 0;) {
      const taken = buckets.take(bucket, left);
      for (let at = 0; at < taken; at++) {
        const slot = buckets.taken[at] as number;
        this.#place(slot, this.#tickOf(slot));
      }
      left -= taken;
    }
  }

  /** Takes all slots out of a bucket whose block begins, past the levels below: to the soonest. */
  #skip(bucket: number, count: number): void {
    const buckets = this.#buckets;
    const soon = this.#soon;
    const from = soon.size;
    soon.reserve(count);
    for (let left = count; left > 0;) {
      const taken = buckets.take(bucket, left);
      for (let at = 0; at < taken; at++) {
        const slot = buckets.taken[at] as number;
        this.lists.setPlace(slot, SOON);
        soon.append(slot, this.#tickOf(slot));
      }
      left -= taken;
    }
    soon.settle(from, bucket >>> LEVEL_SHIFT);
  }

  /** Moves the share of the coming blocks' slots that is owed for the slices of blocks that end by `tick`, as far as `#moves` go; a chunk at least. */
  #drain(tick: number): void {
    const buckets = this.#buckets;
    this.#sliceEnd = Infinity;
    for (let levels = this.#draining; levels !== 0; levels &= levels - 1) {
      const level = 31 - Math.clz32(levels & -levels);
      const span = POWERS[level] as number;
      const slice = Math.max(1, span / SLICES);
      const from = Math.floor(this.#tick / slice) * slice;
      const to = Math.floor(tick / slice) * slice;
      this.#sliceEnd = Math.min(this.#sliceEnd, to + slice);
      if (from === to) continue;
      const block = Math.floor(this.#tick / span) + 1;
      const bucket = level * BUCKETS + (block & (BUCKETS - 1));
      const count = buckets.count(bucket);
      const share = Math.min(1, (to - from) / (block * span - from));
      this.#cascade(bucket, Math.min(count, Math.max(CHUNK, Math.min(Math.ceil(count * share), this.#moves))));
      if (buckets.count(bucket) === 0) this.#draining &= ~(1 << level);
    }
  }

  /** W6. */
  #comingBlocks(): number {
    let coming = 0;
    for (let levels = this.#buckets.occupied & ~1; levels !== 0; levels &= levels - 1) {
      const level = 31 - Math.clz32(levels & -levels);
      const block = Math.floor(this.#tick * (INVERSE[level] as number)) + 1;
      if (this.#buckets.count(level * BUCKETS + (block & (BUCKETS - 1))) > few(level)) coming |= 1 << level;
    }
    return coming;
  }

  /** The start of the first occupied block (W3); Infinity when there is none. */
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

  /** Calls `visit` with what waits outside of buckets: the due list, then the soonest. */
  #eachWaiting(visit: (slot: number) => void): void {
    for (const slot of this.lists.slots(this.#dueList)) visit(slot);
    for (let at = this.#soon.size - 1; at >= 0; at--) visit(this.#soon.slotAt(at));
  }

  /** Calls `visit` with every occupied bucket, its first tick and its ticks, nearest first within a level. */
  #eachBucket(visit: (bucket: number, start: number, span: number) => void): void {
    for (let levels = this.#buckets.occupied; levels !== 0; levels &= levels - 1) {
      const level = 31 - Math.clz32(levels & -levels);
      const span = POWERS[level] as number;
      const running = Math.floor(this.#tick * (INVERSE[level] as number));
      for (let ahead = 0; ahead < BUCKETS; ahead++) {
        const bucket = level * BUCKETS + ((running + ahead) & (BUCKETS - 1));
        if (this.#buckets.count(bucket) > 0) visit(bucket, (running + ahead) * span, span);
      }
    }
  }

  /** Throws if one of W1 to W6, or an invariant of the parts, does not hold. Visits every slot. */
  assertInvariants(): void {
    const { lists } = this;
    this.#buckets.assertInvariants();
    this.#soon.assertInvariants((slot) => this.#tickOf(slot));
    let armed = 0;
    this.#eachWaiting((slot) => {
      check(this.has(slot) && !lists.isFree(slot), `W1: slot ${slot} waits`);
      armed++;
    });
    check(armed === this.#dueList.size + this.#soon.size, `L3: the due list counts ${this.#dueList.size}`);
    this.#eachBucket((bucket, start, span) => {
      const parent = span * RATIO;
      const parentsAhead = Math.floor(start / parent) - Math.floor(this.#tick / parent);
      const isRunning = span === 1 && start === this.#tick;
      check(isRunning || (start > this.#tick && parentsAhead <= 1), `W3: bucket ${bucket} starts at ${start}`);
      check(isRunning || start >= this.#nextTick, `W5: bucket ${bucket} starts at ${start}, before ${this.#nextTick}`);
      const coming = span > 1 && start / span === Math.floor(this.#tick / span) + 1;
      const isFew = this.#buckets.count(bucket) <= few(bucket >>> LEVEL_SHIFT);
      const drains = (this.#draining & (1 << (bucket >>> LEVEL_SHIFT))) !== 0;
      check(!coming || isFew || drains, `W6: bucket ${bucket} does not drain`);
      const slice = Math.max(1, span / SLICES);
      const isDone = !drains || this.#sliceEnd <= (Math.floor(this.#tick / slice) + 1) * slice;
      check(isDone, `W6: the slice ends at ${this.#sliceEnd}`);
      this.#buckets.each(bucket, (slot) => {
        const tick = this.#tickOf(slot);
        check(this.has(slot), `W1: slot ${slot} in bucket ${bucket}`);
        check(tick >= start && tick < start + span, `W4: slot ${slot} of tick ${tick} in ${start}+${span}`);
        armed++;
      });
    });
    let marked = 0;
    for (let slot = 0; slot < this.capacity; slot++) if (this.has(slot)) marked++;
    check(armed === this.#size && marked === this.#size, `W1: ${this.#size} armed, ${armed} found, ${marked} marked`);
  }

  /** The wheel as text, a line per occupied bucket: `level 2, ticks 8192 to 12287: 7 12`. */
  print(): string {
    const lines = [`tick ${this.#tick}, ${this.#size} armed`];
    const waiting: number[] = [];
    this.#eachWaiting((slot) => waiting.push(slot));
    const due = waiting.splice(0, this.#dueList.size);
    if (due.length > 0) lines.push(`due: ${due.join(' ')}`);
    if (waiting.length > 0) lines.push(`soon: ${waiting.map((slot) => `${slot} at ${this.#tickOf(slot)}`).join(', ')}`);
    this.#eachBucket((bucket, start, span) => {
      const slots: number[] = [];
      this.#buckets.each(bucket, (slot) => slots.push(slot));
      const ticks = span === 1 ? `tick ${start}` : `ticks ${start} to ${start + span - 1}`;
      lines.push(`level ${bucket >>> LEVEL_SHIFT}, ${ticks}: ${slots.join(' ')}`);
    });
    return lines.join('\n');
  }
}

/** How many slots of a bucket are few. */
function few(level: number): number {
  return level === 1 ? FEW_OF_LEVEL_1 : FEW;
}

function farLevel(ahead: number): number {
  let level = 5;
  while (ahead > (POWERS[level + 1] as number)) level++;
  return level;
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`timing wheel: ${what}`);
}
