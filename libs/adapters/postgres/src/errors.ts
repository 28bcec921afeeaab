import pg from 'pg';

/** SQLSTATE classes after which the same call may succeed: the server, the network or another transaction was in the way. */
const TRANSIENT_CLASSES: ReadonlySet<string> = new Set([
  '08', // connection exception
  '40', // serialization failure, deadlock
  '53', // out of connections, memory, disk
  '57', // cancelled by a timeout, shutting down, starting up
  '58', // I/O error of the server
]);
const TRANSIENT_STATES: ReadonlySet<string> = new Set([
  // A row's day got a partition of its own while the row waited for the default one; checks of other kinds can't fail here.
  '23514',
  '25006', // read-only: a standby, or a primary that is being demoted
  '25P03', // idle in transaction for too long
  '25P04', // transaction took too long
  '55P03', // a lock was not to be had in time
]);
/** Classes that no waiting mends while a program starts: password, role, database. */
const FINAL_AT_START: ReadonlySet<string> = new Set(['28', '3D']);

/** The connection failed or stood still: whether the last statement was done is unknown. `code` is stable. */
export class ConnectionLost extends Error {
  readonly code = 'BELFRY_POSTGRES_CONNECTION_LOST';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ConnectionLost';
  }
}

/** Postgres could not be reached within the stated time, or refuses this program. */
export class PostgresUnavailable extends Error {
  readonly code = 'BELFRY_POSTGRES_UNAVAILABLE';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PostgresUnavailable';
  }
}

/** A newer program than this one has taken something away that this one uses. */
export class SchemaTooNew extends Error {
  readonly code = 'BELFRY_SCHEMA_TOO_NEW';

  constructor(found: number, known: number) {
    super(
      `the database's schema is version ${found}, which a program that knows up to ${known} cannot use: it needs a newer Belfry. ` +
        'Migrations go forward only.',
    );
    this.name = 'SchemaTooNew';
  }
}

/** What the server itself said, as against what happened on the way to it. */
export function sqlState(error: unknown): string | undefined {
  return error instanceof pg.DatabaseError ? error.code : undefined;
}

/** Whether the same call may succeed later. Goes by type and SQLSTATE, never by text. */
export function isTransient(error: unknown): boolean {
  if (error instanceof ConnectionLost) return true;
  const state = sqlState(error);
  return state !== undefined && (TRANSIENT_STATES.has(state) || TRANSIENT_CLASSES.has(state.slice(0, 2)));
}

/** Whether a program that is starting should give up at once. */
export function isFinalAtStart(error: unknown): boolean {
  const cause = error instanceof ConnectionLost ? error.cause : error;
  const state = sqlState(cause);
  return state !== undefined && FINAL_AT_START.has(state.slice(0, 2));
}

export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** A short account of an error for a log line; a refused connection to several addresses has an empty message of its own. */
export function describeError(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describeError).join('; ');
  const { message, cause } = asError(error);
  if (message !== '') return message;
  return cause === undefined ? 'no reason given' : describeError(cause);
}

/** A query for people took too long: its filter fits too few of too many rows. */
export class QueryTooWide extends Error {
  readonly code = 'BELFRY_QUERY_TOO_WIDE';

  constructor(options?: ErrorOptions) {
    super('the query took too long: ask for one queue, one handler, one task, or a shorter time', options);
    this.name = 'QueryTooWide';
  }
}
