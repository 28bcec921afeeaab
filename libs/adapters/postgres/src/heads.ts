import type { ShardDelta, ShardHead } from '@belfry/ports';

import { plainArray } from './arrays.ts';
import type { Session } from './sessions.ts';

/** What the heads of a checkpoint's shards say about it. */
export interface Standing {
  /** To be written. */
  readonly open: readonly ShardDelta[];
  /** Shards that belong to a newer owner, or whose stored state is older than what their delta continues. */
  readonly fenced: readonly number[];
}

/**
 * Takes the next epochs. Every writer locks heads in the order of their shards, so none waits for another in a circle;
 * and a checkpoint under way is waited for: what it writes is there before the new owner loads.
 */
export async function takeEpochs(
  session: Session,
  shards: readonly number[],
  node: string,
  seen: readonly number[],
): Promise<readonly ShardHead[]> {
  const { rows } = await session.query<Omit<ShardHead, 'gaps'> & ShardHead['counters'] & { readonly gaps: string }>(
    `WITH wanted AS (SELECT * FROM unnest($1::smallint[], $2::bigint[]) AS w (shard, seen)),
     locked AS MATERIALIZED (
       SELECT s.shard, w.seen, s.node AS former FROM belfry.shard s JOIN wanted w USING (shard)
       ORDER BY s.shard FOR NO KEY UPDATE OF s
     ),
     taken AS (
       UPDATE belfry.shard s SET epoch = greatest(s.epoch, l.seen) + 1, node = $3 FROM locked l WHERE s.shard = l.shard
       RETURNING s.*, l.former
     ),
     noted AS (
       INSERT INTO belfry.ownership (shard, epoch, node, former, at, watermark, checkpointed_at)
       SELECT shard, epoch, node, former, floor(extract(epoch FROM clock_timestamp()) * 1000), watermark, checkpointed_at FROM taken
     )
     SELECT s.shard, s.epoch, s.seq, s.watermark, s.fired, s.finished, s.dead, s.failed, s.cancelled,
       s.skipped, s.withdrawn, s.missed, s.gaps FROM taken s`,
    [plainArray(shards), plainArray(shards.map((_, at) => seen[at] ?? 0)), node],
  );
  const heads = new Map(
    rows.map(({ shard, epoch, seq, watermark, gaps, ...counters }): [number, ShardHead] => [
      shard,
      { shard, epoch, seq, watermark, counters, gaps: JSON.parse(gaps) as ShardHead['gaps'] },
    ]),
  );
  return shards.map((shard) => {
    const head = heads.get(shard);
    if (head === undefined) throw new RangeError(`this installation has no shard ${shard}`);
    return head;
  });
}

/** Locks the deltas' heads until the transaction ends, and tells what may be written. */
export async function lockHeads(session: Session, deltas: readonly ShardDelta[], attemptId: string): Promise<Standing> {
  const { rows } = await session.prepared<{ shard: number; epoch: number; seq: number; last_attempt: string | null }>(
    'belfry_lock_heads',
    `SELECT shard, epoch, seq, last_attempt FROM belfry.shard WHERE shard = ANY ($1::smallint[])
     ORDER BY shard FOR NO KEY UPDATE`,
    [plainArray(deltas.map(({ shard }) => shard))],
  );
  const heads = new Map(rows.map((row) => [row.shard, row]));
  const open: ShardDelta[] = [];
  const fenced: number[] = [];
  for (const delta of deltas) {
    const head = heads.get(delta.shard);
    if (head === undefined) throw new RangeError(`this installation has no shard ${delta.shard}`);
    // An older state than the writer's own: the database was put back, and what this delta continues is missing.
    const isOlder = head.epoch < delta.epoch || head.seq < (delta.after ?? 0);
    if (head.epoch > delta.epoch || isOlder) {
      fenced.push(delta.shard);
    } else if (head.last_attempt !== attemptId) {
      if (delta.seq < head.seq) throw new Error(`shard ${delta.shard} would go back from ${head.seq} to ${delta.seq}`);
      open.push(delta);
    }
  }
  return { open, fenced };
}

export async function writeHeads(
  session: Session,
  deltas: readonly ShardDelta[],
  attemptId: string,
  checkpointedAt: number,
): Promise<void> {
  const column = (pick: (delta: ShardDelta) => number): string => plainArray(deltas.map(pick));
  await session.prepared(
    'belfry_write_heads',
    `UPDATE belfry.shard s SET seq = u.seq, watermark = u.watermark, fired = u.fired, finished = u.finished, dead = u.dead,
       skipped = u.skipped, gaps = u.gaps, commands_since = u.commands_since, failed = u.failed, cancelled = u.cancelled,
       withdrawn = u.withdrawn, missed = u.missed, checkpointed_at = greatest(s.checkpointed_at, $14), last_attempt = $15
     FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[],
         $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[])
       AS u (shard, seq, watermark, fired, finished, dead, skipped, gaps, commands_since, failed, cancelled, withdrawn, missed)
     WHERE s.shard = u.shard`,
    [
      column(({ shard }) => shard),
      column(({ seq }) => seq),
      column(({ watermark }) => watermark),
      column(({ counters }) => counters.fired),
      column(({ counters }) => counters.finished),
      column(({ counters }) => counters.dead),
      column(({ counters }) => counters.skipped),
      deltas.map(({ gaps }) => JSON.stringify(gaps)),
      column(({ forgetCommandsBefore }) => Math.max(0, forgetCommandsBefore)),
      column(({ counters }) => counters.failed),
      column(({ counters }) => counters.cancelled),
      column(({ counters }) => counters.withdrawn),
      column(({ counters }) => counters.missed),
      checkpointedAt,
      attemptId,
    ],
  );
}
