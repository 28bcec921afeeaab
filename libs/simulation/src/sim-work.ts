import { retry, type AttemptRef, type QueueLease, type WorkQueue, type WorkRef } from '@belfry/ports';
import { MemoryWorkQueue, type PulledWork } from '@belfry/ports/testing';
import { LIMITS, subjects } from '@belfry/protocol';
import type { Network } from './network.ts';
import type { Observer } from './observer.ts';
import type { Process } from './process.ts';
import type { VirtualTime } from './virtual-time.ts';

const NOTICED_MS = 3;
const TELL_AGAIN_MS = 1_000;

/** A message as a worker gets it. */
export interface Delivery {
  /** The same for each delivery of a message; another message's, though of the same attempts, is another. */
  readonly work: PulledWork;
  /** 1 the first time. */
  readonly deliveries: number;
  /** When its worker sent the pull that it was served by, on the worker's monotonic clock. */
  readonly askedAt: number;
}

/** Who pulls from one queue. */
export interface Puller {
  readonly process: Process;
  readonly namespace: string;
  readonly queue: string;
  /** Executions that it may have in its hands, and less than a message more. */
  window: number;
  /** For how long its worker relies on what it has. */
  readonly leaseMs: number;
  /** How long a pull stands, when the last one came, and when it was sent, on its worker's monotonic clock. */
  readonly pullMs: number;
  askedAt: number;
  sentAt: number;
  /** Its consumer is there: after the loss of the stream, once it has subscribed again. */
  isBound: boolean;
  /** What its worker has asked for last: it may not have arrived. */
  wanted: number;
  readonly receive: (delivery: Delivery) => void;
  /** Its consumer is gone with the stream. */
  readonly onGone: () => void;
}

interface Hand {
  readonly key: string;
  readonly work: PulledWork;
  readonly puller: Puller;
  deliveries: number;
  /** Since when it is leased: its delivery, or the last extension. */
  sinceMs: number;
}

/**
 * The work stream as a service: the one in memory, behind the network, with leases and deliveries to workers.
 *
 * W1. A message is with one worker until its lease has run out; then it is delivered again, to whomever. A lease is as long as its queue's
 *     is at the moment, though it began before that was changed: as with JetStream's `ack_wait`.
 * W2. What is removed, acknowledged or lost with the stream is delivered to nobody.
 * W3. `#held` counts the executions of each puller in `#hands`.
 * W4. Who has not pulled for `pullMs` gets nothing: its process stands still, or is cut off.
 * W5. What a worker says of a message of a stream that was lost is not said of one in the next stream, though it has the same attempts: it
 *     has another sequence.
 */
export class SimWork {
  readonly stored: MemoryWorkQueue;
  readonly #time: VirtualTime;
  readonly #network: Network;
  readonly #observer: Observer;
  readonly #pullers: Puller[] = [];
  readonly #hands = new Map<string, Hand>();
  readonly #held = new Map<Puller, number>();
  /** By `<namespace>.<queue>`: messages whose leases have run out. */
  readonly #again = new Map<string, Hand[]>();
  /** Those that were published: a repetition adds nothing. */
  readonly #batches = new Set<string>();
  #turn = 0;
  #pumping = false;

  constructor(time: VirtualTime, network: Network, observer: Observer, maxBytes?: number) {
    this.#time = time;
    this.#network = network;
    this.#observer = observer;
    this.stored = new MemoryWorkQueue(maxBytes === undefined ? {} : { maxBytes });
  }

  /** The work queue as a process reaches it. */
  of(process: Process): WorkQueue {
    const { stored } = this;
    const ask = <T>(act: () => Promise<T>): Promise<T> => this.#network.ask(process, 'work', act);
    return {
      ensure: async (firstSeq) => {
        const there = await ask(() => stored.incarnation());
        if (there > 0) return there;
        const first = await firstSeq();
        return await ask(() => stored.ensure(() => Promise.resolve(first)));
      },
      incarnation: () => ask(() => stored.incarnation()),
      fenceOf: (shard) => ask(() => stored.fenceOf(shard)),
      takeFence: (shard, epoch, seen) =>
        this.#network.outcome(process, 'work', async () => {
          if ((await stored.incarnation()) === 0) return retry('there is no stream');
          const outcome = await stored.takeFence(shard, epoch, seen);
          if (outcome.kind === 'ok') this.#observer.fenceTaken(outcome.value);
          return outcome;
        }),
      publish: (fence, batchId, items) =>
        this.#network.outcome(process, 'work', async () => {
          const outcome = await stored.publish(fence, batchId, items);
          if (outcome.kind === 'ok' && !this.#batches.has(batchId)) {
            this.#batches.add(batchId);
            this.#observer.published(fence, items, process);
          }
          this.#pump();
          return outcome;
        }),
      surviving: (shard) => ask(() => stored.surviving(shard)),
      remove: (refs) => ask(() => this.#remove(refs)),
      withdraw: (refs) => ask(() => stored.withdraw(refs)),
      ensureConsumer: (namespace, queue, leaseMs) => ask(() => stored.ensureConsumer(namespace, queue, leaseMs)),
      leases: () => ask(() => stored.leases()),
      setLease: (lease) =>
        ask(async () => {
          await stored.setLease(lease);
          for (const hand of this.#hands.values()) if (isOf(hand.puller, lease)) this.#watch(hand); // W1
        }),
    };
  }

  // — Workers

  /** A worker pulls from a queue from now on. */
  pull(puller: Puller): void {
    this.#pullers.push(puller);
    this.#pump();
  }

  setWindow(puller: Puller, size: number, sentAt: number): void {
    puller.window = size;
    puller.askedAt = this.#time.nowMs;
    puller.sentAt = sentAt;
    this.#pump();
  }

  /** A worker that goes on pulls anew, before what it has asked for ends. */
  renew(puller: Puller, sentAt: number): void {
    const wasOpen = this.#isOpen(puller);
    puller.askedAt = this.#time.nowMs;
    puller.sentAt = sentAt;
    if (!wasOpen) this.#pump();
  }

  #isOpen({ askedAt, pullMs }: Puller): boolean {
    return this.#time.nowMs < askedAt + pullMs;
  }

  /** Its connection is gone for good; what it has is delivered again when its leases have run out. */
  leave(process: Process): void {
    for (let at = this.#pullers.length - 1; at >= 0; at--)
      if (this.#pullers[at]?.process === process) this.#pullers.splice(at, 1);
  }

  async acknowledge(work: PulledWork): Promise<void> {
    const hand = this.#handOf(work);
    if (hand === undefined) return; // W2
    this.#drop(hand);
    this.#observer.acknowledged(hand.work.ref);
    await hand.work.ack();
    this.#pump();
  }

  /** Whoever has it, or had it before: the broker does not ask which delivery it was. */
  extend(work: PulledWork): void {
    const hand = this.#handOf(work);
    if (hand !== undefined) hand.sinceMs = this.#time.nowMs;
  }

  /** Whether the lease of what was delivered to a process has run out, or another has it. */
  isWithAnother(work: PulledWork, process: Process): boolean {
    const key = keyOf(work.ref);
    const hand = this.#hands.get(key);
    if (hand !== undefined) return hand.work === work && hand.puller.process !== process;
    return [...this.#again.values()].flat().some((again) => again.work === work);
  }

  /** The stream vanishes, with all that is in it. */
  lose(): void {
    this.stored.lose();
    this.#hands.clear();
    this.#held.clear();
    this.#again.clear();
    this.#batches.clear();
    this.#observer.workStreamLost();
    for (const puller of this.#pullers) {
      puller.isBound = false;
      this.#tellGone(puller);
    }
  }

  /** Its connection tells a worker that its consumer is gone, as soon as there is one. */
  #tellGone(puller: Puller, afterMs = NOTICED_MS): void {
    this.#time.after(afterMs, () => {
      if (!this.#pullers.includes(puller)) return;
      if (this.#network.isOff(puller.process, 'work', 'in')) this.#tellGone(puller, TELL_AGAIN_MS);
      else puller.process.happen(puller.onGone);
    });
  }

  // — Deliveries

  /** Gives out what there is to whomever has room, at the end of what happens now. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    this.#time.after(0, () => {
      this.#pumping = false;
      const from = this.#turn++;
      for (let at = 0; at < this.#pullers.length; at++)
        this.#fill(this.#pullers[(from + at) % this.#pullers.length] as Puller);
    });
  }

  #fill(puller: Puller): void {
    if (!puller.isBound || !this.#isOpen(puller)) return; // W4
    while ((this.#held.get(puller) ?? 0) < puller.window) {
      const hand = this.#next(puller);
      if (hand === undefined) return;
      this.#take(hand);
      this.#watch(hand);
      const { work, deliveries } = hand;
      const { sentAt: askedAt } = puller;
      this.#network.deliver('work', puller.process, () => puller.receive({ work, deliveries, askedAt }));
    }
  }

  /** W5. */
  #handOf(work: PulledWork): Hand | undefined {
    const hand = this.#hands.get(keyOf(work.ref));
    return hand?.work === work ? hand : undefined;
  }

  #take(hand: Hand): void {
    this.#hands.set(hand.key, hand);
    this.#held.set(hand.puller, (this.#held.get(hand.puller) ?? 0) + hand.work.ref.attempts.length); // W3
  }

  #drop(hand: Hand | undefined): void {
    if (hand === undefined || !this.#hands.delete(hand.key)) return;
    this.#held.set(hand.puller, (this.#held.get(hand.puller) ?? 0) - hand.work.ref.attempts.length); // W3
  }

  #next(puller: Puller): Hand | undefined {
    const sinceMs = this.#time.nowMs;
    const again = this.#again.get(`${puller.namespace}.${puller.queue}`)?.shift();
    if (again !== undefined) return { ...again, puller, deliveries: again.deliveries + 1, sinceMs };
    const [work] = this.#pullNew(puller);
    if (work === undefined) return undefined;
    return { key: keyOf(work.ref), work, puller, deliveries: 1, sinceMs };
  }

  #leaseOf({ namespace, queue }: Puller): number {
    return this.stored.leaseOf(namespace, queue) ?? LIMITS.ackWaitMs;
  }

  #pullNew({ namespace, queue }: Puller): readonly PulledWork[] {
    try {
      return this.stored.pull(namespace, queue, 1);
    } catch {
      return []; // the stream was lost with its consumers
    }
  }

  #watch(hand: Hand): void {
    const deadlineMs = hand.sinceMs + this.#leaseOf(hand.puller); // W1
    this.#time.at(Math.max(deadlineMs, this.#time.nowMs), () => {
      if (this.#hands.get(hand.key) !== hand) return;
      if (this.#time.nowMs < hand.sinceMs + this.#leaseOf(hand.puller)) return this.#watch(hand);
      this.#drop(hand);
      const queue = `${hand.puller.namespace}.${hand.puller.queue}`;
      this.#again.set(queue, [...(this.#again.get(queue) ?? []), hand]); // W1
      this.#observer.leaseExpired(hand.work.ref, this.#time.nowMs - hand.sinceMs, hand.puller);
      this.#pump();
    });
  }

  async #remove(refs: readonly WorkRef[]): Promise<number> {
    for (const ref of refs) {
      const key = keyOf(ref);
      this.#drop(this.#hands.get(key));
      for (const [queue, hands] of this.#again)
        if (hands.some((hand) => hand.key === key))
          this.#again.set(
            queue,
            hands.filter((hand) => hand.key !== key),
          ); // W2
    }
    const removed = await this.stored.remove(refs);
    this.#pump();
    return removed;
  }
}

function isOf(puller: Puller, { namespace, queue }: QueueLease): boolean {
  return puller.namespace === namespace && puller.queue === queue;
}

function keyOf({ namespace, queue, shard, attempts }: WorkRef): string {
  const { execution, attempt } = attempts[0] as AttemptRef;
  return subjects.work(namespace, queue, shard, execution, attempt, attempts.length - 1);
}
