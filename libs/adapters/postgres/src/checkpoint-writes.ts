import type { HistoryRow, ShardDelta, TaskPatch } from '@belfry/ports';

import { bytesArray, plainArray, textArray } from './arrays.ts';
import { packPayload } from './payload.ts';
import {
  ACTIVE_STATES,
  COMMAND_COLUMNS,
  ENDED_STATES,
  EXECUTION_COLUMNS,
  LIFE_COLUMNS,
  TASK_COLUMNS,
  writeCommand,
  writeExecution,
  writeLifeRow,
  writeTask,
} from './rows.ts';
import { routeText } from './references.ts';
import type { Session } from './sessions.ts';
import { Turns } from './turns.ts';

/** Rows of one statement: what takes about a millisecond to put together. */
const STATEMENT_ROWS = 1_000;

/** What a checkpoint's rows refer to. */
export interface Referred {
  readonly targets: ReadonlyMap<string, number>;
  readonly routes: ReadonlyMap<string, number>;
}

/** The texts that the deltas' rows refer to by number. */
export async function referredTexts(
  deltas: readonly ShardDelta[],
): Promise<{ readonly targets: Set<string>; readonly routes: Set<string> }> {
  const targets = new Set<string>();
  const routes = new Set<string>();
  const turns = new Turns();
  for (const { inserts, patches, active, history } of deltas) {
    for (const { target } of inserts) targets.add(target);
    for (const { target } of patches) if (target !== undefined) targets.add(target);
    for (const { target } of active) if (target !== undefined) targets.add(target);
    let last: HistoryRow | undefined;
    for (const row of history) {
      if (last === undefined || !sameRoute(row, last)) routes.add(routeText(row));
      last = row;
    }
    await turns.due();
  }
  return { targets, routes };
}

function sameRoute(a: HistoryRow, b: HistoryRow): boolean {
  return a.handler === b.handler && a.queue === b.queue && a.namespace === b.namespace;
}

/** Deletes come before inserts, and patches after them. */
export async function writeTasks(
  session: Session,
  deltas: readonly ShardDelta[],
  targets: Referred['targets'],
): Promise<void> {
  for (const rows of statements(deltas, ({ deletes }) => deletes)) {
    await session.prepared(
      'belfry_delete_tasks',
      `DELETE FROM belfry.task t USING unnest($1::smallint[], $2::uuid[]) AS u (shard, id)
       WHERE t.shard = u.shard AND t.id = u.id`,
      [shardsOf(rows), plainArray(rows.map(({ row }) => row))],
    );
  }
  if (deltas.some(({ inserts }) => inserts.length > 0)) {
    await session.copyIn(`COPY belfry.task (${TASK_COLUMNS}) FROM STDIN (FORMAT binary)`, function* (out) {
      for (const { shard, inserts } of deltas) {
        for (const row of inserts) {
          writeTask(out, shard, row, numberOf(targets, row.target));
          yield;
        }
      }
    });
  }
  for (const rows of statements(deltas, ({ patches }) => patches.filter(onlyEnds))) await endTasks(session, rows);
  for (const rows of statements(deltas, ({ patches }) => patches.filter((patch) => !onlyEnds(patch)))) {
    await patchTasks(session, rows, targets);
  }
}

type Sharded<T> = readonly { readonly shard: number; readonly row: T }[];

/** The rows of all deltas, a statement's worth at a time. */
function* statements<T>(
  deltas: readonly ShardDelta[],
  pick: (delta: ShardDelta) => readonly T[],
): Iterable<Sharded<T>> {
  let rows: { shard: number; row: T }[] = [];
  for (const delta of deltas) {
    for (const row of pick(delta)) {
      rows.push({ shard: delta.shard, row });
      if (rows.length < STATEMENT_ROWS) continue;
      yield rows;
      rows = [];
    }
  }
  if (rows.length > 0) yield rows;
}

function shardsOf(rows: Sharded<unknown>): string {
  return plainArray(rows.map(({ shard }) => shard));
}

function numberOf(references: ReadonlyMap<string, number>, text: string): number {
  const id = references.get(text);
  if (id === undefined) throw new Error('a row refers to a text that was not stored before');
  return id;
}

/** Keyed tasks end with nothing else changed: by far the most frequent patch. */
function onlyEnds(patch: TaskPatch): boolean {
  const { id: _id, ended, ...rest } = patch;
  return ended !== undefined && Object.values(rest).every((value) => value === undefined);
}

async function endTasks(session: Session, rows: Sharded<TaskPatch>): Promise<void> {
  await session.prepared(
    'belfry_end_tasks',
    `UPDATE belfry.task t SET ended_state = u.state, ended_at = u.at
     FROM unnest($1::smallint[], $2::uuid[], $3::"char"[], $4::bigint[]) AS u (shard, id, state, at)
     WHERE t.shard = u.shard AND t.id = u.id`,
    [
      shardsOf(rows),
      plainArray(rows.map(({ row }) => row.id)),
      plainArray(rows.map(({ row }) => (row.ended === undefined ? undefined : ENDED_STATES.letter(row.ended.state)))),
      plainArray(rows.map(({ row }) => row.ended?.at)),
    ],
  );
}

async function patchTasks(session: Session, rows: Sharded<TaskPatch>, targets: Referred['targets']): Promise<void> {
  const patches = rows.map(({ row }) => row);
  const payloads = patches.map(({ payload }) => (payload === undefined ? undefined : packPayload(payload)));
  const hashes = patches.map(({ bodyHash }) => bodyHash?.map((word) => word.toString(16).padStart(8, '0')).join(''));
  await session.prepared(
    'belfry_patch_tasks',
    `UPDATE belfry.task t SET
       target = coalesce(u.target, t.target),
       schedule = coalesce(u.schedule, t.schedule),
       effective_from = coalesce(u.effective_from, t.effective_from),
       body_hash = coalesce(u.body_hash, t.body_hash),
       metadata = CASE WHEN u.metadata IS NULL THEN t.metadata ELSE nullif(u.metadata, '{}') END,
       payload = CASE WHEN u.payload_packed IS NOT NULL THEN NULL ELSE coalesce(u.payload, t.payload) END,
       payload_packed = CASE WHEN u.payload IS NOT NULL THEN NULL ELSE coalesce(u.payload_packed, t.payload_packed) END,
       ended_state = coalesce(u.ended_state, t.ended_state),
       ended_at = coalesce(u.ended_at, t.ended_at)
     FROM unnest($1::smallint[], $2::uuid[], $3::integer[], $4::text[], $5::bigint[], $6::uuid[], $7::text[], $8::text[],
       $9::bytea[], $10::"char"[], $11::bigint[])
       AS u (shard, id, target, schedule, effective_from, body_hash, metadata, payload, payload_packed, ended_state, ended_at)
     WHERE t.shard = u.shard AND t.id = u.id`,
    [
      shardsOf(rows),
      plainArray(patches.map(({ id }) => id)),
      plainArray(patches.map(({ target }) => (target === undefined ? undefined : numberOf(targets, target)))),
      textArray(patches.map(({ schedule }) => schedule)),
      plainArray(patches.map(({ effectiveFrom }) => effectiveFrom)),
      plainArray(hashes),
      textArray(patches.map(({ metadata }) => metadata)),
      textArray(payloads.map((payload) => (typeof payload === 'string' ? payload : undefined))),
      bytesArray(payloads.map((payload) => (typeof payload === 'string' ? undefined : payload))),
      plainArray(patches.map(({ ended }) => (ended === undefined ? undefined : ENDED_STATES.letter(ended.state)))),
      plainArray(patches.map(({ ended }) => ended?.at)),
    ],
  );
}

export async function writePointers(session: Session, deltas: readonly ShardDelta[]): Promise<void> {
  for (const rows of statements(deltas, ({ pointers }) => pointers.filter(({ next }) => next === undefined))) {
    await session.prepared('belfry_delete_pointers', 'DELETE FROM belfry.pointer WHERE task = ANY ($1::uuid[])', [
      plainArray(rows.map(({ row }) => row.task)),
    ]);
  }
  for (const rows of statements(deltas, ({ pointers }) => pointers.filter(({ next }) => next !== undefined))) {
    await session.prepared(
      'belfry_set_pointers',
      `INSERT INTO belfry.pointer (shard, task, next) SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[])
       ON CONFLICT (task) DO UPDATE SET next = excluded.next`,
      [shardsOf(rows), plainArray(rows.map(({ row }) => row.task)), plainArray(rows.map(({ row }) => row.next))],
    );
  }
}

/** What is done goes before what is under way: the same fire may begin anew when its task was made anew. */
export async function writeActive(
  session: Session,
  deltas: readonly ShardDelta[],
  targets: Referred['targets'],
): Promise<void> {
  for (const rows of statements(deltas, ({ activeDone }) => activeDone)) {
    await session.prepared(
      'belfry_delete_active',
      `DELETE FROM belfry.active a USING unnest($1::uuid[], $2::bigint[]) AS u (task, scheduled_at)
       WHERE a.task = u.task AND a.scheduled_at = u.scheduled_at`,
      [plainArray(rows.map(({ row }) => row.task)), plainArray(rows.map(({ row }) => row.scheduledAt))],
    );
  }
  for (const sharded of statements(deltas, ({ active }) => active)) {
    const rows = sharded.map(({ row }) => row);
    await session.prepared(
      'belfry_set_active',
      `INSERT INTO belfry.active (shard, task, scheduled_at, attempt, state, retry_at, dispatched_at, lost, failures,
         attempts, target, traceparent)
       SELECT * FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::integer[], $5::"char"[], $6::bigint[], $7::bigint[],
         $8::integer[], $9::integer[], $10::text[], $11::integer[], $12::text[])
       ON CONFLICT (task, scheduled_at) DO UPDATE SET
         attempt = excluded.attempt, state = excluded.state, retry_at = excluded.retry_at,
         dispatched_at = excluded.dispatched_at, lost = excluded.lost, failures = excluded.failures,
         attempts = excluded.attempts, target = excluded.target, traceparent = excluded.traceparent`,
      [
        shardsOf(sharded),
        plainArray(rows.map(({ task }) => task)),
        plainArray(rows.map(({ scheduledAt }) => scheduledAt)),
        plainArray(rows.map(({ attempt }) => attempt)),
        plainArray(rows.map(({ state }) => ACTIVE_STATES.letter(state))),
        plainArray(rows.map(({ retryAt }) => retryAt)),
        plainArray(rows.map(({ dispatchedAt }) => dispatchedAt)),
        plainArray(rows.map(({ lost }) => lost)),
        plainArray(rows.map(({ failures }) => failures)),
        textArray(rows.map(({ attempts }) => attempts)),
        plainArray(rows.map(({ target }) => (target === undefined ? undefined : numberOf(targets, target)))),
        textArray(rows.map(({ traceparent }) => traceparent)),
      ],
    );
  }
}

export async function writeHistory(
  session: Session,
  deltas: readonly ShardDelta[],
  routes: Referred['routes'],
  checkpointedAt: number,
): Promise<void> {
  if (deltas.every(({ history }) => history.length === 0)) return;
  await session.copyIn(`COPY belfry.execution (${EXECUTION_COLUMNS}) FROM STDIN (FORMAT binary)`, function* (out) {
    let last: HistoryRow | undefined;
    let route = 0;
    for (const { history } of deltas) {
      for (const row of history) {
        if (last === undefined || !sameRoute(row, last)) route = numberOf(routes, routeText(row));
        last = row;
        writeExecution(out, row, route, checkpointedAt);
        yield;
      }
    }
  });
}

export async function writeCommands(session: Session, deltas: readonly ShardDelta[]): Promise<void> {
  if (deltas.every(({ commands }) => commands.length === 0)) return;
  await session.copyIn(`COPY belfry.command (${COMMAND_COLUMNS}) FROM STDIN (FORMAT binary)`, function* (out) {
    for (const { shard, commands } of deltas) {
      for (const command of commands) {
        writeCommand(out, shard, command);
        yield;
      }
    }
  });
}

/** What explains, and nothing loads. */
export async function writeRecords(session: Session, deltas: readonly ShardDelta[]): Promise<void> {
  if (deltas.some(({ life }) => life.length > 0)) {
    await session.copyIn(`COPY belfry.life (${LIFE_COLUMNS}) FROM STDIN (FORMAT binary)`, function* (out) {
      for (const { life } of deltas) {
        for (const row of life) {
          writeLifeRow(out, row);
          yield;
        }
      }
    });
  }
  const unwatched = deltas.flatMap(({ shard, unwatched: spans }) => spans.map((span) => ({ shard, ...span })));
  if (unwatched.length === 0) return;
  await session.prepared(
    'belfry_write_unwatched',
    `INSERT INTO belfry.unwatched (shard, from_ms, until_ms, found_ms)
     SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[])`,
    [
      plainArray(unwatched.map(({ shard }) => shard)),
      plainArray(unwatched.map(({ fromMs }) => Math.trunc(fromMs))),
      plainArray(unwatched.map(({ untilMs }) => Math.trunc(untilMs))),
      plainArray(unwatched.map(({ foundMs }) => Math.trunc(foundMs))),
    ],
  );
}
