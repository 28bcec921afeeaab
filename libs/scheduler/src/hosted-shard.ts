import { decodeEnvelope, LIMITS } from '@belfry/protocol';
import { ActorCell } from '@belfry/actor-runtime';
import type { Fence, InboxMessage } from '@belfry/ports';
import type { Execution, Reply, Shard } from '@belfry/shard';
import type { OpenSpan } from './environment.ts';

/** An attempt that waits to be published. */
export interface Prepared {
  readonly execution: Execution;
  readonly attempt: number;
  /** Of a work message that carries it alone. */
  readonly body: string;
  /** Ends when it is published. */
  readonly span: OpenSpan;
}

/**
 * One shard that this node owns: the core with its mailbox, its fence, and what the dispatcher has under way for it.
 *
 * H1. At most one dispatch batch of a shard is in flight.
 */
export class HostedShard {
  readonly core: Shard;
  readonly fence: Fence;
  readonly cell: ActorCell<InboxMessage>;
  /** Dispatched items whose bodies have come, and the number of those that have not. */
  ready: Prepared[] = [];
  readonly awaitingBodies = new Set<string>();
  publishing: Promise<void> | undefined;
  /** What of the batch under way is in no work stream for certain: all of it, or nothing. */
  unsentBatch: readonly Prepared[] = [];
  batches = 0;
  /** Takes no more dispatches: it is being handed over. */
  leaving = false;
  gone = false;
  /** It was let go of after its last checkpoint, which is written. */
  isHandedOver = false;
  unserve: () => void = () => undefined;
  /** Its messages come with those of the node's other shards; until then, what the node has read says nothing of it. */
  isRead = false;
  lastDeltaAt = 0;
  /** The inbox sequence of its last delta, or of the checkpoint that it was loaded from. */
  lastDeltaSeq = 0;
  /** The inbox sequence that is stored with its last checkpoint: that of the last delta that was committed. */
  checkpointedSeq = 0;

  constructor(
    core: Shard,
    fence: Fence,
    onReplies: (replies: Reply[]) => void,
    onCrash: (error: unknown, message: InboxMessage) => void,
    onNewerOwner: () => void,
    reads?: number,
  ) {
    this.core = core;
    this.fence = fence;
    this.cell = new ActorCell<InboxMessage>({
      capacity: LIMITS.mailboxMessages,
      receive: (message) => {
        const envelope = decodeEnvelope(message.body, reads);
        const [first] = envelope.r;
        if (first?.k === 'ownership' && first.epoch > core.epoch) onNewerOwner();
        else onReplies(core.apply(message.seq, message.timestamp, envelope));
      },
      onCrash,
    });
  }

  /** Executions that are dispatched as far as the core knows, and in no work stream for certain. */
  unsent(): string[] {
    return [...this.awaitingBodies, ...[...this.ready, ...this.unsentBatch].map(({ execution }) => execution.id)];
  }

  /** Forgets a dispatch that has not begun to be published. False when there is none of this execution. */
  dropPrepared(execution: string): boolean {
    if (this.awaitingBodies.delete(execution)) return true;
    const at = this.ready.findIndex((item) => item.execution.id === execution);
    if (at >= 0) this.ready.splice(at, 1);
    return at >= 0;
  }
}
