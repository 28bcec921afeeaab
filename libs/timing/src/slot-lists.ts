import { grownColumn, newColumn, type Column } from './columns.ts';
import { assertSound, type ColumnReader } from './snapshot.ts';

/** Words of a chunk: two cache lines side by side, which are read at once, so that one look ahead is for 30 slots. */
export const CHUNK = 32;
/** Where the entries of a bucket's chunk begin, after the bucket's number and the end of the chunk before it. */
export const BUCKET_HEADER = 2;
/** Where those of a list's chunk begin, after the list's number and the chunks after and before it. */
const LIST_HEADER = 3;
/** The place of a slot that is in no list. Entries never begin a chunk, so that 0 and 1 are no places in memory. */
const FREE = 0;
/** The place of a slot that waits in `SoonTimers`. */
export const SOON = 1;
/** In place of the owner of a chunk that nobody has. */
const NOBODY = -(2 ** 31);
/** An entry whose slot was taken out of the middle of a list. */
const GONE = -1;
const FIRST_CHUNKS = 2;
/** So few grow by a half, since growth copies them. */
const SMALL = 512;
/** More grow by an eighth, and by at most 64 KiB. */
const LARGEST_STEP = 512;
/** Address space for so many chunks is reserved: 128 MiB a wheel, for 31 million slots in full ones. Beyond, growth copies. */
const MOST_CHUNKS = 2 ** 20;

type Row7 = readonly [number, number, number, number, number, number, number];

/** A first-in, first-out list of slots; its entries live in the `SlotLists` it is used with. Change it through them only. */
export class SlotList {
  /** The first slot, or -1. */
  head = -1;
  size = 0;
  /** Where the last entry is, taken out or not. */
  tail = 0;
  /** Given with the first slot. */
  number = 0;
}

/**
 * Where each slot waits: in a bucket of the wheel, among its soonest, or in a list of the caller. A record of 16 bytes a slot, which is
 * due time, place and a word of the caller, so that a fire finds all three in one cache line; and 4.3 bytes for each slot that waits,
 * in chunks of 32 words. Buckets use the chunks as stacks (`Buckets`), lists in order of arrival.
 *
 * L1. A slot waits in at most one place; `place` is 0 exactly when it waits in none.
 * L2. The entry that `place` names is the slot's, and the first word of its chunk tells whose the chunk is: a bucket's number, or
 *     the complement of a list's.
 * L3. A list's head is its first entry that is not taken out, in its first chunk. A full chunk all of whose entries are taken out is
 *     given back, so that a list has at most one chunk for each slot, and one.
 */
export class SlotLists {
  /** Due times, each the first half of a record: index `slot * 2`. */
  due: Float64Array<ArrayBuffer>;
  /** The same memory: place at `slot * 4 + 2`, the caller's word at `slot * 4 + 3`. */
  words: Int32Array<ArrayBuffer>;
  /** All chunks. */
  entries: Int32Array<ArrayBuffer>;
  #chunks = 0;
  #freeChunk = -1;
  #lists = 0;

  constructor(capacity: number) {
    this.due = newColumn(Float64Array<ArrayBuffer>, 16, capacity);
    this.words = new Int32Array(this.due.buffer);
    this.entries = newColumn(Int32Array<ArrayBuffer>, CHUNK * 4, FIRST_CHUNKS, MOST_CHUNKS);
    this.#forget(0);
  }

  get capacity(): number {
    return this.words.length / 4;
  }

  get memoryBytes(): number {
    return this.due.byteLength + this.entries.byteLength;
  }

  isFree(slot: number): boolean {
    return this.words[slot * 4 + 2] === FREE;
  }

  /** Of a slot that waits in a bucket or a list: whether it is a bucket (L2). */
  isInBucket(slot: number): boolean {
    return (this.entries[this.placeOf(slot) & -CHUNK] as number) >= 0;
  }

  placeOf(slot: number): number {
    return this.words[slot * 4 + 2] as number;
  }

  setPlace(slot: number, place: number): void {
    this.words[slot * 4 + 2] = place;
  }

  setFree(slot: number): void {
    this.words[slot * 4 + 2] = FREE;
  }

  grow(capacity: number): void {
    const before = this.capacity;
    this.due = grownColumn(this.due, 16, capacity);
    if (this.words.buffer !== this.due.buffer) this.words = new Int32Array(this.due.buffer);
    this.#forget(before);
  }

  /** A chunk of the caller's, by its first word. */
  takeChunk(owner: number): number {
    let chunk = this.#freeChunk;
    if (chunk >= 0) this.#freeChunk = this.entries[chunk + 1] as number;
    else chunk = this.#newChunk();
    this.entries[chunk] = owner;
    return chunk;
  }

  giveChunk(chunk: number): void {
    this.entries[chunk] = NOBODY;
    this.entries[chunk + 1] = this.#freeChunk;
    this.#freeChunk = chunk;
  }

  /** Appends a slot that is in no list; throws if it is in one. */
  pushBack(list: SlotList, slot: number): void {
    if (!this.isFree(slot)) throw new Error(`slot ${slot} is in a list already, or beyond the capacity`);
    let at = list.tail + 1;
    if (list.size === 0) {
      // Lists come and go for ever; two of one number are only not told apart by `remove`.
      list.number ||= this.#lists = (this.#lists & 0x3fff_ffff) + 1;
      list.head = slot;
      at = this.#listChunk(list, -1);
    } else if ((at & (CHUNK - 1)) === 0) {
      const full = list.tail & -CHUNK;
      // L3: of the last chunk nothing was given back while it filled.
      at = this.#isGone(full) ? full + LIST_HEADER : this.#listChunk(list, full);
    }
    this.entries[at] = slot;
    this.setPlace(slot, at);
    list.tail = at;
    list.size++;
  }

  /** Takes a slot out of the list it is in. Throws if it is in another, or in none. */
  remove(list: SlotList, slot: number): void {
    const { entries } = this;
    const at = this.placeOf(slot);
    const chunk = at & -CHUNK;
    if (!(at > SOON) || entries[chunk] !== ~list.number) throw new Error(`slot ${slot} is not in this list`);
    this.setFree(slot);
    entries[at] = GONE;
    list.size--;
    if (slot === list.head) this.#nextHead(list, at);
    else if (chunk !== (list.tail & -CHUNK) && this.#isGone(chunk)) this.#unlink(chunk);
  }

  /** The slots of a list, first to last. */
  *slots(list: SlotList): IterableIterator<number> {
    if (list.size === 0) return;
    const { entries } = this;
    for (let at = this.placeOf(list.head); ; at++) {
      if ((at & (CHUNK - 1)) === 0) at = (entries[at - CHUNK + 1] as number) + LIST_HEADER;
      const slot = entries[at] as number;
      if (slot !== GONE) yield slot;
      if (at === list.tail) return;
    }
  }

  /** Takes out the first slot; -1 when the list is empty. */
  shift(list: SlotList): number {
    const slot = list.head;
    if (slot >= 0) this.remove(list, slot);
    return slot;
  }

  /** What `load` needs, of the first `used` slots; a list of its own is told for it. */
  columns({ head, size, tail, number }: SlotList, used: number): Column[] {
    const words = Int32Array.of(this.#chunks, this.#freeChunk, this.#lists, head, size, tail, number);
    return [words, this.due.subarray(0, used * 2), this.entries.subarray(0, this.#chunks * CHUNK)];
  }

  /**
   * Takes over the records of `used` slots, the chunks and `list` of others, and of their other lists nothing: their slots are free.
   * Chunks of buckets are for `Buckets` to look at.
   */
  load(columns: ColumnReader, list: SlotList, used: number): void {
    const words = new Int32Array(7);
    columns.into('words of lists', words);
    const [chunks, freeChunk, lists, head, size, tail, number] = words as unknown as Row7;
    this.due = columns.take('records', Float64Array<ArrayBuffer>, used * 16);
    this.words = new Int32Array(this.due.buffer);
    this.entries = columns.take('chunks', Int32Array<ArrayBuffer>, chunks * CHUNK * 4);
    this.#chunks = chunks;
    this.#lists = lists;
    Object.assign(list, { head, size, tail, number });
    this.#assertList(list);
    this.#freeChunk = freeChunk;
    this.#assertFreeChunks();
    const { entries } = this;
    for (let chunk = 0; chunk < chunks * CHUNK; chunk += CHUNK) {
      const owner = entries[chunk] as number;
      if (owner >= 0 || owner === NOBODY || owner === ~number) continue;
      for (let at = chunk + LIST_HEADER; at < chunk + CHUNK; at++) {
        const slot = entries[at] as number;
        if (slot >= 0 && this.placeOf(slot) === at) this.setFree(slot);
      }
      this.giveChunk(chunk);
    }
  }

  /** Of a snapshot: how many slots wait among the soonest, and how many in buckets and lists, whose places must be there. */
  countWaiting(): { readonly soon: number; readonly listed: number } {
    let soon = 0;
    let listed = 0;
    const { words, entries } = this;
    for (let at = 2; at < words.length; at += 4) {
      const place = words[at] as number;
      if (place === FREE) continue;
      if (place === SOON) soon++;
      else listed++;
      if (!(place > 0 && place < entries.length)) assertSound(false, `slot ${at >> 2} waits at ${place}`);
    }
    return { soon, listed };
  }

  /** Of a snapshot: that a list holds as many slots as it counts, each at its place. */
  #assertList(list: SlotList): void {
    const { entries } = this;
    let held = 0;
    for (const slot of this.slots(list)) {
      const at = this.placeOf(slot);
      const isHere = entries[at] === slot && entries[at & -CHUNK] === ~list.number;
      assertSound(isHere && ++held <= list.size, `slot ${slot} of the due list is elsewhere`);
    }
    assertSound(held === list.size, `the due list holds ${held} slots instead of ${list.size}`);
  }

  /** Of a snapshot: that the chain of free chunks goes over free chunks, and ends. */
  #assertFreeChunks(): void {
    let left = this.#chunks;
    for (let chunk = this.#freeChunk; chunk >= 0; chunk = this.entries[chunk + 1] as number)
      assertSound(left-- > 0 && this.entries[chunk] === NOBODY, `chunk ${chunk} is not free`);
  }

  #listChunk(list: SlotList, before: number): number {
    const chunk = this.takeChunk(~list.number);
    const { entries } = this;
    entries[chunk + 1] = -1;
    entries[chunk + 2] = before;
    if (before >= 0) entries[before + 1] = chunk;
    return chunk + LIST_HEADER;
  }

  /** L3, where the first entry of a list was taken out. */
  #nextHead(list: SlotList, from: number): void {
    const { entries } = this;
    if (list.size === 0) {
      for (let chunk = from & -CHUNK; chunk >= 0;) {
        const next = entries[chunk + 1] as number;
        this.giveChunk(chunk);
        chunk = next;
      }
      list.head = -1;
      return;
    }
    let at = from;
    while (entries[at] === GONE) {
      if ((++at & (CHUNK - 1)) !== 0) continue;
      const next = entries[at - CHUNK + 1] as number;
      this.giveChunk(at - CHUNK);
      entries[next + 2] = -1;
      at = next + LIST_HEADER;
    }
    list.head = entries[at] as number;
  }

  #isGone(chunk: number): boolean {
    for (let at = chunk + LIST_HEADER; at < chunk + CHUNK; at++) if (this.entries[at] !== GONE) return false;
    return true;
  }

  /** Of a chunk that is neither the first nor the last of its list. */
  #unlink(chunk: number): void {
    const { entries } = this;
    const next = entries[chunk + 1] as number;
    const before = entries[chunk + 2] as number;
    entries[before + 1] = next;
    entries[next + 2] = before;
    this.giveChunk(chunk);
  }

  #newChunk(): number {
    const chunk = this.#chunks++ * CHUNK;
    if (chunk === this.entries.length) {
      const step = this.#chunks >>> (this.#chunks < SMALL ? 1 : 3);
      const grown = this.#chunks + Math.min(LARGEST_STEP, Math.max(FIRST_CHUNKS, step));
      this.entries = grownColumn(this.entries, CHUNK * 4, grown, MOST_CHUNKS);
    }
    return chunk;
  }

  /** Slots from `from` on have had no due time. */
  #forget(from: number): void {
    for (let slot = from; slot < this.capacity; slot++) this.due[slot * 2] = NaN;
  }
}
