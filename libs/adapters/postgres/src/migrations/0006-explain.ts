/**
 * What explains afterwards why a task did or did not run, beside its executions: schedules that tasks had before, owners of shards, and
 * spans of time in which nobody watched a shard. Kept as long as the history.
 */
export const explain = `
CREATE TABLE belfry.life (
  at bigint NOT NULL,
  created_at bigint NOT NULL,
  task uuid NOT NULL,
  -- r rescheduled, c cancelled, f finished.
  kind "char" NOT NULL,
  namespace text NOT NULL,
  -- The one that it had up to then.
  schedule text NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX life_of_task ON belfry.life (task, at);
CREATE TABLE belfry.life_rest PARTITION OF belfry.life DEFAULT;

CREATE TABLE belfry.ownership (
  at bigint NOT NULL,
  epoch bigint NOT NULL,
  -- Up to where the owner before had looked, and when, as its last checkpoint says.
  watermark bigint NOT NULL,
  checkpointed_at bigint NOT NULL,
  shard smallint NOT NULL,
  node text NOT NULL,
  former text,
  PRIMARY KEY (shard, epoch)
);

CREATE TABLE belfry.unwatched (
  from_ms bigint NOT NULL,
  until_ms bigint NOT NULL,
  found_ms bigint NOT NULL,
  shard smallint NOT NULL
);
CREATE INDEX unwatched_of_shard ON belfry.unwatched (shard, until_ms);

-- An older installation knows nothing of what was before.
ALTER TABLE belfry.installation
  ADD COLUMN recorded_since bigint NOT NULL DEFAULT floor(extract(epoch FROM statement_timestamp()) * 1000);
`;
