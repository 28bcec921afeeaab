import { isObject, LIMITS, parseWorkSubject, subjects, workConsumer, type WorkSubject } from '@belfry/protocol';
import { ok, refused, retry } from '@belfry/ports';
import type {
  AttemptRef,
  Fence,
  HeldFence,
  Outcome,
  QueueLease,
  SeenFence,
  WorkItem,
  WorkQueue,
  WorkRef,
} from '@belfry/ports';
import { nuid } from '@nats-io/transport-node';

import { bodyText, jsApi, jsApiOrThrow, lastMessage, streamInfo, type ApiResult } from './api.ts';
import type { NatsLink } from './connection.ts';
import { JS, JetStreamError } from './errors.ts';
import { Fences } from './fences.ts';
import { HeaderBlock, HEADERS } from './header-block.ts';
import type { NatsNames } from './names.ts';
import { AckedPublisher } from './publisher.ts';
import type { Outgoing, PubAck } from './publisher.ts';
import { ensureStream } from './streams.ts';
import { listSubjects } from './subject-list.ts';

const NANOS_PER_MS = 1_000_000;
const GIB = 1024 ** 3;
/**
 * Deliveries of one message before the broker leaves it where it is, for ever: none are too many. Who gets one again asks the shard, which
 * counts the lost; but not each is asked about, as workers give messages back too.
 */
const MAX_DELIVERIES = -1;
/** Executions in workers' hands, per queue. */
const MAX_ACK_PENDING = 100_000;
const HEADER_BYTES = 512;
/** Parcels that are read at the same time. */
const READS_IN_FLIGHT = 64;
/** While the broker has no leader it answers nothing, and forgets the question: whoever asked asks anew. */
const CONSUMER_TIMEOUT_MS = 2_000;

export interface NatsWorkQueueOptions {
  readonly names: NatsNames;
  readonly replicas?: number;
  /** Default 1 GiB: the dispatch window keeps far below it. */
  readonly maxBytes?: number;
  /** How long an acknowledgement is awaited; default 5 s. */
  readonly ackTimeoutMs?: number;
}

/**
 * Dispatched executions in one memory stream, with a fence subject per shard in the same stream.
 *
 * W1. The first message of each batch, or a single message, expects its shard's fence subject to end at the fence's sequence: a
 *     shard that was taken over can't dispatch (10071). The other messages expect their own subjects to be empty, so that a
 *     message can't be there twice; the first can expect one thing only, and rests on its message id.
 * W2. The first message's id is the batch's: a verbatim repetition is known by it (10201, or `duplicate` for a single message).
 * W3. 10071 may mean the fence or an own subject. The fence is read again before anything is concluded.
 * W4. A stream made anew starts at a first sequence above all that any former one used, so no old fence looks valid.
 */
export class NatsWorkQueue implements WorkQueue {
  readonly #link: NatsLink;
  readonly #names: NatsNames;
  readonly #stream: string;
  readonly #options: NatsWorkQueueOptions;
  readonly #publisher: AckedPublisher;
  readonly #fences: Fences;

  constructor(link: NatsLink, options: NatsWorkQueueOptions) {
    this.#link = link;
    this.#names = options.names;
    this.#stream = options.names.streams.work;
    this.#options = options;
    this.#publisher = new AckedPublisher(
      link,
      options.ackTimeoutMs === undefined ? {} : { timeoutMs: options.ackTimeoutMs },
    );
    this.#fences = new Fences(link, this.#publisher, options.names);
  }

  /** @throws NatsFailure `setup` when the stream can't be made. */
  async ensure(firstSeq: () => Promise<number>): Promise<number> {
    const present = await this.incarnation();
    // The counter is asked only when a stream has to be made.
    const first_seq = present > 0 ? present : await firstSeq(); // W4
    await ensureStream(this.#link, {
      name: this.#stream,
      subjects: [this.#names.subject('belfry.work.>'), this.#names.subject('belfry.fence.*')],
      storage: 'memory',
      retention: 'workqueue',
      discard: 'new',
      allow_atomic: true,
      max_bytes: this.#options.maxBytes ?? GIB,
      max_msg_size: LIMITS.messageBytes,
      num_replicas: this.#options.replicas ?? 1,
      first_seq,
    });
    return await this.incarnation();
  }

  async incarnation(): Promise<number> {
    const info = await streamInfo(this.#link, this.#stream);
    if (info.kind === 'ok') return Math.max(1, info.value.config.first_seq ?? 1);
    if (info.error instanceof JetStreamError && info.error.errCode === JS.streamNotFound) return 0;
    throw info.error;
  }

  async fenceOf(shard: number): Promise<HeldFence> {
    const fence = await this.#fences.read(shard);
    if (fence.kind === 'unknown') throw fence.error;
    return fence.kind === 'none' ? { epoch: 0 } : fence;
  }

  async takeFence(shard: number, epoch: number, seen?: SeenFence): Promise<Outcome<Fence, 'fenced' | 'lost'>> {
    const [info, present] = await Promise.all([streamInfo(this.#link, this.#stream), this.#fences.read(shard)]);
    if (info.kind !== 'ok') return retry(info.error);
    const incarnation = Math.max(1, info.value.config.first_seq ?? 1);
    const taken = await this.#fences.take(shard, epoch, seen, present);
    return taken.kind === 'ok' ? ok({ shard, epoch, seq: taken.value, incarnation }) : taken;
  }

  /**
   * Many batches may be in flight at once. On a replicated stream only one per shard: another is answered `retry` (10164).
   * @throws RangeError for more than `LIMITS.batchMessages` items.
   */
  async publish(
    fence: Fence,
    batchId: string,
    items: readonly WorkItem[],
  ): Promise<Outcome<void, 'fenced' | 'lost' | 'full' | 'duplicate'>> {
    if (items.length === 0) return ok(undefined);
    if (items.length > LIMITS.batchMessages) throw new RangeError(`a batch of ${items.length} items`);
    const ack = await this.#send(fence, batchId, items);
    switch (ack.kind) {
      case 'stored':
        return ok(undefined);
      case 'denied':
        return await this.#denied(fence, items, ack.error);
      case 'absent':
        return await this.#absent();
      case 'unknown':
        return ack.sent ? retry(ack.error) : { ...retry(ack.error), unsent: true };
    }
  }

  async surviving(shard: number): Promise<readonly WorkRef[]> {
    const filter = this.#names.subject(subjects.workOfShard(shard));
    const refs: WorkRef[] = [];
    const parcels: string[] = [];
    for (const subject of await listSubjects(this.#link, this.#stream, filter)) {
      const parts = parseWorkSubject(this.#names.protocolSubject(subject));
      if (parts === undefined) continue;
      if (parts.more > 0) parcels.push(subject);
      else refs.push(singleRef(parts));
    }
    for (let from = 0; from < parcels.length; from += READS_IN_FLIGHT) {
      const some = parcels.slice(from, from + READS_IN_FLIGHT);
      const read = await Promise.all(some.map((subject) => this.#parcelRef(subject)));
      refs.push(...read.filter((ref) => ref !== undefined));
    }
    return refs;
  }

  async remove(refs: readonly WorkRef[]): Promise<number> {
    const purge = async (ref: WorkRef): Promise<number> => {
      const filter = this.#subject(ref, ref.shard);
      const { purged } = await jsApiOrThrow<{ purged: number }>(this.#link, `STREAM.PURGE.${this.#stream}`, { filter });
      return Math.min(1, purged);
    };
    const removed = await Promise.all(refs.map(purge));
    return removed.reduce((sum, one) => sum + one, 0);
  }

  /**
   * A consumer delivers in the order of sequences: what lies behind its last delivery when it has been deleted was never delivered
   * (what was nakked comes again at an old sequence, and counts as delivered).
   */
  async withdraw(refs: readonly WorkRef[]): Promise<readonly WorkRef[]> {
    const withdrawn = await Promise.all(refs.map(async (ref) => ((await this.#withdraw(ref)) ? [ref] : [])));
    return withdrawn.flat();
  }

  async ensureConsumer(namespace: string, queue: string, leaseMs: number): Promise<void> {
    // W5: who makes it at the same time may ask for a longer lease; then there is one to lengthen.
    const made = await this.#writeConsumer({ namespace, queue, leaseMs }, 'create');
    if (made.kind === 'ok') return;
    if (made.kind === 'unknown' || made.error.errCode !== JS.consumerExists) throw made.error;
    const info = this.#consumerInfo(namespace, queue);
    const present = await jsApiOrThrow<ConsumerInfo>(this.#link, info, undefined, CONSUMER_TIMEOUT_MS);
    const longest = Math.max(leaseMs, leaseMsOf(present));
    const updated = await this.#writeConsumer({ namespace, queue, leaseMs: longest }, 'update');
    if (updated.kind !== 'ok') throw updated.error;
  }

  async leases(): Promise<readonly QueueLease[]> {
    const leases: QueueLease[] = [];
    for (let offset = 0, total = 1; offset < total;) {
      const page = await jsApiOrThrow<ConsumerList>(this.#link, `CONSUMER.LIST.${this.#stream}`, { offset });
      for (const info of page.consumers) {
        const [namespace, queue] = info.name.split('=', 2);
        if (namespace !== undefined && queue !== undefined) leases.push({ namespace, queue, leaseMs: leaseMsOf(info) });
      }
      if (page.consumers.length === 0) break;
      offset += page.consumers.length;
      total = page.total;
    }
    return leases;
  }

  async setLease(lease: QueueLease): Promise<void> {
    const updated = await this.#writeConsumer(lease, 'update');
    if (updated.kind === 'ok') return;
    if (updated.kind === 'denied' && updated.error.errCode === JS.consumerDoesNotExist) return;
    throw updated.error;
  }

  close(): void {
    this.#publisher.close();
  }

  #writeConsumer({ namespace, queue, leaseMs }: QueueLease, action: 'create' | 'update'): Promise<ApiResult<unknown>> {
    const name = workConsumer(namespace, queue);
    const body = {
      stream_name: this.#stream,
      action,
      config: {
        durable_name: name,
        filter_subject: this.#names.subject(subjects.workOfQueue(namespace, queue)),
        deliver_policy: 'all',
        ack_policy: 'explicit',
        ack_wait: leaseMs * NANOS_PER_MS,
        max_deliver: MAX_DELIVERIES,
        max_ack_pending: MAX_ACK_PENDING,
        max_waiting: LIMITS.workers,
      },
    };
    return jsApi(this.#link, `CONSUMER.DURABLE.CREATE.${this.#stream}.${name}`, body, CONSUMER_TIMEOUT_MS);
  }

  #consumerInfo(namespace: string, queue: string): string {
    return `CONSUMER.INFO.${this.#stream}.${workConsumer(namespace, queue)}`;
  }

  async #withdraw(ref: WorkRef): Promise<boolean> {
    const found = await lastMessage(this.#link, this.#stream, this.#subject(ref, ref.shard));
    if (found.kind !== 'ok') return false;
    const { seq } = found.value;
    if ((await this.#delivered(ref)) >= seq) return false;
    const deleted = await jsApi(this.#link, `STREAM.MSG.DELETE.${this.#stream}`, { seq, no_erase: true });
    return deleted.kind === 'ok' && (await this.#delivered(ref)) < seq;
  }

  #subject({ namespace, queue, attempts }: WorkItem | WorkRef, shard: number): string {
    const { execution, attempt } = attempts[0] as AttemptRef;
    return this.#names.subject(subjects.work(namespace, queue, shard, execution, attempt, attempts.length - 1));
  }

  /** Undefined when it is gone: its worker has acknowledged it meanwhile. @throws when it cannot be read. */
  async #parcelRef(subject: string): Promise<WorkRef | undefined> {
    const found = await lastMessage(this.#link, this.#stream, subject);
    if (found.kind === 'ok') return workRefOf(this.#names.protocolSubject(subject), bodyText(found.value));
    if (found.error instanceof JetStreamError && found.error.errCode === JS.noMessage) return undefined;
    throw found.error;
  }

  /** Sequence of the last message that the queue's consumer has delivered; Infinity when that cannot be known. */
  async #delivered({ namespace, queue }: WorkRef): Promise<number> {
    const info = await jsApi<{ delivered: { stream_seq: number } }>(this.#link, this.#consumerInfo(namespace, queue));
    if (info.kind === 'ok') return info.value.delivered.stream_seq;
    const never = info.kind === 'denied' && info.error.errCode === JS.consumerNotFound;
    return never ? 0 : Infinity;
  }

  #send(fence: Fence, batchId: string, items: readonly WorkItem[]): Promise<PubAck> {
    const fenceSubject = this.#names.subject(subjects.fence(fence.shard));
    const outgoing = items.map((item, i): Outgoing => {
      const headers = new HeaderBlock();
      if (i === 0) {
        headers
          .add(HEADERS.msgId, batchId)
          .add(HEADERS.expectedSubjectSequence, fence.seq)
          .add(HEADERS.expectedSubject, fenceSubject); // W1, W2
      } else {
        headers.add(HEADERS.expectedSubjectSequence, 0); // W1
      }
      if (item.traceparent !== undefined) headers.add(HEADERS.traceparent, item.traceparent);
      return { subject: this.#subject(item, fence.shard), headers, body: item.body };
    });
    const [single] = outgoing;
    if (single !== undefined && outgoing.length === 1) return this.#publisher.publish(single);
    return this.#publisher.batch(nuid.next(), outgoing);
  }

  async #denied(
    fence: Fence,
    items: readonly WorkItem[],
    error: JetStreamError,
  ): Promise<Outcome<void, 'fenced' | 'lost' | 'full' | 'duplicate'>> {
    switch (error.errCode) {
      case JS.duplicateInBatch:
        return ok(undefined); // W2
      case JS.wrongLastSequence:
        return await this.#refusedSequence(fence); // W3
      case JS.storeFailed:
        return (await this.#isFull(items)) ? refused('full') : retry(error);
      case JS.memoryExceeded:
      case JS.insufficientResources:
        return refused('full');
      default:
        return retry(error);
    }
  }

  async #refusedSequence(fence: Fence): Promise<Outcome<void, 'fenced' | 'lost' | 'duplicate'>> {
    const held = await this.#fences.read(fence.shard);
    switch (held.kind) {
      case 'unknown':
        return retry(held.error);
      case 'none':
        return refused('lost');
      case 'held':
        if (held.seq === fence.seq) return refused('duplicate');
        return held.epoch > fence.epoch ? refused('fenced') : refused('lost');
    }
  }

  async #absent(): Promise<Outcome<void, 'lost'>> {
    const info = await streamInfo(this.#link, this.#stream);
    const gone = info.kind === 'denied' && info.error.errCode === JS.streamNotFound;
    return gone ? refused('lost') : retry(new Error(`no stream takes ${this.#stream}'s subjects now`));
  }

  async #isFull(items: readonly WorkItem[]): Promise<boolean> {
    const info = await streamInfo(this.#link, this.#stream);
    if (info.kind !== 'ok') return false;
    const bytes = items.reduce((sum, item) => sum + item.body.length + HEADER_BYTES, 0);
    return info.value.state.bytes + bytes > info.value.config.max_bytes;
  }
}

interface ConsumerInfo {
  readonly name: string;
  readonly config: { readonly ack_wait?: number };
}

interface ConsumerList {
  readonly total: number;
  readonly consumers: readonly ConsumerInfo[];
}

function leaseMsOf({ config }: ConsumerInfo): number {
  return (config.ack_wait ?? 0) / NANOS_PER_MS;
}

/** What a work message is and carries; undefined if it is none. */
export function workRefOf(subject: string, body: string): WorkRef | undefined {
  const parts = parseWorkSubject(subject);
  if (parts === undefined || parts.more === 0) return parts && singleRef(parts);
  const { namespace, queue, shard, more } = parts;
  const attempts = (JSON.parse(body) as unknown[]).filter(isAttempt);
  if (attempts.length !== more + 1) throw new Error(`a parcel of ${more + 1} that has ${attempts.length}: ${subject}`);
  return { namespace, queue, shard, attempts: attempts.map(({ execution, attempt }) => ({ execution, attempt })) };
}

function singleRef({ namespace, queue, shard, execution, attempt }: WorkSubject): WorkRef {
  return { namespace, queue, shard, attempts: [{ execution, attempt }] };
}

function isAttempt(value: unknown): value is AttemptRef {
  return isObject(value) && typeof value['execution'] === 'string' && typeof value['attempt'] === 'number';
}
