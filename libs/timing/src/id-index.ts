import type { Column } from './columns.ts';
import { assertSound, type ColumnReader } from './snapshot.ts';

const EMPTY = 0xffff_ffff;
const SEGMENTS = 64;
const FIRST_SIZE = 16;
/** A segment grows from 4/5 full by 2/5: 5 to 7 bytes an id, and neighbours are still few. */
const FULLEST = 0.8;
const GROWTH = 1.4;
/** One of fewer places doubles: what counts for it is that it seldom grows. */
const SMALL = 256;
const SLOT_BITS = 24;
const SLOT_MASK = 2 ** SLOT_BITS - 1;

/** Whoever keeps the ids, four words a slot. */
export interface IdTable {
  readonly ids: Uint32Array;
}

/**
 * Finds the slot of a 16-byte id: open addressing with linear probing, over ids that somebody else keeps.
 * Ids must be random in their third and fourth words, as UUIDs are; the first may tell the shard.
 *
 * The low bits of the fourth word choose one of 64 segments, which grow on their own: no insertion pays for the whole index.
 * A place holds the slot and 8 bits of the third word, so that neighbours are passed over without looking at their ids.
 *
 * D1. An indexed slot stands in one place: in its segment, at its home or after it, with no empty place between.
 * D2. A segment is at most 4/5 full, and never holds deleted marks: removal shifts the run back.
 */
export class IdIndex {
  readonly #table: IdTable;
  readonly #segments: Uint32Array<ArrayBuffer>[];
  readonly #counts = new Uint32Array(SEGMENTS);

  constructor(table: IdTable) {
    this.#table = table;
    this.#segments = Array.from({ length: SEGMENTS }, () => new Uint32Array(FIRST_SIZE).fill(EMPTY));
  }

  get memoryBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.byteLength, this.#counts.byteLength);
  }

  /** The slot of an id, or -1. */
  find(a: number, b: number, c: number, d: number): number {
    const segment = this.#segments[d & (SEGMENTS - 1)] as Uint32Array;
    const ids = this.#table.ids;
    const size = segment.length;
    const tag = c & 0xff;
    for (let at = home(d, size); ;) {
      const place = segment[at] as number;
      if (place === EMPTY) return -1;
      if (place >>> SLOT_BITS === tag) {
        const base = (place & SLOT_MASK) * 4;
        if (ids[base + 3] === d && ids[base] === a && ids[base + 1] === b && ids[base + 2] === c)
          return place & SLOT_MASK;
      }
      if (++at === size) at = 0;
    }
  }

  /**
   * Reads where an id is or will be, by its fourth word, for `find` or `add` not to wait: the misses of many ids that are looked at
   * first overlap, those of one `add` after the other do not. The caller must use what it returns, or the read is left out.
   */
  look(d: number): number {
    const segment = this.#segments[d & (SEGMENTS - 1)] as Uint32Array;
    return segment[home(d, segment.length)] as number;
  }

  /** Makes room for so many ids: the segments of random ones differ. */
  reserve(ids: number): void {
    const each = ids / SEGMENTS;
    const size = Math.ceil((each + 2 * Math.sqrt(each)) / FULLEST);
    for (const [at, segment] of this.#segments.entries()) if (segment.length < size) this.#grow(at, size);
  }

  /** Indexes a slot whose id is in the column, and in no other slot. */
  add(slot: number): void {
    const d = this.#table.ids[slot * 4 + 3] as number;
    const at = d & (SEGMENTS - 1);
    let segment = this.#segments[at] as Uint32Array;
    const count = (this.#counts[at] as number) + 1;
    if (count > segment.length * FULLEST) segment = this.#grow(at, grownSize(segment.length));
    put(segment, d, (((this.#table.ids[slot * 4 + 2] as number) << SLOT_BITS) | slot) >>> 0);
    this.#counts[at] = count;
  }

  /** Takes out a slot that is indexed; its id is still in the column. */
  remove(slot: number): void {
    const d = this.#table.ids[slot * 4 + 3] as number;
    const segment = this.#segments[d & (SEGMENTS - 1)] as Uint32Array;
    const size = segment.length;
    const after = (at: number): number => (at + 1 === size ? 0 : at + 1);
    let hole = home(d, size);
    while (((segment[hole] as number) & SLOT_MASK) !== slot || segment[hole] === EMPTY) hole = after(hole);
    for (let at = after(hole); segment[at] !== EMPTY; at = after(at)) {
      const place = segment[at] as number;
      const first = home(this.#table.ids[(place & SLOT_MASK) * 4 + 3] as number, size);
      // D1: an entry may move back to the hole only if the hole is not before its home.
      if (gap(first, at, size) >= gap(hole, at, size)) {
        segment[hole] = place;
        hole = at;
      }
    }
    segment[hole] = EMPTY;
    this.#counts[d & (SEGMENTS - 1)] = (this.#counts[d & (SEGMENTS - 1)] as number) - 1;
  }

  columns(): Column[] {
    return [this.#counts, ...this.#segments];
  }

  /**
   * Takes over the index of another, of `size` ids that are in the first `used` slots of the column. A search must end and find a slot of
   * the table (D2); that it is the right one is for the checksums to say.
   */
  load(columns: ColumnReader, used: number, size: number): void {
    columns.into('the counts of the index', this.#counts);
    let indexed = 0;
    for (let at = 0; at < SEGMENTS; at++) {
      const name = `segment ${at} of the index`;
      const segment = columns.take(name, Uint32Array<ArrayBuffer>, columns.byteLength & -4);
      const count = this.#counts[at] as number;
      assertSound(segment.length >= FIRST_SIZE && count <= segment.length * FULLEST, `${name} is too full`);
      let places = 0;
      for (let index = 0; index < segment.length; index++) {
        const place = segment[index] as number;
        if (place === EMPTY) continue;
        if ((place & SLOT_MASK) >= used) assertSound(false, `${name} names slot ${place & SLOT_MASK} of ${used}`);
        places++;
      }
      assertSound(places === count, `${name} holds ${places} slots instead of ${count}`);
      indexed += count;
      this.#segments[at] = segment;
    }
    assertSound(indexed === size, `the index holds ${indexed} slots instead of ${size}`);
  }

  /** The most neighbouring places that are all taken: what a search may have to look through. */
  longestRun(): number {
    let longest = 0;
    for (const segment of this.#segments) {
      let run = 0;
      for (const place of segment) {
        run = place === EMPTY ? 0 : run + 1;
        longest = Math.max(longest, run);
      }
    }
    return longest;
  }

  /** Throws where D1 or D2 does not hold. Returns the slots that are indexed. */
  assertInvariants(): Set<number> {
    const slots = new Set<number>();
    for (const [at, segment] of this.#segments.entries()) {
      const places = segment.filter((place) => place !== EMPTY);
      check(places.length === this.#counts[at], `D2: segment ${at} counts ${this.#counts[at]}, holds ${places.length}`);
      check(places.length <= segment.length * FULLEST, `D2: segment ${at} holds ${places.length} of ${segment.length}`);
      for (const place of places) {
        const slot = place & SLOT_MASK;
        const [a, b, c, d] = this.#table.ids.subarray(slot * 4, slot * 4 + 4) as unknown as [
          number,
          number,
          number,
          number,
        ];
        check(!slots.has(slot) && this.find(a, b, c, d) === slot, `D1: slot ${slot} is not found by its id`);
        slots.add(slot);
      }
    }
    return slots;
  }

  #grow(at: number, size: number): Uint32Array {
    const old = this.#segments[at] as Uint32Array;
    const segment = new Uint32Array(size).fill(EMPTY);
    const { ids } = this.#table;
    for (let from = 0; from < old.length; from += words.length) {
      const places = Math.min(words.length, old.length - from);
      // Ids are read by themselves, for their misses to overlap (`look`); those of empty places are slot 0's.
      for (let index = 0; index < places; index++) {
        const place = old[from + index] as number;
        words[index] = ids[place === EMPTY ? 3 : (place & SLOT_MASK) * 4 + 3] as number;
      }
      for (let index = 0; index < places; index++) {
        const place = old[from + index] as number;
        if (place !== EMPTY) put(segment, words[index] as number, place);
      }
    }
    this.#segments[at] = segment;
    return segment;
  }
}

/** The fourth words of ids on their way to a bigger segment. */
const words = new Uint32Array(64);

function grownSize(size: number): number {
  return size < SMALL ? size * 2 : Math.ceil(size * GROWTH);
}

/** By the high bits: the low ones are alike within a segment. */
function home(d: number, size: number): number {
  return (d * size * 2 ** -32) | 0;
}

/** Places from `from` on to `to`, round the end. */
function gap(from: number, to: number, size: number): number {
  return to >= from ? to - from : to - from + size;
}

function put(segment: Uint32Array, d: number, place: number): void {
  const size = segment.length;
  let at = home(d, size);
  while (segment[at] !== EMPTY) if (++at === size) at = 0;
  segment[at] = place;
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`id index: ${what}`);
}
