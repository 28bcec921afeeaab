/** Why the embedded servers could not be started. Codes are stable; messages are for people. */
export const EMBEDDED_ERROR_CODES = {
  already_running: 'Another live process holds the data directory.',
  port_in_use: 'A fixed port is taken by another program.',
  unsupported_platform: 'There are no embedded servers for this operating system or processor.',
  data_dir_unusable: 'The data directory cannot be created, read or written.',
  data_dir_mismatch: 'The data was made by another version, or its credentials are gone.',
  cannot_step_down: 'Postgres refuses to run as root, and there is no other user to run it as.',
  postgres_missing: 'The Postgres binaries are not installed.',
  nats_missing: 'There is no nats-server, and no way to fetch one here.',
  nats_too_old: 'The nats-server that was asked for is older than Belfry needs.',
  nats_fetch_failed: 'Fetching nats-server did not work.',
  start_failed: 'A server ended while it started.',
  start_timeout: 'A server did not become ready in time.',
  not_started: 'The server was not asked for.',
} as const;

export type EmbeddedErrorCode = keyof typeof EMBEDDED_ERROR_CODES;

export class EmbeddedError extends Error {
  readonly code: EmbeddedErrorCode;

  constructor(code: EmbeddedErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'EmbeddedError';
    this.code = code;
  }
}

/** The errno name (`ENOENT`, `EACCES` …) of a system error, if it is one. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
