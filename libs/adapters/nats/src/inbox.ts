import { LIMITS, subjects } from '@belfry/protocol';
import { ok, refused, retry } from '@belfry/ports';
import type { Inbox, InboxAppend, InboxMessage, InboxReading, InboxUsage, Outcome } from '@belfry/ports';
import { nuid } from '@nats-io/transport-node';

import { jsApiOrThrow, streamInfo } from './api.ts';
import type { StreamInfo } from './api.ts';
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

export interface NatsInboxOptions {
  readonly names: NatsNames;
  /** Shards of the installation: reading all of them needs one filter. */
  readonly shards: number;
}

/**
 * The shards' inboxes: one stream, a subject per shard.
 *
 * I1. `append` is one atomic batch: one fsync, all messages or none, at consecutive sequences ending at the acknowledged one.
 * I2. A batch whose fate is unknown is sent again verbatim, with the same message id on its first message. If the server then
 *     says that it has the id (10201), it has the whole batch; a probe with the id tells where (`duplicate: true`, first sequence).
 * I3. After the last attempt the fate is unknown to the caller too: a new append may then double the records, which carry
 *     command ids for that.
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
    const bodies = this.#encode(messages);
    const id = nuid.next();
    let ack: PubAck = await this.#send(id, messages, bodies);
    for (let attempt = 2; attempt <= ATTEMPTS && isWorthRepeating(ack); attempt++) {
      if (!(await this.#link.whenConnected(RECONNECT_WAIT_MS))) break;
      ack = await this.#send(id, messages, bodies); // I2
    }
    if (ack.kind === 'denied' && ack.error.errCode === JS.duplicateInBatch)
      ack = await this.#probe(id, messages, bodies);
    switch (ack.kind) {
      case 'stored': {
        const first = ack.seq - messages.length + 1; // I1
        return ok(messages.map((_, i) => first + i));
      }
      case 'denied':
        return (await this.#isFull(ack.error.errCode, bodies)) ? refused('full') : retry(ack.error);
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
    const all = new Set(shards).size === this.#shards;
    const reader = new OrderedReader(this.#link, {
      stream: this.#stream,
      filterSubjects: all ? [this.#names.subject('belfry.inbox.*')] : shards.map((shard) => this.#subjectOf(shard)),
      start: { seq: fromSeq },
      onMessage: ({ subject, seq, timestamp, data }) =>
        onMessage({ shard: Number(subject.slice(shardBegins)), seq, timestamp, body: data }),
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

  #encode(messages: readonly InboxAppend[]): Uint8Array[] {
    if (messages.length > LIMITS.batchMessages) throw new RangeError(`an append of ${messages.length} messages`);
    const bodies = messages.map(({ body }) => encodeText(body));
    const largest = Math.max(...bodies.map((body) => body.length));
    if (largest + HEADER_BYTES > LIMITS.messageBytes) throw new RangeError(`an inbox message of ${largest} bytes`);
    return bodies;
  }

  #send(id: string, messages: readonly InboxAppend[], bodies: readonly Uint8Array[]): Promise<PubAck> {
    const outgoing = messages.map((_, i) => this.#outgoing(id, messages, bodies, i));
    const [single] = outgoing;
    if (single !== undefined && outgoing.length === 1) return this.#publisher.publish(single);
    return this.#publisher.batch(nuid.next(), outgoing);
  }

  #outgoing(id: string, messages: readonly InboxAppend[], bodies: readonly Uint8Array[], i: number): Outgoing {
    const headers = new HeaderBlock();
    if (i === 0) headers.add(HEADERS.msgId, id);
    return { subject: this.#subjectOf((messages[i] as InboxAppend).shard), headers, body: bodies[i] as Uint8Array };
  }

  /** Where a batch lies that the server has (I2): the acknowledgement that was lost, as if it had come. */
  async #probe(id: string, messages: readonly InboxAppend[], bodies: readonly Uint8Array[]): Promise<PubAck> {
    const ack = await this.#publisher.publish(this.#outgoing(id, messages, bodies, 0));
    if (ack.kind !== 'stored') return ack;
    if (ack.duplicate) return { ...ack, seq: ack.seq + messages.length - 1 };
    // The dedupe window closed between the two: the probe has just been stored, alone (I3).
    return { kind: 'unknown', sent: true, error: new Error('the batch was stored, but where it lies is not known') };
  }

  /** `storeFailed` stands for a full stream and for a failing disk alike; the stream's size tells which. */
  async #isFull(errCode: number, bodies: readonly Uint8Array[]): Promise<boolean> {
    if (FULL.has(errCode)) return true;
    if (errCode !== JS.storeFailed) return false;
    const info = await streamInfo(this.#link, this.#stream);
    if (info.kind !== 'ok') return false;
    const bytes = bodies.reduce((sum, body) => sum + body.length + HEADER_BYTES, 0);
    return info.value.state.bytes + bytes > info.value.config.max_bytes;
  }
}

function isWorthRepeating(ack: PubAck): boolean {
  return (
    ack.kind === 'unknown' ||
    ack.kind === 'absent' ||
    (ack.kind === 'denied' && ack.error.errCode === JS.wrongLastSequenceInFlight)
  );
}
