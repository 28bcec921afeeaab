import type { NatsConnection } from '@nats-io/transport-node';

import { encodeText } from './encode-text.ts';
import type { HeaderBlock } from './header-block.ts';

/** Handed to the client as it fills, so that texts stay small: V8 allocates what is larger than a page at many times the cost. */
const FLUSH_CHARS = 64 * 1024;

/** The client's way out for what is in wire form already; not part of its public interface. */
interface Outbound {
  sendCommand(command: Uint8Array): void;
}

export interface WriteOptions {
  readonly reply?: string;
  readonly headers?: HeaderBlock;
}

/**
 * Publishes small texts, one after the other: what one turn brings goes out as one piece. The client's `publish` encodes and queues
 * four pieces for each message, 1.5 µs of a busy server's time; this takes a quarter.
 *
 * T1. What is published here goes out in its order, and before what the client is given in a later microtask; but after what it is
 *     given in this one.
 *
 * Subjects must have been checked: they are written as they are.
 */
export class TurnWriter {
  readonly #nc: NatsConnection;
  readonly #outbound: Outbound | undefined;
  #frames = '';

  constructor(nc: NatsConnection) {
    this.#nc = nc;
    const { protocol } = nc as unknown as { readonly protocol?: Partial<Outbound> };
    this.#outbound = typeof protocol?.sendCommand === 'function' ? (protocol as Outbound) : undefined;
  }

  /** @throws what the client throws: when it is closed, or a large body does not fit a message */
  publish(subject: string, body: string | Uint8Array, options: WriteOptions = {}): void {
    // Another version of the client, and what it may have to refuse for its size, go the public way.
    if (this.#outbound === undefined || typeof body !== 'string' || body.length > FLUSH_CHARS) {
      this.#flush(); // T1
      this.#publish(subject, typeof body === 'string' ? encodeText(body) : body, options);
      return;
    }
    if (this.#frames === '') queueMicrotask(() => this.#flush());
    this.#frames += frame(subject, body, options);
    if (this.#frames.length >= FLUSH_CHARS) this.#flush();
  }

  #publish(subject: string, body: Uint8Array, { reply, headers }: WriteOptions): void {
    this.#nc.publish(subject, body, {
      ...(reply !== undefined && { reply }),
      ...(headers !== undefined && { headers: headers.forPublish }),
    });
  }

  #flush(): void {
    const frames = this.#frames;
    this.#frames = '';
    if (frames !== '' && !this.#nc.isClosed()) this.#outbound?.sendCommand(encodeText(frames));
  }
}

function frame(subject: string, body: string, { reply, headers }: WriteOptions): string {
  const to = reply === undefined ? subject : `${subject} ${reply}`;
  const bytes = Buffer.byteLength(body);
  if (headers === undefined) return `PUB ${to} ${bytes}\r\n${body}\r\n`;
  return `HPUB ${to} ${headers.bytes} ${headers.bytes + bytes}\r\n${headers.text}${body}\r\n`;
}
