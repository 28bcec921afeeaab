import { setTimeout as delay } from 'node:timers/promises';

import { LIMITS } from '@belfry/protocol';

import type { Member } from '../member.ts';
import type { NatsNode } from '../nats.ts';
import { lackOf, type Fault } from '../proxy.ts';
import { pick } from '../random.ts';
import type { ChaosCase, Scene } from '../scene.ts';
import { SmallDisk } from '../small-disk.ts';

const THREE = { natsNodes: 3 } as const;
const THREE_APART = { natsNodes: 3, proxies: true } as const;
/** A client gives a silent node up after 5 to 7.5 s, by its pings. */
const PATH_LOST_MS = 20_000;
const NODE_PAUSED_MS = 10_000;

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
    async inject(scene) {
      await standing(scene, scene.cluster.nats[0] as NatsNode, 6_000);
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
    ground: THREE_APART,
    load: { windowMs: 20_000 },
    async inject(scene) {
      const node = pick(scene.cluster.nats, scene.random);
      const itsWorkers = workersAt(scene, node);
      const fromMs = Date.now();
      await standing(scene, node, NODE_PAUSED_MS);
      silent(scene, itsWorkers, fromMs);
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

/** Its clients reach it all the while. */
function nodeCut(name: string, what: string, fault: Fault, ms: number): ChaosCase {
  return {
    name,
    what: `${what}, for ${ms / 1_000} s, while clients reach all three`,
    ground: THREE_APART,
    load: { windowMs: ms + 16_000 },
    patienceMs: 180_000,
    async inject(scene) {
      const { cluster, random, blame } = scene;
      await noneDirect(scene);
      const node = pick(cluster.nats, random);
      const fromMs = Date.now();
      node.cut(fault);
      await delay(ms);
      const lack = node.cutLacks(fault);
      if (lack !== undefined) blame(`${node.name} was not cut off: ${lack}`);
      await noneDirect(scene);
      node.cut('pass');
      if (fault === 'deaf' || ms < LIMITS.workLeaseMs) return;
      silent(scene, workersAt(scene, node), fromMs);
    },
  };
}

/** Workers that are connected to the node, through its proxy. */
function workersAt({ cluster }: Scene, node: NatsNode): readonly Member[] {
  return cluster.workers.filter((worker) => worker.isAt(cluster.nats.indexOf(node)));
}

/** What they said since then reached nobody: they were silent past their lease, which began at most its half before. */
function silent({ cluster }: Scene, workers: readonly Member[], fromMs: number): void {
  const untilMs = Date.now() + LIMITS.workerSilentMs;
  for (const worker of workers) cluster.absent(worker, fromMs - LIMITS.workLeaseMs / 2, untilMs);
}

/** All that NATS nodes say to each other passes the proxies. */
async function noneDirect({ cluster, blame }: Scene): Promise<void> {
  for (const node of cluster.nats) {
    const { all, direct } = await node.routes();
    if (all === 0 || direct > 0) blame(`${node.name} has ${all} routes, ${direct} of them past the proxies`);
  }
}

export const NATS_PARTITIONS: readonly ChaosCase[] = [
  nodeCut('nats-node-cut-off', 'nothing passes between one of three NATS nodes and the others', 'hole', 10_000),
  nodeCut('nats-node-deaf', 'one of three NATS nodes is heard by the others and hears nothing of them', 'deaf', 10_000),
  nodeCut(
    'nats-node-mute',
    'one of three NATS nodes hears the others, and nothing that it says arrives',
    'mute',
    10_000,
  ),
  {
    name: 'nats-path-lost',
    what: `nothing passes between a scheduler and the one of three NATS nodes that it is connected to, for ${PATH_LOST_MS / 1_000} s: it goes to another`,
    ground: THREE_APART,
    load: { windowMs: PATH_LOST_MS + 10_000 },
    patienceMs: 180_000,
    async inject({ cluster, random, blame, measured }) {
      const member = pick(cluster.schedulers, random);
      const lost = member.natsProxies.find(({ connections }) => connections > 0);
      if (lost === undefined) throw new Error(`${member.name} has no connection`);
      const fromMs = performance.now();
      lost.set('hole');
      const others = member.natsProxies.filter((proxy) => proxy !== lost);
      await cluster.until(
        `${member.name} goes to another node`,
        () => others.some(({ connections }) => connections > 0),
        PATH_LOST_MS,
      );
      measured('it was connected to another node after', performance.now() - fromMs);
      await delay(fromMs + PATH_LOST_MS - performance.now());
      const lack = lackOf('hole', 0, [lost.effect]);
      if (lack !== undefined) blame(`${member.name} was not cut off: ${lack}`);
      lost.set('pass');
    },
  },
];

async function standing({ blame }: Scene, node: NatsNode, ms: number): Promise<void> {
  const untilMs = performance.now() + ms;
  node.signal('SIGSTOP');
  await delay(untilMs - performance.now());
  if (!node.isStopped) blame(`${node.name} did not stand still`);
  node.signal('SIGCONT');
}

/** Without a broker no worker can be heard: what they began before it was back may run again, when they were silent for as long as their lease. */
export function allSilent({ cluster }: Scene, fromMs: number): void {
  if (Date.now() - fromMs < LIMITS.workLeaseMs) return;
  for (const worker of cluster.workers) cluster.absent(worker, fromMs, Date.now());
}
