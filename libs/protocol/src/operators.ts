/**
 * The subjects of operators: JSON requests and replies beside those of clients, and none of them in a namespace
 * (`docs/protocol.md`, section Operators). The leading supervisor answers about the cluster and takes orders; each process answers
 * about itself.
 */
export const OPERATOR_OPS = ['cluster', 'move', 'drain'] as const;
export type OperatorOp = (typeof OPERATOR_OPS)[number];

export const ROLES = ['gateway', 'scheduler', 'supervisor'] as const;
export type Role = (typeof ROLES)[number];

/** What a process tells of itself once a second, whatever its roles. */
export interface ProcessHeartbeat {
  readonly v: 1;
  readonly node: string;
  readonly roles: readonly Role[];
  readonly version: string;
  /** The highest level that it reads (`LEVELS`); absent: the oldest. */
  readonly level?: number;
  readonly cores: number;
  /** Name of its machine. */
  readonly host: string;
  /** Equal for two processes that can see each other's pid: same machine, same start of it, same namespace of processes. */
  readonly machine: string;
  readonly pid: number;
  /** When it started, ms since 1970. */
  readonly startedAt: number;
  readonly clock: {
    readonly state: 'calm' | 'alert' | 'unfit';
    /** Its clock minus the median of those that it sees. */
    readonly skewMs?: number;
  };
  /** Of a process with the role `scheduler`. */
  readonly scheduler?: {
    readonly shards: number;
    readonly tasks: number;
    readonly backlog: number;
    readonly underWay: number;
    /** Inbox messages that it has not applied yet. */
    readonly unread: number;
    /** Changed rows that no checkpoint has yet. */
    readonly waitingRows: number;
  };
}

/** One process as the leading supervisor sees it. */
export interface NodeView extends Omit<ProcessHeartbeat, 'v'> {
  readonly leads: boolean;
  /** Since its last word. */
  readonly silentMs: number;
  /**
   * Whether it is given shards: `yes`, or why not: it was `drained`, it is `leaving` (it stops, or its clock is wrong), or it was lost
   * too often of late and is `held` back. Absent without the role `scheduler`.
   */
  readonly takes?: 'yes' | 'drained' | 'leaving' | 'held';
  /** Shards that the placement gives it. */
  readonly placed?: number;
}

/** Answer to `cluster`. */
export interface ClusterReply {
  readonly leader: string;
  readonly term: number;
  /** Of the placement: it grows with each change. */
  readonly version: number;
  readonly shards: number;
  /** At which the cluster writes: the highest that all processes read, since ten seconds at least. It never goes back. */
  readonly level: number;
  /** In the order of their names. */
  readonly nodes: readonly NodeView[];
  /** Nodes that are given no shards until their drain is undone; also those that are not there at present. */
  readonly drained: readonly string[];
  /** Shards that operators have moved, with the node that each is kept on. */
  readonly pins: readonly Pin[];
  /** `assignment[shard]` is the node that shall own it; null: none. */
  readonly assignment: readonly (string | null)[];
  readonly workers: { readonly count: number; readonly slots: number; readonly running: number };
}

export interface Pin {
  readonly shard: number;
  readonly node: string;
}

/** `to` absent: the node that has the least for its cores. `unpin`: the shard is placed like any other again. */
export interface MoveRequest {
  readonly shard: number;
  readonly to?: string;
  readonly unpin?: true;
}

export interface MoveReply {
  readonly shard: number;
  /** The node that had it; null: none. */
  readonly from: string | null;
  readonly to: string | null;
  readonly version: number;
}

export interface DrainRequest {
  readonly node: string;
  readonly undo?: true;
}

export interface DrainReply {
  readonly node: string;
  readonly drained: boolean;
  readonly version: number;
}

/** One shard, as its owner tells. */
export interface ShardView {
  readonly shard: number;
  readonly node: string;
  readonly epoch: number;
  readonly tasks: number;
  /** Fires that are due and not dispatched. */
  readonly backlog: number;
  /** Executions that are dispatched or wait for a retry. */
  readonly underWay: number;
  /** Messages that were read for it and are not applied yet. */
  readonly waiting: number;
  /** Sequence of the last inbox message that it has applied. */
  readonly seq: number;
  /** Sequence that its last checkpoint in Postgres includes, whoever wrote it; 0: there is none yet. */
  readonly checkpointSeq: number;
  /** It is being handed over. */
  readonly leaving: boolean;
}

/** Answer of a scheduler to `shards`. */
export interface ShardsReply {
  readonly node: string;
  /** Inbox messages that this node has not read yet, for all its shards. */
  readonly unread: number;
  readonly items: readonly ShardView[];
}

/** Answer of any process to `ping`. */
export interface PingReply {
  readonly node: string;
}
