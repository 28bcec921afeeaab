import { grownColumn, newColumn } from './columns.ts';
import { IdIndex } from './id-index.ts';
import { TimingWheel } from './wheel.ts';

/** `state` of a slot that is not in use; other states are the caller's words. */
export const STATE_FREE = 0;
const FIRST_CAPACITY = 64;
/** Ends the chain of free slots. */
const NO_SLOT = 0xffff_ffff;
const FORMAT = 0x3254_4c42;
const HEADER_BYTES = 16;
/** So many slots are looked at ahead. */
const LOAD_STEP = 64;
const SNAPSHOT_BYTES_PER_SLOT = 36;

export interface TimerTableOptions {
  /** Resolution of the wheel, ms. */
  readonly tickMs: number;
  /** The instant the wheel starts from, ms since 1970. */
  readonly startMs: number;
}

/**
 * Timers by id, as columns: at most 48 bytes each with everything (id 16, index 5 to 7, due time 8, place 4 and 4.6 in a bucket,
 * schedule 6, state and flags 2). No object per timer; a big table's growth copies nothing but a 64th of the index.
 *
 * T1. A slot in use stands in the index exactly once; a free slot stands in the chain of free slots and not in the index.
 * T2. A free slot is in no list of the wheel or of the caller.
 */
export class TimerTable {
  ids = newColumn(Uint32Array<ArrayBuffer>, 16, FIRST_CAPACITY);
  /** The high bits of an instant. */
  scheduleHigh = newColumn(Uint16Array<ArrayBuffer>, 2, FIRST_CAPACITY);
  state = newColumn(Uint8Array<ArrayBuffer>, 1, FIRST_CAPACITY);
  flags = newColumn(Uint8Array<ArrayBuffer>, 1, FIRST_CAPACITY);
  readonly wheel: TimingWheel;
  size = 0;
  /** What was read ahead: kept for the reads not to be left out. */
  #looked = 0;
  #index: IdIndex;
  #used = 0;
  #free = NO_SLOT;

  constructor({ tickMs, startMs }: TimerTableOptions) {
    this.wheel = new TimingWheel({ tickMs, startMs, capacity: FIRST_CAPACITY });
    this.#index = new IdIndex(this, 0);
  }

  get capacity(): number {
    return this.wheel.capacity;
  }

  /** Slots that were ever in use are below this. */
  get used(): number {
    return this.#used;
  }

  /** The slot of an id (32 hex digits), or -1. */
  find(id: string): number {
    return this.#index.find(wordOf(id, 0), wordOf(id, 1), wordOf(id, 2), wordOf(id, 3));
  }

  /** The same for an id as four words, most significant first. */
  findWords(a: number, b: number, c: number, d: number): number {
    return this.#index.find(a, b, c, d);
  }

  /** Before the ids of a batch are found or added one by one, for each: their cache misses overlap then. */
  look(id: string): void {
    this.lookWord(wordOf(id, 3));
  }

  /** The same for the fourth word of an id. */
  lookWord(d: number): void {
    this.#looked ^= this.#index.look(d);
  }

  /** A new slot for an id that is not in the table. All other columns are the caller's to fill; `state` must become another than free. */
  add(id: string): number {
    return this.addWords(wordOf(id, 0), wordOf(id, 1), wordOf(id, 2), wordOf(id, 3));
  }

  addWords(a: number, b: number, c: number, d: number): number {
    let slot = this.#free;
    if (slot !== NO_SLOT) this.#free = this.scheduleOf(slot);
    else slot = this.#fresh();
    const { ids } = this;
    const base = slot * 4;
    ids[base] = a;
    ids[base + 1] = b;
    ids[base + 2] = c;
    ids[base + 3] = d;
    this.#index.add(slot);
    this.size++;
    return slot;
  }

  /** Frees a slot. Throws if it is armed, or queued in a list (T2). */
  remove(slot: number): void {
    if (!this.wheel.lists.isFree(slot)) throw new Error(`slot ${slot} is still in a list`);
    this.#index.remove(slot);
    this.state[slot] = STATE_FREE;
    this.flags[slot] = 0;
    this.setSchedule(slot, this.#free);
    this.#free = slot;
    this.size--;
  }

  /** What `seedOf` says of its id. */
  seedOf(slot: number): number {
    return this.ids[slot * 4 + 3] as number;
  }

  idOf(slot: number): string {
    for (let word = 0; word < 4; word++) idBytes.writeUInt32BE(this.ids[slot * 4 + word] as number, word * 4);
    return idBytes.toString('hex');
  }

  /** The caller's reference of a schedule, or the low 32 bits of an instant; of a free slot, the next free one. */
  scheduleOf(slot: number): number {
    return (this.wheel.lists.words[slot * 4 + 3] as number) >>> 0;
  }

  setSchedule(slot: number, ref: number): void {
    this.wheel.lists.words[slot * 4 + 3] = ref;
  }

  /** The instant that `setAt` has put in place of a schedule, ms. */
  atOf(slot: number): number {
    return (this.scheduleHigh[slot] as number) * 2 ** 32 + this.scheduleOf(slot);
  }

  setAt(slot: number, atMs: number): void {
    this.setSchedule(slot, atMs % 2 ** 32);
    this.scheduleHigh[slot] = Math.floor(atMs / 2 ** 32);
  }

  has(slot: number, flag: number): boolean {
    return ((this.flags[slot] as number) & flag) !== 0;
  }

  set(slot: number, flag: number, on: boolean): void {
    const flags = this.flags[slot] as number;
    this.flags[slot] = on ? flags | flag : flags & ~flag;
  }

  /** Bytes reserved by columns, index and wheel. */
  get memoryBytes(): number {
    const columns = [this.ids, this.scheduleHigh, this.state, this.flags];
    return columns.reduce((sum, column) => sum + column.byteLength, this.#index.memoryBytes + this.wheel.memoryBytes);
  }

  /** The most neighbouring places of the index that are all taken. */
  longestRun(): number {
    return this.#index.longestRun();
  }

  /** Everything but the lists of callers, as bytes for `load`. */
  encode(): Uint8Array<ArrayBuffer> {
    const used = this.#used;
    // Not set to 0 first.
    const { buffer } = Buffer.allocUnsafeSlow(HEADER_BYTES + used * SNAPSHOT_BYTES_PER_SLOT);
    const bytes = new Uint8Array(buffer);
    new Uint32Array(buffer, 0, 4).set([FORMAT, used, this.size, this.#free]);
    let at = HEADER_BYTES;
    for (const column of this.#snapshotColumns(used)) {
      bytes.set(new Uint8Array(column.buffer, 0, column.byteLength), at);
      at += column.byteLength;
    }
    return bytes;
  }

  /**
   * Fills an empty table with what `encode` gave: armed timers are armed again, on this table's clock; what was queued in a list is in
   * none. Throws for bytes that are not whole.
   */
  load(bytes: Uint8Array<ArrayBuffer>): void {
    const header = bytes.byteLength >= HEADER_BYTES ? new Uint32Array(bytes.slice(0, HEADER_BYTES).buffer) : [];
    const [format, used = 0, size = 0, free = NO_SLOT] = header;
    if (format !== FORMAT || bytes.byteLength !== HEADER_BYTES + used * SNAPSHOT_BYTES_PER_SLOT || size > used)
      throw new RangeError('these bytes are not a whole snapshot of timers');
    if (this.#used > 0) throw new Error('the table is not empty');
    if (used > this.capacity) this.#growTo(used);
    let at = HEADER_BYTES;
    for (const column of this.#snapshotColumns(used)) {
      new Uint8Array(column.buffer).set(bytes.subarray(at, at + column.byteLength));
      at += column.byteLength;
    }
    this.#used = used;
    this.size = size;
    this.#free = free;
    this.#index = new IdIndex(this, size);
    const { ids, state, wheel } = this;
    for (let from = 0; from < used; from += LOAD_STEP) {
      const to = Math.min(used, from + LOAD_STEP);
      for (let slot = from; slot < to; slot++) this.lookWord(ids[slot * 4 + 3] as number);
      for (let slot = from; slot < to; slot++) {
        if (state[slot] !== STATE_FREE) this.#index.add(slot);
        wheel.restore(slot);
      }
    }
  }

  /** Throws where T1, T2, or an invariant of index or wheel does not hold. */
  assertInvariants(): void {
    const indexed = this.#index.assertInvariants();
    const free = new Set<number>();
    for (let slot = this.#free; slot !== NO_SLOT; slot = this.scheduleOf(slot)) {
      check(slot < this.#used && !free.has(slot), `T1: the chain of free slots comes to ${slot}`);
      check(!indexed.has(slot) && this.state[slot] === STATE_FREE, `T1: free slot ${slot} stands in the index`);
      check(this.wheel.lists.isFree(slot), `T2: free slot ${slot} is in a list`);
      free.add(slot);
    }
    for (const slot of indexed) check(this.state[slot] !== STATE_FREE, `T1: free slot ${slot} stands in the index`);
    check(indexed.size === this.size, `T1: ${indexed.size} slots in the index, ${this.size} in use`);
    check(this.#used - free.size === this.size, 'T1: free slots and size disagree');
    this.wheel.assertInvariants();
  }

  /** For columns of a subclass. */
  protected onGrow(_capacity: number): void {}

  #fresh(): number {
    if (this.#used === this.capacity) this.#growTo(this.#used + 1);
    return this.#used++;
  }

  #growTo(slots: number): void {
    this.wheel.ensureCapacity(slots);
    const { capacity } = this;
    this.ids = grownColumn(this.ids, 16, capacity);
    this.scheduleHigh = grownColumn(this.scheduleHigh, 2, capacity);
    this.state = grownColumn(this.state, 1, capacity);
    this.flags = grownColumn(this.flags, 1, capacity);
    this.onGrow(capacity);
  }

  #snapshotColumns(used: number) {
    return [
      { buffer: this.wheel.lists.due.buffer, byteLength: used * 16 },
      { buffer: this.ids.buffer, byteLength: used * 16 },
      { buffer: this.scheduleHigh.buffer, byteLength: used * 2 },
      { buffer: this.state.buffer, byteLength: used },
      { buffer: this.flags.buffer, byteLength: used },
    ];
  }
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`timer table: ${what}`);
}

const idBytes = Buffer.alloc(16);
/** Values of hex digits by character code; what is none counts as 0, since ids have been checked. */
const HEX_VALUES = new Uint8Array(256);
for (let digit = 0; digit < 16; digit++) HEX_VALUES[digit.toString(16).charCodeAt(0)] = digit;

/** One of the four words of an id in hex: a quarter of the time that slices and `parseInt` take. */
function wordOf(id: string, word: number): number {
  let value = 0;
  for (let at = word * 8; at < word * 8 + 8; at++)
    value = (value << 4) | (HEX_VALUES[id.charCodeAt(at) & 255] as number);
  return value >>> 0;
}
