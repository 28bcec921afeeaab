import { Mailbox } from '@belfry/actor-core';

export interface ActorOptions<M> {
  /** Messages that may wait. */
  readonly capacity: number;
  /** Handles one message, synchronously. What it throws is a crash. */
  readonly receive: (message: M) => void;
  /** The actor has crashed on `message`: it is paused, and takes messages, until `resume` or `close`. */
  readonly onCrash: (error: unknown, message: M) => void;
}

/**
 * One actor: a bounded mailbox in front of a synchronous receive.
 *
 * A1. One message at a time, in the order of `tell`.
 * A2. A paused actor receives nothing; what it was told waits.
 */
export class ActorCell<M> {
  readonly #options: ActorOptions<M>;
  readonly #mailbox: Mailbox<M>;
  #room: (() => void)[] = [];
  #paused = false;
  #busy = false;
  #closed = false;

  constructor(options: ActorOptions<M>) {
    this.#options = options;
    this.#mailbox = new Mailbox(options.capacity);
  }

  get waiting(): number {
    return this.#mailbox.size;
  }

  /** Hands over a message. Returns a promise when the sender should wait before it sends more. */
  tell(message: M): Promise<void> | undefined {
    if (this.#closed) return undefined;
    if (!this.#mailbox.offer(message)) throw new Error('mailbox overflow: the sender did not wait');
    this.#drain();
    if (this.#mailbox.size * 2 < this.#mailbox.capacity) return undefined;
    return new Promise((resolve) => this.#room.push(resolve));
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.#drain();
  }

  /** Forgets what waits, takes nothing more, and lets waiting senders go. */
  close(): void {
    this.#closed = true;
    this.#mailbox.clear();
    this.#release();
  }

  #drain(): void {
    if (this.#busy) return;
    this.#busy = true;
    try {
      while (!this.#paused && !this.#closed && this.#mailbox.size > 0) this.#receive(this.#mailbox.shift() as M);
    } finally {
      this.#busy = false;
    }
    if (this.#mailbox.size * 2 < this.#mailbox.capacity) this.#release();
  }

  #receive(message: M): void {
    try {
      this.#options.receive(message);
    } catch (error) {
      this.#paused = true;
      this.#options.onCrash(error, message);
    }
  }

  #release(): void {
    const waiting = this.#room;
    this.#room = [];
    for (const go of waiting) go();
  }
}
