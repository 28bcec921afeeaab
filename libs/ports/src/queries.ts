import type { ActiveRow, CalendarRow, HistoryRow, LifeRow, TaskRow, UnwatchedRow } from './checkpoint-store.ts';

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
  /** That of the task, where one is asked for: `asOf` is then this shard's own. */
  readonly shard?: number;
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

/** Time-zone data as a leading supervisor found it on its machine. */
export interface StoredZoneData {
  readonly version: string;
  readonly digest: string;
  readonly recordedAt: number;
  /** What stretch of time it tells of, in seconds since 1970. */
  readonly fromS: number;
  readonly untilS: number;
  /** JSON: by zone, `{"first", "changes": [[at, offset], …]}` in seconds. */
  readonly zones: string;
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

/** A node takes a shard over. */
export interface OwnershipRow {
  readonly at: number;
  readonly epoch: number;
  readonly node: string;
  /** The node before; undefined for a shard that never had one. */
  readonly former: string | undefined;
  /** Up to where the owner before had looked, and when, as its last checkpoint says. */
  readonly watermark: number;
  readonly checkpointedAt: number;
}

/** What is stored of a task and its shard, as far as it explains what came due in a span of time. */
export interface Facts {
  readonly task: StoredTask | undefined;
  /** Oldest first; those before the span too. */
  readonly life: readonly LifeRow[];
  /** scheduledAt in the span: the latest, up to the limit, latest first. */
  readonly executions: readonly StoredExecution[];
  /** In order, from the owner at the beginning of the span on. */
  readonly owners: readonly OwnershipRow[];
  /** In order, of those that end in the span or later. */
  readonly unwatched: readonly UnwatchedRow[];
  /** Lives, owners and spans before this were not recorded. */
  readonly recordedSince: number;
  /** Everything of the shard that was acknowledged before this is included. */
  readonly asOf: number;
}

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
  /** Why a task did or did not run in [fromMs, toMs]; with up to `limit` executions. */
  explain(
    namespace: string,
    task: string,
    shard: number,
    span: { readonly fromMs: number; readonly toMs: number },
    limit: number,
  ): Promise<Facts>;
  execution(namespace: string, task: string, scheduledAt: number): Promise<StoredExecution | undefined>;
  /** By name; of each the latest definition that any shard has checkpointed. */
  calendars(namespace: string): Promise<{ items: readonly CalendarRow[]; asOf: number }>;
  /** Of live tasks; up to `limit`, those of most tasks first. */
  slots(limit: number): Promise<readonly StoredSlot[]>;
  /** The latest recorded first. */
  zoneData(): Promise<readonly StoredZoneData[]>;
}
