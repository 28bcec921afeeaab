import type { Column } from './columns.ts';
import { BUCKET_HEADER, CHUNK, type SlotLists } from './slot-lists.ts';
import { assertSound, type ColumnReader } from './snapshot.ts';

/** Buckets per level. */
export const BUCKETS = 128;
/** By this, a bucket's number tells its level. */
export const LEVEL_SHIFT = 7;
const WORDS = BUCKETS / 32;

/**
 * Numbered bags of slots, `BUCKETS` per level, with a bitmap of those that are not empty. A bag is a stack of chunks: what is taken is
 * the last, and a slot that leaves from the middle has the last put in its place.
 *
 * B1. A bucket's bit is set exactly when it holds a slot; a level's bit in `occupied` exactly when one of its buckets does.
 * B2. `count` is the number of slots in the bucket; `#last` is where its last entry is, -1 when it is empty.
 */
export class Buckets {
  /** A bit per level. */
  occupied = 0;
  /** What `look` has read; means nothing. */
  looked = 0;
  /** What `take` has taken. */
  readonly taken = new Int32Array(CHUNK);
  readonly #lists: SlotLists;
  readonly #last: Int32Array<ArrayBuffer>;
  readonly #counts: Int32Array<ArrayBuffer>;
  readonly #bits: Int32Array<ArrayBuffer>;

  constructor(lists: SlotLists, levels: number) {
    this.#lists = lists;
    this.#last = new Int32Array(levels * BUCKETS).fill(-1);
    this.#counts = new Int32Array(levels * BUCKETS);
    this.#bits = new Int32Array(levels * WORDS);
  }

  get memoryBytes(): number {
    return this.#last.byteLength + this.#counts.byteLength + this.#bits.byteLength;
  }

  count(bucket: number): number {
    return this.#counts[bucket] as number;
  }

  push(bucket: number, slot: number): void {
    const lists = this.#lists;
    const last = this.#last[bucket] as number;
    let at = last + 1;
    if ((at & (CHUNK - 1)) === 0) {
      const chunk = lists.takeChunk(bucket);
      lists.entries[chunk + 1] = last;
      at = chunk + BUCKET_HEADER;
      if (last < 0) this.#mark(bucket);
    }
    lists.entries[at] = slot;
    lists.setPlace(slot, at);
    this.#last[bucket] = at;
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
  }

  /** Takes out the last slot of a bucket that is not empty. */
  pop(bucket: number): number {
    const slot = this.#lists.entries[this.#last[bucket] as number] as number;
    this.#lists.setFree(slot);
    this.#shorten(bucket);
    return slot;
  }

  /**
   * Takes the last slots out of a bucket that is not empty, of its last chunk and at most so many, into `taken`. Returns how many. Their
   * places are the caller's to set; their records are read ahead, as by `look`.
   */
  take(bucket: number, most: number): number {
    const { entries, due } = this.#lists;
    const { taken } = this;
    const last = this.#last[bucket] as number;
    const chunk = last & -CHUNK;
    const from = Math.max(chunk + BUCKET_HEADER, last - most + 1);
    // The chunk that comes next is read ahead, too.
    let sum = entries[Math.max(0, entries[chunk + 1] as number)] as number;
    for (let at = last; at >= from; at--) {
      const slot = entries[at] as number;
      taken[last - at] = slot;
      sum += due[slot * 2] as number;
    }
    this.looked = sum;
    const count = last - from + 1;
    this.#counts[bucket] = (this.#counts[bucket] as number) - count;
    if (from === chunk + BUCKET_HEADER) this.#dropChunk(bucket, chunk);
    else this.#last[bucket] = from - 1;
    return count;
  }

  /** Takes a slot out of whichever bucket it is in. */
  remove(slot: number): void {
    const lists = this.#lists;
    const { entries } = lists;
    const at = lists.placeOf(slot);
    const bucket = entries[at & -CHUNK] as number;
    const last = entries[this.#last[bucket] as number] as number;
    entries[at] = last;
    lists.setPlace(last, at);
    lists.setFree(slot);
    this.#shorten(bucket);
  }

  /**
   * Reads what the next `pop`s of a bucket will need, so that the misses of many timers overlap: one after the other they cost 400 ns
   * each, side by side 16 to 34. Returns for how many pops that is. The sum is kept for the reads not to be left out.
   */
  look(bucket: number): number {
    const { entries, due } = this.#lists;
    const last = this.#last[bucket] as number;
    const from = (last & -CHUNK) + BUCKET_HEADER;
    let sum = 0;
    for (let at = from; at <= last; at++) sum += due[(entries[at] as number) * 2] as number;
    this.looked = sum;
    return last - from + 1;
  }

  /** Calls `visit` with each slot of a bucket, in no order. */
  each(bucket: number, visit: (slot: number) => void): void {
    const { entries } = this.#lists;
    for (let last = this.#last[bucket] as number; last >= 0;) {
      const chunk = last & -CHUNK;
      for (let at = chunk + BUCKET_HEADER; at <= last; at++) visit(entries[at] as number);
      last = entries[chunk + 1] as number;
    }
  }

  /** How many buckets on from `index`, round the level's ring, the first occupied one is; -1 when the level is empty. */
  distance(level: number, index: number): number {
    const bits = this.#bits;
    const base = level * WORDS;
    let word = index >>> 5;
    let left = (bits[base + word] as number) & (-1 << (index & 31));
    for (let step = 0; step <= WORDS; step++) {
      if (left !== 0) return (word * 32 + trailingZeros(left) - index) & (BUCKETS - 1);
      word = (word + 1) & (WORDS - 1);
      left = bits[base + word] as number;
    }
    return -1;
  }

  columns(): Column[] {
    return [this.#last, this.#counts];
  }

  /**
   * Takes over the buckets of others, whose chunks the lists have. Returns how many slots they hold. Chunks and slots must be there; that
   * a slot's place is that of its entry is for the checksums to say: to look at each record, in the order of buckets, took longer than all else.
   */
  load(columns: ColumnReader): number {
    columns.into('ends of buckets', this.#last);
    columns.into('counts of buckets', this.#counts);
    this.#bits.fill(0);
    this.occupied = 0;
    let held = 0;
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      const count = this.#countSound(bucket);
      assertSound(
        count === this.count(bucket),
        `bucket ${bucket} holds ${count} slots instead of ${this.count(bucket)}`,
      );
      if (count > 0) this.#mark(bucket);
      held += count;
    }
    return held;
  }

  /** Counts the slots of a bucket, whose chunks nobody has looked at yet. */
  #countSound(bucket: number): number {
    const { entries, capacity } = this.#lists;
    const most = this.count(bucket);
    let count = 0;
    for (let last = this.#last[bucket] as number; last >= 0 && count <= most;) {
      const chunk = last & -CHUNK;
      assertSound(entries[chunk] === bucket && last >= chunk + BUCKET_HEADER, `bucket ${bucket} ends at ${last}`);
      for (let at = chunk + BUCKET_HEADER; at <= last; at++) {
        const slot = entries[at] as number;
        if (!(slot >= 0 && slot < capacity)) assertSound(false, `bucket ${bucket} holds slot ${slot} of ${capacity}`);
      }
      count += last - chunk - BUCKET_HEADER + 1;
      last = entries[chunk + 1] as number;
    }
    return count;
  }

  /** Throws where B1, B2 or L2 does not hold. */
  assertInvariants(): void {
    const { entries } = this.#lists;
    let occupied = 0;
    for (let bucket = 0; bucket < this.#counts.length; bucket++) {
      const count = this.count(bucket);
      const isMarked = ((this.#bits[bucket >>> 5] as number) & (1 << (bucket & 31))) !== 0;
      if (!isMarked && count === 0 && this.#last[bucket] === -1) continue;
      check(isMarked && count > 0, `B1: bucket ${bucket} is marked: ${isMarked}, counts ${count}`);
      occupied |= 1 << (bucket >>> LEVEL_SHIFT);
      let held = 0;
      this.each(bucket, (slot) => {
        const at = this.#lists.placeOf(slot);
        check(entries[at] === slot && entries[at & -CHUNK] === bucket, `L2: slot ${slot} in bucket ${bucket}`);
        held++;
      });
      check(held === count, `B2: bucket ${bucket} counts ${count}, holds ${held}`);
    }
    check(occupied === this.occupied, `B1: levels ${occupied} are occupied, ${this.occupied} marked`);
  }

  #shorten(bucket: number): void {
    const last = this.#last[bucket] as number;
    this.#counts[bucket] = (this.#counts[bucket] as number) - 1;
    if ((last & (CHUNK - 1)) === BUCKET_HEADER) this.#dropChunk(bucket, last - BUCKET_HEADER);
    else this.#last[bucket] = last - 1;
  }

  #dropChunk(bucket: number, chunk: number): void {
    const before = this.#lists.entries[chunk + 1] as number;
    this.#lists.giveChunk(chunk);
    this.#last[bucket] = before;
    if (before < 0) this.#emptied(bucket);
  }

  #mark(bucket: number): void {
    this.#bits[bucket >>> 5] = (this.#bits[bucket >>> 5] as number) | (1 << (bucket & 31));
    this.occupied |= 1 << (bucket >>> LEVEL_SHIFT);
  }

  #emptied(bucket: number): void {
    const word = bucket >>> 5;
    this.#bits[word] = (this.#bits[word] as number) & ~(1 << (bucket & 31));
    const base = (bucket >>> LEVEL_SHIFT) * WORDS;
    for (let at = base; at < base + WORDS; at++) if (this.#bits[at] !== 0) return;
    this.occupied &= ~(1 << (bucket >>> LEVEL_SHIFT));
  }
}

function trailingZeros(word: number): number {
  return 31 - Math.clz32(word & -word);
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`buckets: ${what}`);
}
