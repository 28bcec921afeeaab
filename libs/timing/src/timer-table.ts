import { grownColumn, newColumn, type Column } from './columns.ts';
import { IdIndex } from './id-index.ts';
import { ColumnReader, encodeColumns } from './snapshot.ts';
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

  /** Everything but the lists of callers, as bytes for `load`; in the memory of an earlier result, `into`, where that is large enough. */
  encode(into?: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const words = Uint32Array.of(this.#used, this.size, this.#free);
    const columns = [...this.#slotColumns(this.#used), ...this.wheel.columns(), ...this.#index.columns()];
    return encodeColumns([words, ...columns], into);
  }

  /**
   * Fills an empty table with what `encode` gave. Its wheel goes on at the instant where that one stood, and what was queued in a list
   * is in none. Throws for bytes that are not whole.
   */
  load(bytes: Uint8Array<ArrayBuffer>): void {
    const columns = new ColumnReader(bytes);
    if (this.#used > 0) throw new Error('the table is not empty');
    const words = new Uint32Array(3);
    columns.into(words);
    const [used, size, free] = words as unknown as readonly [number, number, number];
    if (used > this.capacity) this.#growTo(used);
    this.#used = used;
    this.size = size;
    this.#free = free;
    for (const column of this.#slotColumns(used)) columns.into(column);
    this.wheel.load(columns);
    this.#index.load(columns);
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

  #slotColumns(used: number): Column[] {
    const { ids, scheduleHigh, state, flags } = this;
    return [
      this.wheel.lists.due.subarray(0, used * 2),
      ids.subarray(0, used * 4),
      ...[scheduleHigh, state, flags].map((column) => column.subarray(0, used)),
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
