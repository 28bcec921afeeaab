import { SchemaTooNew } from './errors.ts';
import { initial } from './migrations/0001-initial.ts';
import { catchUp } from './migrations/0002-catch-up.ts';
import { calendars } from './migrations/0003-calendars.ts';
import { slots } from './migrations/0004-slots.ts';
import { ledger } from './migrations/0005-ledger.ts';
import { explain } from './migrations/0006-explain.ts';
import { zoneData } from './migrations/0007-zone-data.ts';
import { level } from './migrations/0008-level.ts';
import type { Session } from './sessions.ts';

export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly sql: string;
  /** Takes away what the version before still used: programs that do not know it cannot run with it any more. */
  readonly contracts?: true;
}

/**
 * Forward only: what is released is never edited, only followed by the next number. Programs of the version before run on while a migration
 * is applied, and are started with it: so it adds, and what it takes away has not been used since the version before (`contracts`).
 */
export const MIGRATIONS: readonly Migration[] = [
  { version: 1, name: 'initial', sql: initial },
  { version: 2, name: 'catch-up', sql: catchUp },
  { version: 3, name: 'calendars', sql: calendars },
  { version: 4, name: 'slots', sql: slots },
  { version: 5, name: 'ledger', sql: ledger },
  { version: 6, name: 'explain', sql: explain },
  { version: 7, name: 'zone-data', sql: zoneData },
  { version: 8, name: 'level', sql: level },
];

/** Advisory locks of Belfry in its database; the first number is the same for all of them ("bel"). */
export const LOCKS = { migrate: '6448492, 1', partitions: '6448492, 2' } as const;

/**
 * Brings the schema up to this program's version; programs that start at the same time wait for each other.
 * Returns the versions applied now. What a newer program has added is no hindrance.
 * @throws SchemaTooNew when a newer program has taken something away
 */
export async function migrate(session: Session, migrations = MIGRATIONS): Promise<readonly number[]> {
  return await underLock(session, LOCKS.migrate, async () => {
    await session.query(`
      CREATE SCHEMA IF NOT EXISTS belfry;
      CREATE TABLE IF NOT EXISTS belfry.migration (
        version integer PRIMARY KEY,
        name text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
      );
      ALTER TABLE belfry.migration ADD COLUMN IF NOT EXISTS contracts boolean NOT NULL DEFAULT false`);
    const { rows } = await session.query<{ version: number; contracts: boolean }>(
      'SELECT version, contracts FROM belfry.migration ORDER BY version',
    );
    const present = rows.at(-1)?.version ?? 0;
    const known = migrations.at(-1)?.version ?? 0;
    if (rows.some(({ version, contracts }) => contracts && version > known)) throw new SchemaTooNew(present, known);
    const missing = migrations.filter(({ version }) => version > present);
    for (const { version, name, sql, contracts = false } of missing) {
      await session.query('BEGIN');
      await session.query(sql);
      await session.query('INSERT INTO belfry.migration (version, name, contracts) VALUES ($1, $2, $3)', [
        version,
        name,
        contracts,
      ]);
      await session.query('COMMIT');
    }
    return missing.map(({ version }) => version);
  });
}

/** Holds one of `LOCKS` for the session while `work` runs. A session that fails is destroyed, and its lock with it. */
export async function underLock<T>(session: Session, lock: string, work: () => Promise<T>): Promise<T> {
  await session.query(`SELECT pg_advisory_lock(${lock})`);
  const result = await work();
  await session.query(`SELECT pg_advisory_unlock(${lock})`);
  return result;
}
