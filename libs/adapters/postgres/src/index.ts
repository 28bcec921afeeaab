export { PostgresCheckpointStore } from './checkpoint-store.ts';
export { InvalidCursor } from './cursors.ts';
export { ConnectionLost, PostgresUnavailable, QueryTooWide, SchemaTooNew } from './errors.ts';
export { connectPostgres, PostgresLink } from './link.ts';
export type { ConnectOptions } from './link.ts';
export type { PartitionChanges } from './partitions.ts';
export { PostgresQueries } from './queries.ts';
