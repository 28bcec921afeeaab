import { LIMITS } from '@belfry/protocol';

import { streamInfo } from './api.ts';
import type { NatsLink } from './connection.ts';
import { DurableConsumer, ensureDurable } from './durable-consumer.ts';
import type { NatsNames } from './names.ts';

const NANOS_PER_MS = 1_000_000;
const CONSUMER = 'gateways';

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
  readonly onMessage: (message: IngestMessage) => void;
  readonly onTrouble?: (error: Error) => void;
}

/** Takes durable publishes from the ingest stream; all gateways share them. Starts at once; ends with `stop`. */
export class IngestConsumer {
  readonly #consumer: DurableConsumer;
  #streamCreated = '';

  constructor(link: NatsLink, options: IngestOptions) {
    const { names } = options;
    const stream = names.streams.ingest;
    this.#consumer = new DurableConsumer(link, {
      stream,
      consumer: CONSUMER,
      window: options.window,
      ensure: async () => {
        const info = await streamInfo(link, stream);
        if (info.kind !== 'ok') throw info.error;
        this.#streamCreated = info.value.created;
        await ensureDurable(link, stream, CONSUMER, {
          ack_policy: 'explicit',
          ack_wait: LIMITS.ackWaitMs * NANOS_PER_MS,
          max_deliver: -1, // an acknowledged publish is never given up
          max_ack_pending: LIMITS.gatewayPending,
        });
      },
      onDelivery: (delivery) => {
        const namespace = names.protocolSubject(delivery.subject).split('.')[2] as string;
        const { data, seq, timestamp, deliveries } = delivery;
        options.onMessage({
          namespace,
          data,
          streamSeq: seq,
          streamCreated: this.#streamCreated,
          timestamp,
          deliveries,
          header: (name) => delivery.header(name),
          ack: () => delivery.ack(),
          nak: (delayMs) => delivery.nak(delayMs),
        });
      },
      ...(options.onTrouble === undefined ? {} : { onTrouble: options.onTrouble }),
    });
  }

  /** Idempotent; what is in our hands can still be settled. */
  stop(): void {
    this.#consumer.stop();
  }
}
