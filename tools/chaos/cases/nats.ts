import { setTimeout as delay } from 'node:timers/promises';

import { LIMITS } from '@belfry/protocol';

import type { NatsNode } from '../nats.ts';
import { pick } from '../random.ts';
import type { ChaosCase, Scene } from '../scene.ts';
import { SmallDisk } from '../small-disk.ts';

const THREE = { natsNodes: 3 } as const;

export const NATS: readonly ChaosCase[] = [
  {
    name: 'nats-restart',
    what: 'kill -9 of the only NATS server, started again after 2 s: its memory, and the work stream in it, is lost',
    load: { windowMs: 16_000 },
    async inject({ cluster }) {
      const [only] = cluster.nats as readonly [NatsNode];
      await only.kill();
      await delay(2_000);
      await only.start();
    },
  },
  {
    name: 'nats-pause',
    what: 'SIGSTOP of the only NATS server for 6 s, then SIGCONT',
    load: { windowMs: 16_000 },
    async inject({ cluster }) {
      const [only] = cluster.nats as readonly [NatsNode];
      await standing([only], 6_000);
    },
  },
];

export const NATS_DISK: readonly ChaosCase[] = [
  {
    name: 'nats-disk-full',
    what: 'the disk of the only NATS server is full to the last page, and after 8 s has room again; the server is then restarted, as its JetStream has shut down',
    ground: { smallDisks: true },
    obstacle: () => SmallDisk.obstacle(),
    load: { windowMs: 24_000 },
    patienceMs: 120_000,
    async inject({ cluster, load, blame, note }) {
      const [only] = cluster.nats as readonly [NatsNode];
      only.disk?.fill();
      const before = load.acknowledged;
      await delay(8_000);
      if (await only.isHealthy()) blame('the server does not say that its disk is full');
      note(`${load.acknowledged - before} requests were acknowledged before the server gave up`);
      only.disk?.clear();
      await only.kill();
      await only.start();
    },
  },
];

export const NATS_CLUSTER: readonly ChaosCase[] = [
  {
    name: 'nats-node-killed',
    what: 'kill -9 of one of three NATS nodes; it comes back after everything has run',
    ground: THREE,
    load: { windowMs: 16_000 },
    async inject({ cluster, random }) {
      await pick(cluster.nats, random).kill();
    },
  },
  {
    name: 'nats-node-paused',
    what: 'SIGSTOP of one of three NATS nodes for 10 s, then SIGCONT',
    ground: THREE,
    load: { windowMs: 20_000 },
    async inject({ cluster, random }) {
      await standing([pick(cluster.nats, random)], 10_000);
    },
  },
  {
    name: 'nats-rolling-restart',
    what: 'the three NATS nodes are restarted one after the other, each when the one before serves again',
    ground: THREE,
    load: { windowMs: 24_000 },
    async inject({ cluster }) {
      for (const node of cluster.nats) {
        await node.stop();
        await node.start();
      }
    },
  },
  {
    name: 'nats-quorum-lost',
    what: 'kill -9 of two of three NATS nodes; they come back after --outage seconds',
    ground: THREE,
    load: ({ outageSeconds }) => ({ windowMs: (outageSeconds + 16) * 1_000 }),
    patienceMs: 180_000,
    async inject(scene) {
      const { cluster, settings } = scene;
      const lost = cluster.nats.slice(1);
      const fromMs = Date.now();
      await Promise.all(lost.map((node) => node.kill()));
      await delay(settings.outageSeconds * 1_000);
      for (const node of lost) node.begin();
      await Promise.all(cluster.nats.map((node) => node.untilHealthy()));
      allSilent(scene, fromMs);
    },
  },
];

async function standing(nodes: readonly NatsNode[], ms: number): Promise<void> {
  for (const node of nodes) node.signal('SIGSTOP');
  await delay(ms);
  for (const node of nodes) node.signal('SIGCONT');
}

/** Without a broker no worker can be heard: past the lease, what they held may run again. */
export function allSilent({ cluster }: Scene, fromMs: number): void {
  if (Date.now() - fromMs < LIMITS.workLeaseMs) return;
  for (const worker of cluster.workers) cluster.absent(worker, fromMs, Date.now() + LIMITS.workLeaseMs);
}
