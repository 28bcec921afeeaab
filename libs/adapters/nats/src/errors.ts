import { errors } from '@nats-io/transport-node';

/** Error codes of JetStream's API (`err_code`) that we act upon. Errors are never told apart by their text. */
export const JS = {
  consumerNotFound: 10_014,
  consumerExists: 10_148,
  /** An update of one that is not there. */
  consumerDoesNotExist: 10_149,
  insufficientResources: 10_023,
  memoryExceeded: 10_028,
  noMessage: 10_037,
  storageExceeded: 10_047,
  invalidConfig: 10_052,
  streamNameInUse: 10_058,
  streamNotFound: 10_059,
  noSuitablePeers: 10_005,
  wrongLastSequence: 10_071,
  storeFailed: 10_077,
  /** Another checked publish to the same subject is in flight (replicated streams). */
  wrongLastSequenceInFlight: 10_164,
  /** The batch holds a message id that was seen before. */
  duplicateInBatch: 10_201,
} as const;

/** The broker said no, with a code. */
export class JetStreamError extends Error {
  readonly errCode: number;
  /** HTTP-like: 400, 404, 503. */
  readonly status: number;

  constructor(
    operation: string,
    error: { readonly code: number; readonly err_code: number; readonly description: string },
  ) {
    super(`${operation}: ${error.description} (${error.err_code})`);
    this.name = 'JetStreamError';
    this.errCode = error.err_code;
    this.status = error.code;
  }
}

/** `connect`: not reached in time, or not let in. `setup`: streams can't be made as they must be. `gone`: a stream vanished under a reader. */
export type NatsFailureCode = 'connect' | 'refused' | 'setup' | 'gone';

/** What ends a program's start, or a reading. */
export class NatsFailure extends Error {
  readonly code: NatsFailureCode;

  constructor(code: NatsFailureCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'NatsFailure';
    this.code = code;
  }
}

/** Whether nobody served the subject of a request. */
export function isNoResponders(error: unknown): boolean {
  for (let link = error, depth = 0; link instanceof Error && depth < 3; link = link.cause, depth++) {
    if (link instanceof errors.NoRespondersError) return true;
    if (link instanceof errors.RequestError && link.isNoResponders()) return true;
  }
  return false;
}

export function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
