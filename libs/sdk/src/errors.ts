import { BelfryError, wireError, type ErrorCode, type WireError } from '@belfry/protocol';

export { BelfryError, ERROR_CODES, type ErrorCode, type WireError } from '@belfry/protocol';

/** Belfry's broker could not be reached, or did not let us in. Its code is `unavailable`. */
export class ConnectionError extends BelfryError {
  constructor(message: string, options?: ErrorOptions) {
    super(wireError('unavailable', message), options);
    this.name = 'ConnectionError';
  }
}

/**
 * Thrown by a handler: the failure is final. The execution gets no further attempt and goes to the dead letters with this message.
 * Its code is `internal`, and it is not retryable.
 */
export class FatalError extends BelfryError {
  constructor(message: string, options?: ErrorOptions) {
    super({ code: 'internal', message }, options);
    this.name = 'FatalError';
  }
}

export function belfryError(code: ErrorCode, message: string, path?: string, options?: ErrorOptions): BelfryError {
  return new BelfryError(wireError(code, message, path), options);
}

/** The wire form of what was thrown on this side of the wire. */
export function asWireError(error: BelfryError): WireError {
  const { code, path, retryable } = error;
  const prefix = path === undefined ? '' : `${path}: `;
  const message = error.message.startsWith(prefix) ? error.message.slice(prefix.length) : error.message;
  return { code, message, ...(path === undefined ? {} : { path }), ...(retryable ? { retryable } : {}) };
}

export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
