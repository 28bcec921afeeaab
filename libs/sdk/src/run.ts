import type { Delivery } from '@belfry/adapter-nats';
import { isObject, LIMITS, type WorkMessage } from '@belfry/protocol';
import { ABORT_REASONS, type AbortReason } from '@belfry/worker';

import type { Part } from './parcel.ts';
import { belfryError, FatalError, type BelfryError } from './errors.ts';

/** What a worker keeps of one execution in its hands: the message, and what became of it. */
export class Run {
  /** The present delivery, or this execution's part of it: the message may come again while it is held. */
  delivery: Delivery | Part;
  /** Undefined when the body can't be read. */
  readonly message: WorkMessage | undefined;
  /** Instants are ms since 1970 on this machine's clock; 0 while they are not. */
  readonly deliveredAt: number;
  startedAt = 0;
  finishedAt = 0;
  /** JSON texts. */
  result: string | undefined;
  error: string | undefined;
  fatal = false;
  /** Of the run's span. */
  traceparent: string | undefined;
  #abortReason: BelfryError | undefined;
  #controller: AbortController | undefined;

  constructor(delivery: Delivery | Part, message: WorkMessage | undefined, deliveredAt: number) {
    this.delivery = delivery;
    this.message = message;
    this.deliveredAt = deliveredAt;
  }

  /** Made when a handler asks for it: most never do. */
  signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#abortReason !== undefined) this.#controller.abort(this.#abortReason);
    }
    return this.#controller.signal;
  }

  abort(reason: AbortReason): void {
    this.#abortReason = belfryError('unavailable', ABORT_REASONS[reason]);
    this.#controller?.abort(this.#abortReason);
  }

  /** The handler returned. What is not kept of a result is said in `error`: the execution succeeded all the same. */
  succeed(value: unknown): void {
    if (value === undefined) return;
    let text: string | undefined;
    try {
      text = JSON.stringify(value);
    } catch (error) {
      this.#say(`the result was not kept: JSON cannot hold it: ${explain(error)}`);
      return;
    }
    // One character is at most three bytes, so short texts need no count.
    if (text !== undefined && text.length * 3 > LIMITS.resultBytes) {
      const bytes = Buffer.byteLength(text);
      if (bytes > LIMITS.resultBytes) {
        this.#say(`the result was not kept: ${bytes} bytes; the limit is ${LIMITS.resultBytes}`);
        return;
      }
    }
    this.result = text;
  }

  /** The handler threw, or could not be called. */
  fail(error: unknown, fatal = error instanceof FatalError): void {
    this.fatal = fatal;
    const text = explain(error);
    const why = this.#abortReason?.message;
    // What an aborted handler throws rarely says why it was aborted.
    this.#say(why === undefined || text.includes(why) ? text : `${why}: ${text}`);
  }

  #say(text: string): void {
    this.error = JSON.stringify(text.slice(0, LIMITS.errorChars).toWellFormed());
  }
}

/** Never throws, whatever a handler has thrown. */
function explain(error: unknown): string {
  try {
    // A message may be anything: libraries put objects there.
    const shown: unknown = error instanceof Error ? (error.message === '' ? error.name : error.message) : error;
    if (typeof shown === 'string') return shown;
    return typeof shown === 'bigint' ? String(shown) : (JSON.stringify(shown) ?? String(shown));
  } catch {
    return 'the handler threw something that cannot be shown';
  }
}

/** What a work message carries: itself, or several; undefined if it is none that this version knows. */
export function readWorkMessages(data: Uint8Array): readonly WorkMessage[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('utf8'));
  } catch {
    return undefined;
  }
  const messages = (Array.isArray(value) ? value : [value]).map(workMessageOf);
  return messages.length > 0 && messages.every((message) => message !== undefined) ? messages : undefined;
}

function workMessageOf(value: unknown): WorkMessage | undefined {
  if (!isObject(value) || value['v'] !== 1) return undefined;
  const { execution, task, handler, attempt, scheduledAt, timeoutMs } = value;
  const isWhole =
    typeof execution === 'string' &&
    typeof task === 'string' &&
    typeof handler === 'string' &&
    Number.isSafeInteger(attempt) &&
    Number.isFinite(scheduledAt) &&
    Number.isFinite(timeoutMs);
  return isWhole ? (value as unknown as WorkMessage) : undefined;
}
