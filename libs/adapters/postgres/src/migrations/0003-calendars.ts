/**
 * Calendars: named sets of dates that schedules refer to. Every shard has all of them, as its own inbox had them, so that its fires can be
 * told again from its own rows; a few hundred rows per calendar.
 */
export const calendars = `
CREATE TABLE belfry.calendar (
  version bigint NOT NULL,
  -- Stored time of the message that set it.
  set_at bigint NOT NULL,
  shard smallint NOT NULL,
  namespace text NOT NULL,
  name text NOT NULL,
  -- JSON.
  definition text NOT NULL,
  PRIMARY KEY (shard, namespace, name)
);
CREATE INDEX calendar_latest ON belfry.calendar (namespace, name, version DESC);
`;
