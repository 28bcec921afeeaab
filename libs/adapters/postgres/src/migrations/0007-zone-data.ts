/** Time-zone data as leading supervisors found it, so that it can be told which fires an upgrade of it moves. */
export const zoneData = `
CREATE TABLE belfry.zone_data (
  recorded_at bigint NOT NULL,
  -- Seconds since 1970.
  from_s bigint NOT NULL,
  until_s bigint NOT NULL,
  version text NOT NULL,
  digest text NOT NULL,
  -- JSON.
  zones text NOT NULL,
  PRIMARY KEY (version, digest)
);
`;
