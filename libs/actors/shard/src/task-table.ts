import { grownColumn, newColumn, STATE_FREE, TimerTable, type TimerTableOptions } from '@belfry/timing';

export const TASK_FREE = STATE_FREE;
/** In the wheel, until its next fire. */
export const TASK_WAITING = 1;
/** In the backlog: its next fire is due, and goes when the grid of its precision has come to it. */
export const TASK_DUE = 2;
/** No coming fire, executions not over. */
export const TASK_HELD = 3;
/** Finished or cancelled; in the wheel until it is forgotten. */
export const TASK_ENDED = 4;

/** In the backlog, behind what is punctual: its next fire was missed, and its policy keeps it. */
export const TASK_LATE = 5;

/** In the backlog: its next fire came due before, and waits for no grid. */
export const TASK_READY = 6;

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

/** The tasks of one shard: timers, and what makes a task of each. No object per task. */
export class TaskTable extends TimerTable {
  bodyHash: Uint32Array<ArrayBuffer>;
  target: Uint32Array<ArrayBuffer>;
  createdAt: Float64Array<ArrayBuffer>;

  constructor(options: TimerTableOptions) {
    super(options);
    this.bodyHash = newColumn(Uint32Array<ArrayBuffer>, 16, this.capacity);
    this.target = newColumn(Uint32Array<ArrayBuffer>, 4, this.capacity);
    this.createdAt = newColumn(Float64Array<ArrayBuffer>, 8, this.capacity);
  }

  override get memoryBytes(): number {
    return super.memoryBytes + this.bodyHash.byteLength + this.target.byteLength + this.createdAt.byteLength;
  }

  protected override onGrow(capacity: number): void {
    this.bodyHash = grownColumn(this.bodyHash, 16, capacity);
    this.target = grownColumn(this.target, 4, capacity);
    this.createdAt = grownColumn(this.createdAt, 8, capacity);
  }
}
