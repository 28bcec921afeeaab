import type { Delivery } from '@belfry/adapter-nats';
import type { WorkMessage } from '@belfry/protocol';

/**
 * One execution's share of a delivery that carries several. The delivery is settled with the last of them.
 *
 * P1. It is acknowledged only if all parts were: if one was forgotten, the broker delivers the message again, and the shard tells
 *     which of its executions are over.
 */
export class Part {
  readonly whole: Delivery;
  readonly #message: WorkMessage;
  readonly #rest: { open: number; isForgotten: boolean };
  #isSettled = false;

  constructor(whole: Delivery, message: WorkMessage, rest: { open: number; isForgotten: boolean }) {
    this.whole = whole;
    this.#message = message;
    this.#rest = rest;
  }

  get data(): Uint8Array {
    return this.whole.data;
  }

  /** The trace context is each execution's own. */
  header(name: string): string | undefined {
    return name === 'traceparent' ? this.#message.traceparent : this.whole.header(name);
  }

  ack(): void {
    this.#settle();
  }

  forget(): void {
    this.#rest.isForgotten = true;
    this.#settle();
  }

  #settle(): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    if (--this.#rest.open > 0) this.whole.lighten();
    else if (this.#rest.isForgotten) this.whole.forget();
    else this.whole.ack(); // P1
  }
}

/** The parts of a delivery, one for each of its messages. */
export function partsOf(delivery: Delivery, messages: readonly WorkMessage[]): Part[] {
  const rest = { open: messages.length, isForgotten: false };
  return messages.map((message) => new Part(delivery, message, rest));
}

export function wholeOf(delivery: Delivery | Part): Delivery {
  return delivery instanceof Part ? delivery.whole : delivery;
}
