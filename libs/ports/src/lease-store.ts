import { LEVELS } from '@belfry/protocol';

import type { Outcome } from './outcome.ts';

export interface Lease {
  readonly term: number;
  readonly holder: string;
  /** Opaque revision for renewing. */
  readonly revision: number;
}

/** A lease with a TTL, for quiet and not for safety: whoever acts on it carries its term. */
export interface LeaseStore {
  /** Refused: `held` by somebody else. With `silentTerm`, a lease of that term is taken from its holder, unless it was just renewed. */
  acquire(name: string, holder: string, silentTerm?: number): Promise<Outcome<Lease, 'held'>>;
  /** The lease as it is held, by whomever; undefined when it is free. */
  read(name: string): Promise<Outcome<Lease | undefined, never>>;
  /** Refused: `lost` when it is somebody else's, or gone. */
  renew(name: string, lease: Lease): Promise<Outcome<Lease, 'lost'>>;
  release(name: string, lease: Lease): Promise<void>;
}

/** Which node hosts which shards, as one document that the leader writes and all nodes watch. */
export interface Placement {
  /** The leader's term; a lower one is refused. */
  readonly term: number;
  readonly version: number;
  /** `nodes[assignment[shard]]` owns the shard. */
  readonly nodes: readonly string[];
  readonly assignment: readonly number[];
  /** What may be written (`LEVELS`); absent: the oldest. Whoever does not read it takes no shards. */
  readonly level?: number;
  /** Nodes that operators have drained; absent: none. */
  readonly drained?: readonly string[];
  /** Shards that operators have moved, and where each is kept; absent: none. */
  readonly pins?: readonly { readonly shard: number; readonly node: string }[];
  /** When nodes were lost of late, ms since 1970, by the clocks of the leaders that saw it; absent: none was. */
  readonly losses?: Readonly<Record<string, readonly number[]>>;
}

export function levelOf({ level }: Pick<Placement, 'level'>): number {
  return level ?? LEVELS.oldest;
}

export interface PlacementStore {
  read(): Promise<Placement | undefined>;
  /** Refused: `stale` when the stored one has a higher term, or the same term and a version >= this one. */
  write(placement: Placement): Promise<Outcome<void, 'stale'>>;
  watch(onPlacement: (placement: Placement) => void): Promise<{ stop(): Promise<void> }>;
}
