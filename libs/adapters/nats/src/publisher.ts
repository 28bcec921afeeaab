import { createInbox } from '@nats-io/transport-node';
import type { Msg, Subscription } from '@nats-io/transport-node';

import type { NatsLink } from './connection.ts';
import { asError, JetStreamError } from './errors.ts';
import { HEADERS } from './header-block.ts';
import type { HeaderBlock } from './header-block.ts';
import { TurnWriter } from './turn-writer.ts';

const DEFAULT_TIMEOUT_MS = 5_000;
const SWEEP_MS = 250;

export type PubAck =
  /** `seq` of the message, or of the last of the batch. `duplicate`: its id was known, and `seq` is the first copy's. */
  | { readonly kind: 'stored'; readonly seq: number; readonly count: number; readonly duplicate: boolean }
  | { readonly kind: 'denied'; readonly error: JetStreamError }
  /** No stream takes the subject now: it is gone, or has no leader. Nothing happened. */
  | { readonly kind: 'absent' }
  /** No answer came. `sent` false: nothing happened; true: nobody knows. */
  | { readonly kind: 'unknown'; readonly sent: boolean; readonly error: Error };

export interface Outgoing {
  readonly subject: string;
  readonly headers: HeaderBlock;
  readonly body: Uint8Array | string;
}

interface Waiting {
  readonly deadline: number;
  settle(ack: PubAck): void;
}

/**
 * Publishes with acknowledgements over one shared reply subscription: four times what `js.publish` does (design, section 5).
 *
 * P1. Every publish settles exactly once: by its answer, its deadline, or the end of its connection.
 * P2. Nothing is written while disconnected: the client would keep it and throw it away at the next dial.
 * P3. At most `limit` acknowledgements are awaited; what comes on top is not sent.
 */
export class AckedPublisher {
  readonly #link: NatsLink;
  readonly #writer: TurnWriter;
  readonly #timeoutMs: number;
  readonly #limit: number;
  readonly #inbox = createInbox();
  readonly #waiting = new Map<string, Waiting>();
  readonly #subscription: Subscription;
  readonly #offStatus: () => void;
  #sweep: NodeJS.Timeout | undefined;
  #next = 0;

  constructor(link: NatsLink, options: { readonly timeoutMs?: number; readonly limit?: number } = {}) {
    this.#link = link;
    this.#writer = new TurnWriter(link.nc);
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#limit = options.limit ?? 4_096;
    this.#subscription = link.nc.subscribe(`${this.#inbox}.*`, {
      callback: (_error, message) => this.#answer(message),
    });
    this.#offStatus = link.onStatus((status) => {
      if (status.kind === 'disconnected' || status.kind === 'closed')
        this.#abandon(new Error('the connection was lost'));
    });
  }

  /** Acknowledgements that are awaited. */
  get inFlight(): number {
    return this.#waiting.size;
  }

  publish(message: Outgoing): Promise<PubAck> {
    return this.#send([message]);
  }

  /**
   * One atomic batch: all messages are stored, at consecutive sequences, or none. Adds the batch headers to each message's;
   * each message must have a block of its own. At most 1,000 messages (the server's limit).
   */
  batch(id: string, messages: readonly Outgoing[]): Promise<PubAck> {
    const last = messages.length - 1;
    for (const [i, message] of messages.entries()) {
      message.headers.add(HEADERS.batchId, id).add(HEADERS.batchSequence, i + 1);
      if (i === last) message.headers.add(HEADERS.batchCommit, 1);
    }
    return this.#send(messages);
  }

  close(): void {
    this.#offStatus();
    this.#subscription.unsubscribe();
    this.#abandon(new Error('the publisher was closed'));
  }

  #send(messages: readonly Outgoing[]): Promise<PubAck> {
    if (!this.#link.isConnected) return Promise.resolve(notSent('not connected')); // P2
    if (this.#waiting.size >= this.#limit) return Promise.resolve(notSent('too many publishes in flight')); // P3
    const token = (this.#next++).toString(36);
    return new Promise<PubAck>((resolve) => {
      this.#waiting.set(token, { deadline: performance.now() + this.#timeoutMs, settle: resolve });
      this.#sweep ??= setInterval(() => this.#expire(), SWEEP_MS).unref();
      const last = messages.length - 1;
      try {
        for (const [i, { subject, headers, body }] of messages.entries()) {
          this.#writer.publish(subject, body, i === last ? { headers, reply: `${this.#inbox}.${token}` } : { headers });
        }
      } catch (error) {
        // Closed under our hands, or a message over the server's limit: a batch without its commit is dropped by the server.
        this.#settle(token, { kind: 'unknown', sent: false, error: asError(error) });
      }
    });
  }

  #answer(message: Msg): void {
    const token = message.subject.slice(this.#inbox.length + 1);
    this.#settle(token, parseAck(message));
  }

  #settle(token: string, ack: PubAck): void {
    const waiting = this.#waiting.get(token);
    if (waiting === undefined) return; // P1: settled before, by its deadline
    this.#waiting.delete(token);
    if (this.#waiting.size === 0) {
      clearInterval(this.#sweep);
      this.#sweep = undefined;
    }
    waiting.settle(ack);
  }

  #expire(): void {
    const now = performance.now();
    for (const [token, { deadline }] of this.#waiting) {
      if (deadline > now) return; // deadlines grow in insertion order
      this.#settle(token, {
        kind: 'unknown',
        sent: true,
        error: new Error(`no acknowledgement in ${this.#timeoutMs} ms`),
      });
    }
  }

  #abandon(error: Error): void {
    for (const token of [...this.#waiting.keys()]) this.#settle(token, { kind: 'unknown', sent: true, error });
  }
}

function notSent(why: string): PubAck {
  return { kind: 'unknown', sent: false, error: new Error(why) };
}

/** Never throws: it runs inside the client's parser, which an exception would kill together with the connection. */
function parseAck(message: Msg): PubAck {
  if (message.data.length === 0) {
    if (message.headers?.code === 503) return { kind: 'absent' };
    return { kind: 'unknown', sent: true, error: new Error('an acknowledgement without content') };
  }
  try {
    const ack = JSON.parse(message.string()) as {
      seq: number;
      count?: number;
      duplicate?: boolean;
      error?: { code: number; err_code: number; description: string };
    };
    if (ack.error !== undefined) return { kind: 'denied', error: new JetStreamError('publish', ack.error) };
    return { kind: 'stored', seq: ack.seq, count: ack.count ?? 1, duplicate: ack.duplicate === true };
  } catch (error) {
    return { kind: 'unknown', sent: true, error: asError(error) };
  }
}
