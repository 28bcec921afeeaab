import {
  NO_FIRES,
  type ActiveRow,
  type Body,
  type CalendarRow,
  type Changed,
  type CheckpointStore,
  type HistoryRow,
  type LifeRow,
  type LoadedTask,
  type ShardDelta,
  type ShardHead,
  type TaskPatch,
  type TaskRow,
  type UnwatchedRow,
} from './checkpoint-store.ts';
import { ok } from './outcome.ts';
import type { Outcome } from './outcome.ts';
import type { Facts, OwnershipRow, StoredExecution } from './queries.ts';
import { TaskSlice } from './task-slice.ts';

/** Rows of one slice of a load. */
const SLICE_ROWS = 200;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type StoredTask = Mutable<TaskRow> & { ended: TaskPatch['ended'] };

interface StoredShard {
  head: ShardHead;
  lastAttempt: string | undefined;
  readonly tasks: Map<string, StoredTask>;
  readonly pointers: Map<string, number>;
  readonly active: Map<string, ActiveRow>;
  readonly history: HistoryRow[];
  readonly life: LifeRow[];
  readonly unwatched: UnwatchedRow[];
  readonly owners: OwnershipRow[];
  checkpointedAt: number;
  /** By `<namespace>/<name>`. */
  readonly calendars: Map<string, CalendarRow>;
  commands: { readonly hash: number; readonly at: number }[];
}

/**
 * The checkpoint store in memory: what the conformance suite and the simulator hold against the real one.
 *
 * M1. A commit changes all shards that it may write, or throws and changes none.
 */
export class MemoryCheckpointStore implements CheckpointStore {
  readonly #shards: StoredShard[];
  readonly #now: () => number;
  #firstSeq = 0;

  /** `now`: for the instants of what explains. */
  constructor(options: { readonly shards: number; readonly now?: () => number }) {
    this.#now = options.now ?? (() => 0);
    this.#shards = Array.from({ length: options.shards }, (_, shard) => ({
      head: {
        shard,
        epoch: 0,
        seq: 0,
        watermark: 0,
        counters: NO_FIRES,
        gaps: [],
      },
      lastAttempt: undefined,
      tasks: new Map(),
      pointers: new Map(),
      active: new Map(),
      history: [],
      life: [],
      unwatched: [],
      owners: [],
      checkpointedAt: 0,
      calendars: new Map(),
      commands: [],
    }));
  }

  async takeEpochs(
    shards: readonly number[],
    node: string,
    seen: readonly number[],
  ): Promise<Outcome<readonly ShardHead[]>> {
    const heads = shards.map((shard, at) => {
      const stored = this.#shard(shard);
      const { watermark } = stored.head;
      const epoch = Math.max(stored.head.epoch, seen[at] ?? 0) + 1;
      stored.head = { ...stored.head, epoch };
      const former = stored.owners.at(-1)?.node;
      const { checkpointedAt } = stored;
      stored.owners.push({ at: this.#now(), epoch, node, former, watermark, checkpointedAt });
      return stored.head;
    });
    return ok(heads);
  }

  async load(
    shards: readonly number[],
    onActive: (shard: number, rows: readonly ActiveRow[]) => void,
    onCommands: (shard: number, commands: readonly { hash: number; at: number }[]) => void,
    onCalendars: (shard: number, rows: readonly CalendarRow[]) => void,
    onTasks: (shard: number, tasks: TaskSlice) => void | Promise<void>,
    changed?: Changed,
  ): Promise<Outcome<void>> {
    const isNew = ({ at }: { readonly at: number }): boolean => changed === undefined || at >= changed.commandsFrom;
    for (const shard of shards) {
      const { active, commands, calendars } = this.#shard(shard);
      if (active.size > 0) onActive(shard, [...active.values()]);
      if (commands.some(isNew)) onCommands(shard, commands.filter(isNew));
      if (calendars.size > 0 && changed === undefined) onCalendars(shard, [...calendars.values()]);
    }
    for (const shard of shards) {
      const { tasks, pointers } = this.#shard(shard);
      const wanted = changed?.tasks.flatMap((id) => tasks.get(id) ?? []) ?? [...tasks.values()];
      const rows = wanted.map((task) => loaded(task, pointers.get(task.id)));
      for (let from = 0; from < rows.length; from += SLICE_ROWS)
        await onTasks(shard, TaskSlice.of(rows.slice(from, from + SLICE_ROWS)));
    }
    return ok(undefined);
  }

  async commit(
    deltas: readonly ShardDelta[],
    attemptId: string,
  ): Promise<Outcome<{ readonly fenced: readonly number[] }>> {
    const fenced: number[] = [];
    const open: ShardDelta[] = [];
    for (const delta of deltas) {
      const { head, lastAttempt } = this.#shard(delta.shard);
      if (delta.epoch !== head.epoch || head.seq < (delta.after ?? 0)) fenced.push(delta.shard);
      else if (lastAttempt !== attemptId) open.push(delta);
    }
    for (const delta of open) check(this.#shard(delta.shard), delta); // M1
    for (const delta of open) {
      const stored = this.#shard(delta.shard);
      apply(stored, delta, attemptId);
      stored.checkpointedAt = delta.takenAt ?? this.#now();
    }
    return ok({ fenced });
  }

  async bodies(
    refs: readonly { readonly shard: number; readonly id: string }[],
  ): Promise<Outcome<ReadonlyMap<string, Body>>> {
    const bodies = new Map<string, Body>();
    for (const { shard, id } of refs) {
      const task = this.#shard(shard).tasks.get(id);
      if (task === undefined) continue;
      const { payload, metadata, key, traceparent, createdAt } = task;
      bodies.set(id, { payload, metadata, key, traceparent, createdAt });
    }
    return ok(bodies);
  }

  async nextFirstSeq(): Promise<number> {
    this.#firstSeq += 2 ** 38;
    return this.#firstSeq;
  }

  /** What has been recorded of a shard, in the order of recording. */
  history(shard: number): readonly HistoryRow[] {
    return this.#shard(shard).history;
  }

  /** What explains a task, all of it, as `Queries.explain` gives it. */
  facts(shard: number, namespace: string, id: string): Facts {
    const stored = this.#shard(shard);
    const task = stored.tasks.get(id);
    const over = stored.history
      .filter((row) => row.task === id && row.namespace === namespace)
      .map((row): StoredExecution => ({ kind: 'over', row, checkpointedAt: stored.checkpointedAt }));
    const active = [...stored.active.values()]
      .filter((row) => row.task === id && task?.namespace === namespace)
      .map((row): StoredExecution => ({
        kind: 'active',
        row,
        namespace,
        queue: task?.queue ?? '',
        handler: task?.handler ?? '',
        createdAt: task?.createdAt ?? 0,
      }));
    return {
      task: task === undefined || task.namespace !== namespace ? undefined : { ...task, shard },
      life: stored.life.filter((row) => row.task === id && row.namespace === namespace),
      executions: [...over, ...active].sort((one, other) => other.row.scheduledAt - one.row.scheduledAt),
      owners: stored.owners,
      unwatched: stored.unwatched,
      recordedSince: 0,
      asOf: stored.checkpointedAt,
    };
  }

  #shard(shard: number): StoredShard {
    const stored = this.#shards[shard];
    if (stored === undefined) throw new RangeError(`this installation has no shard ${shard}`);
    return stored;
  }
}

function check(stored: StoredShard, delta: ShardDelta): void {
  const { head, tasks } = stored;
  if (delta.seq < head.seq) throw new Error(`shard ${delta.shard} would go back from ${head.seq} to ${delta.seq}`);
  const deleted = new Set(delta.deletes);
  const inserted = new Set<string>();
  for (const { id } of delta.inserts) {
    if (inserted.has(id) || (tasks.has(id) && !deleted.has(id))) throw new Error(`task ${id} is there already`);
    inserted.add(id);
  }
}

function apply(stored: StoredShard, delta: ShardDelta, attemptId: string): void {
  const { tasks, pointers, active } = stored;
  for (const id of delta.deletes) tasks.delete(id);
  for (const row of delta.inserts) tasks.set(row.id, { ...row, ended: undefined });
  for (const patch of delta.patches) {
    const task = tasks.get(patch.id);
    if (task === undefined) continue;
    const given = Object.entries(patch).filter(([, value]) => value !== undefined);
    Object.assign(task, Object.fromEntries(given));
  }
  for (const { task, next } of delta.pointers) {
    if (next === undefined) pointers.delete(task);
    else pointers.set(task, next);
  }
  for (const { task, scheduledAt } of delta.activeDone) active.delete(`${task}-${scheduledAt}`);
  for (const row of delta.active) active.set(`${row.task}-${row.scheduledAt}`, row);
  for (const row of delta.calendars) stored.calendars.set(`${row.namespace}/${row.name}`, row);
  stored.history.push(...delta.history);
  stored.life.push(...delta.life);
  stored.unwatched.push(...delta.unwatched);
  const { forgetCommandsBefore } = delta;
  if (stored.commands.some(({ at }) => at < forgetCommandsBefore))
    stored.commands = stored.commands.filter(({ at }) => at >= forgetCommandsBefore);
  stored.commands.push(...delta.commands.filter(({ at }) => at >= forgetCommandsBefore));
  const { shard, epoch, seq, watermark, counters, gaps } = delta;
  stored.head = { shard, epoch, seq, watermark, counters, gaps };
  stored.lastAttempt = attemptId;
}

function loaded(task: StoredTask, pointer: number | undefined): LoadedTask {
  const { id, schedule, target, createdAt, effectiveFrom, bodyHash, key, ended } = task;
  const keyed = key !== undefined;
  const hash = keyed ? bodyHash : ([0, 0, 0, 0] as const);
  return { id, schedule, target, createdAt, effectiveFrom, bodyHash: hash, keyed, ended, pointer };
}
