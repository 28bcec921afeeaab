/**
 * The tasks of one shard as columns: no object per task.
 *
 * T1. A slot in use stands in the index exactly once; a free slot stands in the free list and not in the index.
 * T2. The index is open addressing with linear probing, at most 3/4 full, and never holds deleted marks:
 *     removal shifts the run back.
 * T3. Columns grow by an eighth, so that what is reserved stays close to what is used.
 */

export const TASK_FREE = 0;
/** In the wheel, until its next fire. */
export const TASK_WAITING = 1;
/** In the backlog: its next fire is due. */
export const TASK_DUE = 2;
/** No coming fire, executions not over. */
export const TASK_HELD = 3;
/** Finished or cancelled; in the wheel until it is forgotten. */
export const TASK_ENDED = 4;

/** In the backlog, behind what is punctual: its next fire was missed, and its policy keeps it. */
export const TASK_LATE = 5;

/** The task has a client key. */
export const FLAG_KEYED = 1;
/** Postgres holds a pointer row of it. */
export const FLAG_POINTER = 2;
/** An ended task was cancelled. */
export const FLAG_CANCELLED = 4;
/** Postgres holds its row, or the checkpoint under way writes it. */
export const FLAG_STORED = 8;
/** One-time: the schedule columns hold the instant itself, since hardly two tasks share one. */
export const FLAG_ONCE = 16;

const EMPTY = 0xffffffff;
const FIRST_CAPACITY = 64;
/** The word of an id that tells its home in the index: a UUID's version and variant stand in the second and third, its shard in the first. */
const HOME_WORD = 3;

export class TaskTable {
  ids = new Uint32Array(FIRST_CAPACITY * 4);
  bodyHash = new Uint32Array(FIRST_CAPACITY * 4);
  /** The pool's reference of a recurring schedule, or the low 32 bits of a one-time task's instant. */
  schedule = new Uint32Array(FIRST_CAPACITY);
  /** The high bits of a one-time task's instant. */
  scheduleHigh = new Uint16Array(FIRST_CAPACITY);
  target = new Uint32Array(FIRST_CAPACITY);
  createdAt = new Float64Array(FIRST_CAPACITY);
  state = new Uint8Array(FIRST_CAPACITY);
  flags = new Uint8Array(FIRST_CAPACITY);
  size = 0;
  #capacity = FIRST_CAPACITY;
  #used = 0;
  #free: number[] = [];
  #index = new Uint32Array(128).fill(EMPTY);
  #mask = 127;

  get capacity(): number {
    return this.#capacity;
  }

  /** The slot of a task id (32 hex digits), or -1. */
  find(id: string): number {
    const a = wordOf(id, 0);
    const b = wordOf(id, 1);
    const c = wordOf(id, 2);
    const d = wordOf(id, 3);
    for (let at = d & this.#mask; ; at = (at + 1) & this.#mask) {
      const slot = this.#index[at] as number;
      if (slot === EMPTY) return -1;
      const base = slot * 4;
      if (this.ids[base + 3] === d && this.ids[base] === a && this.ids[base + 1] === b && this.ids[base + 2] === c)
        return slot;
    }
  }

  /** A new slot for an id that is not in the table. All other columns are the caller's to fill. */
  add(id: string): number {
    if ((this.size + 1) * 4 > this.#index.length * 3) this.#growIndex();
    const slot = this.#free.pop() ?? this.#fresh();
    const base = slot * 4;
    for (let word = 0; word < 4; word++) this.ids[base + word] = wordOf(id, word);
    this.#place(slot);
    this.size++;
    return slot;
  }

  remove(slot: number): void {
    this.#unplace(slot);
    this.state[slot] = TASK_FREE;
    this.flags[slot] = 0;
    this.#free.push(slot);
    this.size--;
  }

  idOf(slot: number): string {
    for (let word = 0; word < 4; word++) idBytes.writeUInt32BE(this.ids[slot * 4 + word] as number, word * 4);
    return idBytes.toString('hex');
  }

  /** The instant of a one-time task (FLAG_ONCE), ms. */
  atOf(slot: number): number {
    return (this.scheduleHigh[slot] as number) * 2 ** 32 + (this.schedule[slot] as number);
  }

  setAt(slot: number, atMs: number): void {
    this.schedule[slot] = atMs % 2 ** 32;
    this.scheduleHigh[slot] = Math.floor(atMs / 2 ** 32);
  }

  has(slot: number, flag: number): boolean {
    return ((this.flags[slot] as number) & flag) !== 0;
  }

  set(slot: number, flag: number, on: boolean): void {
    const flags = this.flags[slot] as number;
    this.flags[slot] = on ? flags | flag : flags & ~flag;
  }

  /** Bytes reserved by the columns and the index. */
  get memoryBytes(): number {
    const columns = [
      this.ids,
      this.bodyHash,
      this.schedule,
      this.scheduleHigh,
      this.target,
      this.createdAt,
      this.state,
      this.flags,
      this.#index,
    ];
    return columns.reduce((sum, column) => sum + column.byteLength, 0);
  }

  /** The most neighbouring places of the index that are all taken: what a search may have to look through. */
  longestRun(): number {
    let [run, longest] = [0, 0];
    for (const slot of this.#index) {
      run = slot === EMPTY ? 0 : run + 1;
      longest = Math.max(longest, run);
    }
    return longest;
  }

  /** Throws where T1 or T2 does not hold. */
  assertInvariants(): void {
    let placed = 0;
    for (const slot of this.#index) {
      if (slot === EMPTY) continue;
      placed++;
      if (this.state[slot] === TASK_FREE) throw new Error(`T1: free slot ${slot} stands in the index`);
      if (this.find(this.idOf(slot)) !== slot) throw new Error(`T2: slot ${slot} is not found by its id`);
    }
    if (placed !== this.size) throw new Error(`T1: ${placed} slots in the index, ${this.size} in use`);
    if (this.#used - this.#free.length !== this.size) throw new Error('T1: free list and size disagree');
  }

  #fresh(): number {
    if (this.#used === this.#capacity) this.#growColumns();
    return this.#used++;
  }

  #growColumns(): void {
    const capacity = this.#capacity + Math.max(64, this.#capacity >> 3);
    const grow = <A extends Uint32Array | Uint16Array | Float64Array | Uint8Array>(old: A, bigger: A): A => {
      bigger.set(old);
      return bigger;
    };
    this.ids = grow(this.ids, new Uint32Array(capacity * 4));
    this.bodyHash = grow(this.bodyHash, new Uint32Array(capacity * 4));
    this.schedule = grow(this.schedule, new Uint32Array(capacity));
    this.scheduleHigh = grow(this.scheduleHigh, new Uint16Array(capacity));
    this.target = grow(this.target, new Uint32Array(capacity));
    this.createdAt = grow(this.createdAt, new Float64Array(capacity));
    this.state = grow(this.state, new Uint8Array(capacity));
    this.flags = grow(this.flags, new Uint8Array(capacity));
    this.#capacity = capacity;
  }

  #growIndex(): void {
    const old = this.#index;
    this.#index = new Uint32Array(old.length * 2).fill(EMPTY);
    this.#mask = this.#index.length - 1;
    for (const slot of old) if (slot !== EMPTY) this.#place(slot);
  }

  #place(slot: number): void {
    let at = (this.ids[slot * 4 + HOME_WORD] as number) & this.#mask;
    while (this.#index[at] !== EMPTY) at = (at + 1) & this.#mask;
    this.#index[at] = slot;
  }

  #unplace(slot: number): void {
    let hole = (this.ids[slot * 4 + HOME_WORD] as number) & this.#mask;
    while (this.#index[hole] !== slot) hole = (hole + 1) & this.#mask;
    for (let at = (hole + 1) & this.#mask; this.#index[at] !== EMPTY; at = (at + 1) & this.#mask) {
      const home = (this.ids[(this.#index[at] as number) * 4 + HOME_WORD] as number) & this.#mask;
      // The entry may move back to the hole only if the hole is not before its home.
      if (((at - home) & this.#mask) >= ((at - hole) & this.#mask)) {
        this.#index[hole] = this.#index[at] as number;
        hole = at;
      }
    }
    this.#index[hole] = EMPTY;
  }
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
