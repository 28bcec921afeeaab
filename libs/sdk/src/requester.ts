import { requestJson, requestText } from '@belfry/adapter-nats';
import { isObject, LIMITS, type Reply, type WireError } from '@belfry/protocol';

import type { Connection } from './connection.ts';
import { BelfryError, belfryError, ConnectionError, textOf } from './errors.ts';
import { activeTraceHeaders } from './trace-context.ts';

const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 2_000;
/** A gateway answers in `answerMs`; what comes on top is for the way. */
const ANSWER_MS = LIMITS.answerMs + 2_000;

export interface RequesterOptions {
  /** How long one call may take, retries included. Default 30,000. */
  readonly timeoutMs?: number;
}

/** Whether the same request again, with the same command id, may go better. */
export function isWorthRetrying(error: Pick<WireError, 'code'>): boolean {
  return error.code === 'unavailable' || error.code === 'overloaded' || error.code === 'clock_skew';
}

/**
 * Requests that are repeated as they are, with the command id that they have, when they got no answer, or the answer that it should
 * be tried again.
 */
export class Requester {
  readonly #connection: Connection;
  readonly #timeoutMs: number;

  constructor(connection: Connection, options: RequesterOptions) {
    this.#connection = connection;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
  }

  /**
   * `body` is any value, or JSON text that is encoded already. `again` says of a good answer that it isn't good enough yet; when time
   * is up it is returned all the same. `headers` are read for each attempt.
   * @throws BelfryError
   */
  async request<T extends object>(
    subject: string,
    body: unknown,
    again?: (answer: T) => boolean,
    headers?: () => { readonly [name: string]: string },
  ): Promise<T> {
    const deadline = performance.now() + this.#timeoutMs;
    const trace = activeTraceHeaders();
    const sent = (): { readonly [name: string]: string } => ({ ...trace, ...headers?.() });
    let told: BelfryError | undefined;
    for (let attempt = 0; ; attempt++) {
      const result = await this.#once<T>(subject, body, sent, deadline);
      const pauseMs = Math.min(FIRST_RETRY_MS * 2 ** attempt, LONGEST_RETRY_MS) * (0.75 + Math.random() / 2);
      const last = performance.now() + pauseMs >= deadline || this.#connection.isClosed;
      if ('answer' in result) {
        if (last || again === undefined || !again(result.answer)) return result.answer;
      } else {
        // Silence of a last short attempt tells less than what an earlier one was told.
        if (result.answered) told = result.failure;
        if (last || !isWorthRetrying(result.failure)) throw told ?? result.failure;
      }
      await new Promise<void>((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  async #once<T extends object>(
    subject: string,
    body: unknown,
    headersNow: () => { readonly [name: string]: string },
    deadline: number,
  ): Promise<{ readonly answer: T } | { readonly failure: BelfryError; readonly answered: boolean }> {
    const link = await this.#connection.link();
    if (!(await link.whenConnected(Math.max(0, deadline - performance.now())))) {
      return { failure: new ConnectionError(this.#connection.isClosed ? 'closed' : 'not connected'), answered: false };
    }
    const timeoutMs = Math.max(1, Math.min(ANSWER_MS, deadline - performance.now()));
    const outcome = await this.#send<Reply<T>>(link, subject, body, { timeoutMs, headers: headersNow() });
    switch (outcome.kind) {
      case 'ok':
        if (!isObject(outcome.value))
          return { failure: belfryError('internal', `${subject}: an answer of another shape`), answered: true };
        if (isWireError(outcome.value['error']))
          return { failure: new BelfryError(outcome.value['error']), answered: true };
        return { answer: outcome.value as T };
      case 'retry':
        return {
          failure: belfryError('unavailable', `no answer: ${outcome.error.message}`, undefined, {
            cause: outcome.error,
          }),
          answered: false,
        };
      case 'refused':
        return { failure: belfryError('internal', `${subject}: an answer that is not JSON`), answered: true };
    }
  }

  async #send<T>(...[link, subject, body, options]: Parameters<typeof requestJson>): ReturnType<typeof requestJson<T>> {
    try {
      if (body instanceof Uint8Array) return await requestText<T>(link, subject, body, options);
      return await requestJson<T>(link, subject, body, options);
    } catch (error) {
      if (error instanceof RangeError) throw belfryError('too_large', textOf(error), undefined, { cause: error });
      throw belfryError('malformed', `cannot be sent as JSON: ${textOf(error)}`, undefined, { cause: error });
    }
  }
}

function isWireError(value: unknown): value is WireError {
  return isObject(value) && typeof value['code'] === 'string' && typeof value['message'] === 'string';
}
