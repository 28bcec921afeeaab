import { asError, JetStreamError } from './errors.ts';
import type { NatsLink } from './connection.ts';
import type { StreamConfig, StreamState } from '@nats-io/jetstream';

const API_TIMEOUT_MS = 5_000;

export interface StreamInfo {
  readonly config: StreamConfig;
  /** RFC 3339; tells one incarnation of a stream from the next. */
  readonly created: string;
  readonly state: StreamState & { readonly subjects?: { readonly [subject: string]: number } };
  readonly total?: number;
  /** RFC 3339: the server's clock as it answered. */
  readonly ts?: string;
}

export interface StoredMessage {
  readonly subject: string;
  readonly seq: number;
  /** Base64. */
  readonly data?: string;
  readonly hdrs?: string;
  readonly time: string;
}

/** `denied`: the broker answered with an error. `unknown`: no answer, so nobody knows what happened. */
export type ApiResult<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'denied'; readonly error: JetStreamError }
  | { readonly kind: 'unknown'; readonly error: Error };

/** One request to JetStream's API. Never rejects. */
export async function jsApi<T>(
  link: NatsLink,
  operation: string,
  body?: unknown,
  timeoutMs = API_TIMEOUT_MS,
): Promise<ApiResult<T>> {
  if (!link.isConnected) return { kind: 'unknown', error: new Error(`${operation}: not connected`) };
  try {
    const payload = body === undefined ? '' : JSON.stringify(body);
    const message = await link.nc.request(`$JS.API.${operation}`, payload, { timeout: timeoutMs });
    const answer = JSON.parse(message.string()) as T & {
      error?: { code: number; err_code: number; description: string };
    };
    if (answer.error !== undefined) return { kind: 'denied', error: new JetStreamError(operation, answer.error) };
    return { kind: 'ok', value: answer };
  } catch (thrown) {
    const error = asError(thrown);
    return { kind: 'unknown', error: new Error(`${operation}: ${error.message}`, { cause: error }) };
  }
}

/** As `jsApi`, for callers that have nothing to say about a failure but that it happened. */
export async function jsApiOrThrow<T>(
  link: NatsLink,
  operation: string,
  body?: unknown,
  timeoutMs?: number,
): Promise<T> {
  const result = await jsApi<T>(link, operation, body, timeoutMs);
  if (result.kind === 'ok') return result.value;
  throw result.error;
}

export function streamInfo(link: NatsLink, stream: string): Promise<ApiResult<StreamInfo>> {
  return jsApi<StreamInfo>(link, `STREAM.INFO.${stream}`);
}

/** The last message of a subject, read from the leader (never a direct get, which a lagging replica may answer). */
export async function lastMessage(link: NatsLink, stream: string, subject: string): Promise<ApiResult<StoredMessage>> {
  const got = await jsApi<{ message: StoredMessage }>(link, `STREAM.MSG.GET.${stream}`, { last_by_subj: subject });
  return got.kind === 'ok' ? { kind: 'ok', value: got.value.message } : got;
}

export function bodyText(message: StoredMessage): string {
  return message.data === undefined ? '' : Buffer.from(message.data, 'base64').toString('utf8');
}
