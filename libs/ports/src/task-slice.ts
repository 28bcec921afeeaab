import type { LoadedTask } from './checkpoint-store.ts';

/**
 * Some tasks of one shard in a load, as columns: of a lost node a million are loaded, and an object with its texts for each would cost more
 * than all that is done with it.
 */
export class TaskSlice implements Iterable<LoadedTask> {
  length = 0;
  /** How many tasks the shard has in all, about; 0: nobody knows. */
  expected = 0;
  /** Ids and body hashes, four words a task, most significant first. */
  readonly ids: Uint32Array;
  readonly bodyHashes: Uint32Array;
  readonly createdAt: Float64Array;
  readonly effectiveFrom: Float64Array;
  /** 1 for a task with a key. */
  readonly keyed: Uint8Array;
  /** The instants of one-time tasks, ms since 1970; NaN for others, whose `schedules` tell. */
  readonly atMs: Float64Array;
  readonly schedules: string[] = [];
  readonly targets: string[] = [];
  /** By their place in the slice; most tasks have neither. */
  readonly ended = new Map<number, NonNullable<LoadedTask['ended']>>();
  readonly pointers = new Map<number, number>();

  constructor(capacity: number) {
    this.ids = new Uint32Array(capacity * 4);
    this.bodyHashes = new Uint32Array(capacity * 4);
    this.createdAt = new Float64Array(capacity);
    this.effectiveFrom = new Float64Array(capacity);
    this.keyed = new Uint8Array(capacity);
    this.atMs = new Float64Array(capacity);
  }

  static of(rows: readonly LoadedTask[]): TaskSlice {
    const slice = new TaskSlice(rows.length);
    for (const row of rows) slice.#add(row);
    return slice;
  }

  get isFull(): boolean {
    return this.length === this.keyed.length;
  }

  clear(): void {
    this.length = 0;
    this.ended.clear();
    this.pointers.clear();
  }

  /** The tasks as objects, which may be kept. */
  *[Symbol.iterator](): Generator<LoadedTask> {
    for (let at = 0; at < this.length; at++)
      yield {
        id: this.idAt(at),
        schedule: this.#scheduleAt(at),
        target: this.targets[at] as string,
        createdAt: this.createdAt[at] as number,
        effectiveFrom: this.effectiveFrom[at] as number,
        bodyHash: [...this.bodyHashes.subarray(at * 4, at * 4 + 4)] as unknown as LoadedTask['bodyHash'],
        keyed: this.keyed[at] === 1,
        ended: this.ended.get(at),
        pointer: this.pointers.get(at),
      };
  }

  /** 32 hex digits. */
  idAt(at: number): string {
    let id = '';
    for (let word = at * 4; word < at * 4 + 4; word++) id += (this.ids[word] as number).toString(16).padStart(8, '0');
    return id;
  }

  #scheduleAt(at: number): string {
    const atMs = this.atMs[at] as number;
    return Number.isNaN(atMs) ? (this.schedules[at] as string) : `a${atMs}`;
  }

  #add({ id, schedule, target, createdAt, effectiveFrom, bodyHash, keyed, ended, pointer }: LoadedTask): void {
    const at = this.length++;
    for (let word = 0; word < 4; word++) this.ids[at * 4 + word] = parseInt(id.slice(word * 8, word * 8 + 8), 16);
    this.bodyHashes.set(bodyHash, at * 4);
    this.createdAt[at] = createdAt;
    this.effectiveFrom[at] = effectiveFrom;
    this.keyed[at] = keyed ? 1 : 0;
    this.atMs[at] = schedule.startsWith('a') ? Number(schedule.slice(1)) : NaN;
    this.schedules[at] = schedule;
    this.targets[at] = target;
    if (ended !== undefined) this.ended.set(at, ended);
    if (pointer !== undefined) this.pointers.set(at, pointer);
  }
}
