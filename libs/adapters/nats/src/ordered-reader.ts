import { createInbox } from '@nats-io/transport-node';
import type { Msg, Subscription } from '@nats-io/transport-node';

import { jsApi, streamInfo } from './api.ts';
import { delay } from './connection.ts';
import type { NatsLink } from './connection.ts';
import { asError, JS, JetStreamError, NatsFailure } from './errors.ts';
import { parseDelivery, pullStatus, sendPull, wireBytes } from './pull.ts';

const NANOS_PER_MS = 1_000_000;
/** Bytes asked for and not arrived, at most; also what may wait while the receiver is busy. */
const WINDOW_BYTES = 8 * 1024 * 1024;
const EXPIRES_MS = 30_000;
const HEARTBEAT_MS = 5_000;
/** Silence after which the consumer is made anew; on the monotonic clock, as a stepped wall clock can stall the client's own. */
const SILENT_MS = 12_500;
const WATCH_MS = 2_500;
const FIRST_RETRY_MS = 50;
const LONGEST_RETRY_MS = 2_000;
const INACTIVE_MS = 300_000;

export interface ReadMessage {
  readonly subject: string;
  readonly seq: number;
  /** Stored time, ms since 1970. */
  readonly timestamp: number;
  readonly data: Uint8Array;
}

export interface ReaderOptions {
  readonly stream: string;
  readonly filterSubjects: readonly string[];
  /** `last`: the last message of each subject, then what comes. */
  readonly start: { readonly seq: number } | 'last';
  /** When it returns a promise, reading waits for it. When it throws or rejects, reading fails. */
  readonly onMessage: (message: ReadMessage) => void | Promise<void>;
}

/**
 * Reads a stream in order, across reconnections, restarts of the server and losses of its consumer.
 *
 * R1. Sequences handed out grow: a message below `#nextSeq` is dropped.
 * R2. Within one consumer deliveries are consecutive; a gap, a silence, or a broken pull makes a new consumer from `#nextSeq`.
 * R3. One incarnation of the stream is read: if it was made anew in the meantime, reading fails instead of skipping.
 * R4. At most `WINDOW_BYTES` are asked for and not handed out; while the receiver is busy nothing more is asked for.
 * R5. After `stop` has resolved, the receiver is not called.
 */
export class OrderedReader {
  readonly done: Promise<void>;
  readonly #link: NatsLink;
  readonly #options: ReaderOptions;
  readonly #stopping = new AbortController();
  readonly #offStatus: () => void;
  readonly #watch: NodeJS.Timeout;
  #settle!: { resolve(): void; reject(error: Error): void };
  #nextSeq: number;
  /** Whether `#nextSeq` is where to go on; false until a `last` reading has had its first message. */
  #positioned: boolean;
  #created: string | undefined;
  #inbox = '';
  #subscription: Subscription | undefined;
  #consumer: string | undefined;
  #delivered = 0;
  /** Behind the last delivery, as the server told with it. */
  #pending = 0;
  #askedBytes = 0;
  #lastSignMs = performance.now();
  #resetting = false;
  #resetAgain = false;
  /** Breaks since the last sign of a sound consumer: they slow down the next reset. */
  #breaks = 0;
  /** Arrived while the receiver is busy; those before `#taken` have been handed out. */
  #waiting: Msg[] = [];
  #taken = 0;
  #busy: Promise<void> | undefined;
  #ended = false;

  constructor(link: NatsLink, options: ReaderOptions) {
    this.#link = link;
    this.#options = options;
    this.#positioned = options.start !== 'last';
    this.#nextSeq = options.start === 'last' ? 1 : Math.max(1, options.start.seq);
    this.done = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
    this.done.catch(() => undefined); // whoever cares awaits it
    this.#offStatus = link.onStatus((status) => {
      if (status.kind === 'reconnected') this.#reset();
      else if (status.kind === 'closed') this.#end(new NatsFailure('gone', 'the connection was closed'));
    });
    this.#watch = setInterval(() => this.#checkSigns(), WATCH_MS);
    this.#watch.unref();
    this.#reset();
  }

  /** Messages that were not handed out yet when the last one was. */
  pending(): number {
    return this.#pending;
  }

  /** Idempotent. Waits for the receiver, if it is busy (R5): so the receiver itself must not wait for it. */
  async stop(): Promise<void> {
    this.#end(undefined);
    await this.#busy?.catch(() => undefined);
  }

  #end(error: Error | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#watch);
    this.#offStatus();
    this.#stopping.abort();
    this.#dropConsumer();
    if (error === undefined) this.#settle.resolve();
    else this.#settle.reject(error);
  }

  #checkSigns(): void {
    if (this.#busy !== undefined)
      this.#lastSignMs = performance.now(); // silent because we ask for nothing
    else if (performance.now() - this.#lastSignMs > SILENT_MS) this.#reset(); // R2
  }

  /** Makes a new consumer from `#nextSeq`, as often as it takes. */
  #reset(): void {
    if (this.#resetting) {
      this.#resetAgain = true;
      return;
    }
    this.#resetting = true;
    this.#recreate().catch((error: unknown) => this.#end(asError(error)));
  }

  async #recreate(): Promise<void> {
    for (let attempt = this.#breaks; !this.#ended; attempt++) {
      if (attempt > 0) {
        await delay(Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), LONGEST_RETRY_MS), this.#stopping.signal);
      }
      this.#resetAgain = false;
      this.#lastSignMs = performance.now();
      this.#dropConsumer();
      if (!this.#link.isConnected) continue;
      if (!(await this.#checkIncarnation()) || this.#ended) continue;
      if (!(await this.#createConsumer())) continue;
      if (this.#resetAgain) continue;
      this.#resetting = false;
      return;
    }
  }

  /** R3. False: not known now. */
  async #checkIncarnation(): Promise<boolean> {
    const { stream } = this.#options;
    const info = await streamInfo(this.#link, stream);
    if (info.kind === 'ok') {
      this.#created ??= info.value.created;
      if (this.#created === info.value.created) return true;
      throw new NatsFailure('gone', `stream ${stream} was made anew while it was read`);
    }
    if (info.error instanceof JetStreamError && info.error.errCode === JS.streamNotFound) {
      throw new NatsFailure('gone', `stream ${stream} is gone`, { cause: info.error });
    }
    return false;
  }

  async #createConsumer(): Promise<boolean> {
    const { stream, filterSubjects } = this.#options;
    const inbox = createInbox();
    const name = `reader-${inbox.slice(inbox.lastIndexOf('.') + 1)}`;
    const [first] = filterSubjects;
    const config = {
      name,
      ack_policy: 'none',
      max_deliver: 1,
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: INACTIVE_MS * NANOS_PER_MS,
      ...(filterSubjects.length === 1 ? { filter_subject: first } : { filter_subjects: filterSubjects }),
      ...(this.#positioned
        ? { deliver_policy: 'by_start_sequence', opt_start_seq: this.#nextSeq }
        : { deliver_policy: 'last_per_subject' }),
    };
    const made = await jsApi(this.#link, `CONSUMER.CREATE.${stream}.${name}`, { stream_name: stream, config });
    if (made.kind !== 'ok' || this.#ended) return false;
    this.#inbox = inbox;
    this.#consumer = name;
    this.#delivered = 0;
    this.#askedBytes = 0;
    this.#lastSignMs = performance.now();
    this.#subscription = this.#link.nc.subscribe(inbox, {
      callback: (_error, message) => this.#receive(message, inbox),
    });
    this.#ask();
    return true;
  }

  #dropConsumer(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    if (this.#consumer !== undefined && this.#link.isConnected) {
      // Not waited for: a consumer that stays behind ends by its inactive threshold.
      void jsApi(this.#link, `CONSUMER.DELETE.${this.#options.stream}.${this.#consumer}`);
    }
    this.#consumer = undefined;
    this.#inbox = '';
    this.#clearWaiting(); // they come again, from #nextSeq
  }

  #clearWaiting(): void {
    this.#waiting = [];
    this.#taken = 0;
  }

  #ask(): void {
    if (this.#consumer === undefined || this.#busy !== undefined || this.#askedBytes > WINDOW_BYTES / 2) return; // R4
    const maxBytes = WINDOW_BYTES - this.#askedBytes;
    this.#askedBytes = WINDOW_BYTES;
    const { stream } = this.#options;
    sendPull(this.#link, stream, this.#consumer, this.#inbox, {
      batch: 1_000_000,
      maxBytes,
      expiresMs: EXPIRES_MS,
      heartbeatMs: HEARTBEAT_MS,
    });
  }

  /** Called by the client's parser: must not throw. */
  #receive(message: Msg, inbox: string): void {
    if (inbox !== this.#inbox) return; // of a consumer that was given up
    this.#lastSignMs = performance.now();
    const status = pullStatus(message, inbox);
    if (status?.kind !== 'broken') this.#breaks = 0;
    if (status === undefined) {
      this.#askedBytes = Math.max(0, this.#askedBytes - wireBytes(message));
      // While a resumed receiver works off what waits, nothing overtakes it.
      if (this.#busy === undefined && this.#waiting.length === 0) this.#handOut(message);
      else this.#waiting.push(message);
    } else if (status.kind === 'broken') {
      this.#breaks++;
      return this.#reset();
    } else if (status.kind === 'ended') {
      this.#askedBytes = Math.max(0, this.#askedBytes - status.pendingBytes);
    } else if (status.lastDelivery > this.#delivered + this.#waiting.length - this.#taken) {
      return this.#reset(); // R2: the tail was lost
    }
    this.#ask();
  }

  #handOut(message: Msg): void {
    const info = parseDelivery(message.reply ?? '');
    if (info === undefined || info.delivery !== this.#delivered + 1) return this.#reset(); // R2
    this.#delivered = info.delivery;
    this.#pending = info.pending;
    if (info.seq < this.#nextSeq) return; // R1
    this.#nextSeq = info.seq + 1;
    this.#positioned = true;
    try {
      const { subject, data } = message;
      const busy = this.#options.onMessage({ subject, seq: info.seq, timestamp: info.timestamp, data });
      if (busy === undefined) return;
      this.#busy = busy.then(
        () => this.#resume(),
        (error: unknown) => this.#fail(error),
      );
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#busy = undefined;
    this.#end(asError(error));
  }

  /** The receiver is free again: it gets what has come in the meantime, until it is busy once more. */
  #resume(): void {
    this.#busy = undefined;
    this.#lastSignMs = performance.now();
    const inbox = this.#inbox;
    while (this.#taken < this.#waiting.length && this.#busy === undefined && inbox === this.#inbox) {
      this.#handOut(this.#waiting[this.#taken++] as Msg);
    }
    if (this.#taken === this.#waiting.length) this.#clearWaiting();
    if (!this.#ended) this.#ask();
  }
}
