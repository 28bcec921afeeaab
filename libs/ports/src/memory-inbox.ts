import { LIMITS } from '@belfry/protocol';

import type { Inbox, InboxAppend, InboxMessage, InboxReading, InboxUsage } from './inbox.ts';
import { ok, refused } from './outcome.ts';
import type { Outcome } from './outcome.ts';

/** Bytes counted for a message besides its body. */
const OVERHEAD_BYTES = 64;

export interface MemoryInboxOptions {
  /** The "stored time" of what is appended, ms since 1970. */
  readonly now: () => number;
  readonly maxBytes?: number;
}

/**
 * The inbox in memory: what the conformance suite and the simulator hold against the real one.
 *
 * M1. `#messages` is sorted by seq, and its first seq is `#firstSeq` (or the next one to come, when it is empty).
 * M2. A reading hands out each message once, in order, and waits for the receiver's promise.
 */
export class MemoryInbox implements Inbox {
  readonly #now: () => number;
  readonly #maxBytes: number;
  readonly #encoder = new TextEncoder();
  #messages: InboxMessage[] = [];
  #bytes = 0;
  #nextSeq = 1;
  readonly #wake = new Set<() => void>();

  constructor(options: MemoryInboxOptions) {
    this.#now = options.now;
    this.#maxBytes = options.maxBytes ?? LIMITS.inboxBytes;
  }

  append(messages: readonly InboxAppend[]): Promise<Outcome<readonly number[], 'full'>> {
    if (messages.length > LIMITS.batchMessages) {
      return Promise.reject(new RangeError(`an append of ${messages.length} messages`));
    }
    const bodies = messages.map(({ body }) => this.#encoder.encode(body));
    const bytes = bodies.reduce((sum, body) => sum + body.length + OVERHEAD_BYTES, 0);
    if (this.#bytes + bytes > this.#maxBytes) return Promise.resolve(refused('full'));
    const timestamp = this.#now();
    const seqs = messages.map(({ shard }, i) => {
      const seq = this.#nextSeq++;
      this.#messages.push({ shard, seq, timestamp, body: bodies[i] as Uint8Array });
      return seq;
    });
    this.#bytes += bytes;
    for (const wake of [...this.#wake]) wake();
    return Promise.resolve(ok(seqs));
  }

  read(
    shards: readonly number[],
    fromSeq: number,
    onMessage: (message: InboxMessage) => void | Promise<void>,
  ): Promise<InboxReading> {
    const wanted = new Set(shards);
    let stopped = false;
    let wake: () => void = () => undefined;
    const follow = async (): Promise<void> => {
      let nextSeq = fromSeq;
      while (!stopped) {
        const message = this.#at(nextSeq);
        if (message === undefined) {
          await new Promise<void>((resolve) => this.#wake.add((wake = resolve)));
          this.#wake.delete(wake);
          continue;
        }
        nextSeq = message.seq + 1;
        if (wanted.has(message.shard)) await onMessage(message); // M2
      }
    };
    const done = follow();
    done.catch(() => undefined); // whoever cares awaits it
    const stop = async (): Promise<void> => {
      stopped = true;
      wake();
      await done.catch(() => undefined);
    };
    return Promise.resolve({ done, stop });
  }

  usage(): Promise<InboxUsage> {
    const firstSeq = this.#firstSeq();
    return Promise.resolve({ bytes: this.#bytes, maxBytes: this.#maxBytes, firstSeq, lastSeq: this.#nextSeq - 1 });
  }

  trim(seq: number): Promise<void> {
    const kept = this.#messages.filter((message) => message.seq >= seq);
    for (const { seq: trimmed, body } of this.#messages) if (trimmed < seq) this.#bytes -= body.length + OVERHEAD_BYTES;
    this.#messages = kept;
    return Promise.resolve();
  }

  #firstSeq(): number {
    return this.#messages[0]?.seq ?? this.#nextSeq; // M1
  }

  /** The first message with seq >= `seq`. */
  #at(seq: number): InboxMessage | undefined {
    return this.#messages[Math.max(0, seq - this.#firstSeq())]; // M1: no holes
  }
}
