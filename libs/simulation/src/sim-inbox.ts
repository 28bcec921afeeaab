import type { Inbox, InboxAppend, InboxMessage, InboxReading } from '@belfry/ports';
import { MemoryInbox } from '@belfry/ports/testing';
import { NoAnswer, type Network } from './network.ts';
import type { Observer } from './observer.ts';
import { T0, type Process } from './process.ts';
import type { Random } from './random.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Messages on their way to one reader before the stream waits. */
const ON_THE_WAY = 512;
const TRY_AGAIN_MS = 250;
/** How long a sync takes: appends that come meanwhile wait for the next one. */
const SYNC_MS = 2;

interface Unsynced {
  readonly store: () => void;
  readonly lose: () => void;
}

/**
 * The inbox as a service: the one in memory, behind the network.
 *
 * I1. What is acknowledged is synced, and is kept. What is not synced when the broker dies is in no inbox, and nobody has read it.
 */
export class SimInbox {
  readonly stored: MemoryInbox;
  readonly #time: VirtualTime;
  readonly #network: Network;
  readonly #random: Random;
  readonly #observer: Observer;
  #unsynced: Unsynced[] = [];

  constructor(time: VirtualTime, network: Network, random: Random, observer: Observer, maxBytes?: number) {
    this.#time = time;
    this.#network = network;
    this.#random = random;
    this.#observer = observer;
    this.stored = new MemoryInbox({ now: () => T0 + time.nowMs, ...(maxBytes === undefined ? {} : { maxBytes }) });
  }

  /** The inbox as a process reaches it. */
  of(process: Process): Inbox {
    const { stored } = this;
    const network = this.#network;
    return {
      append: (messages) => {
        this.#observer.appending(messages, process);
        return network.outcome(process, 'inbox', () => this.#append(messages));
      },
      usage: () => network.ask(process, 'inbox', () => stored.usage()),
      trim: (seq) => network.ask(process, 'inbox', () => stored.trim(seq)),
      read: async (shards, fromSeq, onMessage) => {
        const handOut = new HandOut(onMessage);
        let reading: InboxReading | undefined;
        try {
          await network.ask(process, 'inbox', async () => {
            reading = await this.#read(process, shards, fromSeq, handOut);
          });
        } catch (error) {
          // Its receiver knows of no reading: it gets nothing of one that has begun.
          handOut.abandon();
          void reading?.stop();
          throw error;
        }
        handOut.begin();
        return reading as InboxReading;
      },
    };
  }

  /** The broker dies. */
  crash(): number {
    const lost = this.#unsynced;
    this.#unsynced = [];
    for (const { lose } of lost) lose(); // I1
    return lost.length;
  }

  #append(messages: readonly InboxAppend[]): ReturnType<Inbox['append']> {
    return new Promise((resolve, reject) => {
      const store = (): void => {
        const timestamp = T0 + this.#time.nowMs;
        this.stored
          .append(messages)
          .then((outcome) => {
            if (outcome.kind === 'ok') this.#observer.appended(messages, timestamp);
            resolve(outcome);
          })
          .catch(reject);
      };
      this.#unsynced.push({ store, lose: () => reject(new NoAnswer('inbox', false)) });
      if (this.#unsynced.length === 1) this.#time.after(SYNC_MS, () => this.#sync());
    });
  }

  #sync(): void {
    const synced = this.#unsynced;
    this.#unsynced = [];
    for (const { store } of synced) store();
  }

  async #read(process: Process, shards: readonly number[], fromSeq: number, handOut: HandOut): Promise<InboxReading> {
    const network = this.#network;
    const over = Promise.withResolvers<void>();
    over.promise.catch(() => undefined); // whoever cares awaits it
    let scheduled = false;
    const arrive = (): void => {
      scheduled = false;
      if (handOut.stopped || !handOut.hasBegun) return;
      if (network.isOff(process, 'inbox', 'in')) {
        if (this.#random.chance(0.1)) over.reject(new Error('the connection is gone'));
        else schedule(TRY_AGAIN_MS);
      } else process.happen(() => void handOut.drain().catch(over.reject));
    };
    const schedule = (ms: number): void => {
      if (scheduled) return;
      scheduled = true;
      this.#time.after(ms, arrive);
    };
    const reading = await this.stored.read(shards, fromSeq, (message) => {
      schedule(1 + this.#random.below(4));
      return handOut.add(message);
    });
    handOut.onBegin = () => schedule(0);
    reading.done.then(over.resolve, over.reject);
    return {
      done: over.promise,
      stop: async () => {
        await handOut.stop(() => reading.stop());
      },
    };
  }
}

/** Messages that wait for their receiver. */
class HandOut {
  stopped = false;
  /** Its receiver knows that the reading has begun. */
  hasBegun = false;
  onBegin: () => void = () => undefined;
  readonly #onMessage: (message: InboxMessage) => void | Promise<void>;
  #waiting: InboxMessage[] = [];
  #room: (() => void)[] = [];
  #draining: Promise<void> | undefined;
  /** Another message of the sequence that was handed out last follows. */
  #isWithin = false;

  constructor(onMessage: (message: InboxMessage) => void | Promise<void>) {
    this.#onMessage = onMessage;
  }

  begin(): void {
    this.hasBegun = true;
    this.onBegin();
  }

  abandon(): void {
    this.stopped = true;
    this.#waiting = [];
    this.#goOn();
  }

  add(message: InboxMessage): Promise<void> | undefined {
    this.#waiting.push(message);
    if (this.#waiting.length < ON_THE_WAY || this.stopped) return undefined;
    return new Promise((resolve) => this.#room.push(resolve));
  }

  drain(): Promise<void> {
    this.#draining ??= this.#drain().finally(() => (this.#draining = undefined));
    return this.#draining;
  }

  /** Hands out the rest of the sequence that was begun, and no more. */
  async stop(stopSource: () => Promise<void>): Promise<void> {
    this.stopped = true;
    this.#goOn();
    await stopSource();
    await this.#draining;
    await this.#drain();
  }

  async #drain(): Promise<void> {
    let at = 0;
    const waiting = this.#waiting;
    for (; at < waiting.length && (!this.stopped || this.#isWithin); at++) {
      const message = waiting[at] as InboxMessage;
      this.#isWithin = message.more === true;
      const wait = this.#onMessage(message);
      if (wait !== undefined) await wait;
    }
    waiting.splice(0, at);
    this.#goOn();
  }

  #goOn(): void {
    for (const go of this.#room.splice(0)) go();
  }
}
