import type {
  ActiveRow,
  Body,
  CalendarRow,
  Changed,
  CheckpointStore,
  Outcome,
  ShardDelta,
  ShardHead,
  TaskSlice,
} from '@belfry/ports';

import { plainArray } from './arrays.ts';
import { loadCalendars, writeCalendars } from './calendars.ts';
import {
  referredTexts,
  writeActive,
  writeCommands,
  writeHistory,
  writePointers,
  writeRecords,
  writeTasks,
} from './checkpoint-writes.ts';
import { lockHeads, takeEpochs, writeHeads } from './heads.ts';
import { nextFirstSeq } from './installation.ts';
import { unpackPayload } from './payload.ts';
import { References, ROUTES, TARGETS } from './references.ts';
import type { Session, Sessions } from './sessions.ts';
import { loadActive, loadCommands, loadPointers, loadTasks } from './task-loader.ts';
import { Turns } from './turns.ts';

/** Payloads of one statement: what takes a few milliseconds to unpack. */
const BODY_ROWS = 250;
/** How long a takeover waits for a checkpoint under way before it takes its writer for dead or paused. */
const PATIENCE_MS = 2_000;

export interface CheckpointSessions {
  /** Checkpoints and epochs. */
  readonly writes: Sessions;
  /** Payloads, and other short reads by key. */
  readonly reads: Sessions;
  /** Takeovers: whole shards. */
  readonly loads: Sessions;
}

/**
 * The shards' snapshots in Postgres.
 *
 * K1. Whatever a transaction writes of a shard, it holds the lock of that shard's head, and has seen its own epoch in it.
 * K2. A head names the attempt that wrote it last, in the same transaction: a repetition finds itself and writes nothing.
 * K3. Heads are locked in the order of shards.
 */
export class PostgresCheckpointStore implements CheckpointStore {
  readonly #sessions: CheckpointSessions;
  readonly #now: () => number;
  readonly #targets = new References(TARGETS);
  readonly #routes = new References(ROUTES);
  /** Connections that had been lost when the references were last forgotten. */
  #losses = 0;
  /** When the latest attempt began, however often it was repeated. */
  #attempt: { readonly id: string; readonly startedAt: number } = { id: '', startedAt: 0 };

  constructor(sessions: CheckpointSessions, now: () => number) {
    this.#sessions = sessions;
    this.#now = now;
  }

  takeEpochs(shards: readonly number[], node: string, seen: readonly number[]): Promise<Outcome<readonly ShardHead[]>> {
    return this.#sessions.writes.attempt(async (session) => {
      const impatient = setTimeout(() => void this.#endBlockers(session.serverPid), PATIENCE_MS);
      try {
        return await takeEpochs(session, shards, node, seen);
      } finally {
        clearTimeout(impatient);
      }
    });
  }

  async commit(
    deltas: readonly ShardDelta[],
    attemptId: string,
  ): Promise<Outcome<{ readonly fenced: readonly number[] }>> {
    if (this.#attempt.id !== attemptId) this.#attempt = { id: attemptId, startedAt: this.#now() };
    const checkpointedAt = Math.min(this.#attempt.startedAt, ...deltas.flatMap(({ takenAt }) => takenAt ?? []));
    // In the order of shards, rows of one partition come together.
    const sorted = deltas.toSorted((a, b) => a.shard - b.shard);
    return await this.#sessions.writes.attempt(async (session) => {
      this.#forgetAfterLoss();
      const texts = await referredTexts(sorted);
      const targets = await this.#targets.idsOf(session, texts.targets);
      const routes = await this.#routes.idsOf(session, texts.routes);
      await session.query('BEGIN');
      const { open, fenced } = await lockHeads(session, sorted, attemptId); // K1, K3
      if (open.length > 0) {
        await writeTasks(session, open, targets);
        await writePointers(session, open);
        await writeActive(session, open, targets);
        await writeHistory(session, open, routes, checkpointedAt);
        await writeCommands(session, open);
        await writeCalendars(session, open);
        await writeRecords(session, open);
        await writeHeads(session, open, attemptId, checkpointedAt); // K2
      }
      await session.query('COMMIT');
      return { fenced };
    });
  }

  async load(
    shards: readonly number[],
    onActive: (shard: number, rows: readonly ActiveRow[]) => void,
    onCommands: (shard: number, commands: readonly { hash: number; at: number }[]) => void,
    onCalendars: (shard: number, rows: readonly CalendarRow[]) => void,
    onTasks: (shard: number, tasks: TaskSlice) => void | Promise<void>,
    changed?: Changed,
  ): Promise<Outcome<void>> {
    const lookup = async (ids: ReadonlySet<number>): Promise<ReadonlyMap<number, string>> =>
      this.#targets.textsAtHand(ids) ??
      (await this.#sessions.reads.use((session) => this.#targets.textsOf(session, ids)));
    if (shards.length === 0) return { kind: 'ok', value: undefined };
    // All statements see one state, whatever their connection: only the owner writes these shards, and it is loading. Where another one
    // owns them still, what changes between two statements is loaded again when it has let go (`changed`).
    const { loads } = this.#sessions;
    this.#forgetAfterLoss();
    const [first, second] = await Promise.allSettled([
      loads.attempt(async (session) => {
        if (changed === undefined) await loadCalendars(session, shards, onCalendars);
        return await loadPointers(session, shards, changed?.tasks);
      }),
      loads.attempt(async (session) => {
        await this.#targets.prefetch(session);
        await loadActive(session, shards, this.#targets, onActive);
        if (changed?.commandsFrom !== Infinity) await loadCommands(session, shards, onCommands, changed?.commandsFrom);
      }),
    ]);
    const [pointers, rest] = [settled(first), settled(second)];
    if (pointers.kind !== 'ok') return pointers;
    if (rest.kind !== 'ok') return rest;
    return await loads.attempt((session) =>
      loadTasks(session, lookup, shards, pointers.value, onTasks, changed?.tasks),
    );
  }

  bodies(
    refs: readonly { readonly shard: number; readonly id: string }[],
  ): Promise<Outcome<ReadonlyMap<string, Body>>> {
    return this.#sessions.reads.attempt(async (session) => {
      const bodies = new Map<string, Body>();
      for (let from = 0; from < refs.length; from += BODY_ROWS) {
        await readBodies(session, refs.slice(from, from + BODY_ROWS), bodies);
      }
      return bodies;
    });
  }

  /** A database that was put back, or a stand-by that was promoted, may have other references; it has other connections, too. */
  #forgetAfterLoss(): void {
    const { writes, reads, loads } = this.#sessions;
    const losses = writes.losses + reads.losses + loads.losses;
    if (losses === this.#losses) return;
    this.#losses = losses;
    this.#targets.forget();
    this.#routes.forget();
  }

  /** Ends the transactions that a session waits for: a paused process would keep its shards locked for as long as it sleeps. */
  async #endBlockers(pid: number): Promise<void> {
    const work = (session: Session): Promise<unknown> =>
      session.query('SELECT pg_terminate_backend(pid) FROM unnest(pg_blocking_pids($1)) AS pid', [pid]);
    await this.#sessions.reads.use(work).catch(() => undefined); // then the lock's own timeout decides
  }

  /** @throws where `CheckpointStore` has no outcome for it: ConnectionLost and the like when Postgres is away. */
  nextFirstSeq(): Promise<number> {
    return this.#sessions.writes.use(nextFirstSeq);
  }
}

function settled<T>(result: PromiseSettledResult<T>): T {
  if (result.status === 'rejected') throw result.reason;
  return result.value;
}

interface BodyColumns {
  readonly id: string;
  readonly payload: string | null;
  readonly payload_packed: Uint8Array | null;
  readonly metadata: string | null;
  readonly key: string | null;
  readonly traceparent: string | null;
  readonly created_at: number;
}

async function readBodies(
  session: Session,
  refs: readonly { readonly shard: number; readonly id: string }[],
  bodies: Map<string, Body>,
): Promise<void> {
  const { rows } = await session.prepared<BodyColumns>(
    'belfry_bodies',
    `SELECT replace(t.id::text, '-', '') AS id, t.payload, t.payload_packed, t.metadata, t.key, t.traceparent, t.created_at
     FROM unnest($1::smallint[], $2::uuid[]) AS u (shard, id) JOIN belfry.task t ON t.shard = u.shard AND t.id = u.id`,
    [plainArray(refs.map(({ shard }) => shard)), plainArray(refs.map(({ id }) => id))],
  );
  const turns = new Turns();
  for (const row of rows) {
    await turns.due();
    bodies.set(row.id, {
      payload: unpackPayload(row.payload, row.payload_packed),
      metadata: row.metadata ?? '{}',
      key: row.key ?? undefined,
      traceparent: row.traceparent ?? undefined,
      createdAt: row.created_at,
    });
  }
}
