/**
 * Belfry's first schema.
 *
 * What 100 million rows rest on:
 * - `task` is partitioned by ranges of shards when the installation is made. Each partition has its own key `(id)`: an id determines its
 *   shard, so that a key `(shard, id)` would be 8 bytes a row for nothing.
 * - Texts that repeat (`target`, `route`) are stored once and referred to by number; rows with the same reference are never deleted.
 * - Columns stand in the order of their alignment. What is usually absent is null, which costs a bit.
 * - The list index `(target, created_at)` deduplicates: tasks of one creation share one key. A namespace has few targets.
 * - Instants are ms since 1970, as everywhere in Belfry.
 */
export const initial = `
CREATE TABLE belfry.installation (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  shards integer NOT NULL,
  work_first_seq bigint NOT NULL DEFAULT 0,
  installed_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE belfry.shard (
  shard smallint PRIMARY KEY,
  epoch bigint NOT NULL DEFAULT 0,
  node text,
  seq bigint NOT NULL DEFAULT 0,
  watermark bigint NOT NULL DEFAULT 0,
  fired bigint NOT NULL DEFAULT 0,
  finished bigint NOT NULL DEFAULT 0,
  dead bigint NOT NULL DEFAULT 0,
  commands_since bigint NOT NULL DEFAULT 0,
  -- Everything acknowledged before this is included.
  checkpointed_at bigint NOT NULL,
  -- Tells a repetition after an unknown COMMIT from a new checkpoint.
  last_attempt text
) WITH (fillfactor = 30, autovacuum_vacuum_threshold = 1000);

CREATE TABLE belfry.target (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  namespace text NOT NULL,
  queue text NOT NULL,
  handler text NOT NULL,
  body text NOT NULL UNIQUE
);
CREATE INDEX target_by_name ON belfry.target (namespace, queue, handler);

CREATE TABLE belfry.route (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  namespace text NOT NULL,
  queue text NOT NULL,
  handler text NOT NULL,
  UNIQUE (namespace, queue, handler)
);

CREATE TABLE belfry.task (
  created_at bigint NOT NULL,
  -- Null: as created_at.
  effective_from bigint,
  ended_at bigint,
  id uuid NOT NULL,
  -- Not a UUID: 16 bytes of hashes of payload and metadata.
  body_hash uuid NOT NULL,
  target integer NOT NULL,
  shard smallint NOT NULL,
  -- f finished, c cancelled.
  ended_state "char",
  schedule text NOT NULL,
  key text,
  traceparent text,
  -- Null: {}.
  metadata text,
  -- Either of the two: JSON, or the same as raw deflate (RFC 1951).
  payload text,
  payload_packed bytea
) PARTITION BY RANGE (shard);
CREATE INDEX task_newest ON belfry.task (target, created_at);
CREATE INDEX task_labels ON belfry.task USING gin ((metadata::jsonb) jsonb_path_ops) WHERE metadata IS NOT NULL;

CREATE TABLE belfry.pointer (
  next bigint NOT NULL,
  task uuid PRIMARY KEY,
  shard smallint NOT NULL
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE belfry.active (
  scheduled_at bigint NOT NULL,
  retry_at bigint,
  dispatched_at bigint,
  task uuid NOT NULL,
  attempt integer NOT NULL,
  lost integer NOT NULL,
  failures integer NOT NULL,
  target integer,
  shard smallint NOT NULL,
  -- d dispatched, r retrying.
  state "char" NOT NULL,
  attempts text NOT NULL,
  traceparent text,
  PRIMARY KEY (task, scheduled_at)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX active_latest ON belfry.active (scheduled_at);

CREATE TABLE belfry.command (
  at bigint NOT NULL,
  hash bigint NOT NULL,
  shard smallint NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX command_by_shard ON belfry.command (shard, at);

CREATE TABLE belfry.execution (
  scheduled_at bigint NOT NULL,
  dispatched_at bigint,
  delivered_at bigint,
  started_at bigint,
  finished_at bigint NOT NULL,
  accepted_at bigint NOT NULL,
  checkpointed_at bigint NOT NULL,
  created_at bigint NOT NULL,
  epoch bigint NOT NULL,
  task uuid NOT NULL,
  route integer NOT NULL,
  attempt integer NOT NULL,
  -- s succeeded, f failed, t timed_out, c cancelled, l lost, d dead.
  state "char" NOT NULL,
  worker text,
  traceparent text,
  error text,
  result text,
  attempts text
) PARTITION BY RANGE (accepted_at);
CREATE INDEX execution_of_task ON belfry.execution (task, scheduled_at);
CREATE INDEX execution_latest ON belfry.execution (route, scheduled_at);
CREATE INDEX execution_dead ON belfry.execution (route, scheduled_at) WHERE state = 'd';
CREATE INDEX execution_accepted ON belfry.execution USING brin (accepted_at) WITH (autosummarize = on);

CREATE TABLE belfry.crash (
  shard smallint NOT NULL,
  seq bigint NOT NULL,
  times integer NOT NULL,
  error text NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (shard, seq)
);

CREATE TABLE belfry.command_rest PARTITION OF belfry.command DEFAULT;
CREATE TABLE belfry.execution_rest PARTITION OF belfry.execution DEFAULT;
`;
