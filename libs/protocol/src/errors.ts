/** The stable codes of everything that Belfry refuses, with what to do about each (the table of `docs/protocol.md`). */
export const ERROR_CODES = {
  malformed: 'The message is not the JSON that this subject takes.',
  invalid_field: 'A field has the wrong type or a value out of range.',
  unknown_field: 'A field that this version does not know.',
  missing_field: 'A required field is not there.',
  invalid_name: 'A name is not 1 to 64 characters of A-Z, a-z, 0-9, _ and -.',
  invalid_schedule: 'The schedule cannot be read, or can never fire.',
  invalid_timezone: 'The time zone is not known.',
  at_out_of_range: 'The instant is too far in the past, or after the year 9999.',
  too_large: 'The payload, the metadata, the batch or the message is over its limit.',
  duplicate_key: 'The same key stands twice in one batch.',
  not_found: 'No task of this id or key; or no calendar, or node, of this name.',
  unknown_execution: 'No such execution: the task has no such fire or attempt, or its record is gone.',
  execution_over: 'The execution, or this attempt of it, is over; or its task is gone, or never was.',
  delivered_again: 'Another worker has got the message since: leave it unacknowledged.',
  overloaded: 'A limit of this installation is reached; try again later.',
  unavailable: 'No answer in time. It may have been accepted: try again with the same command id.',
  clock_skew: 'The clock of this node is wrong, so it takes no tasks; another node may, and this one when it is right.',
  conflict: 'The state of the cluster does not allow it, as the message says; nothing has changed.',
  unsupported: 'No such operation.',
  internal: 'A fault in Belfry; the log has the details.',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/**
 * How an error looks on the wire. `path` names the field (`retry.attempts`, `items[3].at`), `position` where in its text, from 0; `retryable`
 * says whether the same again may succeed.
 */
export interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly path?: string;
  readonly retryable?: boolean;
  readonly position?: number;
}

const RETRYABLE: ReadonlySet<ErrorCode> = new Set(['overloaded', 'unavailable', 'clock_skew', 'internal']);

export function wireError(code: ErrorCode, message: string, path?: string, position?: number): WireError {
  return {
    code,
    message,
    ...(path === undefined ? {} : { path }),
    ...(position === undefined ? {} : { position }),
    ...(RETRYABLE.has(code) ? { retryable: true } : {}),
  };
}

/** The exception form of a `WireError`, for the SDK and the CLI. */
export class BelfryError extends Error {
  readonly code: ErrorCode;
  readonly path: string | undefined;
  /** Where in the field's text, from 0. */
  readonly position: number | undefined;
  readonly retryable: boolean;

  constructor(error: WireError, options?: ErrorOptions) {
    super(error.path === undefined ? error.message : `${error.path}: ${error.message}`, options);
    this.name = 'BelfryError';
    this.code = error.code;
    this.path = error.path;
    this.position = error.position;
    this.retryable = error.retryable ?? false;
  }
}
