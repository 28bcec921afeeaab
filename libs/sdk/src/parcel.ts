import type { Delivery } from '@belfry/adapter-nats';
import type { WorkMessage } from '@belfry/protocol';
import { Parcel } from '@belfry/worker';

/** One execution's share of a delivery that carries several. The delivery is settled with the last of them. */
export class Part {
  readonly whole: Delivery;
  readonly #message: WorkMessage;
  readonly #parcel: Parcel;
  #isSettled = false;

  constructor(whole: Delivery, message: WorkMessage, parcel: Parcel) {
    this.whole = whole;
    this.#message = message;
    this.#parcel = parcel;
  }

  get data(): Uint8Array {
    return this.whole.data;
  }

  /** The trace context is each execution's own. */
  header(name: string): string | undefined {
    return name === 'traceparent' ? this.#message.traceparent : this.whole.header(name);
  }

  ack(): void {
    this.#settle('ack');
  }

  forget(): void {
    this.#settle('forget');
  }

  #settle(how: 'ack' | 'forget'): void {
    if (this.#isSettled) return;
    this.#isSettled = true;
    const then = this.#parcel.settle(how);
    if (then === undefined) this.whole.lighten();
    else this.whole[then]();
  }
}

/** The parts of a delivery, one for each of its messages. */
export function partsOf(delivery: Delivery, messages: readonly WorkMessage[]): Part[] {
  const parcel = new Parcel(messages.length);
  return messages.map((message) => new Part(delivery, message, parcel));
}

export function wholeOf(delivery: Delivery | Part): Delivery {
  return delivery instanceof Part ? delivery.whole : delivery;
}
