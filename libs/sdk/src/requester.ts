import { requestJson, requestText } from '@belfry/adapter-nats';
import { isObject, LIMITS, type Reply, type WireError } from '@belfry/protocol';

import type { Connection } from './connection.ts';
import { BelfryError, belfryError, ConnectionError, textOf } from './errors.ts';
import { firstAnswer } from './first-answer.ts';
import { activeTraceHeaders } from './trace-context.ts';

const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 1_000;
/** A gateway answers in `answerMs`; what comes on top is for the way. */
const ANSWER_MS = LIMITS.answerMs + 2_000;
/**
 * After which silence the same is asked again, of another gateway perhaps: the one that got it may be cut off, stand still, or never have
 * heard it. Few times, as a shard without an owner is silent too, and everything that is asked of it waits in the gateways and stands in the inbox.
 */
export const ASK_AGAIN_MS: readonly number[] = [LIMITS.askMs, 2 * LIMITS.askMs];

/** A request that is larger is not asked again so soon: it takes the room of many in the gateway, and in the inbox. */
const CHEAP_BYTES = 16_384;

export interface RequestSettings<T> {
  /** Says of a good answer that it isn't good enough yet; when time is up it is returned all the same. */
  readonly again?: (answer: T) => boolean;
  /** Read for each attempt. */
  readonly headers?: () => { readonly [name: string]: string };
  /** The same when it is done twice: if it is not large, it is asked again while the first answer may still come. */
  readonly repeatable?: boolean;
}

export interface RequesterOptions {
  /** How long one call may take, retries included. Default 30,000. */
  readonly timeoutMs?: number;
}

/** Whether the same request again, with the same command id, may go better. */
export function isWorthRetrying(error: Pick<WireError, 'code'>): boolean {
  return error.code === 'unavailable' || error.code === 'overloaded' || error.code === 'clock_skew';
}

/** Whether an outcome stands, or another gateway may have a better one: of none, and of one that says that it be tried again. */
export function isFinal(outcome: { readonly kind: string; readonly value?: unknown }): boolean {
  const { kind, value } = outcome;
  if (kind === 'retry') return false;
  return !(isObject(value) && isWireError(value['error']) && isWorthRetrying(value['error']));
}

interface Question {
  readonly subject: string;
  readonly body: unknown;
  readonly headers: () => { readonly [name: string]: string };
  readonly pausesMs: readonly number[];
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
   * `body` is any value, or JSON text that is encoded already.
   * @throws BelfryError
   */
  async request<T extends object>(subject: string, body: unknown, settings: RequestSettings<T> = {}): Promise<T> {
    const { again, headers, repeatable = false } = settings;
    const deadline = performance.now() + this.#timeoutMs;
    const trace = activeTraceHeaders();
    const sent = (): { readonly [name: string]: string } => ({ ...trace, ...headers?.() });
    const isLarge = body instanceof Uint8Array && body.byteLength > CHEAP_BYTES;
    const pausesMs = repeatable && !isLarge ? ASK_AGAIN_MS : [];
    let told: BelfryError | undefined;
    for (let attempt = 0; ; attempt++) {
      const result = await this.#once<T>({ subject, body, headers: sent, pausesMs }, deadline);
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
    { subject, body, headers, pausesMs }: Question,
    deadline: number,
  ): Promise<{ readonly answer: T } | { readonly failure: BelfryError; readonly answered: boolean }> {
    const link = await this.#connection.link();
    if (!(await link.whenConnected(Math.max(0, deadline - performance.now())))) {
      return { failure: new ConnectionError(this.#connection.isClosed ? 'closed' : 'not connected'), answered: false };
    }
    const withinMs = Math.min(ANSWER_MS, deadline - performance.now());
    const ask = (timeoutMs: number): ReturnType<typeof requestJson<Reply<T>>> =>
      this.#send(link, subject, body, { timeoutMs, headers: headers() });
    const outcome = await firstAnswer(ask, { withinMs, pausesMs, isFinal });
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
