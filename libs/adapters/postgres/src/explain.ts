import type { Facts, LifeRow, OwnershipRow, UnwatchedRow } from '@belfry/ports';
import { LIMITS } from '@belfry/protocol';

import { LIFE_KINDS } from './rows.ts';
import type { Session } from './sessions.ts';

/** Rows of each kind that one explanation takes: more have come in a window that is too wide to explain. */
const MOST_ROWS = 1_000;

/** What became of a task's schedules, oldest first, with those that ended before the window as far as rows go. */
export async function readLife(session: Session, namespace: string, task: string): Promise<readonly LifeRow[]> {
  const { rows } = await session.query<Omit<LifeRow, 'kind'> & { readonly kind: string }>(
    `SELECT replace(task::text, '-', '') AS task, namespace, kind, at, schedule, created_at AS "createdAt"
     FROM belfry.life WHERE task = $2::uuid AND namespace = $1 ORDER BY at DESC LIMIT ${MOST_ROWS}`,
    [namespace, task],
  );
  return rows.map((row) => ({ ...row, kind: LIFE_KINDS.name(row.kind) })).reverse();
}

/** Owners and unwatched spans of a shard that matter to what came due from `fromMs` on, and whether there are records of then. */
export async function readShardFacts(
  session: Session,
  shard: number,
  fromMs: number,
): Promise<Pick<Facts, 'owners' | 'unwatched' | 'recordedSince' | 'asOf'>> {
  const owners = await session.query<OwnershipRow>(
    `SELECT at, epoch, watermark, checkpointed_at AS "checkpointedAt", node, former FROM belfry.ownership
     WHERE shard = $1 AND at >= coalesce((SELECT max(at) FROM belfry.ownership WHERE shard = $1 AND at <= $2), 0)
     ORDER BY epoch LIMIT ${MOST_ROWS}`,
    [shard, fromMs],
  );
  const unwatched = await session.query<UnwatchedRow>(
    `SELECT from_ms AS "fromMs", until_ms AS "untilMs", found_ms AS "foundMs" FROM belfry.unwatched
     WHERE shard = $1 AND until_ms >= $2 ORDER BY until_ms LIMIT ${MOST_ROWS}`,
    [shard, fromMs],
  );
  const { rows } = await session.query<{ recordedSince: number; asOf: number }>(
    `SELECT i.recorded_since AS "recordedSince", s.checkpointed_at AS "asOf"
     FROM belfry.installation i JOIN belfry.shard s ON s.shard = $1`,
    [shard],
  );
  const { recordedSince = 0, asOf = 0 } = rows[0] ?? {};
  return {
    owners: owners.rows.map(({ former, ...row }) => ({ ...row, former: former ?? undefined })),
    unwatched: unwatched.rows,
    recordedSince,
    asOf,
  };
}

/** Drops what is older than the history; of each shard's owners the present one stays. */
export async function forgetShardFacts(session: Session, nowMs: number): Promise<void> {
  const oldestMs = nowMs - LIMITS.historyDays * 86_400_000;
  await session.query(
    `DELETE FROM belfry.ownership o USING belfry.shard s WHERE s.shard = o.shard AND o.at < $1 AND o.epoch < s.epoch`,
    [oldestMs],
  );
  await session.query('DELETE FROM belfry.unwatched WHERE until_ms < $1', [oldestMs]);
}
