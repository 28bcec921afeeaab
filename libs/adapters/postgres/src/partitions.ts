import { LIMITS } from '@belfry/protocol';

import { forgetShardFacts } from './explain.ts';
import { LOCKS, underLock } from './migrations.ts';
import type { Session } from './sessions.ts';

const DAY_MS = 86_400_000;
/** Checkpoints wait behind this lock, so it gives up quickly and tries again in the next round. */
const LOCK_TIMEOUT = '500ms';

export interface PartitionChanges {
  readonly created: readonly string[];
  readonly dropped: readonly string[];
}

/** A table in day partitions, with a default partition `<name>_rest` for what no other takes. */
interface DailyTable {
  readonly name: string;
  readonly column: string;
  readonly keepDays: number;
}

const TABLES: readonly DailyTable[] = [
  { name: 'execution', column: 'accepted_at', keepDays: LIMITS.historyDays },
  { name: 'life', column: 'at', keepDays: LIMITS.historyDays },
  // A command is remembered for `rememberMs` after its own instant, which lies somewhere in the partition's day.
  { name: 'command', column: 'at', keepDays: Math.ceil(LIMITS.rememberMs / DAY_MS) + 1 },
];

interface Day {
  readonly partition: string;
  readonly fromMs: number;
}

/**
 * Makes the partitions of the coming days and drops those past their retention; one program at a time. Returns their names.
 *
 * P1. A row finds a partition always: the day's own, or the default one.
 * P2. Rows that the default partition took for a day move into that day's partition when it is made.
 */
export async function ensurePartitions(session: Session, nowMs: number): Promise<PartitionChanges> {
  return await underLock(session, LOCKS.partitions, async () => {
    const created: string[] = [];
    const dropped: string[] = [];
    await session.query(`SET lock_timeout = '${LOCK_TIMEOUT}'`);
    for (const table of TABLES) {
      const present = await presentDays(session, table);
      for (const day of wantedDays(table, nowMs)) {
        if (present.has(day.fromMs)) continue;
        await makePartition(session, table, day);
        created.push(day.partition);
      }
      const oldestMs = startOfDay(nowMs) - table.keepDays * DAY_MS;
      for (const [fromMs, partition] of present) {
        if (fromMs >= oldestMs) continue;
        await session.query(`DROP TABLE belfry.${partition}`);
        dropped.push(partition);
      }
      await session.query(`DELETE FROM belfry.${table.name}_rest WHERE ${table.column} < $1`, [oldestMs]);
    }
    await session.query('RESET lock_timeout');
    await forgetShardFacts(session, nowMs);
    return { created, dropped };
  });
}

function startOfDay(ms: number): number {
  return Math.floor(ms / DAY_MS) * DAY_MS;
}

/** Yesterday too: results are accepted on the broker's clock, and one that is behind lives in it for a while. */
function wantedDays(table: DailyTable, nowMs: number): Day[] {
  return Array.from({ length: LIMITS.historyDaysAhead + 2 }, (_, index) => {
    const fromMs = startOfDay(nowMs) + (index - 1) * DAY_MS;
    const digits = new Date(fromMs).toISOString().slice(0, 10).replaceAll('-', '');
    return { partition: `${table.name}_${digits}`, fromMs };
  });
}

/** Partitions of the table by the start of their day. */
async function presentDays(session: Session, table: DailyTable): Promise<Map<number, string>> {
  const { rows } = await session.query<{ name: string }>(
    `SELECT c.relname AS name FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = $1::regclass AND c.relname <> $2 ORDER BY c.relname`,
    [`belfry.${table.name}`, `${table.name}_rest`],
  );
  return new Map(
    rows.map(({ name }) => {
      const [, year, month, day] = /_(\d{4})(\d\d)(\d\d)$/.exec(name) ?? [];
      return [Date.UTC(Number(year), Number(month) - 1, Number(day)), name];
    }),
  );
}

/** Attaching needs a weaker lock on the parent than making a partition in place: checkpoints go on. */
async function makePartition(session: Session, table: DailyTable, day: Day): Promise<void> {
  const { name, column } = table;
  const toMs = day.fromMs + DAY_MS;
  const inDay = `${column} >= ${day.fromMs} AND ${column} < ${toMs}`;
  await session.query('BEGIN');
  await session.query(`LOCK TABLE belfry.${name}_rest IN ACCESS EXCLUSIVE MODE`);
  await session.query(`CREATE TABLE belfry.${day.partition} (LIKE belfry.${name} INCLUDING ALL)`);
  await session.query(
    `WITH moved AS (DELETE FROM belfry.${name}_rest WHERE ${inDay} RETURNING *)
     INSERT INTO belfry.${day.partition} SELECT * FROM moved`, // P2
  );
  await session.query(
    `ALTER TABLE belfry.${name} ATTACH PARTITION belfry.${day.partition} FOR VALUES FROM (${day.fromMs}) TO (${toMs})`,
  );
  await session.query('COMMIT');
}
