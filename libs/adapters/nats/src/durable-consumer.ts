import { createInbox } from '@nats-io/transport-node';
import type { Msg, Subscription } from '@nats-io/transport-node';

import { jsApi } from './api.ts';
import { delay } from './connection.ts';
import type { NatsLink } from './connection.ts';
import { encodeText } from './encode-text.ts';
import { asError } from './errors.ts';
import { parseDelivery, pullStatus, sendPull } from './pull.ts';
import { TurnWriter } from './turn-writer.ts';

const NANOS_PER_MS = 1_000_000;
const LONGEST_PULL_MS = 30_000;
const HEARTBEAT_MS = 5_000;
const SILENT_MS = 12_500;
const WATCH_MS = 2_500;
/** A pull that ends so soon needs no heartbeats: its end is a sign. */
const SHORT_PULL_MS = 7_500;
/** So late its end may come. */
const SHORT_LATE_MS = 1_000;
const SHORT_WATCH_MS = 500;
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5_000;
const SETTLE_TIMEOUT_MS = 5_000;

/** One message in our hands. It goes back to others when `ack_wait` passes without `extend`. The first settling counts. */
export interface Delivery {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Sequence in the stream. */
  readonly seq: number;
  /** Stored time, ms since 1970. */
  readonly timestamp: number;
  /** 1 the first time. */
  readonly deliveries: number;
  /** When it was asked for, ms, monotonic: `ack_wait` began after that. */
  readonly askedAt: number;
  header(name: string): string | undefined;
  /** Done. Not confirmed: lost with a connection, the message comes again. */
  ack(): void;
  /** Done, confirmed by the server. False: unknown. */
  ackConfirmed(): Promise<boolean>;
  /** Back to the stream, to be delivered again after `delayMs`. */
  nak(delayMs?: number): void;
  /** Not ours any more: the server is told nothing, and delivers it again when `ack_wait` has passed. */
  forget(): void;
  /** Starts `ack_wait` again. */
  extend(): void;
  /**
   * The same, confirmed by the consumer's leader: it has seen what this connection sent of the same consumer before, too. False: unknown. To be asked
   * only of what is not settled.
   */
  extendConfirmed(): Promise<boolean>;
  /** One of the units that it weighs is done: there is room for another. */
  lighten(): void;
}

export interface DurableConsumerOptions {
  readonly stream: string;
  readonly consumer: string;
  /** Units that may be in our hands, unsettled. Can be changed later with `setWindow`. */
  readonly window: number;
  /** Units of a delivery, by its subject; 1 each by default. */
  readonly weigh?: (subject: string) => number;
  /** Bytes of one pull. */
  readonly pullBytes?: number;
  /** How long the server remembers a pull that it cannot serve: up to 30,000, the default. */
  readonly expiresMs?: number;
  /** Sees to it that the consumer is there; called before the first pull and whenever it may be gone. */
  readonly ensure: () => Promise<void>;
  /** Must not throw; settles the delivery sooner or later. */
  readonly onDelivery: (delivery: Delivery) => void;
  /** `ensure` failed, or the consumer broke: it is tried again. */
  readonly onTrouble?: (error: Error) => void;
}

/**
 * Pulls from a durable consumer that others pull from too.
 *
 * C1. Unsettled deliveries and messages asked for weigh together at most `window`, and less than one message more, as far as the
 *     next messages weigh no more than the last ones.
 * C2. One pull is open at a time; it ends by being served, or by a status of the server.
 * C3. A broken consumer, a silence or a reconnection ends the pull, and `ensure` runs before the next. It is no silence while what came may
 *     not have been read yet, as after standing still: sockets have had their turn between two looks at it. A leader of the consumer that is
 *     gone says nothing, and the next one does not know the pull.
 * C4. After `stop`, or when `drain` has resolved, nothing is delivered; what is in our hands stays ours to settle.
 */
export class DurableConsumer {
  readonly #link: NatsLink;
  readonly #acks: TurnWriter;
  readonly #options: DurableConsumerOptions;
  readonly #stopping = new AbortController();
  readonly #offStatus: () => void;
  readonly #watch: NodeJS.Timeout;
  #window: number;
  #held = 0;
  /** What the next message may weigh: the heaviest of late. */
  #weight = 1;
  #asked = 0;
  #askedAt = 0;
  #inbox = '';
  #subscription: Subscription | undefined;
  #lastSignMs = performance.now();
  #seemsSilent = false;
  readonly #expiresMs: number;
  readonly #silentMs: number;
  /** Ends the wait between two attempts of an opening that is under way; undefined if there is none. */
  #opening: AbortController | undefined;
  /** Breaks since the last sign of a sound consumer: they slow down the next opening. */
  #breaks = 0;

  constructor(link: NatsLink, options: DurableConsumerOptions) {
    this.#link = link;
    this.#acks = new TurnWriter(link.nc);
    this.#options = options;
    this.#window = options.window;
    this.#offStatus = link.onStatus((status) => {
      if (status.kind === 'reconnected') this.#reopen();
    });
    this.#expiresMs = options.expiresMs ?? LONGEST_PULL_MS;
    const isShort = this.#expiresMs <= SHORT_PULL_MS;
    this.#silentMs = isShort ? this.#expiresMs + SHORT_LATE_MS : SILENT_MS;
    this.#watch = setInterval(() => this.#checkSigns(), isShort ? SHORT_WATCH_MS : WATCH_MS);
    this.#watch.unref();
    this.#reopen();
  }

  /** Units in our hands. */
  get held(): number {
    return this.#held;
  }

  setWindow(window: number): void {
    this.#window = window;
    this.#pull();
  }

  /** Idempotent (C4). What the server is sending at this moment is lost to us, and comes again after `ack_wait`. */
  stop(): void {
    this.#stopAsking();
    this.#close();
  }

  /**
   * As `stop`, but what the server has sent before it knows is still delivered; resolves when nothing more can come. What it was
   * about to send then, it delivers to others at once, as delivered before (seen in one of some 300 drains under load).
   */
  async drain(): Promise<void> {
    this.#stopAsking();
    await this.#subscription?.drain().catch(() => undefined); // closed, or disconnected: nothing more comes either way
    this.#close();
  }

  #stopAsking(): void {
    this.#stopping.abort();
    clearInterval(this.#watch);
    this.#offStatus();
  }

  #checkSigns(): void {
    const nowMs = performance.now();
    if (this.#asked === 0) this.#lastSignMs = nowMs;
    const seemedSilent = this.#seemsSilent;
    this.#seemsSilent = nowMs - this.#lastSignMs > this.#silentMs;
    if (seemedSilent && this.#seemsSilent) this.#reopen(); // C3
  }

  #close(): void {
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#inbox = '';
    this.#asked = 0;
  }

  #reopen(): void {
    this.#close();
    if (this.#opening !== undefined) return this.#opening.abort();
    if (this.#stopping.signal.aborted) return;
    void this.#open();
  }

  async #open(): Promise<void> {
    const { signal } = this.#stopping;
    this.#opening = new AbortController();
    for (let attempt = this.#breaks; !signal.aborted && !this.#link.nc.isClosed(); attempt++) {
      const delayMs = attempt === 0 ? 0 : Math.min(FIRST_RETRY_MS * 2 ** (attempt - 1), LONGEST_RETRY_MS);
      if (delayMs > 0) await delay(delayMs, AbortSignal.any([signal, this.#opening.signal]));
      this.#opening = new AbortController();
      if (!this.#link.isConnected) break; // a reconnection opens it again
      const { generation } = this.#link;
      try {
        await this.#options.ensure();
      } catch (error) {
        this.#options.onTrouble?.(asError(error));
        continue;
      }
      if (generation !== this.#link.generation) continue;
      if (!signal.aborted) this.#begin();
      break;
    }
    this.#opening = undefined;
  }

  #begin(): void {
    const inbox = createInbox();
    this.#inbox = inbox;
    this.#lastSignMs = performance.now();
    this.#subscription = this.#link.nc.subscribe(inbox, {
      callback: (_error, message) => this.#receive(message, inbox),
    });
    this.#pull();
  }

  #pull(): void {
    const free = this.#window - this.#held;
    if (this.#subscription === undefined || this.#asked > 0 || free <= 0) return; // C1, C2
    if (this.#stopping.signal.aborted) return;
    this.#asked = Math.ceil(free / this.#weight);
    this.#askedAt = this.#lastSignMs = performance.now();
    const { stream, consumer, pullBytes } = this.#options;
    const expiresMs = this.#expiresMs;
    const maxBytes = pullBytes ?? 8 * 1024 * 1024;
    sendPull(this.#link, stream, consumer, this.#inbox, {
      batch: this.#asked,
      maxBytes,
      expiresMs,
      ...(expiresMs <= SHORT_PULL_MS ? {} : { heartbeatMs: HEARTBEAT_MS }),
    });
  }

  /** Called by the client's parser: must not throw. */
  #receive(message: Msg, inbox: string): void {
    if (inbox !== this.#inbox) return; // an ended pull's: it comes again after ack_wait
    this.#lastSignMs = performance.now();
    const status = pullStatus(message, inbox);
    if (status?.kind !== 'broken') this.#breaks = 0;
    if (status === undefined) {
      this.#asked = Math.max(0, this.#asked - 1);
      this.#deliver(message);
    } else if (status.kind === 'ended') {
      // What it has served is counted as it comes, which may be after this. One that was served whole has nothing left, and the next one is open (C2).
      this.#asked = Math.max(0, this.#asked - status.pendingMessages);
    } else if (status.kind === 'broken') {
      this.#options.onTrouble?.(new Error(`consumer ${this.#options.consumer}: ${status.code} ${status.description}`));
      this.#breaks++;
      return this.#reopen(); // C3
    }
    this.#pull();
  }

  #deliver(message: Msg): void {
    const reply = message.reply ?? '';
    const info = parseDelivery(reply);
    if (info === undefined) return;
    let weight = this.#options.weigh?.(message.subject) ?? 1;
    this.#weight = Math.max(weight, this.#weight + (weight - this.#weight) / 8);
    this.#held += weight;
    let settled = false;
    const settle = (): boolean => {
      if (settled) return false;
      settled = true;
      this.#held -= weight;
      queueMicrotask(() => this.#pull());
      return true;
    };
    const answer = (text: Uint8Array): void => {
      if (!this.#link.nc.isClosed()) message.respond(text);
    };
    this.#options.onDelivery({
      subject: message.subject,
      data: message.data,
      ...info,
      askedAt: this.#askedAt, // C2
      header: (name) => message.headers?.get(name) || undefined,
      // Not at once, unlike the others: an extension that is confirmed speaks for those that were sent before it.
      ack: () => {
        if (settle() && !this.#link.nc.isClosed()) this.#acks.publish(reply, '+ACK');
      },
      ackConfirmed: () => (settle() ? this.#confirm(reply, '+ACK') : Promise.resolve(false)),
      nak: (delayMs) => {
        if (settle()) answer(nakText(delayMs));
      },
      forget: () => void settle(),
      extend: () => {
        if (!settled) answer(encodeText(IN_PROGRESS));
      },
      extendConfirmed: () => (settled ? Promise.resolve(false) : this.#confirm(reply, IN_PROGRESS)),
      lighten: () => {
        if (settled || weight <= 1) return;
        weight--;
        this.#held--;
        queueMicrotask(() => this.#pull());
      },
    });
  }

  async #confirm(reply: string, answer: string): Promise<boolean> {
    try {
      await this.#link.nc.request(reply, answer, { timeout: SETTLE_TIMEOUT_MS });
      return true;
    } catch {
      return false; // unknown is an outcome of its own
    }
  }
}

const IN_PROGRESS = '+WPI';

function nakText(delayMs: number | undefined): Uint8Array {
  return encodeText(delayMs === undefined ? '-NAK' : `-NAK ${JSON.stringify({ delay: delayMs * NANOS_PER_MS })}`);
}

/** Makes or updates a durable consumer. @throws JetStreamError or Error. */
export async function ensureDurable(
  link: NatsLink,
  stream: string,
  name: string,
  config: { readonly [setting: string]: unknown },
): Promise<void> {
  const made = await jsApi(link, `CONSUMER.DURABLE.CREATE.${stream}.${name}`, {
    stream_name: stream,
    config: { ...config, durable_name: name },
  });
  if (made.kind !== 'ok') throw made.error;
}
