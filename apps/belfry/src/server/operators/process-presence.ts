import { availableParallelism, hostname } from 'node:os';
import { LIMITS, subjects, type PingReply, type ProcessHeartbeat, type Role, type ShardsReply } from '@belfry/protocol';
import type { Messenger } from '@belfry/actor-runtime';
import type { Log, NodeShards, NodeStatus } from '@belfry/scheduler';
import type { ClockWatch } from '../clock-watch.ts';
import { machineId } from './machine.ts';
import { readProcessHeartbeat } from './process-table.ts';

const TELL_AGAIN_MS = 60_000;

export interface ProcessPresenceOptions {
  readonly node: string;
  readonly roles: readonly Role[];
  readonly version: string;
  readonly level: number;
  readonly messenger: Messenger;
  readonly watch: Pick<ClockWatch, 'glance' | 'clock'>;
  readonly log: Pick<Log, 'error'>;
  readonly scheduler: { status(): NodeStatus; shards(): NodeShards } | undefined;
}

/** Tells that this process is there, and answers operators about it; says so where another has its name. Returns what ends that. */
export function tellPresence(options: ProcessPresenceOptions): () => void {
  const { node, roles, version, level, messenger, watch, scheduler, log } = options;
  const about = {
    v: 1,
    node,
    roles,
    version,
    level,
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
  let toldAt = -Infinity;
  const onHeartbeat = (body: Uint8Array): void => {
    // Most are of others, and need not be read whole for that.
    if (!Buffer.from(body.buffer, body.byteOffset, body.byteLength).includes(`"${node}"`)) return;
    const beat = readProcessHeartbeat(body);
    if (beat?.node !== node || (beat.pid === about.pid && beat.machine === about.machine)) return;
    if (watch.clock.monotonic() - toldAt < TELL_AGAIN_MS) return;
    toldAt = watch.clock.monotonic();
    log.error('another process has the same --node-id: stop one of them, and give it a name of its own', {
      host: beat.host,
      pid: beat.pid,
    });
  };
  const unserve = [
    messenger.listen(subjects.processHeartbeat, onHeartbeat),
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
