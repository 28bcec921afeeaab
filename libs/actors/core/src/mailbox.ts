/** A bounded queue of messages for one actor. */
export class Mailbox<T> {
  readonly capacity: number;
  #messages: T[] = [];
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
    const message = this.#messages[this.#head++];
    if (this.#head > 1_024 && this.#head * 2 > this.#messages.length) {
      this.#messages = this.#messages.slice(this.#head);
      this.#head = 0;
    }
    return message;
  }

  clear(): void {
    this.#messages = [];
    this.#head = 0;
  }
}
