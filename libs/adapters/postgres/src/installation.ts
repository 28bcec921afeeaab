import { LOCKS, underLock } from './migrations.ts';
import type { Session } from './sessions.ts';

/**
 * Partitions of the task table, each with a range of shards. A node that takes over a tenth of 256 shards reads the partitions
 * that they lie in: about 81 % of the table with 16 partitions, 34 % with 64, 10 % with 256 (26,000 tasks of 263,000: 95, 53, 27 ms).
 * Against more: each statement locks every partition and its indexes (256 × 4 of the 6,400 locks of a server as it comes), and lists
 * ask each (3, 9, 22 ms). Inserts don't care (112, 107, 155 thousand a second), since they come in the order of shards.
 */
const TASK_PARTITIONS = 64;
/** Shards are stored in 16 bits. */
const MOST_SHARDS = 32_767;
/** Room for the messages of one incarnation of the work stream: at 10,000 a second, ten months; and 32,000 incarnations fit below 2^53. */
const SEQS_OF_INCARNATION = 2 ** 38;

/**
 * Fixes the number of shards when the database is new; else returns the number that was fixed then, whatever `shards` says.
 * @throws RangeError for a number that no installation can have.
 */
export async function ensureInstallation(session: Session, shards: number): Promise<number> {
  if (!Number.isInteger(shards) || shards < 1 || shards > MOST_SHARDS) {
    throw new RangeError(`an installation has 1 to ${MOST_SHARDS} shards, not ${shards}`);
  }
  return await underLock(session, LOCKS.migrate, async () => {
    const { rows } = await session.query<{ shards: number }>('SELECT shards FROM belfry.installation');
    const present = rows[0]?.shards;
    if (present !== undefined) return present;
    await session.query('BEGIN');
    await session.query('INSERT INTO belfry.installation (shards) VALUES ($1)', [shards]);
    await session.query(
      `INSERT INTO belfry.shard (shard, checkpointed_at)
       SELECT shard, floor(extract(epoch FROM statement_timestamp()) * 1000) FROM generate_series(0, $1 - 1) AS shard`,
      [shards],
    );
    await session.query(taskPartitions(shards));
    await session.query('COMMIT');
    return shards;
  });
}

function taskPartitions(shards: number): string {
  const count = Math.min(TASK_PARTITIONS, shards);
  const statements = Array.from({ length: count }, (_, index) => {
    const from = Math.floor((index * shards) / count);
    const to = Math.floor(((index + 1) * shards) / count);
    const name = `belfry.task_${String(index).padStart(3, '0')}`;
    return `
      CREATE TABLE ${name} PARTITION OF belfry.task (PRIMARY KEY (id)) FOR VALUES FROM (${from}) TO (${to})
        WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);`;
  });
  return statements.join('');
}

/** @throws RangeError when there are no more sequences that JavaScript can count. */
export async function nextFirstSeq(session: Session): Promise<number> {
  const { rows } = await session.query<{ seq: number }>(
    `UPDATE belfry.installation SET work_first_seq = work_first_seq + ${SEQS_OF_INCARNATION} RETURNING work_first_seq AS seq`,
  );
  const seq = rows[0]?.seq;
  if (seq === undefined) throw new Error('this database holds no installation');
  if (!Number.isSafeInteger(seq + SEQS_OF_INCARNATION)) throw new RangeError('the work stream has no sequences left');
  return seq;
}

/** The highest level at which this installation may have been written. */
export async function installationLevel(session: Session): Promise<number> {
  const { rows } = await session.query<{ level: number }>('SELECT level FROM belfry.installation');
  if (rows[0] === undefined) throw new Error('this database holds no installation');
  return rows[0].level;
}

/** From now on, `level` may be written. It never goes back. */
export async function raiseLevel(session: Session, level: number): Promise<void> {
  await session.query('UPDATE belfry.installation SET level = $1 WHERE level < $1', [level]);
}
