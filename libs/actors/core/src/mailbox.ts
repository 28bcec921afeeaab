/**
 * A bounded queue of messages for one actor.
 *
 * M1. A message that was taken out is not held any more: it may hold the network's buffer that it came in.
 */
export class Mailbox<T> {
  readonly capacity: number;
  #messages: (T | undefined)[] = [];
  #head = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get size(): number {
    return this.#messages.length - this.#head;
  }

  /** False when the mailbox is full: the message was not taken. */
  offer(message: T): boolean {
    if (this.size >= this.capacity) return false;
    this.#messages.push(message);
    return true;
  }

  shift(): T | undefined {
    if (this.#head === this.#messages.length) return undefined;
    const message = this.#messages[this.#head];
    this.#messages[this.#head++] = undefined; // M1
    if (this.#head === this.#messages.length) {
      this.clear();
    } else if (this.#head > 1_024 && this.#head * 2 > this.#messages.length) {
      this.#messages = this.#messages.slice(this.#head);
      this.#head = 0;
    }
    return message;
  }

  clear(): void {
    this.#messages.length = 0;
    this.#head = 0;
  }
}
