/**
 * A delivery that carries several executions, each of which is settled on its own.
 *
 * P1. The message is acknowledged only if all of them were: if one was forgotten, the broker delivers it again, and the shard says
 *     which of its executions are over.
 */
export class Parcel {
  #open: number;
  #isForgotten = false;

  constructor(executions: number) {
    this.#open = executions;
  }

  /** Settles one more of them. What is to be done with the message: nothing yet while it has others. */
  settle(how: 'ack' | 'forget'): 'ack' | 'forget' | undefined {
    if (how === 'forget') this.#isForgotten = true;
    if (--this.#open > 0) return undefined;
    return this.#isForgotten ? 'forget' : 'ack'; // P1
  }
}
