import type { Column } from './columns.ts';
import type { ColumnReader } from './snapshot.ts';

/** Room for so many; a wheel hands over no more than `Buckets` with few slots. */
const ROOM = 96;

/**
 * The few timers of a wheel that have skipped its lower levels, in the order of their ticks.
 *
 * N1. Ticks descend: the soonest is the last, and taken from the end. At most `ROOM` timers.
 */
export class SoonTimers {
  size = 0;
  /** What `look` has read; means nothing. */
  looked = 0;
  readonly #ticks = new Float64Array(ROOM);
  readonly #slots = new Int32Array(ROOM);

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

  /** Reads what firing up to `tick` will need, for the misses to overlap (as `Buckets.look` does). */
  look(tick: number, { due }: { readonly due: Float64Array }): void {
    let sum = 0;
    for (let at = this.size - 1; at >= 0 && (this.#ticks[at] as number) <= tick; at--)
      sum += due[this.slotAt(at) * 2] as number;
    this.looked = sum;
  }

  /** At least one place must be free. */
  add(slot: number, tick: number): void {
    const ticks = this.#ticks;
    const slots = this.#slots;
    let at = this.size++;
    for (; at > 0 && (ticks[at - 1] as number) < tick; at--) {
      ticks[at] = ticks[at - 1] as number;
      slots[at] = slots[at - 1] as number;
    }
    ticks[at] = tick;
    slots[at] = slot;
  }

  /** Takes out the soonest slot, of at least one. */
  pop(): number {
    return this.#slots[--this.size] as number;
  }

  /** Takes out a slot that is here. */
  remove(slot: number): void {
    const at = this.#slots.indexOf(slot);
    this.#slots.copyWithin(at, at + 1, this.size);
    this.#ticks.copyWithin(at, at + 1, this.size);
    this.size--;
  }

  columns(): Column[] {
    return [Int32Array.of(this.size), this.#ticks, this.#slots];
  }

  load(columns: ColumnReader): void {
    const size = new Int32Array(1);
    for (const column of [size, this.#ticks, this.#slots]) columns.into(column);
    this.size = size[0] as number;
  }

  /** Throws where N1 does not hold, or a tick is not what `tickOf` says. */
  assertInvariants(tickOf: (slot: number) => number): void {
    for (let at = 0; at < this.size; at++) {
      const tick = this.#ticks[at] as number;
      const isInOrder = at === 0 || tick <= (this.#ticks[at - 1] as number);
      if (!isInOrder || tick !== tickOf(this.slotAt(at))) throw new Error(`soon timers: N1: tick ${tick} at ${at}`);
    }
  }
}
