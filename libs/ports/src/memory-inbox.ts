import { LIMITS } from '@belfry/protocol';

import { bundlesOf, sequencesOf } from './inbox-bundles.ts';
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
 * M1. `#stored` is sorted by seq, without holes; its first seq is `#firstSeq` (or the next one to come, when it is empty).
 * M2. A reading hands out each message once, in order, and waits for the receiver's promise; a bundle whole.
 */
export class MemoryInbox implements Inbox {
  readonly #now: () => number;
  readonly #maxBytes: number;
  #stored: (readonly InboxMessage[])[] = [];
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
    const bodies = messages.map(({ body }) => Buffer.from(body));
    const bytes = bodies.reduce((sum, body) => sum + body.length + OVERHEAD_BYTES, 0);
    if (this.#bytes + bytes > this.#maxBytes) return Promise.resolve(refused('full'));
    const timestamp = this.#now();
    const first = this.#nextSeq;
    const bundles = bundlesOf(
      messages,
      bodies.map(({ length }) => length),
    );
    let at = 0;
    for (const bundle of bundles) {
      const seq = this.#nextSeq++;
      this.#stored.push(bundle.map(({ shard }) => ({ shard, seq, timestamp, body: bodies[at++] as Buffer })));
    }
    this.#bytes += bytes;
    for (const wake of [...this.#wake]) wake();
    return Promise.resolve(ok(sequencesOf(bundles, first)));
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
        const stored = this.#at(nextSeq);
        const [head] = stored;
        if (head === undefined) {
          await new Promise<void>((resolve) => this.#wake.add((wake = resolve)));
          this.#wake.delete(wake);
          continue;
        }
        nextSeq = head.seq + 1;
        const mine = stored.filter(({ shard }) => wanted.has(shard));
        for (const [at, message] of mine.entries()) {
          await onMessage(at < mine.length - 1 ? { ...message, more: true } : message); // M2
        }
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
    for (const { seq: trimmed, body } of this.#stored.flat())
      if (trimmed < seq) this.#bytes -= body.length + OVERHEAD_BYTES;
    this.#stored = this.#stored.filter(([message]) => (message?.seq ?? 0) >= seq);
    return Promise.resolve();
  }

  #firstSeq(): number {
    return this.#stored[0]?.[0]?.seq ?? this.#nextSeq; // M1
  }

  /** What is stored at the first sequence >= `seq`; nothing if there is none yet. */
  #at(seq: number): readonly InboxMessage[] {
    return this.#stored[Math.max(0, seq - this.#firstSeq())] ?? []; // M1
  }
}
