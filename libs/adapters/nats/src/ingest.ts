import { LIMITS } from '@belfry/protocol';

import { streamInfo } from './api.ts';
import type { NatsLink } from './connection.ts';
import { DurableConsumer, ensureDurable, type Delivery } from './durable-consumer.ts';
import type { NatsNames } from './names.ts';

const NANOS_PER_MS = 1_000_000;
const CONSUMER = 'gateways';
/** So long the server gives messages to a gateway that it does not know to be gone. */
const PULL_MS = 4_000;

export interface IngestMessage {
  readonly namespace: string;
  readonly data: Uint8Array;
  readonly streamSeq: number;
  /** RFC 3339, when the stream was made. With `streamSeq` it is the identity of the message's command. */
  readonly streamCreated: string;
  /** Stored time, ms since 1970. */
  readonly timestamp: number;
  readonly deliveries: number;
  header(name: string): string | undefined;
  /** It is in an inbox now, or among the rejected. */
  ack(): void;
  nak(delayMs?: number): void;
}

export interface IngestOptions {
  readonly names: NatsNames;
  /** Messages in this gateway's hands at most. */
  readonly window: number;
  /** Default `LIMITS.ingestLeaseMs`. */
  readonly leaseMs?: number;
  readonly onMessage: (message: IngestMessage) => void;
  readonly onTrouble?: (error: Error) => void;
}

/**
 * Takes durable publishes from the ingest stream; all gateways share them. Starts at once; ends with `stop`.
 *
 * I1. What takes long stays with its gateway while that hears and is heard: nothing is extended before the server has confirmed what was
 *     extended last. What another gets meanwhile makes the same tasks.
 */
export class IngestConsumer {
  readonly #link: NatsLink;
  readonly #leaseMs: number;
  readonly #consumer: DurableConsumer;
  readonly #extending: NodeJS.Timeout;
  /** What is in our hands, since when: ms, monotonic. */
  readonly #held = new Map<Delivery, number>();
  #isUnconfirmed = false;
  /** What is to be extended as soon as that is confirmed. */
  #isDue = false;
  #isStopped = false;
  #streamCreated = '';

  constructor(link: NatsLink, options: IngestOptions) {
    const { names, leaseMs = LIMITS.ingestLeaseMs } = options;
    const stream = names.streams.ingest;
    this.#link = link;
    this.#leaseMs = leaseMs;
    this.#extending = setInterval(() => void this.#extend(), leaseMs / 3);
    this.#extending.unref();
    this.#consumer = new DurableConsumer(link, {
      stream,
      consumer: CONSUMER,
      window: options.window,
      expiresMs: PULL_MS,
      ensure: async () => {
        const info = await streamInfo(link, stream);
        if (info.kind !== 'ok') throw info.error;
        this.#streamCreated = info.value.created;
        await ensureDurable(link, stream, CONSUMER, {
          ack_policy: 'explicit',
          ack_wait: leaseMs * NANOS_PER_MS,
          max_deliver: -1, // an acknowledged publish is never given up
          max_ack_pending: LIMITS.gatewayPending,
        });
      },
      onDelivery: (delivery) => {
        const namespace = names.protocolSubject(delivery.subject).split('.')[2] as string;
        const { data, seq, timestamp, deliveries } = delivery;
        this.#held.set(delivery, performance.now());
        options.onMessage({
          namespace,
          data,
          streamSeq: seq,
          streamCreated: this.#streamCreated,
          timestamp,
          deliveries,
          header: (name) => delivery.header(name),
          ack: () => {
            this.#held.delete(delivery);
            delivery.ack();
          },
          nak: (delayMs) => {
            this.#held.delete(delivery);
            delivery.nak(delayMs);
          },
        });
      },
      ...(options.onTrouble === undefined ? {} : { onTrouble: options.onTrouble }),
    });
  }

  /** Idempotent; what is in our hands can still be settled. */
  stop(): void {
    this.#isStopped = true;
    this.#consumer.stop();
  }

  /** I1. Never rejects. */
  async #extend(): Promise<void> {
    if (this.#isStopped && this.#held.size === 0) return clearInterval(this.#extending);
    this.#isDue = this.#isUnconfirmed;
    if (this.#isUnconfirmed) return;
    const nowMs = performance.now();
    const long = [...this.#held].filter(([, sinceMs]) => nowMs - sinceMs >= this.#leaseMs / 4).map(([held]) => held);
    if (long.length === 0) return;
    for (const delivery of long) delivery.extend();
    this.#isUnconfirmed = true;
    await this.#link.nc.flush().catch(() => undefined); // a new connection: what is extended next is sent on that
    this.#isUnconfirmed = false;
    if (this.#isDue) await this.#extend();
  }
}
