import { ok, refused } from './outcome.ts';
import type { Outcome } from './outcome.ts';
import type { Fence, HeldFence, QueueLease, SeenFence, WorkItem, WorkQueue, WorkRef } from './work-queue.ts';

interface Stored {
  readonly ref: WorkRef;
  readonly item: WorkItem;
  readonly bytes: number;
  inHands: boolean;
}

/** A work message as a worker gets it. */
export interface PulledWork {
  readonly ref: WorkRef;
  readonly body: string;
  readonly traceparent: string | undefined;
  ack(): Promise<void>;
}

/**
 * The work queue in memory, with what tests and the simulator need besides the port: pulling, and losing the stream.
 *
 * M1. `#messages` holds a message at most once, in the order of publishing; an acknowledged or removed one is not in it. `#waiting` holds
 *     those of a queue that are in nobody's hands, in the same order.
 * M2. Sequences grow over all incarnations.
 */
export class MemoryWorkQueue implements WorkQueue {
  readonly #maxBytes: number;
  #incarnation = 0;
  #nextSeq = 1;
  #bytes = 0;
  readonly #messages = new Map<string, Stored>();
  readonly #waiting = new Map<string, Map<string, Stored>>();
  readonly #fences = new Map<number, HeldFence & { readonly seq: number }>();
  readonly #batches = new Set<string>();
  /** Leases, by consumer. */
  readonly #consumers = new Map<string, QueueLease>();

  constructor(options: { readonly maxBytes?: number } = {}) {
    this.#maxBytes = options.maxBytes ?? 1024 ** 3;
  }

  async ensure(firstSeq: () => Promise<number>): Promise<number> {
    if (this.#incarnation > 0) return this.#incarnation;
    const first = await firstSeq();
    if (this.#incarnation === 0) {
      this.#nextSeq = Math.max(this.#nextSeq, first); // M2
      this.#incarnation = this.#nextSeq;
    } // else somebody was faster
    return this.#incarnation;
  }

  incarnation(): Promise<number> {
    return Promise.resolve(this.#incarnation);
  }

  fenceOf(shard: number): Promise<HeldFence> {
    return Promise.resolve(this.#fences.get(shard) ?? { epoch: 0 });
  }

  takeFence(shard: number, epoch: number, seen?: SeenFence): Promise<Outcome<Fence, 'fenced' | 'lost'>> {
    const held = this.#fences.get(shard)?.epoch ?? 0;
    if (held >= epoch) return Promise.resolve(refused('fenced'));
    if (held < (seen?.epoch ?? 0)) return Promise.resolve(refused('lost'));
    const seq = this.#nextSeq++;
    this.#fences.set(shard, { epoch, seq, ...(seen === undefined ? {} : { seen: seen.incarnation }) });
    return Promise.resolve(ok({ shard, epoch, seq, incarnation: this.#incarnation }));
  }

  publish(
    fence: Fence,
    batchId: string,
    items: readonly WorkItem[],
  ): Promise<Outcome<void, 'fenced' | 'lost' | 'full' | 'duplicate'>> {
    return Promise.resolve(this.#publish(fence, batchId, items));
  }

  surviving(shard: number): Promise<readonly WorkRef[]> {
    const refs = [...this.#messages.values()].map(({ ref }) => ref).filter((ref) => ref.shard === shard);
    return Promise.resolve(refs);
  }

  remove(refs: readonly WorkRef[]): Promise<number> {
    return Promise.resolve(refs.filter((ref) => this.#delete(keyOf(ref))).length);
  }

  withdraw(refs: readonly WorkRef[]): Promise<readonly WorkRef[]> {
    const waiting = refs.filter((ref) => this.#messages.get(keyOf(ref))?.inHands === false);
    for (const ref of waiting) this.#delete(keyOf(ref));
    return Promise.resolve(waiting);
  }

  ensureConsumer(namespace: string, queue: string, leaseMs: number): Promise<void> {
    const present = this.leaseOf(namespace, queue) ?? 0;
    this.#consumers.set(`${namespace}=${queue}`, { namespace, queue, leaseMs: Math.max(present, leaseMs) });
    return Promise.resolve();
  }

  leases(): Promise<readonly QueueLease[]> {
    return Promise.resolve([...this.#consumers.values()]);
  }

  setLease(lease: QueueLease): Promise<void> {
    const { namespace, queue } = lease;
    if (this.leaseOf(namespace, queue) !== undefined) this.#consumers.set(`${namespace}=${queue}`, lease);
    return Promise.resolve();
  }

  /** For how long the queue's messages are leased; undefined when it has no consumer. */
  leaseOf(namespace: string, queue: string): number | undefined {
    return this.#consumers.get(`${namespace}=${queue}`)?.leaseMs;
  }

  /** What a worker gets that asks for up to `count` messages of the queue now. */
  pull(namespace: string, queue: string, count: number): PulledWork[] {
    if (!this.#consumers.has(`${namespace}=${queue}`)) throw new Error(`no consumer for ${namespace}=${queue}`);
    const pulled: PulledWork[] = [];
    const waiting = this.#waiting.get(`${namespace}=${queue}`) ?? new Map<string, Stored>();
    for (const [key, stored] of waiting) {
      if (pulled.length === count) break;
      const { ref, item } = stored;
      stored.inHands = true;
      waiting.delete(key);
      const body = typeof item.body === 'string' ? item.body : new TextDecoder().decode(item.body);
      const ack = (): Promise<void> => Promise.resolve(void this.#delete(key));
      pulled.push({ ref, body, traceparent: item.traceparent, ack });
    }
    return pulled;
  }

  /** The stream vanishes, with all that is in it. */
  lose(): void {
    this.#incarnation = 0;
    this.#bytes = 0;
    for (const memory of [this.#messages, this.#waiting, this.#fences, this.#batches, this.#consumers]) memory.clear();
  }

  #publish(
    fence: Fence,
    batchId: string,
    items: readonly WorkItem[],
  ): Outcome<void, 'fenced' | 'lost' | 'full' | 'duplicate'> {
    if (items.length === 0) return ok(undefined);
    const held = this.#fences.get(fence.shard);
    if (this.#batches.has(batchId)) return ok(undefined);
    if (held === undefined) return refused('lost');
    if (held.seq !== fence.seq) return refused(held.epoch > fence.epoch ? 'fenced' : 'lost');
    const stored = items.map((item): [string, Stored] => {
      const { namespace, queue, attempts, body } = item;
      const ref = { namespace, queue, shard: fence.shard, attempts };
      return [keyOf(ref), { ref, item, bytes: body.length + 64, inHands: false }];
    });
    // As on the broker: the first item rests on the batch's id, the others on their subjects being empty.
    if (stored.slice(1).some(([key]) => this.#messages.has(key))) return refused('duplicate');
    const bytes = stored.reduce((sum, [, one]) => sum + one.bytes, 0);
    if (this.#bytes + bytes > this.#maxBytes) return refused('full');
    this.#batches.add(batchId);
    this.#nextSeq += items.length;
    this.#bytes += bytes;
    for (const [key, one] of stored) {
      this.#messages.set(key, one);
      this.#waitingOf(one).set(key, one);
    }
    return ok(undefined);
  }

  #waitingOf({ ref: { namespace, queue } }: Stored): Map<string, Stored> {
    const name = `${namespace}=${queue}`;
    let waiting = this.#waiting.get(name);
    if (waiting === undefined) this.#waiting.set(name, (waiting = new Map<string, Stored>()));
    return waiting;
  }

  #delete(key: string): boolean {
    const stored = this.#messages.get(key);
    if (stored === undefined) return false;
    this.#bytes -= stored.bytes;
    this.#waitingOf(stored).delete(key);
    return this.#messages.delete(key);
  }
}

function keyOf(ref: WorkRef): string {
  const [first, ...more] = ref.attempts;
  return `${ref.namespace}.${ref.queue}.${ref.shard}.${first?.execution}.${first?.attempt}+${more.length}`;
}
