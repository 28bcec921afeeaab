import type { ClusterReply, DrainReply, DrainRequest, MoveReply, MoveRequest, ShardsReply } from '@belfry/protocol';

/** What the commands of operators need of a cluster; `openOperators` makes it from NATS, tests from memory. */
export interface Operators {
  cluster(): Promise<ClusterReply>;
  /** Of one scheduler; undefined when it does not answer. */
  shards(node: string): Promise<ShardsReply | undefined>;
  move(request: MoveRequest): Promise<MoveReply>;
  drain(request: DrainRequest): Promise<DrainReply>;
  close(): Promise<void>;
}
