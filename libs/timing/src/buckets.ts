import { FREE, type SlotLinks } from './slot-links.ts';

/** Buckets per level. */
export const BUCKETS = 64;
const NONE = -1;

/**
 * Numbered lists of slots, `BUCKETS` per level and one more (`extra`), with a bitmap of those that are not empty.
 *
 * B1. A bucket's bit is set exactly when it holds a slot; a level's bit in `occupied` exactly when one of its buckets does.
 * B2. `count` is at least the number of slots in the bucket, and 0 when it is empty. (A slot taken from the middle does not
 *     know its bucket, so it stays counted.)
 */
export class Buckets {
  /** A bit per level. */
  occupied = 0;
  readonly extra: number;
  readonly #links: SlotLinks;
  readonly #heads: Int32Array;
  readonly #tails: Int32Array;
  readonly #counts: Int32Array;
  readonly #bits: Int32Array;

  constructor(links: SlotLinks, levels: number) {
    this.#links = links;
    this.extra = levels * BUCKETS;
    this.#heads = new Int32Array(this.extra + 1).fill(NONE);
    this.#tails = new Int32Array(this.extra + 1).fill(NONE);
    this.#counts = new Int32Array(this.extra + 1);
    // One word more than the levels need, for `extra`.
    this.#bits = new Int32Array(levels * 2 + 1);
  }

  get memoryBytes(): number {
    return this.#heads.byteLength * 3 + this.#bits.byteLength;
  }

  head(bucket: number): number {
    return this.#heads[bucket] as number;
  }

  /** At least the number of slots in it (B2). */
  count(bucket: number): number {
    return this.#counts[bucket] as number;
  }

  isEmpty(bucket: number): boolean {
    return (this.#heads[bucket] as number) < 0;
  }

  push(bucket: number, slot: number): void {
    const links = this.#links;
    const tail = this.#tails[bucket] as number;
    links.next[slot] = ~bucket;
    if (tail < 0) {
      links.prev[slot] = ~bucket;
      this.#heads[bucket] = slot;
      this.#mark(bucket);
    } else {
      links.prev[slot] = tail;
      links.next[tail] = slot;
    }
    this.#tails[bucket] = slot;
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
  }

  /** Takes a slot out of whichever bucket it is in. */
  unlink(slot: number): void {
    const { next, prev } = this.#links;
    const before = prev[slot] as number;
    const after = next[slot] as number;
    if (before < 0) this.#heads[~before] = after < 0 ? NONE : after;
    else next[before] = after;
    if (after < 0) this.#tails[~after] = before < 0 ? NONE : before;
    else prev[after] = before;
    prev[slot] = FREE;
    if (before < 0 && after < 0) this.#emptied(~before);
  }

  /** Takes out the first slot of a bucket that is not empty. */
  shift(bucket: number): number {
    const { next, prev } = this.#links;
    const slot = this.#heads[bucket] as number;
    const after = next[slot] as number;
    prev[slot] = FREE;
    if (after < 0) {
      this.#heads[bucket] = NONE;
      this.#tails[bucket] = NONE;
      this.#emptied(bucket);
    } else {
      this.#heads[bucket] = after;
      prev[after] = ~bucket;
      this.#counts[bucket] = (this.#counts[bucket] as number) - 1;
    }
    return slot;
  }

  /** Appends all of `from` to `to`, in O(1). */
  moveAll(from: number, to: number): void {
    const head = this.#heads[from] as number;
    if (head < 0) return;
    const { next, prev } = this.#links;
    const tail = this.#tails[from] as number;
    const before = this.#tails[to] as number;
    if (before < 0) {
      this.#heads[to] = head;
      prev[head] = ~to;
      this.#mark(to);
    } else {
      prev[head] = before;
      next[before] = head;
    }
    next[tail] = ~to;
    this.#tails[to] = tail;
    this.#counts[to] = (this.#counts[to] as number) + (this.#counts[from] as number);
    this.#heads[from] = NONE;
    this.#tails[from] = NONE;
    this.#emptied(from);
  }

  /** How many buckets on from `index`, round the level's ring, the first occupied one is; -1 when the level is empty. */
  distance(level: number, index: number): number {
    const word = index >>> 5;
    const from = index & 31;
    const first = this.#bits[level * 2 + word] as number;
    const upper = first & (-1 << from);
    if (upper !== 0) return trailingZeros(upper) - from;
    const second = this.#bits[level * 2 + (word ^ 1)] as number;
    if (second !== 0) return 32 - from + trailingZeros(second);
    return first === 0 ? -1 : 64 - from + trailingZeros(first);
  }

  #mark(bucket: number): void {
    this.#bits[bucket >>> 5] = (this.#bits[bucket >>> 5] as number) | (1 << (bucket & 31));
    if (bucket !== this.extra) this.occupied |= 1 << (bucket >>> 6);
  }

  #emptied(bucket: number): void {
    this.#counts[bucket] = 0;
    const word = bucket >>> 5;
    const left = (this.#bits[word] as number) & ~(1 << (bucket & 31));
    this.#bits[word] = left;
    if (left === 0 && bucket !== this.extra && this.#bits[word ^ 1] === 0) this.occupied &= ~(1 << (bucket >>> 6));
  }
}

function trailingZeros(word: number): number {
  return 31 - Math.clz32(word & -word);
}
