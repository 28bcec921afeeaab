import { LIMITS, subjects } from '@belfry/protocol';
import { bundlesOf, ok, refused, retry, sequencesOf } from '@belfry/ports';
import type { Inbox, InboxAppend, InboxMessage, InboxReading, InboxUsage, Outcome } from '@belfry/ports';
import { nuid } from '@nats-io/transport-node';

import { jsApiOrThrow, streamInfo } from './api.ts';
import type { StreamInfo } from './api.ts';
import { decodeBundle, encodeBundle } from './bundle.ts';
import type { BundlePart } from './bundle.ts';
import type { NatsLink } from './connection.ts';
import { encodeText } from './encode-text.ts';
import { JS } from './errors.ts';
import { HeaderBlock, HEADERS } from './header-block.ts';
import type { NatsNames } from './names.ts';
import { OrderedReader } from './ordered-reader.ts';
import { AckedPublisher } from './publisher.ts';
import type { Outgoing, PubAck } from './publisher.ts';

/** Together they stay below `LIMITS.answerMs`, so that a gateway can still say `unavailable` itself. */
const ACK_TIMEOUT_MS = 2_500;
const RECONNECT_WAIT_MS = 2_000;
const ATTEMPTS = 3;
/** Room in a message for the headers that a batch needs. */
const HEADER_BYTES = 512;

const FULL: ReadonlySet<number> = new Set([JS.insufficientResources, JS.memoryExceeded, JS.storageExceeded]);

/** One message as it is stored: a shard's own, or a bundle. */
interface Stored {
  readonly subject: string;
  readonly body: Uint8Array;
}

export interface NatsInboxOptions {
  readonly names: NatsNames;
  /** Shards of the installation: reading all of them needs one filter. */
  readonly shards: number;
}

/**
 * The shards' inboxes: one stream, a subject per shard, and one for bundles: what an append has for several shards is one message.
 *
 * I1. `append` is one message or one atomic batch: one fsync, all or nothing, at consecutive sequences ending at the acknowledged one.
 * I2. A batch whose fate is unknown is sent again verbatim, with the same message id on its first message. If the server then
 *     says that it has the id (10201), it has the whole batch; a probe with the id tells where (`duplicate: true`, first sequence).
 * I3. After the last attempt the fate is unknown to the caller too: a new append may then double the records, which carry
 *     command ids for that.
 * I4. Of a bundle, a reading hands out what its shards have in it, in one go: a receiver that is busy gets the rest before anything
 *     else. One that cannot be read is handed to each shard of the reading as it is, so that each finds out for itself.
 */
export class NatsInbox implements Inbox {
  readonly #link: NatsLink;
  readonly #names: NatsNames;
  readonly #stream: string;
  readonly #shards: number;
  readonly #publisher: AckedPublisher;
  readonly #subjects: string[];

  constructor(link: NatsLink, options: NatsInboxOptions) {
    this.#link = link;
    this.#names = options.names;
    this.#stream = options.names.streams.inbox;
    this.#shards = options.shards;
    this.#subjects = Array.from({ length: options.shards }, (_, shard) => options.names.subject(subjects.inbox(shard)));
    this.#publisher = new AckedPublisher(link, { timeoutMs: ACK_TIMEOUT_MS });
  }

  /**
   * Any number of appends may be in flight; they are stored in the order of the calls unless one has to be repeated.
   * @throws RangeError for more than `LIMITS.batchMessages` messages, one that doesn't fit `LIMITS.messageBytes`, or an unknown shard.
   */
  async append(messages: readonly InboxAppend[]): Promise<Outcome<readonly number[], 'full'>> {
    if (messages.length === 0) return ok([]);
    if (messages.length > LIMITS.batchMessages) throw new RangeError(`an append of ${messages.length} messages`);
    const bytes = messages.map(({ body }) => Buffer.byteLength(body));
    const bundles = bundlesOf(messages, bytes);
    const stored = this.#stored(bundles, bytes);
    const id = nuid.next();
    let ack: PubAck = await this.#send(id, stored);
    for (let attempt = 2; attempt <= ATTEMPTS && isWorthRepeating(ack); attempt++) {
      if (!(await this.#link.whenConnected(RECONNECT_WAIT_MS))) break;
      ack = await this.#send(id, stored); // I2
    }
    if (ack.kind === 'denied' && ack.error.errCode === JS.duplicateInBatch) ack = await this.#probe(id, stored);
    switch (ack.kind) {
      case 'stored':
        return ok(sequencesOf(bundles, ack.seq - stored.length + 1)); // I1
      case 'denied':
        return (await this.#isFull(ack.error.errCode, stored)) ? refused('full') : retry(ack.error);
      case 'absent':
        return retry(new Error(`no stream takes ${this.#stream}'s subjects now`));
      case 'unknown':
        return retry(ack.error);
    }
  }

  /** A reading ends by itself only when the stream is gone (NatsFailure `gone`), or `onMessage` fails. */
  read(
    shards: readonly number[],
    fromSeq: number,
    onMessage: (message: InboxMessage) => void | Promise<void>,
  ): Promise<InboxReading> {
    if (shards.length === 0) throw new RangeError('a reading needs shards');
    const shardBegins = this.#names.subject('belfry.inbox.').length;
    const bundle = this.#names.subject(subjects.inboxBundle);
    const wanted = new Set(shards);
    const all = wanted.size === this.#shards;
    const reader = new OrderedReader(this.#link, {
      stream: this.#stream,
      filterSubjects: all
        ? [this.#names.subject('belfry.inbox.*')]
        : [...shards.map((shard) => this.#subjectOf(shard)), bundle],
      start: { seq: fromSeq },
      onMessage: ({ subject, seq, timestamp, data }) => {
        if (subject !== bundle)
          return onMessage({ shard: Number(subject.slice(shardBegins)), seq, timestamp, body: data });
        const parts = decodeBundle(data) ?? shards.map((shard) => ({ shard, body: data }));
        return inOneGo(messagesOf(parts, wanted, seq, timestamp), onMessage); // I4
      },
    });
    return Promise.resolve(reader);
  }

  async usage(): Promise<InboxUsage> {
    const { state, config } = await jsApiOrThrow<StreamInfo>(this.#link, `STREAM.INFO.${this.#stream}`);
    return { bytes: state.bytes, maxBytes: config.max_bytes, firstSeq: state.first_seq, lastSeq: state.last_seq };
  }

  async trim(seq: number): Promise<void> {
    await jsApiOrThrow(this.#link, `STREAM.PURGE.${this.#stream}`, { seq });
  }

  close(): void {
    this.#publisher.close();
  }

  #subjectOf(shard: number): string {
    const subject = this.#subjects[shard];
    if (subject === undefined) throw new RangeError(`no such shard: ${shard}`);
    return subject;
  }

  #stored(bundles: readonly (readonly InboxAppend[])[], bytes: readonly number[]): Stored[] {
    let at = 0;
    return bundles.map((bundle) => {
      const lengths = bytes.slice(at, (at += bundle.length));
      const [message] = bundle as readonly [InboxAppend];
      const isAlone = bundle.length === 1;
      // Checks that the shards are known.
      const subject = bundle.map(({ shard }) => this.#subjectOf(shard))[0] as string;
      const body = isAlone ? encodeText(message.body) : encodeBundle(bundle, lengths);
      if (body.length + HEADER_BYTES > LIMITS.messageBytes)
        throw new RangeError(`an inbox message of ${body.length} bytes`);
      return { subject: isAlone ? subject : this.#names.subject(subjects.inboxBundle), body };
    });
  }

  #send(id: string, stored: readonly Stored[]): Promise<PubAck> {
    const outgoing = stored.map((one, at) => outgoingOf(id, one, at));
    const [single] = outgoing;
    if (single !== undefined && outgoing.length === 1) return this.#publisher.publish(single);
    return this.#publisher.batch(nuid.next(), outgoing);
  }

  /** Where a batch lies that the server has (I2): the acknowledgement that was lost, as if it had come. */
  async #probe(id: string, stored: readonly Stored[]): Promise<PubAck> {
    const ack = await this.#publisher.publish(outgoingOf(id, stored[0] as Stored, 0));
    if (ack.kind !== 'stored') return ack;
    if (ack.duplicate) return { ...ack, seq: ack.seq + stored.length - 1 };
    // The dedupe window closed between the two: the probe has just been stored, alone (I3).
    return { kind: 'unknown', sent: true, error: new Error('the batch was stored, but where it lies is not known') };
  }

  /** `storeFailed` stands for a full stream and for a failing disk alike; the stream's size tells which. */
  async #isFull(errCode: number, stored: readonly Stored[]): Promise<boolean> {
    if (FULL.has(errCode)) return true;
    if (errCode !== JS.storeFailed) return false;
    const info = await streamInfo(this.#link, this.#stream);
    if (info.kind !== 'ok') return false;
    const bytes = stored.reduce((sum, { body }) => sum + body.length + HEADER_BYTES, 0);
    return info.value.state.bytes + bytes > info.value.config.max_bytes;
  }
}

function outgoingOf(id: string, { subject, body }: Stored, at: number): Outgoing {
  const headers = new HeaderBlock();
  if (at === 0) headers.add(HEADERS.msgId, id);
  return { subject, headers, body };
}

function messagesOf(
  parts: readonly BundlePart[],
  wanted: ReadonlySet<number>,
  seq: number,
  timestamp: number,
): InboxMessage[] {
  const mine = parts.filter(({ shard }) => wanted.has(shard));
  return mine.map(({ shard, body }, at) => ({
    shard,
    seq,
    timestamp,
    body,
    ...(at < mine.length - 1 && { more: true as const }),
  }));
}

/** Hands all out, and waits where the receiver is busy. */
function inOneGo(
  messages: readonly InboxMessage[],
  onMessage: (message: InboxMessage) => void | Promise<void>,
): void | Promise<void> {
  for (const [at, message] of messages.entries()) {
    const busy = onMessage(message);
    if (busy !== undefined) return busy.then(() => inOneGo(messages.slice(at + 1), onMessage));
  }
}

function isWorthRepeating(ack: PubAck): boolean {
  return (
    ack.kind === 'unknown' ||
    ack.kind === 'absent' ||
    (ack.kind === 'denied' && ack.error.errCode === JS.wrongLastSequenceInFlight)
  );
}
