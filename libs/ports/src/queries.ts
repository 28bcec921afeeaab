import type { ActiveRow, CalendarRow, HistoryRow, TaskRow } from './checkpoint-store.ts';

export interface StoredTask extends Omit<TaskRow, 'bodyHash'> {
  readonly shard: number;
  readonly ended: { readonly state: 'finished' | 'cancelled'; readonly at: number } | undefined;
}

export interface TaskFilter {
  readonly queue?: string;
  readonly handler?: string;
  readonly state?: 'active' | 'ended';
  readonly metadata?: { readonly [label: string]: string };
  readonly limit: number;
  /** Opaque; from the last page. */
  readonly cursor?: string;
}

export interface ExecutionFilter {
  readonly task?: string;
  readonly state?: string;
  readonly limit: number;
  /** Only scheduledAt before this, ms. */
  readonly before?: number;
  /** Opaque; from the last page. */
  readonly cursor?: string;
}

/** A canonical schedule whose minute was chosen, and how many tasks have it. */
export interface StoredSlot {
  readonly schedule: string;
  readonly tasks: number;
}

/** An execution as stored: over, or still under way. */
export type StoredExecution =
  | { readonly kind: 'over'; readonly row: HistoryRow; readonly checkpointedAt: number }
  | {
      readonly kind: 'active';
      readonly row: ActiveRow;
      readonly namespace: string;
      readonly queue: string;
      readonly handler: string;
      readonly createdAt: number;
    };

/** Reads for people, from what has been checkpointed. `asOf`: everything acknowledged before it is included (ms). */
export interface Queries {
  /** Newest first. */
  tasks(
    namespace: string,
    filter: TaskFilter,
  ): Promise<{ items: readonly StoredTask[]; cursor: string | undefined; asOf: number }>;
  /** Latest scheduledAt first; those under way included. */
  executions(
    namespace: string,
    filter: ExecutionFilter,
  ): Promise<{ items: readonly StoredExecution[]; cursor: string | undefined; asOf: number }>;
  execution(namespace: string, task: string, scheduledAt: number): Promise<StoredExecution | undefined>;
  /** By name; of each the latest definition that any shard has checkpointed. */
  calendars(namespace: string): Promise<{ items: readonly CalendarRow[]; asOf: number }>;
  /** Of live tasks; up to `limit`, those of most tasks first. */
  slots(limit: number): Promise<readonly StoredSlot[]>;
}
