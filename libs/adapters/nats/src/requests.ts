import { wireError } from '@belfry/protocol';
import { ok, refused, retry } from '@belfry/ports';
import type { Outcome } from '@belfry/ports';
import { headers } from '@nats-io/transport-node';
import type { Msg, MsgHdrs } from '@nats-io/transport-node';

import type { NatsLink } from './connection.ts';
import { encodeText } from './encode-text.ts';
import { asError } from './errors.ts';

const TOO_LARGE = JSON.stringify({ error: wireError('too_large', 'The answer does not fit a message; ask for less.') });

export interface RequestOptions {
  readonly timeoutMs: number;
  readonly headers?: { readonly [name: string]: string };
}

/**
 * Request and reply in JSON. `retry`: nobody serves the subject now, no answer in time, or no connection (whether the request
 * was acted upon is unknown, unless nobody served it). Refused `malformed`: the answer is not JSON. A `{"error"}` answer is `ok` here.
 * @throws RangeError when the value does not fit a message.
 */
export async function requestJson<T>(
  link: NatsLink,
  subject: string,
  value: unknown,
  options: RequestOptions,
): Promise<Outcome<T, 'malformed'>> {
  return await requestText<T>(link, subject, JSON.stringify(value), options);
}

/** As `requestJson`, of what is JSON text already, encoded or not. */
export async function requestText<T>(
  link: NatsLink,
  subject: string,
  body: string | Uint8Array,
  options: RequestOptions,
): Promise<Outcome<T, 'malformed'>> {
  if (!link.isConnected) return retry(new Error(`${subject}: not connected`));
  const bytes = typeof body === 'string' ? encodeText(body) : body;
  checkSize(link, subject, bytes);
  let answer: Msg;
  try {
    const head = options.headers === undefined ? {} : { headers: headersOf(options.headers) };
    answer = await link.nc.request(subject, bytes, { timeout: options.timeoutMs, ...head });
  } catch (thrown) {
    const error = asError(thrown);
    return retry(new Error(`${subject}: ${error.message}`, { cause: error }));
  }
  try {
    return ok(answer.json<T>());
  } catch {
    return refused('malformed');
  }
}

/** Fire and forget. False when there is no connection to send it on. @throws RangeError when it does not fit a message. */
export function publishCore(
  link: NatsLink,
  subject: string,
  body: string | Uint8Array,
  headersToSend?: { readonly [name: string]: string },
): boolean {
  if (!link.isConnected) return false;
  checkSize(link, subject, body);
  link.nc.publish(subject, body, headersToSend === undefined ? {} : { headers: headersOf(headersToSend) });
  return true;
}

export interface ServedRequest {
  readonly subject: string;
  readonly data: Uint8Array;
  header(name: string): string | undefined;
}

export interface ServeOptions {
  /** Members of one queue group share the requests; undefined: everybody gets each. */
  readonly queueGroup?: string;
  /** Handlers that run at the same time; what comes on top waits. */
  readonly concurrency: number;
  /** Requests that wait; what comes on top is answered `overloaded`. */
  readonly pending: number;
  /** A handler threw: its request was answered `internal`. */
  readonly onError: (error: Error, subject: string) => void;
}

/** The answer as text or bytes; undefined for none (plain publishes have nobody to answer). */
export type ServeHandler = (
  request: ServedRequest,
) => string | Uint8Array | undefined | Promise<string | Uint8Array | undefined>;

export interface Serving {
  /** Takes no more requests; resolves when those taken are answered. Idempotent. */
  stop(): Promise<void>;
}

/** Serves a subject: every request taken is answered once, whatever its handler does. */
export function serve(link: NatsLink, subject: string, options: ServeOptions, handler: ServeHandler): Serving {
  const waiting: Msg[] = [];
  const idle: (() => void)[] = [];
  let running = 0;

  const run = async (message: Msg): Promise<void> => {
    const request = {
      subject: message.subject,
      data: message.data,
      header: (name: string) => message.headers?.get(name) || undefined,
    };
    try {
      const answer = await handler(request);
      if (answer !== undefined) respond(link, message, answer);
    } catch (error) {
      options.onError(asError(error), message.subject);
      respond(
        link,
        message,
        JSON.stringify({ error: wireError('internal', 'The request failed; the log has the details.') }),
      );
    }
  };

  const next = (): void => {
    while (running < options.concurrency) {
      const message = waiting.shift();
      if (message === undefined) break;
      running++;
      void run(message).finally(() => {
        running--;
        next();
      });
    }
    if (running === 0) for (const resolve of idle.splice(0)) resolve();
  };

  const subscription = link.nc.subscribe(subject, {
    ...(options.queueGroup === undefined ? {} : { queue: options.queueGroup }),
    callback: (error, message) => {
      if (error !== null) return options.onError(error, subject); // no permission for the subject
      if (waiting.length >= options.pending) {
        return respond(
          link,
          message,
          JSON.stringify({ error: wireError('overloaded', 'Too many requests wait here; try again later.') }),
        );
      }
      waiting.push(message);
      next();
    },
  });

  const stop = async (): Promise<void> => {
    subscription.unsubscribe();
    if (running > 0 || waiting.length > 0) await new Promise<void>((resolve) => idle.push(resolve));
  };
  return { stop };
}

/** Answers, or says that the answer is too large. Never throws: a lost connection loses the answer, and the asker's timeout notices. */
export function respond(link: NatsLink, message: Msg, body: string | Uint8Array): void {
  if ((message.reply ?? '') === '' || !link.isConnected) return;
  const tooLarge = Buffer.byteLength(body) > (link.nc.info?.max_payload ?? Infinity);
  try {
    message.respond(tooLarge ? TOO_LARGE : body);
  } catch {
    // The connection ended between the check and here.
  }
}

function checkSize(link: NatsLink, subject: string, body: string | Uint8Array): void {
  const bytes = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  const limit = link.nc.info?.max_payload;
  if (limit !== undefined && bytes > limit)
    throw new RangeError(`${subject}: a message of ${bytes} bytes; ${limit} fit`);
}

function headersOf(record: { readonly [name: string]: string }): MsgHdrs {
  const block = headers();
  for (const [name, value] of Object.entries(record)) block.set(name, value);
  return block;
}
