import type { CalendarRow, ShardDelta } from '@belfry/ports';

import { plainArray, textArray } from './arrays.ts';
import type { Session } from './sessions.ts';

export async function writeCalendars(session: Session, deltas: readonly ShardDelta[]): Promise<void> {
  const rows = deltas.flatMap(({ shard, calendars }) => calendars.map((row) => ({ shard, row })));
  if (rows.length === 0) return;
  await session.prepared(
    'belfry_set_calendars',
    `INSERT INTO belfry.calendar (shard, namespace, name, version, definition, set_at)
     SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[])
     ON CONFLICT (shard, namespace, name) DO UPDATE
       SET version = excluded.version, definition = excluded.definition, set_at = excluded.set_at`,
    [
      plainArray(rows.map(({ shard }) => shard)),
      textArray(rows.map(({ row }) => row.namespace)),
      textArray(rows.map(({ row }) => row.name)),
      plainArray(rows.map(({ row }) => row.version)),
      textArray(rows.map(({ row }) => row.definition)),
      plainArray(rows.map(({ row }) => row.setAt)),
    ],
  );
}

export async function loadCalendars(
  session: Session,
  shards: readonly number[],
  onCalendars: (shard: number, rows: readonly CalendarRow[]) => void,
): Promise<void> {
  // The shards of an installation mostly have the same ones: each definition comes once, and the shards that have it beside it.
  const { rows } = await session.query<CalendarRow & { readonly shards: string }>(
    `SELECT namespace, name, version, definition, set_at AS "setAt", string_agg(shard::text, ',') AS shards
     FROM belfry.calendar WHERE shard = ANY ($1::smallint[])
     GROUP BY namespace, name, version, definition, set_at`,
    [plainArray(shards)],
  );
  const byShard = new Map<number, CalendarRow[]>();
  for (const { shards: having, ...row } of rows) {
    for (const shard of having.split(',').map(Number)) byShard.set(shard, [...(byShard.get(shard) ?? []), row]);
  }
  for (const [shard, ofShard] of byShard) onCalendars(shard, ofShard);
}

/** Of each calendar of a namespace the latest definition that any shard has. */
export async function latestCalendars(session: Session, namespace: string): Promise<readonly CalendarRow[]> {
  const { rows } = await session.query<CalendarRow>(
    `SELECT DISTINCT ON (name) namespace, name, version, definition, set_at AS "setAt"
     FROM belfry.calendar WHERE namespace = $1 ORDER BY name, version DESC`,
    [namespace],
  );
  return rows;
}
