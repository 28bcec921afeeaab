import { grownColumn, newColumn } from './columns.ts';

/** `prev` of a slot that is in no list. */
export const FREE = -0x8000_0000;
/** A link below 0 and above FREE is the end of a list: the complement of the list's number. */
const CALLERS_LIST = 0x7fff_fffe;

/** A first-in, first-out list of slots; its links live in the `SlotLinks` it is used with. Change it through them only. */
export class SlotList {
  /** First and last slot, or -1. */
  head = -1;
  tail = -1;
  size = 0;
}

/**
 * The links of intrusive doubly linked lists over slot numbers that somebody else hands out: 8 bytes a slot, no object per slot.
 * A wheel and any number of `SlotList`s share one `SlotLinks`, because a slot waits in one place at a time.
 *
 * L1. A slot is in at most one list; `prev` is FREE exactly when it is in none.
 * L2. The first slot's `prev` and the last slot's `next` carry the complement of the list's number, so that the end of a
 *     numbered list is found from the slot alone. Lists of callers all carry the same number and are named by the caller.
 */
export class SlotLinks {
  /** For the wheel's buckets; callers use the methods. */
  next: Int32Array<ArrayBuffer>;
  prev: Int32Array<ArrayBuffer>;

  constructor(capacity: number) {
    this.next = newColumn(Int32Array<ArrayBuffer>, 4, capacity);
    this.prev = newColumn(Int32Array<ArrayBuffer>, 4, capacity).fill(FREE);
  }

  get capacity(): number {
    return this.next.length;
  }

  get memoryBytes(): number {
    return this.next.byteLength + this.prev.byteLength;
  }

  isFree(slot: number): boolean {
    return this.prev[slot] === FREE;
  }

  grow(capacity: number): void {
    const used = this.capacity;
    this.next = grownColumn(this.next, 4, capacity);
    this.prev = grownColumn(this.prev, 4, capacity);
    this.prev.fill(FREE, used);
  }

  /** Appends a slot that is in no list; throws if it is in one. */
  pushBack(list: SlotList, slot: number): void {
    if (this.prev[slot] !== FREE) throw new Error(`slot ${slot} is in a list already, or beyond the capacity`);
    const { tail } = list;
    this.next[slot] = ~CALLERS_LIST;
    if (tail < 0) {
      this.prev[slot] = ~CALLERS_LIST;
      list.head = slot;
    } else {
      this.prev[slot] = tail;
      this.next[tail] = slot;
    }
    list.tail = slot;
    list.size++;
  }

  /** Takes out a slot that is in `list`. Which list that is, the caller knows. Throws if the slot is in no list of a caller. */
  remove(list: SlotList, slot: number): void {
    const prev = this.prev[slot] as number;
    const next = this.next[slot] as number;
    const isEnd = (link: number, end: number) => link === ~CALLERS_LIST && end === slot;
    if (prev === FREE || (prev < 0 && !isEnd(prev, list.head)) || (next < 0 && !isEnd(next, list.tail)))
      throw new Error(`slot ${slot} is not in this list`);
    if (prev < 0) list.head = next < 0 ? -1 : next;
    else this.next[prev] = next;
    if (next < 0) list.tail = prev < 0 ? -1 : prev;
    else this.prev[next] = prev;
    this.prev[slot] = FREE;
    list.size--;
  }

  /** The slots of a list, first to last. */
  *slots(list: SlotList): IterableIterator<number> {
    for (let slot = list.head; slot >= 0; slot = this.next[slot] as number) yield slot;
  }

  /** Takes out the first slot; -1 when the list is empty. */
  shift(list: SlotList): number {
    const slot = list.head;
    if (slot >= 0) this.remove(list, slot);
    return slot;
  }
}
