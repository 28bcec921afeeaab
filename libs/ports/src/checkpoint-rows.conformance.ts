import { randomBytes } from 'node:crypto';

import { encodeTarget, type Target } from '@belfry/protocol';

import {
  NO_FIRES,
  type ActiveRow,
  type Body,
  type CalendarRow,
  type Changed,
  type CheckpointStore,
  type HistoryRow,
  type LoadedTask,
  type ShardDelta,
  type ShardHead,
  type TaskRow,
} from './checkpoint-store.ts';
import type { Outcome } from './outcome.ts';

export const T0 = 1_790_000_000_000;
export const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

export function value<T>(outcome: Outcome<T, unknown>): T {
  if (outcome.kind !== 'ok') throw new Error(`expected ok: ${JSON.stringify(outcome)}`);
  return outcome.value;
}

/** A random id that belongs to the shard, of 8. */
export function taskId(shard: number): string {
  const bytes = randomBytes(16);
  bytes[3] = ((bytes[3] as number) & 0xf8) | shard;
  return bytes.toString('hex');
}

export function target(change: Partial<Target> = {}): string {
  return encodeTarget({
    namespace: 'acme',
    queue: 'mail',
    handler: 'send',
    priority: 1,
    retry: { attempts: 3, initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.2 },
    timeoutMs: 300_000,
    precision: 'normal',
    catchUp: undefined,
    ...change,
  });
}

export function taskRow(id: string, change: Partial<TaskRow> = {}): TaskRow {
  return {
    id,
    key: undefined,
    namespace: 'acme',
    queue: 'mail',
    handler: 'send',
    schedule: `at:${T0 + 60_000}`,
    target: target(),
    payload: '{"to":"someone"}',
    metadata: '{}',
    traceparent: undefined,
    createdAt: T0,
    effectiveFrom: T0,
    bodyHash: [0, 1, 0x7fff_ffff, 0xffff_ffff],
    ...change,
  };
}

export function activeRow(task: string, change: Partial<ActiveRow> = {}): ActiveRow {
  return {
    task,
    scheduledAt: T0,
    attempt: 1,
    state: 'dispatched',
    retryAt: undefined,
    dispatchedAt: T0 + 5,
    lost: 0,
    failures: 0,
    attempts: '[]',
    target: undefined,
    traceparent: undefined,
    ...change,
  };
}

export function historyRow(task: string, change: Partial<HistoryRow> = {}): HistoryRow {
  return {
    task,
    scheduledAt: T0,
    namespace: 'acme',
    queue: 'mail',
    handler: 'send',
    state: 'succeeded',
    attempt: 1,
    dispatchedAt: T0 + 1,
    deliveredAt: T0 + 2,
    startedAt: T0 + 3,
    finishedAt: T0 + 4,
    acceptedAt: T0 + 5,
    worker: 'worker-1',
    error: undefined,
    result: '{"ok":true}',
    attempts: undefined,
    epoch: 1,
    traceparent: undefined,
    createdAt: T0 - 1_000,
    ...change,
  };
}

export function calendarRow(name: string, change: Partial<CalendarRow> = {}): CalendarRow {
  return { namespace: 'acme', name, version: 1, definition: '{"exclude":["2026-12-25"]}', setAt: T0, ...change };
}

export function deltaOf(head: ShardHead, change: Partial<ShardDelta> = {}): ShardDelta {
  return {
    shard: head.shard,
    epoch: head.epoch,
    seq: head.seq + 1,
    watermark: T0,
    deletes: [],
    inserts: [],
    patches: [],
    pointers: [],
    active: [],
    activeDone: [],
    calendars: [],
    history: [],
    life: [],
    unwatched: [],
    commands: [],
    forgetCommandsBefore: 0,
    counters: NO_FIRES,
    gaps: [],
    ...change,
  };
}

export interface CheckpointStoreHarness {
  readonly store: CheckpointStore;
  /** The same snapshots as another node sees them. */
  readonly other: CheckpointStore;
  /** What is recorded of a task's executions, in any order. */
  history(task: string): Promise<readonly HistoryRow[]>;
  /** Ends what the harness holds. */
  dispose(): Promise<void>;
}

export interface Loaded {
  readonly active: Map<number, ActiveRow[]>;
  readonly commands: Map<number, { hash: number; at: number }[]>;
  readonly calendars: Map<number, CalendarRow[]>;
  readonly tasks: Map<string, LoadedTask & { readonly shard: number }>;
}

/** What the suites do with the store of the present test, with expected outcomes unwrapped. */
export function handsOn(now: () => CheckpointStoreHarness): {
  take(shard: number, seen?: number, from?: CheckpointStore): Promise<ShardHead>;
  /** The shards that were fenced. */
  commit(...deltas: ShardDelta[]): Promise<readonly number[]>;
  load(...shards: number[]): Promise<Loaded>;
  loadChanged(shards: readonly number[], changed?: Changed): Promise<Loaded>;
  body(shard: number, id: string): Promise<Body | undefined>;
} {
  const take = async (shard: number, seen = 0, from = now().store): Promise<ShardHead> =>
    value(await from.takeEpochs([shard], 'node-a', [seen]))[0] as ShardHead;
  const commit = async (...deltas: ShardDelta[]): Promise<readonly number[]> =>
    value(await now().store.commit(deltas, randomBytes(8).toString('hex'))).fenced;
  const loadChanged = async (shards: readonly number[], changed?: Changed): Promise<Loaded> => {
    const loaded: Loaded = { active: new Map(), commands: new Map(), calendars: new Map(), tasks: new Map() };
    const append = <T>(map: Map<number, T[]>, shard: number, rows: readonly T[]): void =>
      void map.set(shard, [...(map.get(shard) ?? []), ...rows]);
    const outcome = await now().store.load(
      shards,
      (shard, rows) => append(loaded.active, shard, rows),
      (shard, rows) => append(loaded.commands, shard, rows),
      (shard, rows) => append(loaded.calendars, shard, rows),
      (shard, tasks) => {
        for (const task of tasks) loaded.tasks.set(task.id, { ...task, shard });
      },
      changed,
    );
    value(outcome);
    return loaded;
  };
  const load = (...shards: number[]): Promise<Loaded> => loadChanged(shards);
  const body = async (shard: number, id: string): Promise<Body | undefined> =>
    value(await now().store.bodies([{ shard, id }])).get(id);
  return { take, commit, load, loadChanged, body };
}
