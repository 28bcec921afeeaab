import { LEVEL_SHIFT } from './buckets.ts';
import type { Column } from './columns.ts';
import { SOON, type SlotLists } from './slot-lists.ts';
import { assertSound, type ColumnReader } from './snapshot.ts';

/** Room for so many, taken when it is needed; a wheel hands over no more than `Buckets` with few slots. */
const ROOM = 2_048;
const FIRST_ROOM = 64;
/** So many are put in order one by one; more are sorted digit by digit. */
const INSERTED = 16;
/** A digit tells where a tick is within a level's block. */
const DIGIT_BITS = LEVEL_SHIFT - 1;
const DIGITS = 2 ** DIGIT_BITS;
/** Where `#sort` puts timers in order, and counts by digit; they hold nothing between calls. */
const otherTicks = new Float64Array(ROOM);
const otherSlots = new Int32Array(ROOM);
const ends = new Int32Array(DIGITS);

/**
 * Timers of a wheel that have skipped its lower levels, in the order of their ticks.
 *
 * N1. Ticks descend: the soonest is the last, and taken from the end. At most `ROOM` timers.
 */
export class SoonTimers {
  size = 0;
  /** What `look` has read; means nothing. */
  looked = 0;
  #ticks = new Float64Array(FIRST_ROOM);
  #slots = new Int32Array(FIRST_ROOM);

  get memoryBytes(): number {
    return this.#ticks.byteLength + this.#slots.byteLength;
  }

  get room(): number {
    return ROOM - this.size;
  }

  /** The soonest tick; Infinity when there is none. */
  get first(): number {
    return this.size === 0 ? Infinity : (this.#ticks[this.size - 1] as number);
  }

  slotAt(index: number): number {
    return this.#slots[index] as number;
  }

  /** Reads what firing `most` timers up to `tick` will need, for the misses to overlap (as `Buckets.look` does). */
  look(tick: number, most: number, { due }: { readonly due: Float64Array }): void {
    const ticks = this.#ticks;
    const slots = this.#slots;
    const end = Math.max(0, this.size - most);
    let sum = 0;
    for (let at = this.size - 1; at >= end && (ticks[at] as number) <= tick; at--)
      sum += due[(slots[at] as number) * 2] as number;
    this.looked = sum;
  }

  /** Makes room for so many more, of which there must be `room`. */
  reserve(count: number): void {
    const needed = this.size + count;
    if (needed <= this.#ticks.length) return;
    const room = Math.min(ROOM, Math.max(needed, this.#ticks.length * 2));
    const [ticks, slots] = [this.#ticks, this.#slots];
    this.#ticks = new Float64Array(room);
    this.#ticks.set(ticks);
    this.#slots = new Int32Array(room);
    this.#slots.set(slots);
  }

  /** At a place that was reserved. N1 holds again after `settle`. */
  append(slot: number, tick: number): void {
    this.#ticks[this.size] = tick;
    this.#slots[this.size++] = slot;
  }

  /** Puts in order what was appended from `from` on: timers of the block of 64^level ticks that begins now. */
  settle(from: number, level: number): void {
    if (this.size - from > INSERTED) {
      const ticks = this.#ticks;
      let latest = 0;
      for (let at = from; at < this.size; at++) if ((ticks[at] as number) > latest) latest = ticks[at] as number;
      let first = from;
      while (first > 0 && (ticks[first - 1] as number) < latest) first--;
      this.#sort(first, level);
    } else for (let at = from; at < this.size; at++) this.#insert(at);
  }

  /** Takes out the soonest slot, of at least one. */
  pop(): number {
    return this.#slots[--this.size] as number;
  }

  /** Takes out a slot that is here, of this tick. */
  remove(slot: number, tick: number): void {
    let low = 0;
    for (let high = this.size; low < high;) {
      const middle = (low + high) >>> 1;
      if ((this.#ticks[middle] as number) > tick) low = middle + 1;
      else high = middle;
    }
    const at = this.#slots.indexOf(slot, low);
    this.#slots.copyWithin(at, at + 1, this.size);
    this.#ticks.copyWithin(at, at + 1, this.size);
    this.size--;
  }

  columns(): Column[] {
    return [this.#ticks.subarray(0, this.size), this.#slots.subarray(0, this.size)];
  }

  /** Takes over the timers of others, whose slots have this place in `lists` and no other has. Their ticks must descend (N1). */
  load(columns: ColumnReader, lists: SlotLists): void {
    const size = columns.byteLength / 8;
    assertSound(size <= ROOM, `${size} soon timers, of ${ROOM} at most`);
    this.size = 0;
    this.reserve(size);
    columns.into('ticks of soon timers', this.#ticks.subarray(0, size));
    columns.into('slots of soon timers', this.#slots.subarray(0, size));
    for (let at = 0; at < size; at++) {
      assertSound(lists.placeOf(this.slotAt(at)) === SOON, `slot ${this.slotAt(at)} is not among the soon timers`);
      const before = at === 0 ? Infinity : (this.#ticks[at - 1] as number);
      assertSound((this.#ticks[at] as number) <= before, `soon timers are out of order at ${at}`);
    }
    this.size = size;
  }

  /** Throws where N1 does not hold, or a tick is not what `tickOf` says. */
  assertInvariants(tickOf: (slot: number) => number): void {
    for (let at = 0; at < this.size; at++) {
      const tick = this.#ticks[at] as number;
      const isInOrder = at === 0 || tick <= (this.#ticks[at - 1] as number);
      if (!isInOrder || tick !== tickOf(this.slotAt(at))) throw new Error(`soon timers: N1: tick ${tick} at ${at}`);
    }
  }

  #insert(from: number): void {
    const ticks = this.#ticks;
    const slots = this.#slots;
    const tick = ticks[from] as number;
    const slot = slots[from] as number;
    let at = from;
    for (; at > 0 && (ticks[at - 1] as number) < tick; at--) {
      ticks[at] = ticks[at - 1] as number;
      slots[at] = slots[at - 1] as number;
    }
    ticks[at] = tick;
    slots[at] = slot;
  }

  /** Digit by digit. Those from `from` on lie in one block, so that their ticks differ in the lowest `level` digits only. */
  #sort(from: number, level: number): void {
    const { size } = this;
    const ticks = this.#ticks;
    const slots = this.#slots;
    for (let digit = 0; digit < level; digit++) {
      const scale = 2 ** (-DIGIT_BITS * digit);
      ends.fill(0);
      for (let at = from; at < size; at++) count(Math.floor((ticks[at] as number) * scale));
      // Where each digit's timers go, the highest digit's first (N1).
      for (let value = DIGITS - 1, end = 0; value >= 0; value--) {
        end += ends[value] as number;
        ends[value] = end - (ends[value] as number);
      }
      for (let at = from; at < size; at++) {
        const to = count(Math.floor((ticks[at] as number) * scale));
        otherTicks[to] = ticks[at] as number;
        otherSlots[to] = slots[at] as number;
      }
      ticks.set(otherTicks.subarray(0, size - from), from);
      slots.set(otherSlots.subarray(0, size - from), from);
    }
  }
}

/** Counts one on for the lowest digit of a number. Returns the count before. */
function count(number: number): number {
  const digit = number & (DIGITS - 1);
  const before = ends[digit] as number;
  ends[digit] = before + 1;
  return before;
}
