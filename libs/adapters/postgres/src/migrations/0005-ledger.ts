/**
 * The rest of what the completeness ledger keeps: each fire that came due is waiting, fired, skipped, withdrawn or missed. What is expected
 * follows from these, so that a checkpoint of a program that does not know these columns leaves no gap. The ledger of a row that is older
 * begins here: its executions that are over, and not dead, count as succeeded.
 */
export const ledger = `
ALTER TABLE belfry.shard
  ADD COLUMN failed bigint NOT NULL DEFAULT 0,
  ADD COLUMN cancelled bigint NOT NULL DEFAULT 0,
  ADD COLUMN withdrawn bigint NOT NULL DEFAULT 0,
  ADD COLUMN missed bigint NOT NULL DEFAULT 0;
`;
