import { availableParallelism, hostname } from 'node:os';
import { LIMITS, subjects, type PingReply, type ProcessHeartbeat, type Role, type ShardsReply } from '@belfry/protocol';
import type { Messenger } from '@belfry/actor-runtime';
import type { NodeShards, NodeStatus } from '@belfry/scheduler';
import type { ClockWatch } from '../clock-watch.ts';
import { machineId } from './machine.ts';

export interface ProcessPresenceOptions {
  readonly node: string;
  readonly roles: readonly Role[];
  readonly version: string;
  readonly messenger: Messenger;
  readonly watch: ClockWatch;
  readonly scheduler: { status(): NodeStatus; shards(): NodeShards } | undefined;
}

/** Tells that this process is there, and answers operators about it. Returns what ends that. */
export function tellPresence(options: ProcessPresenceOptions): () => void {
  const { node, roles, version, messenger, watch, scheduler } = options;
  const about = {
    v: 1,
    node,
    roles,
    version,
    cores: availableParallelism(),
    host: hostname(),
    machine: machineId(),
    pid: process.pid,
    startedAt: Math.round(watch.clock.wall() - process.uptime() * 1_000),
  } as const;
  const beat = (): void => {
    const heartbeat: ProcessHeartbeat = {
      ...about,
      clock: watch.glance(),
      ...(scheduler === undefined ? {} : { scheduler: inNumbers(scheduler.status(), scheduler.shards()) }),
    };
    messenger.tell(subjects.processHeartbeat, JSON.stringify(heartbeat));
  };
  const timer = setInterval(beat, LIMITS.processHeartbeatMs);
  const unserve = [
    messenger.serve(subjects.operatorsOfNode(node, 'ping'), () => JSON.stringify({ node } satisfies PingReply)),
  ];
  if (scheduler !== undefined) {
    const answer = (): string => JSON.stringify({ node, ...scheduler.shards() } satisfies ShardsReply);
    unserve.push(messenger.serve(subjects.operatorsOfNode(node, 'shards'), answer));
  }
  beat();
  return () => {
    clearInterval(timer);
    for (const end of unserve) end();
  };
}

function inNumbers(
  { owned, tasks, backlog, underWay, waitingRows }: NodeStatus,
  { unread }: NodeShards,
): NonNullable<ProcessHeartbeat['scheduler']> {
  return { shards: owned.length, tasks, backlog, underWay, unread, waitingRows };
}
