import type { Outcome } from './outcome.ts';

/** One message for one shard's inbox, already encoded. */
export interface InboxAppend {
  readonly shard: number;
  readonly body: string;
}

export interface InboxMessage {
  readonly shard: number;
  /** Sequence in the stream that all shards share: grows, with gaps. A shard has at most one message of a sequence. */
  readonly seq: number;
  /** Another shard's message of the same sequence follows. */
  readonly more?: true;
  /** The broker's stored time, ms since 1970: the only "now" that state may derive from. */
  readonly timestamp: number;
  readonly body: Uint8Array;
}

export interface InboxUsage {
  readonly bytes: number;
  readonly maxBytes: number;
  readonly firstSeq: number;
  readonly lastSeq: number;
}

export interface InboxReading {
  /** Rejects when reading cannot go on (the stream is gone); resolves after `stop`. */
  readonly done: Promise<void>;
  /** Messages that were not handed out yet when the last one was; absent: not known. */
  pending?(): number;
  stop(): Promise<void>;
}

/** The shards' durable, ordered message log. */
export interface Inbox {
  /**
   * Appends all messages in one group commit: when it is `ok`, all are on disk; the sequences come in the same order. Messages of
   * different shards may be stored as one (a bundle): then they share their sequence and stored time.
   * Refused: `full` when the stream takes no more. At most `LIMITS.batchMessages` messages.
   */
  append(messages: readonly InboxAppend[]): Promise<Outcome<readonly number[], 'full'>>;
  /**
   * Reads the messages of `shards` with seq >= `fromSeq` in order, then goes on as they come.
   * A gap in what the stream still holds is the caller's to see: it compares `fromSeq` with `usage().firstSeq`.
   * When `onMessage` returns a promise, reading waits for it; `stop` waits until what shares its sequence has been handed out, too.
   */
  read(
    shards: readonly number[],
    fromSeq: number,
    onMessage: (message: InboxMessage) => void | Promise<void>,
  ): Promise<InboxReading>;
  usage(): Promise<InboxUsage>;
  /** Deletes everything before `seq`. */
  trim(seq: number): Promise<void>;
}
