/** What catch-up needs to know of a shard: what was skipped, and the spans of time in which nobody watched it, as JSON. */
export const catchUp = `
ALTER TABLE belfry.shard
  ADD COLUMN skipped bigint NOT NULL DEFAULT 0,
  ADD COLUMN gaps text NOT NULL DEFAULT '[]';
`;
