import type { Msg } from '@nats-io/transport-node';

import type { NatsLink } from './connection.ts';

const NANOS_PER_MS = 1_000_000;

/** What one pull request asks for. The server answers with messages, idle heartbeats, and a status when it ends early. */
export interface PullRequest {
  readonly batch: number;
  readonly maxBytes: number;
  readonly expiresMs: number;
  /** None for one that ends soon. */
  readonly heartbeatMs?: number;
}

export function sendPull(link: NatsLink, stream: string, consumer: string, inbox: string, request: PullRequest): void {
  const body = JSON.stringify({
    batch: request.batch,
    max_bytes: request.maxBytes,
    expires: request.expiresMs * NANOS_PER_MS,
    ...(request.heartbeatMs === undefined ? {} : { idle_heartbeat: request.heartbeatMs * NANOS_PER_MS }),
  });
  link.nc.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, body, { reply: inbox });
}

export type PullStatus =
  /** Idle heartbeat: the consumer's last delivery, to notice a lost tail. */
  | { readonly kind: 'heartbeat'; readonly lastDelivery: number }
  /** The request is over, with so much of it unserved: none, when it was served whole, and Infinity for all that is left. */
  | { readonly kind: 'ended'; readonly pendingMessages: number; readonly pendingBytes: number }
  /** The consumer is gone or has moved: nothing more will come of this request. */
  | { readonly kind: 'broken'; readonly code: number; readonly description: string };

/** Whether a message is a status (it came to the inbox itself), and which. Undefined: a message of the stream. */
export function pullStatus(message: Msg, inbox: string): PullStatus | undefined {
  if (message.subject !== inbox) return undefined;
  const headers = message.headers;
  const code = headers?.code ?? 0;
  const number = (name: string): number => Number(headers?.get(name) || 'NaN');
  if (code === 100) return { kind: 'heartbeat', lastDelivery: number('Nats-Last-Consumer') };
  const pendingMessages = number('Nats-Pending-Messages');
  // 408 and 409 stand for many things; those that end one request say what is left of it, the others don't.
  if (!Number.isNaN(pendingMessages)) {
    return { kind: 'ended', pendingMessages, pendingBytes: number('Nats-Pending-Bytes') || 0 };
  }
  if (code === 404 || code === 408) return { kind: 'ended', pendingMessages: Infinity, pendingBytes: 0 };
  return { kind: 'broken', code, description: headers?.description ?? '' };
}

export interface DeliveryInfo {
  /** Sequence in the stream. */
  readonly seq: number;
  /** Sequence of the delivery by this consumer. */
  readonly delivery: number;
  /** How often this message has been delivered, this time included. */
  readonly deliveries: number;
  /** Stored time, ms since 1970, rounded down. */
  readonly timestamp: number;
  /** Messages that this consumer has yet to deliver. */
  readonly pending: number;
}

/**
 * Reads an acknowledgement subject: `$JS.ACK.<stream>.<consumer>.<deliveries>.<seq>.<delivery>.<ns>.<pending>`, or with
 * domain and account hash before the stream. Undefined if it is none.
 */
export function parseDelivery(reply: string): DeliveryInfo | undefined {
  const tokens = reply.split('.');
  if (tokens.length < 9 || tokens[0] !== '$JS' || tokens[1] !== 'ACK') return undefined;
  const at = tokens.length === 9 ? 4 : 6;
  const nanos = tokens[at + 3] as string;
  return {
    deliveries: Number(tokens[at]),
    seq: Number(tokens[at + 1]),
    delivery: Number(tokens[at + 2]),
    timestamp: Number(nanos.slice(0, -6)), // nanoseconds don't fit a number: cut them as text
    pending: Number(tokens[at + 4]),
  };
}

/** Bytes of a message as the server counts them against `max_bytes`: subject, reply, headers and data. */
export function wireBytes(message: Msg): number {
  return (message as Msg & { size(): number }).size();
}
