import type { StoredZoneData } from '@belfry/ports';

import type { Session } from './sessions.ts';

/** Records that are kept: some years of releases. */
const KEPT = 20;

/** The latest recorded first. */
export async function readZoneData(session: Session): Promise<readonly StoredZoneData[]> {
  const { rows } = await session.query<StoredZoneData>(
    `SELECT version, digest, recorded_at AS "recordedAt", from_s AS "fromS", until_s AS "untilS", zones
     FROM belfry.zone_data ORDER BY recorded_at DESC`,
  );
  return rows;
}

/** Data that is recorded already becomes the latest again. */
export async function recordZoneData(session: Session, data: StoredZoneData): Promise<void> {
  const { version, digest, recordedAt, fromS, untilS, zones } = data;
  await session.query(
    `INSERT INTO belfry.zone_data (version, digest, recorded_at, from_s, until_s, zones) VALUES ($1, $2, $3, $4, $5, $6)
     ON CONFLICT (version, digest) DO UPDATE SET recorded_at = excluded.recorded_at`,
    [version, digest, Math.trunc(recordedAt), fromS, untilS, zones],
  );
  await session.query(
    `DELETE FROM belfry.zone_data WHERE recorded_at < (SELECT min(k.recorded_at) FROM
       (SELECT recorded_at FROM belfry.zone_data ORDER BY recorded_at DESC LIMIT ${KEPT}) k)`,
  );
}
