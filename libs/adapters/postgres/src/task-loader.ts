import type { ActiveRow, LoadedTask, ShardDelta } from '@belfry/ports';

import { plainArray } from './arrays.ts';
import type { RowSink } from './copy-out.ts';
import type { References } from './references.ts';
import { ACTIVE_STATES, ENDED_STATES } from './rows.ts';
import type { Session } from './sessions.ts';
import { turn, Turns } from './turns.ts';

/** Rows that are gathered before they are handed on; parsing them takes less than 5 ms. */
const SLICE_ROWS = 2_000;

type Unfinished = { -readonly [K in keyof LoadedTask]: LoadedTask[K] };

/** Rows of one shard, and the numbers of their targets, in the same order. */
interface ShardSlice {
  readonly rows: Unfinished[];
  readonly targets: number[];
}

/** Shard numbers as they may stand in a statement's text: COPY takes no parameters. */
function listOf(shards: readonly number[]): string {
  return shards.map((shard) => Math.trunc(shard)).join(',');
}

const ID = /^[0-9a-f]{32}$/;

/** The condition that a column has one of these ids, for a statement's text; none for undefined. @throws RangeError for what is no id. */
function isOneOf(column: string, ids: readonly string[] | undefined): string {
  if (ids === undefined) return '';
  const stranger = ids.find((id) => !ID.test(id));
  if (stranger !== undefined) throw new RangeError(`not the id of a task: ${stranger.slice(0, 100)}`);
  return ` AND ${column} = ANY ('{${ids.join(',')}}'::uuid[])`;
}

export async function loadActive(
  session: Session,
  shards: readonly number[],
  targets: References,
  onActive: (shard: number, rows: readonly ActiveRow[]) => void,
): Promise<void> {
  for (const some of groups(shards, 16)) {
    const { rows } = await session.query<ActiveColumns>(
      `SELECT shard, replace(task::text, '-', '') AS task, scheduled_at AS "scheduledAt", attempt, state, retry_at AS "retryAt",
         dispatched_at AS "dispatchedAt", lost, failures, attempts, target, traceparent
       FROM belfry.active WHERE shard = ANY ($1::smallint[])`,
      [plainArray(some)],
    );
    const ids = new Set(rows.flatMap(({ target }) => (target === null ? [] : [target])));
    const texts = await targets.textsOf(session, ids);
    const byShard = Map.groupBy(rows, ({ shard }) => shard);
    for (const [shard, ofShard] of byShard)
      onActive(
        shard,
        ofShard.map((row) => activeRow(row, texts)),
      );
  }
}

export interface ActiveColumns extends Record<'shard' | 'scheduledAt' | 'attempt' | 'lost' | 'failures', number> {
  readonly task: string;
  readonly state: string;
  readonly attempts: string;
  readonly retryAt: number | null;
  readonly dispatchedAt: number | null;
  readonly target: number | null;
  readonly traceparent: string | null;
}

export function activeRow(row: ActiveColumns, targets: ReadonlyMap<number, string>): ActiveRow {
  const { task, scheduledAt, attempt, lost, failures, attempts } = row;
  return {
    task,
    scheduledAt,
    attempt,
    state: ACTIVE_STATES.name(row.state),
    retryAt: row.retryAt ?? undefined,
    dispatchedAt: row.dispatchedAt ?? undefined,
    lost,
    failures,
    attempts,
    target: row.target === null ? undefined : targets.get(row.target),
    traceparent: row.traceparent ?? undefined,
  };
}

export async function loadCommands(
  session: Session,
  shards: readonly number[],
  onCommands: (shard: number, commands: ShardDelta['commands']) => void,
  fromMs = 0,
): Promise<void> {
  let slice: { shard: number; hash: number; at: number }[] = [];
  const sink: RowSink = {
    row: (bytes, offset) => {
      const shard = bytes.readInt16BE(offset + 4);
      slice.push({ shard, hash: int8(bytes, offset + 10), at: int8(bytes, offset + 22) });
    },
    get isFull() {
      return slice.length >= SLICE_ROWS;
    },
    flush: async () => {
      for (const [shard, commands] of Map.groupBy(slice, (row) => row.shard)) {
        onCommands(
          shard,
          commands.map(({ hash, at }) => ({ hash, at })),
        );
      }
      slice = [];
      await turn();
    },
  };
  await session.copyOut(
    `COPY (
       SELECT c.shard, c.hash, c.at FROM belfry.shard s JOIN belfry.command c ON c.shard = s.shard AND c.at >= s.commands_since
       WHERE s.shard IN (${listOf(shards)}) AND c.at >= ${Math.trunc(fromMs)}
     ) TO STDOUT (FORMAT binary)`,
    sink,
  );
}

/** Tasks that wait at another instant than definition and watermark tell: all, or those with the `ids`. */
export async function loadPointers(
  session: Session,
  shards: readonly number[],
  ids?: readonly string[],
): Promise<Map<string, number>> {
  const pointers = new Map<string, number>();
  let rows = 0;
  await session.copyOut(
    `COPY (SELECT task, next FROM belfry.pointer WHERE shard IN (${listOf(shards)})${isOneOf('task', ids)}) TO STDOUT (FORMAT binary)`,
    {
      row: (bytes, offset) => {
        pointers.set(bytes.toString('hex', offset + 4, offset + 20), int8(bytes, offset + 24));
        rows++;
      },
      get isFull() {
        return rows >= SLICE_ROWS;
      },
      flush: () => {
        rows = 0;
        return turn();
      },
    },
  );
  return pointers;
}

/**
 * All tasks of the shards, or those with the `ids`, in slices.
 *
 * T1. A row's fields are read in the order of the statement's columns; the text of its target is filled in when it is handed on.
 */
export async function loadTasks(
  session: Session,
  lookup: (ids: ReadonlySet<number>) => Promise<ReadonlyMap<number, string>>,
  shards: readonly number[],
  pointers: ReadonlyMap<string, number>,
  onTasks: (shard: number, rows: readonly LoadedTask[]) => void | Promise<void>,
  ids?: readonly string[],
): Promise<void> {
  let slice = new Map<number, ShardSlice>();
  let gathered = 0;
  const row = (bytes: Buffer, offset: number): void => {
    let at = offset + 4;
    const shard = bytes.readInt16BE(at);
    at += 6;
    const targetId = bytes.readInt32BE(at);
    at += 8;
    const createdAt = int8(bytes, at);
    at += 12;
    const effectiveFrom = int8(bytes, at);
    at += 12;
    const id = bytes.toString('hex', at, at + 16);
    at += 20;
    const bodyHash = [
      bytes.readUInt32BE(at),
      bytes.readUInt32BE(at + 4),
      bytes.readUInt32BE(at + 8),
      bytes.readUInt32BE(at + 12),
    ] as const;
    at += 20;
    const keyed = bytes[at] === 1;
    at += 1;
    const length = bytes.readInt32BE(at);
    const schedule = bytes.toString('utf8', at + 4, at + 4 + length);
    at += 4 + length;
    let ended: LoadedTask['ended'];
    if (bytes.readInt32BE(at) >= 0) {
      ended = { state: ENDED_STATES.name(String.fromCharCode(bytes[at + 4] as number)), at: int8(bytes, at + 9) };
    }
    const pointer = pointers.size === 0 ? undefined : pointers.get(id);
    let ofShard = slice.get(shard);
    if (ofShard === undefined) slice.set(shard, (ofShard = { rows: [], targets: [] }));
    ofShard.rows.push({ id, schedule, target: '', createdAt, effectiveFrom, bodyHash, keyed, ended, pointer });
    ofShard.targets.push(targetId);
    gathered++;
  };
  const flush = async (): Promise<void> => {
    const ready = slice;
    slice = new Map();
    gathered = 0;
    await handOn(ready, lookup, onTasks);
  };
  const sink: RowSink = {
    row,
    flush,
    get isFull() {
      return gathered >= SLICE_ROWS;
    },
  };
  await session.copyOut(
    `COPY (
       SELECT shard, target, created_at, coalesce(effective_from, created_at), id, body_hash, key IS NOT NULL, schedule,
         ended_state, ended_at
       FROM belfry.task WHERE shard IN (${listOf(shards)})${isOneOf('id', ids)}
     ) TO STDOUT (FORMAT binary)`,
    sink,
  );
}

async function handOn(
  slice: ReadonlyMap<number, ShardSlice>,
  lookup: (ids: ReadonlySet<number>) => Promise<ReadonlyMap<number, string>>,
  onTasks: (shard: number, rows: readonly LoadedTask[]) => void | Promise<void>,
): Promise<void> {
  const ids = new Set<number>();
  for (const { targets } of slice.values()) for (const target of targets) ids.add(target);
  const texts = await lookup(ids);
  await turn();
  const turns = new Turns();
  for (const [shard, { rows, targets }] of slice) {
    for (const [index, row] of rows.entries()) row.target = texts.get(targets[index] as number) as string; // T1
    await onTasks(shard, rows);
    await turns.due();
  }
}

function int8(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 4_294_967_296 + bytes.readUInt32BE(at + 4);
}

function* groups<T>(items: readonly T[], size: number): Iterable<readonly T[]> {
  for (let from = 0; from < items.length; from += size) yield items.slice(from, from + size);
}
