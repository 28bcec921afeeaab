import type { ClusterReply, NodeView } from '@belfry/protocol';

import { CliError, EXIT } from '../exit.ts';
import type { Operators } from '../operators.ts';

export const DEEDS = ['kill', 'pause', 'move'] as const;
export type DeedKind = (typeof DEEDS)[number];

/** Signals to a process of this machine; tests have their own. */
export interface Processes {
  /** As `machineId` tells it. */
  readonly machine: string;
  signal(pid: number, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void;
}

/** What is done to the owner of a shard, once: `undo` leaves the cluster as it was found, as far as that can be. */
export interface Deed {
  readonly owner: string;
  do(): Promise<void>;
  undo(): Promise<void>;
}

/** @throws CliError `conflict` where nobody would take the shard, `not_local` where the owner cannot be signalled from here */
export function deedOf(
  kind: DeedKind,
  shard: number,
  owner: NodeView,
  options: {
    readonly cluster: ClusterReply;
    readonly operators: Operators;
    readonly processes: Processes;
    readonly to: string | undefined;
    readonly pauseMs: number;
  },
): Deed {
  const { cluster, operators, processes, to, pauseMs } = options;
  if (!cluster.nodes.some(({ node, takes }) => node !== owner.node && takes === 'yes'))
    throw new CliError(
      EXIT.refused,
      'conflict',
      `no other node takes shards: nobody would have those of ${owner.node}`,
      {
        hint: 'Start another scheduler first.',
      },
    );
  const nothing = (): Promise<void> => Promise.resolve();
  if (kind === 'move') {
    const wasPinned = cluster.pins.find((pin) => pin.shard === shard);
    return {
      owner: owner.node,
      do: async () => void (await operators.move({ shard, ...(to === undefined ? {} : { to }) })),
      undo: async () =>
        void (await operators.move(wasPinned === undefined ? { shard, unpin: true } : { shard, to: wasPinned.node })),
    };
  }
  if (owner.machine !== processes.machine)
    throw new CliError(
      EXIT.refused,
      'not_local',
      `${owner.node} runs on ${owner.host} (pid ${owner.pid}): from here it cannot be ${kind === 'kill' ? 'killed' : 'paused'}`,
      { hint: 'Run the drill there, in the same container; or `belfry drill move`, which works from anywhere.' },
    );
  const send = (signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void => processes.signal(owner.pid, signal);
  if (kind === 'kill') return { owner: owner.node, do: async () => send('SIGKILL'), undo: nothing };
  let resume: NodeJS.Timeout | undefined;
  return {
    owner: owner.node,
    do: async () => {
      send('SIGSTOP');
      resume = setTimeout(() => send('SIGCONT'), pauseMs);
    },
    undo: async () => {
      clearTimeout(resume);
      if (resume !== undefined) send('SIGCONT');
    },
  };
}
