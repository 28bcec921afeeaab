import { subjects } from '@belfry/protocol';
import type { Messenger, Timers } from '@belfry/actor-runtime';
import type { Reply } from '@belfry/shard';

const FLUSH_AT = 2_000;
/** Far below the largest message: one answer may be long, and a character may take three bytes. And texts of this size are cheap. */
const FLUSH_CHARS = 60 * 1024;

/** Answers to gateways, gathered for one turn of the event loop: one message instead of hundreds. */
export class ReplyOutbox {
  readonly #messenger: Messenger;
  readonly #timers: Pick<Timers, 'soon'>;
  #waiting = new Map<string, string[]>();
  #scheduled = false;
  #chars = 0;

  constructor(messenger: Messenger, timers: Pick<Timers, 'soon'>) {
    this.#messenger = messenger;
    this.#timers = timers;
  }

  add({ gateway, correlation, answer }: Reply): void {
    let answers = this.#waiting.get(gateway);
    if (answers === undefined) {
      answers = [];
      this.#waiting.set(gateway, answers);
    }
    const text = `[${correlation},${JSON.stringify(answer)}]`;
    answers.push(text);
    this.#chars += text.length;
    if (answers.length >= FLUSH_AT || this.#chars >= FLUSH_CHARS) this.flush();
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#timers.soon(() => {
      this.#scheduled = false;
      this.flush();
    });
  }

  flush(): void {
    for (const [gateway, answers] of this.#waiting) {
      this.#messenger.tell(subjects.replies(gateway), `{"v":1,"a":[${answers.join(',')}]}`);
    }
    this.#waiting.clear();
    this.#chars = 0;
  }
}
