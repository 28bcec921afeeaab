import type { Outcome } from './outcome.ts';

/** One attempt of one execution. */
export interface AttemptRef {
  readonly execution: string;
  readonly attempt: number;
}

/** Names one message of the work stream, by what it carries: the first of its attempts and their number stand in its subject. */
export interface WorkRef {
  readonly namespace: string;
  readonly queue: string;
  readonly shard: number;
  /** At least one. Several make the message a parcel. */
  readonly attempts: readonly AttemptRef[];
}

/** One message, already encoded: of a single attempt, or an array of several with `execution` and `attempt` in each. Its shard is its fence's. */
export interface WorkItem extends Omit<WorkRef, 'shard'> {
  readonly body: string | Uint8Array;
  /** Propagated trace context of a single attempt. */
  readonly traceparent?: string;
}

/** A shard's right to dispatch: what its fence held when it was taken. */
export interface Fence {
  readonly shard: number;
  readonly epoch: number;
  /** Sequence of the fence message. */
  readonly seq: number;
  /** First sequence of the stream's incarnation that the fence belongs to. */
  readonly incarnation: number;
}

export interface HeldFence {
  /** 0 when nobody has taken it in this incarnation of the stream. */
  readonly epoch: number;
  /** The incarnation that its taker had seen before it looked at the fence; former versions do not say it. */
  readonly seen?: number;
}

/** What the taker of a fence has read before, in this order. */
export interface SeenFence {
  readonly incarnation: number;
  /** The epoch in the fence. */
  readonly epoch: number;
}

/** The stream of dispatched executions, which leases each to one worker at a time. */
export interface WorkQueue {
  /** Makes the stream if it is not there, with a first sequence of at least `firstSeq()`. Returns its incarnation. */
  ensure(firstSeq: () => Promise<number>): Promise<number>;
  /** The incarnation as the broker has it now; 0 when the stream is gone. */
  incarnation(): Promise<number>;
  /** What stands in the shard's fence. */
  fenceOf(shard: number): Promise<HeldFence>;
  /**
   * Compare-and-set: refused `fenced` if the fence already holds an epoch >= this one, and `lost` if it holds one below that which was
   * seen there: the stream was lost since.
   */
  takeFence(shard: number, epoch: number, seen?: SeenFence): Promise<Outcome<Fence, 'fenced' | 'lost'>>;
  /**
   * Publishes all items or none. `batchId` makes a repetition after `retry` safe: the same id and items again are the same batch.
   * Refused: `fenced` when a newer owner holds the fence; `lost` when the stream is gone or another incarnation; `full`;
   * `duplicate` when a message of the batch, by its first attempt, is in the stream already (a bug, or a repetition past the dedupe window).
   */
  publish(
    fence: Fence,
    batchId: string,
    items: readonly WorkItem[],
  ): Promise<Outcome<void, 'fenced' | 'lost' | 'full' | 'duplicate'>>;
  /** The shard's messages that no worker has finished, with all that they carry. */
  surviving(shard: number): Promise<readonly WorkRef[]>;
  /** Deletes messages. Returns how many of them were still there; those in a worker's hands count as there. */
  remove(refs: readonly WorkRef[]): Promise<number>;
  /**
   * Takes back messages that no worker has been given: returns those of which that is certain, and which nobody will get any more.
   * The others are in a worker's hands, or may be, or are not in the stream.
   */
  withdraw(refs: readonly WorkRef[]): Promise<readonly WorkRef[]>;
  /** Makes the queue's durable pull consumer if it is not there. Its messages are then leased for so long, or as long as they were if that is longer. */
  ensureConsumer(namespace: string, queue: string, leaseMs: number): Promise<void>;
  /** All queues that have a consumer, and for how long their messages are leased. */
  leases(): Promise<readonly QueueLease[]>;
  /** From now on, and for what is in workers' hands too. Nothing is done where there is no consumer. */
  setLease(lease: QueueLease): Promise<void>;
}

/** For how long the messages of a queue are leased to workers. */
export interface QueueLease {
  readonly namespace: string;
  readonly queue: string;
  readonly leaseMs: number;
}
