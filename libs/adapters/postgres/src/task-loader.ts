import { TaskSlice, type ActiveRow, type ShardDelta } from '@belfry/ports';

import { plainArray } from './arrays.ts';
import type { RowSink } from './copy-out.ts';
import type { References } from './references.ts';
import { ACTIVE_STATES, ENDED_STATES } from './rows.ts';
import type { Session } from './sessions.ts';
import { turn, Turns } from './turns.ts';

/** Rows that are gathered before they are handed on; parsing them takes less than 5 ms. */
const GATHERED_ROWS = 2_000;
/** Tasks of one shard that are gathered: rows of a partition's four shards come mixed. */
const SLICE_ROWS = 512;

/** Tasks of one shard, and the numbers of their targets, in the same order. */
class NumberedSlice extends TaskSlice {
  readonly targetIds = new Uint32Array(SLICE_ROWS);

  constructor() {
    super(SLICE_ROWS);
  }
}

/**
 * The condition that a column is one of these shards, for a statement's text: COPY takes no parameters. An array of the column's own type is
 * looked up by hash; the numbers of a plain `IN` would be compared one after the other, for each row.
 */
function isShardOf(column: string, shards: readonly number[]): string {
  return `${column} = ANY ('{${shards.map((shard) => Math.trunc(shard)).join(',')}}'::smallint[])`;
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
  const gathered = new Map<number, { hash: number; at: number }[]>();
  let rows = 0;
  const sink: RowSink = {
    row: (bytes, offset) => {
      const shard = bytes.readInt16BE(offset + 4);
      let commands = gathered.get(shard);
      if (commands === undefined) gathered.set(shard, (commands = []));
      commands.push({ hash: int8(bytes, offset + 10), at: int8(bytes, offset + 22) });
      rows++;
    },
    get isFull() {
      return rows >= GATHERED_ROWS;
    },
    flush: async () => {
      for (const [shard, commands] of gathered) onCommands(shard, commands);
      gathered.clear();
      rows = 0;
      await turn();
    },
  };
  await session.copyOut(
    `COPY (
       SELECT c.shard, c.hash, c.at FROM belfry.shard s JOIN belfry.command c ON c.shard = s.shard AND c.at >= s.commands_since
       WHERE ${isShardOf('s.shard', shards)} AND c.at >= ${Math.trunc(fromMs)}
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
    `COPY (SELECT task, next FROM belfry.pointer WHERE ${isShardOf('shard', shards)}${isOneOf('task', ids)}) TO STDOUT (FORMAT binary)`,
    {
      row: (bytes, offset) => {
        pointers.set(bytes.toString('hex', offset + 4, offset + 20), int8(bytes, offset + 24));
        rows++;
      },
      get isFull() {
        return rows >= GATHERED_ROWS;
      },
      flush: () => {
        rows = 0;
        return turn();
      },
    },
  );
  return pointers;
}

/** How many tasks a shard has, about, as Postgres last counted: locks nothing. Ids spread over the shards. */
async function tasksOfAShard(session: Session): Promise<number> {
  const { rows } = await session.query<{ tasks: number | null }>(
    `SELECT sum(reltuples)::float8 / (SELECT count(*) FROM belfry.shard) AS tasks
       FROM pg_class JOIN pg_inherits ON inhrelid = oid WHERE inhparent = 'belfry.task'::regclass AND reltuples > 0`,
  );
  return Math.ceil(rows[0]?.tasks ?? 0);
}

/**
 * All tasks of the shards, or those with the `ids`, in slices.
 *
 * T1. A row's fields are read in the order of the statement's columns; the text of its target is filled in when it is handed on.
 * T2. What most rows lack is null in them, which costs the server nothing to send. Only tasks with a key have a hash of their body that counts.
 */
export async function loadTasks(
  session: Session,
  lookup: (ids: ReadonlySet<number>) => Promise<ReadonlyMap<number, string>>,
  shards: readonly number[],
  pointers: ReadonlyMap<string, number>,
  onTasks: (shard: number, tasks: TaskSlice) => void | Promise<void>,
  ids?: readonly string[],
): Promise<void> {
  const expected = ids === undefined ? await tasksOfAShard(session) : 0;
  const slices = new Map<number, NumberedSlice>();
  const spare: NumberedSlice[] = [];
  let isFull = false;
  const sliceOf = (shard: number): NumberedSlice => {
    const known = slices.get(shard);
    if (known !== undefined) return known;
    const slice = spare.pop() ?? new NumberedSlice();
    slices.set(shard, slice);
    slice.expected = expected;
    return slice;
  };
  const row = (bytes: Buffer, offset: number): void => {
    let at = offset + 4;
    const slice = sliceOf(bytes.readInt16BE(at));
    const index = slice.length++;
    at += 6;
    slice.targetIds[index] = bytes.readInt32BE(at);
    at += 8;
    const createdAt = int8(bytes, at);
    slice.createdAt[index] = createdAt;
    at += 8;
    const isChanged = bytes.readInt32BE(at) >= 0;
    at += 4;
    slice.effectiveFrom[index] = isChanged ? int8(bytes, at) : createdAt;
    if (isChanged) at += 8;
    at += 4;
    for (let word = 0; word < 4; word++) slice.ids[index * 4 + word] = bytes.readUInt32BE(at + word * 4);
    if (pointers.size > 0) {
      const pointer = pointers.get(bytes.toString('hex', at, at + 16));
      if (pointer !== undefined) slice.pointers.set(index, pointer);
    }
    at += 16;
    const isKeyed = bytes.readInt32BE(at) >= 0;
    at += 4;
    slice.keyed[index] = isKeyed ? 1 : 0;
    for (let word = 0; word < 4; word++)
      slice.bodyHashes[index * 4 + word] = isKeyed ? bytes.readUInt32BE(at + word * 4) : 0;
    if (isKeyed) at += 16;
    const length = bytes.readInt32BE(at);
    const atMs = instantOf(bytes, at + 4, length);
    slice.atMs[index] = atMs;
    if (Number.isNaN(atMs)) slice.schedules[index] = bytes.toString('utf8', at + 4, at + 4 + length);
    at += 4 + length;
    if (bytes.readInt32BE(at) >= 0) {
      const state = ENDED_STATES.name(String.fromCharCode(bytes[at + 4] as number));
      slice.ended.set(index, { state, at: int8(bytes, at + 9) });
    }
    isFull = slice.isFull;
  };
  const flush = async (): Promise<void> => {
    await handOn(slices, lookup, onTasks);
    for (const slice of slices.values()) {
      slice.clear();
      spare.push(slice);
    }
    slices.clear();
    isFull = false;
  };
  const sink: RowSink = {
    row,
    flush,
    get isFull() {
      return isFull;
    },
  };
  await session.copyOut(
    `COPY (
       SELECT shard, target, created_at, effective_from, id, CASE WHEN key IS NOT NULL THEN body_hash END, schedule, ended_state, ended_at
       FROM belfry.task WHERE ${isShardOf('shard', shards)}${isOneOf('id', ids)}
     ) TO STDOUT (FORMAT binary)`,
    sink,
  );
}

async function handOn(
  slices: ReadonlyMap<number, NumberedSlice>,
  lookup: (ids: ReadonlySet<number>) => Promise<ReadonlyMap<number, string>>,
  onTasks: (shard: number, tasks: TaskSlice) => void | Promise<void>,
): Promise<void> {
  const ids = new Set<number>();
  for (const { targetIds, length } of slices.values())
    for (let at = 0; at < length; at++) ids.add(targetIds[at] as number);
  const texts = await lookup(ids);
  await turn();
  const turns = new Turns();
  for (const [shard, slice] of slices) {
    let [last, text] = [-1, ''];
    for (let at = 0; at < slice.length; at++) {
      const id = slice.targetIds[at] as number;
      if (id !== last) text = texts.get(id) as string;
      slice.targets[at] = text; // T1
      last = id;
    }
    await onTasks(shard, slice);
    await turns.due();
  }
}

const [ONCE, ZERO] = [0x61, 0x30];
/** Dates are before this, ms since 1970. */
const LAST_MS = 8_640_000_000_000_000;

/** The instant of a one-time schedule in canonical form, `a` and its digits; NaN for any other text. */
function instantOf(bytes: Buffer, from: number, length: number): number {
  if (bytes[from] !== ONCE || length < 2 || length > 17 || (length > 2 && bytes[from + 1] === ZERO)) return NaN;
  let atMs = 0;
  for (let at = from + 1; at < from + length; at++) {
    const digit = (bytes[at] as number) - ZERO;
    if (digit < 0 || digit > 9) return NaN;
    atMs = atMs * 10 + digit;
  }
  return atMs < LAST_MS ? atMs : NaN;
}

function int8(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 4_294_967_296 + bytes.readUInt32BE(at + 4);
}

function* groups<T>(items: readonly T[], size: number): Iterable<readonly T[]> {
  for (let from = 0; from < items.length; from += size) yield items.slice(from, from + size);
}
