import { grownColumn, MAX_SLOTS, newColumn } from './columns.ts';
import { IdIndex } from './id-index.ts';
import { assertSound, ColumnReader, encodeColumns, type TimerSnapshot } from './snapshot.ts';
import { TimingWheel } from './wheel.ts';

/** `state` of a slot that is not in use; other states are the caller's words. */
export const STATE_FREE = 0;
const FIRST_CAPACITY = 64;
/** Ends the chain of free slots. */
const NO_SLOT = 0xffff_ffff;

export interface TimerTableOptions {
  /** Resolution of the wheel, ms. */
  readonly tickMs: number;
  /** The instant the wheel starts from, ms since 1970. */
  readonly startMs: number;
}

/**
 * Timers by id, as columns: at most 48 bytes each with everything (id 16, index 5 to 7, due time 8, place 4 and 4.3 in a bucket,
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
  readonly #index: IdIndex;
  #used = 0;
  #free = NO_SLOT;

  constructor({ tickMs, startMs }: TimerTableOptions) {
    this.wheel = new TimingWheel({ tickMs, startMs, capacity: FIRST_CAPACITY });
    this.#index = new IdIndex(this);
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

  /** Makes room for so many timers before they are added: a table that fills up from nothing is copied some thirty times. */
  reserve(timers: number): void {
    const most = Math.min(timers, MAX_SLOTS);
    if (most > this.capacity) this.#growTo(most);
    this.#index.reserve(most);
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

  /**
   * A copy of everything but the lists of callers and the columns of a subclass, for `load`; in the memory of an earlier result, `into`,
   * where that fits. Belfry's server does not use it: its tasks are rows in Postgres.
   */
  encode(into?: TimerSnapshot): TimerSnapshot {
    const used = this.#used;
    return encodeColumns(
      [
        Uint32Array.of(used, this.size, this.#free),
        this.ids.subarray(0, used * 4),
        ...[this.scheduleHigh, this.state, this.flags].map((column) => column.subarray(0, used)),
        ...this.wheel.columns(used),
        ...this.#index.columns(),
      ],
      into,
    );
  }

  /**
   * Makes an empty table of what `encode` gave. Its wheel goes on at the instant where that one stood, and what was queued in a list is in
   * none.
   *
   * Nothing is copied: the snapshot's buffers become the columns. They belong to the table from then on, and are detached for whoever had
   * them. Those that cannot grow (`ArrayBuffer.resizable`; a snapshot of another source may be made of such) are copied when the table grows first.
   *
   * Throws `SnapshotError` where bytes were changed or lost (by checksums), or where a slot, a place or a chunk is named that is not there
   * (whoever wrote it): what is left then is neither a snapshot nor a table, except that one of another version is not touched.
   */
  load(snapshot: TimerSnapshot): void {
    if (this.#used > 0) throw new Error('the table is not empty');
    const columns = new ColumnReader(snapshot);
    const words = new Uint32Array(3);
    columns.into('words of the table', words);
    const [used, size, free] = words as unknown as readonly [number, number, number];
    assertSound(size <= used && used <= MAX_SLOTS, `${size} timers in ${used} slots, of ${MAX_SLOTS} at most`);
    this.ids = columns.take('ids', Uint32Array<ArrayBuffer>, used * 16);
    this.scheduleHigh = columns.take('high words of schedules', Uint16Array<ArrayBuffer>, used * 2);
    this.state = columns.take('states', Uint8Array<ArrayBuffer>, used);
    this.flags = columns.take('flags', Uint8Array<ArrayBuffer>, used);
    this.wheel.load(columns, used);
    this.#index.load(columns, used, size);
    this.#used = used;
    this.size = size;
    this.#free = free;
    this.#assertFreeSlots();
    this.onGrow(Math.max(used, FIRST_CAPACITY));
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

  /** Of a snapshot: that the chain of free slots goes over free slots (T1, T2). */
  #assertFreeSlots(): void {
    const { state } = this;
    const used = this.#used;
    const assertFree = (slot: number): void => {
      const isFree = slot === NO_SLOT || (slot < used && state[slot] === STATE_FREE && this.wheel.lists.isFree(slot));
      assertSound(isFree, `slot ${slot} is in the chain of free slots`);
    };
    assertFree(this.#free);
    let free = 0;
    for (let slot = state.indexOf(STATE_FREE); slot >= 0; slot = state.indexOf(STATE_FREE, slot + 1)) {
      assertFree(this.scheduleOf(slot));
      free++;
    }
    assertSound(used - free === this.size, `${this.size} timers in ${used} slots, of which ${free} are free`);
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
