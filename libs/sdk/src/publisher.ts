import { randomUUID } from 'node:crypto';

import { DurablePublisher } from '@belfry/adapter-nats';
import { subjects, type CreateRequest } from '@belfry/protocol';

import type { Connection } from './connection.ts';
import { belfryError, textOf } from './errors.ts';
import { wireSpec, type ScheduleSpec } from './specs.ts';
import { activeTraceHeaders } from './trace-context.ts';

/** Publishes whose acknowledgements are awaited at a time; more wait for their turn. */
const IN_FLIGHT = 2_000;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 2_000;

/**
 * Durable publishes to ingest. A publish that was not acknowledged is repeated as it is: the broker knows it by its message id for
 * two minutes, and the gateway by its command id for a day, so it makes its task once.
 */
export class IngestPublisher {
  readonly #connection: Connection;
  readonly #timeoutMs: number;
  #publisher: Promise<DurablePublisher> | undefined;
  #inFlight = 0;
  readonly #queue: (() => void)[] = [];

  constructor(connection: Connection, timeoutMs: number) {
    this.#connection = connection;
    this.#timeoutMs = timeoutMs;
  }

  /** @throws BelfryError */
  async publish(spec: ScheduleSpec): Promise<void> {
    const commandId = randomUUID();
    const body = bodyOf({ items: [wireSpec(spec)], commandId });
    const headers = activeTraceHeaders();
    await this.#turn();
    try {
      await this.#send(body, commandId, headers);
    } finally {
      this.#inFlight--;
      this.#queue.shift()?.();
    }
  }

  async close(): Promise<void> {
    (await this.#publisher?.catch(() => undefined))?.close();
  }

  async #turn(): Promise<void> {
    if (this.#inFlight >= IN_FLIGHT) await new Promise<void>((resolve) => this.#queue.push(resolve));
    this.#inFlight++;
  }

  async #send(body: string, id: string, headers: { readonly [name: string]: string }): Promise<void> {
    const deadline = performance.now() + this.#timeoutMs;
    const subject = subjects.ingest(this.#connection.namespace);
    for (let attempt = 0; ; attempt++) {
      const publisher = await this.#open();
      const outcome = await publisher.publish(subject, body, id, headers);
      if (outcome.kind !== 'retry') return;
      const pauseMs = Math.min(FIRST_RETRY_MS * 2 ** attempt, LONGEST_RETRY_MS) * (0.75 + Math.random() / 2);
      if (this.#connection.isClosed || performance.now() + pauseMs >= deadline) {
        throw belfryError('unavailable', `not acknowledged: ${textOf(outcome.error)}`, undefined, {
          cause: outcome.error,
        });
      }
      await new Promise<void>((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  #open(): Promise<DurablePublisher> {
    this.#publisher ??= this.#connection.link().then(
      (link) => new DurablePublisher(link),
      (error: unknown) => {
        this.#publisher = undefined;
        throw error;
      },
    );
    return this.#publisher;
  }
}

function bodyOf(request: CreateRequest): string {
  try {
    return JSON.stringify(request);
  } catch (error) {
    throw belfryError('invalid_field', `JSON cannot hold it: ${textOf(error)}`, 'payload', { cause: error });
  }
}
