import type { Fence, InboxAppend, ShardDelta, ShardHead, WorkItem, WorkRef } from '@belfry/ports';
import type { Process } from './process.ts';

/** What the services see, as it happens to them. Whoever watches throws where the contract is broken. */
export interface Observer {
  /** A process asks to append messages: they may come later, or never. */
  appending(messages: readonly InboxAppend[], by: Process): void;
  /** Messages are on disk, stored at `timestamp`. */
  appended(messages: readonly InboxAppend[], timestamp: number): void;
  epochsTaken(heads: readonly ShardHead[], by: Process): void;
  fenceTaken(fence: Fence): void;
  published(fence: Fence, items: readonly WorkItem[], by: Process): void;
  /** A message is delivered anew, since nobody has extended its lease for `heldMs`, where its worker relies on `leaseMs`. */
  leaseExpired(ref: WorkRef, heldMs: number, by: { readonly process: Process; readonly leaseMs: number }): void;
  /** A worker has acknowledged a message. */
  acknowledged(ref: WorkRef): void;
  workStreamLost(): void;
  /** Everything of these deltas but of the shards that were `fenced` is on disk. */
  committed(deltas: readonly ShardDelta[], fenced: readonly number[], by: Process): void;
}
