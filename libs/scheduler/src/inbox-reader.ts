import type { Inbox, InboxMessage, InboxReading } from '@belfry/ports';
import type { Timers } from '@belfry/actor-runtime';
import { pause, type Log } from './environment.ts';
import type { HostedShard } from './hosted-shard.ts';
import type { InboxGap } from './takeover.ts';

/** Messages after which the node is asked whether it can take more: to ask looks through all its shards. */
const ASK_EVERY = 64;

/** What a reader needs of its node. */
export interface InboxReaderNode {
  readonly hosted: ReadonlyMap<number, HostedShard>;
  /** Resolves when more may be read; undefined when it may be now. */
  pressure(): Promise<void> | undefined;
  now(): number;
  /** Messages that its shards had not been given are not in the inbox any more. */
  onGap(gap: InboxGap): void;
}

/**
 * Reads the inbox for all shards of a node, and gives each its messages.
 *
 * N1. A shard that is read (`isRead`) has been given every message of its own up to `seq`. One that has joined since is not read yet:
 *     what the others have been given says nothing of it. Messages of several shards may share a sequence: it counts when all are given.
 * N2. As long as the node hosts shards and has not stopped, it reads, or tries to.
 * N3. What an inbox that was deleted, or trimmed too far, took with it is told. What was made of the messages before it stays: those of
 *     an inbox that is made anew have higher sequences than all that were ever read.
 */
export class InboxReader {
  readonly #inbox: Inbox;
  readonly #log: Log;
  readonly #timers: Timers;
  readonly #node: InboxReaderNode;
  #reading: InboxReading | undefined;
  #rereading: Promise<void> = Promise.resolve();
  #rereadings = 0;
  #seq = 0;
  /** When the last message was stored that was given to them; before the first, when reading began. */
  #readToMs = 0;
  /** How many shards are read. */
  #width = 0;
  /** Messages since the node was asked whether it can take more. */
  #unasked = 0;
  #stopped = false;

  constructor(inbox: Inbox, log: Log, timers: Timers, node: InboxReaderNode) {
    this.#inbox = inbox;
    this.#log = log;
    this.#timers = timers;
    this.#node = node;
  }

  get seq(): number {
    return this.#seq;
  }

  /** Messages of the node's shards that it has not read yet, as far as that is known. */
  get unread(): number {
    return this.#reading?.pending?.() ?? 0;
  }

  /** Whether shards are read that the node does not host any more. It does no harm, and to read anew takes a while. */
  get isTooWide(): boolean {
    return this.#rereadings === 0 && this.#width > this.#node.hosted.size;
  }

  /** Reads for the shards as they are now. One at a time. */
  read(): Promise<void> {
    this.#rereadings++;
    this.#rereading = this.#rereading.then(() => this.#readAnew()).finally(() => this.#rereadings--);
    return this.#rereading;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#reading?.stop();
  }

  async #readAnew(): Promise<void> {
    const before = this.#reading;
    this.#reading = undefined;
    await before?.stop();
    const hosts = [...this.#node.hosted.values()];
    this.#width = hosts.length;
    if (hosts.length === 0) {
      this.#seq = 0;
      return;
    }
    // Those that have joined begin behind their last message, the others where reading is.
    this.#seq = Math.min(...hosts.map(({ isRead, core }) => (isRead ? this.#seq : core.seq)));
    for (const host of hosts) host.isRead = true; // N1
    if (this.#readToMs === 0) this.#readToMs = this.#node.now();
    const shards = hosts.map(({ core }) => core.shard);
    const readTo = { seq: this.#seq, ms: this.#readToMs };
    const reading = await this.#begin(shards, this.#seq + 1);
    if (this.#stopped) return await reading?.stop(); // it began while `stop` had nothing to stop
    this.#reading = reading;
    if (reading === undefined) return;
    reading.done.catch((error: unknown) => {
      this.#log.error('the inbox cannot be read, starting over', { error: String(error) });
      if (this.#reading === reading && !this.#stopped) this.#timers.after(500, () => void this.read());
    });
    void this.#lookForGap(reading, shards, readTo); // a shard that has just been taken over does not wait for it
  }

  /** Whether the inbox has what comes after `readTo` (N3). */
  async #lookForGap(
    reading: InboxReading,
    shards: readonly number[],
    readTo: { readonly seq: number; readonly ms: number },
  ): Promise<void> {
    for (let attempt = 1; this.#reading === reading && !this.#stopped; attempt++) {
      const usage = await this.#inbox.usage().catch(() => undefined);
      if (usage === undefined) {
        await pause(this.#timers, attempt);
        continue;
      }
      if (this.#reading !== reading || readTo.seq + 1 >= usage.firstSeq) return;
      const gap: InboxGap = {
        shards: shards.toSorted((a, b) => a - b),
        fromSeq: readTo.seq + 1,
        untilSeq: usage.firstSeq,
        sinceMs: readTo.ms,
        foundMs: this.#node.now(),
      };
      this.#log.error('the inbox has lost what was not read yet: what was acknowledged in between is missing', {
        ...gap,
      });
      this.#seq = Math.max(this.#seq, usage.firstSeq - 1); // N1: there is nothing else to be given
      return this.#node.onGap(gap);
    }
  }

  /** A reading that does not begin would leave all shards without messages: it is tried until it does, or the node stops (N2). */
  async #begin(shards: readonly number[], fromSeq: number): Promise<InboxReading | undefined> {
    for (let attempt = 1; !this.#stopped; attempt++) {
      try {
        return await this.#inbox.read(shards, fromSeq, (message) => this.#onMessage(message));
      } catch (error) {
        if (attempt === 1) this.#log.warn('the inbox cannot be read yet, trying again', { error: String(error) });
        await pause(this.#timers, attempt);
      }
    }
    return undefined;
  }

  #onMessage(message: InboxMessage): void | Promise<void> {
    const { shard, seq, timestamp, more } = message;
    const full = this.#node.hosted.get(shard)?.cell.tell(message);
    this.#seq = Math.max(this.#seq, more === true ? seq - 1 : seq); // N1
    this.#readToMs = timestamp;
    this.#unasked++;
    if (full !== undefined) return full;
    if (this.#unasked < ASK_EVERY || more === true) return undefined;
    this.#unasked = 0;
    return this.#node.pressure();
  }
}
