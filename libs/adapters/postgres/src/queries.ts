import type {
  CalendarRow,
  ExecutionFilter,
  Facts,
  HistoryRow,
  Queries,
  StoredExecution,
  StoredSlot,
  StoredTask,
  StoredZoneData,
  TaskFilter,
} from '@belfry/ports';
import { LIMITS } from '@belfry/protocol';

import { latestCalendars } from './calendars.ts';
import { decodeCursor, encodeCursor, type PageEnd } from './cursors.ts';
import { QueryTooWide, sqlState } from './errors.ts';
import { readLife, readShardFacts } from './explain.ts';
import { unpackPayload } from './payload.ts';
import { ACTIVE_STATES, ENDED_STATES, HISTORY_STATES } from './rows.ts';
import { readZoneData } from './zone-data.ts';
import type { Session, Sessions } from './sessions.ts';
import { activeRow, type ActiveColumns } from './task-loader.ts';

/** Statement cancelled, which here is always by its timeout. */
const CANCELLED = '57014';

/**
 * Reads for people, kept apart from the checkpoints' connections and cut off by a timeout.
 *
 * Lists are made per target or route of the namespace, each by an index that has its rows in order, and then merged: so it takes a few
 * rows of each, however many there are.
 *
 * @throws QueryTooWide when the timeout cut it off; ConnectionLost and the like when Postgres is away.
 */
export class PostgresQueries implements Queries {
  readonly #sessions: Sessions;

  constructor(sessions: Sessions) {
    this.#sessions = sessions;
  }

  tasks(
    namespace: string,
    filter: TaskFilter,
  ): Promise<{ items: readonly StoredTask[]; cursor: string | undefined; asOf: number }> {
    return this.#read(async (session, asOf) => {
      const limit = pageLimit(filter.limit);
      const rows = await readTasks(session, namespace, filter, limit);
      const last = rows.length === limit ? rows.at(-1) : undefined;
      const cursor = last === undefined ? undefined : encodeCursor({ at: last.created_at, id: last.id });
      return { items: rows.map(storedTask), cursor, asOf };
    });
  }

  executions(
    namespace: string,
    filter: ExecutionFilter,
  ): Promise<{ items: readonly StoredExecution[]; cursor: string | undefined; asOf: number }> {
    return this.#read(async (session, asOf) => {
      const limit = pageLimit(filter.limit);
      const { state, cursor: from } = filter;
      const wanted = from === undefined ? filter : { ...filter, after: decodeCursor(from) };
      const over =
        state === undefined || HISTORY_STATES.has(state) ? await readOver(session, namespace, wanted, limit) : [];
      const active =
        state === undefined || ACTIVE_STATES.has(state) ? await readActive(session, namespace, wanted, limit) : [];
      const items = [...over, ...active].sort(latestFirst).slice(0, limit);
      const last = items.length === limit ? items.at(-1)?.row : undefined;
      const cursor = last === undefined ? undefined : encodeCursor({ at: last.scheduledAt, id: last.task });
      return { items, cursor, asOf };
    }, filter.shard);
  }

  execution(namespace: string, task: string, scheduledAt: number): Promise<StoredExecution | undefined> {
    return this.#read(async (session) => {
      const filter = { task, limit: 1, at: scheduledAt };
      const [over] = await readOver(session, namespace, filter, 1);
      return over ?? (await readActive(session, namespace, filter, 1))[0];
    });
  }

  explain(
    namespace: string,
    task: string,
    shard: number,
    { fromMs, toMs }: { readonly fromMs: number; readonly toMs: number },
    limit: number,
  ): Promise<Facts> {
    return this.#read(async (session) => {
      const wanted = { task, since: fromMs, before: toMs + 1 };
      const over = await readOver(session, namespace, wanted, pageLimit(limit));
      const active = await readActive(session, namespace, wanted, pageLimit(limit));
      const [stored] = await readTask(session, namespace, shard, task);
      return {
        task: stored === undefined ? undefined : storedTask(stored),
        life: await readLife(session, namespace, task),
        executions: [...over, ...active].sort(latestFirst).slice(0, limit),
        ...(await readShardFacts(session, shard, fromMs)),
      };
    });
  }

  calendars(namespace: string): Promise<{ items: readonly CalendarRow[]; asOf: number }> {
    return this.#read(async (session, asOf) => ({ items: await latestCalendars(session, namespace), asOf }));
  }

  slots(limit: number): Promise<readonly StoredSlot[]> {
    return this.#read(async (session) => {
      const { rows } = await session.query<StoredSlot>(
        // The condition is that of the index.
        `SELECT schedule, count(*) AS tasks FROM belfry.task WHERE schedule LIKE 's{%"slot":%' AND ended_state IS NULL
         GROUP BY schedule ORDER BY tasks DESC LIMIT ${Math.trunc(limit)}`,
      );
      return rows;
    });
  }

  zoneData(): Promise<readonly StoredZoneData[]> {
    return this.#read((session) => readZoneData(session));
  }

  /**
   * One snapshot for all of it: an execution that ends meanwhile is found once, not twice or never. `asOf` is the oldest checkpoint of all shards,
   * or that of the `shard`.
   */
  async #read<T>(work: (session: Session, asOf: number) => Promise<T>, shard?: number): Promise<T> {
    try {
      return await this.#sessions.use(async (session) => {
        await session.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
        const { rows } = await session.query<{ at: number }>(
          'SELECT coalesce(min(checkpointed_at), 0) AS at FROM belfry.shard WHERE $1::smallint IS NULL OR shard = $1',
          [shard ?? null],
        );
        const result = await work(session, rows[0]?.at ?? 0);
        await session.query('COMMIT');
        return result;
      });
    } catch (error) {
      if (sqlState(error) === CANCELLED) throw new QueryTooWide({ cause: error });
      throw error;
    }
  }
}

function pageLimit(limit: number): number {
  return Math.max(1, Math.min(LIMITS.pageRows, Math.trunc(limit)));
}

interface TaskColumns {
  readonly id: string;
  readonly shard: number;
  readonly target: string;
  readonly namespace: string;
  readonly queue: string;
  readonly handler: string;
  readonly schedule: string;
  readonly key: string | null;
  readonly traceparent: string | null;
  readonly metadata: string | null;
  readonly payload: string | null;
  readonly payload_packed: Uint8Array | null;
  readonly created_at: number;
  readonly effective_from: number | null;
  readonly ended_state: string | null;
  readonly ended_at: number | null;
}

const STORED_TASK = `replace(t.id::text, '-', '') AS id, t.shard, g.body AS target, g.namespace, g.queue, g.handler, t.schedule, t.key,
  t.traceparent, t.metadata, t.payload, t.payload_packed, t.created_at, t.effective_from, t.ended_state, t.ended_at`;

async function readTask(
  session: Session,
  namespace: string,
  shard: number,
  id: string,
): Promise<readonly TaskColumns[]> {
  const { rows } = await session.query<TaskColumns>(
    `SELECT ${STORED_TASK} FROM belfry.task t JOIN belfry.target g ON g.id = t.target
     WHERE t.shard = $2 AND t.id = $3::uuid AND g.namespace = $1`,
    [namespace, shard, id],
  );
  return rows;
}

async function readTasks(
  session: Session,
  namespace: string,
  filter: TaskFilter,
  limit: number,
): Promise<readonly TaskColumns[]> {
  const values: unknown[] = [namespace];
  const given = (value: unknown): string => `$${values.push(value)}`;
  const ofTarget = ['g.namespace = $1'];
  if (filter.queue !== undefined) ofTarget.push(`g.queue = ${given(filter.queue)}`);
  if (filter.handler !== undefined) ofTarget.push(`g.handler = ${given(filter.handler)}`);
  const ofTask = ['t.target = g.id'];
  if (filter.state !== undefined) ofTask.push(`t.ended_state IS ${filter.state === 'ended' ? 'NOT ' : ''}NULL`);
  if (filter.metadata !== undefined && Object.keys(filter.metadata).length > 0) {
    ofTask.push(`t.metadata IS NOT NULL AND t.metadata::jsonb @> ${given(JSON.stringify(filter.metadata))}::jsonb`);
  }
  if (filter.cursor !== undefined) {
    const after = decodeCursor(filter.cursor);
    const at = given(after.at);
    ofTask.push(`t.created_at <= ${at} AND (t.created_at, t.id) < (${at}, ${given(after.id)}::uuid)`);
  }
  const newest = `ORDER BY created_at DESC, id DESC LIMIT ${limit}`;
  const { rows } = await session.query<TaskColumns>(
    `SELECT ${STORED_TASK}
     FROM belfry.target g
     CROSS JOIN LATERAL (SELECT t.* FROM belfry.task t WHERE ${ofTask.join(' AND ')} ${newest}) t
     WHERE ${ofTarget.join(' AND ')}
     ORDER BY t.created_at DESC, t.id DESC LIMIT ${limit}`,
    values,
  );
  return rows;
}

function storedTask(row: TaskColumns): StoredTask {
  const { id, shard, namespace, queue, handler, schedule, target } = row;
  const ended =
    row.ended_state === null ? undefined : { state: ENDED_STATES.name(row.ended_state), at: row.ended_at ?? 0 };
  return {
    id,
    shard,
    namespace,
    queue,
    handler,
    schedule,
    target,
    key: row.key ?? undefined,
    payload: unpackPayload(row.payload, row.payload_packed),
    metadata: row.metadata ?? '{}',
    traceparent: row.traceparent ?? undefined,
    createdAt: row.created_at,
    effectiveFrom: row.effective_from ?? row.created_at,
    ended,
  };
}

/** As the statements order them: ids compare as text as they do as uuids. */
function latestFirst({ row: a }: StoredExecution, { row: b }: StoredExecution): number {
  if (a.scheduledAt !== b.scheduledAt) return b.scheduledAt - a.scheduledAt;
  return a.task < b.task ? 1 : -1;
}

type Wanted = Pick<ExecutionFilter, 'task' | 'state' | 'before'> & {
  readonly at?: number;
  readonly since?: number;
  readonly after?: PageEnd;
};
type OverColumns = { readonly [K in keyof HistoryRow]: Exclude<HistoryRow[K], undefined> | null } & {
  readonly checkpointedAt: number;
};

/** Conditions on an execution's row, and their values after the namespace. */
function conditions(wanted: Wanted, row: string): { readonly where: string[]; readonly values: unknown[] } {
  const values: unknown[] = [];
  const given = (value: unknown): string => `$${values.push(value) + 1}`;
  const where: string[] = [];
  if (wanted.task !== undefined) where.push(`${row}.task = ${given(wanted.task)}::uuid`);
  if (wanted.before !== undefined) where.push(`${row}.scheduled_at < ${given(wanted.before)}`);
  if (wanted.since !== undefined) where.push(`${row}.scheduled_at >= ${given(wanted.since)}`);
  if (wanted.at !== undefined) where.push(`${row}.scheduled_at = ${given(wanted.at)}`);
  if (wanted.after !== undefined) {
    const at = given(wanted.after.at);
    const id = given(wanted.after.id);
    where.push(`${row}.scheduled_at <= ${at} AND (${row}.scheduled_at, ${row}.task) < (${at}, ${id}::uuid)`);
  }
  return { where, values };
}

async function readOver(
  session: Session,
  namespace: string,
  wanted: Wanted,
  limit: number,
): Promise<readonly (StoredExecution & { readonly kind: 'over' })[]> {
  const { where, values } = conditions(wanted, 'e');
  // As text in the statement, so that the planner sees that a partial index covers it.
  if (wanted.state !== undefined && HISTORY_STATES.has(wanted.state)) {
    where.push(`e.state = '${HISTORY_STATES.letter(wanted.state)}'`);
  }
  const latest = `ORDER BY e.scheduled_at DESC, e.task DESC LIMIT ${limit}`;
  // Of one task, its own index has the rows in order; of all, the routes' index.
  const from =
    wanted.task !== undefined
      ? `belfry.execution e JOIN belfry.route r ON r.id = e.route WHERE ${where.join(' AND ')} AND r.namespace = $1`
      : `belfry.route r CROSS JOIN LATERAL (
           SELECT e.* FROM belfry.execution e WHERE ${['e.route = r.id', ...where].join(' AND ')} ${latest}
         ) e WHERE r.namespace = $1`;
  const { rows } = await session.query<OverColumns>(
    `SELECT replace(e.task::text, '-', '') AS task, e.scheduled_at AS "scheduledAt", r.namespace, r.queue, r.handler, e.state,
       e.attempt, e.dispatched_at AS "dispatchedAt", e.delivered_at AS "deliveredAt", e.started_at AS "startedAt",
       e.finished_at AS "finishedAt", e.accepted_at AS "acceptedAt", e.worker, e.error, e.result, e.attempts, e.epoch,
       e.traceparent, e.created_at AS "createdAt", e.checkpointed_at AS "checkpointedAt"
     FROM ${from} ${latest}`,
    [namespace, ...values],
  );
  return rows.map(({ checkpointedAt, ...columns }) => {
    const state = HISTORY_STATES.name(columns.state as string);
    const row = { ...columns, state } as { [name: string]: unknown };
    for (const [name, value] of Object.entries(row)) if (value === null) row[name] = undefined;
    return { kind: 'over', row: row as unknown as HistoryRow, checkpointedAt };
  });
}

interface ActiveWithTask extends ActiveColumns {
  readonly body: string;
  readonly namespace: string;
  readonly queue: string;
  readonly handler: string;
  readonly createdAt: number;
}

/** What is under way runs with its own target, or else with its task's. */
async function readActive(
  session: Session,
  namespace: string,
  wanted: Wanted,
  limit: number,
): Promise<readonly (StoredExecution & { readonly kind: 'active' })[]> {
  const { where, values } = conditions(wanted, 'a');
  if (wanted.state !== undefined && ACTIVE_STATES.has(wanted.state)) {
    where.push(`a.state = '${ACTIVE_STATES.letter(wanted.state)}'`);
  }
  const { rows } = await session.query<ActiveWithTask>(
    `SELECT a.shard, replace(a.task::text, '-', '') AS task, a.scheduled_at AS "scheduledAt", a.attempt, a.state,
       a.retry_at AS "retryAt", a.dispatched_at AS "dispatchedAt", a.lost, a.failures, a.attempts, a.target, a.traceparent,
       g.body, g.namespace, g.queue, g.handler, coalesce(t.created_at, a.scheduled_at) AS "createdAt"
     FROM belfry.active a
     LEFT JOIN belfry.task t ON t.shard = a.shard AND t.id = a.task
     JOIN belfry.target g ON g.id = coalesce(a.target, t.target)
     WHERE ${['g.namespace = $1', ...where].join(' AND ')}
     ORDER BY a.scheduled_at DESC, a.task DESC LIMIT ${limit}`,
    [namespace, ...values],
  );
  return rows.map((columns) => {
    const targets = new Map(columns.target === null ? [] : [[columns.target, columns.body]]);
    const { queue, handler, createdAt } = columns;
    return {
      kind: 'active',
      row: activeRow(columns, targets),
      namespace: columns.namespace,
      queue,
      handler,
      createdAt,
    };
  });
}
