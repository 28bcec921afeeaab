import { setTimeout as delay } from 'node:timers/promises';

import { LIMITS } from '@belfry/protocol';

import type { Member } from '../member.ts';
import { pick } from '../random.ts';
import type { ChaosCase, Scene } from '../scene.ts';

/** An owner stands still for a multiple of the silence after which its shards move. */
function pauseOwner(times: number): ChaosCase {
  const ms = times * LIMITS.nodeSilentMs;
  return {
    name: `pause-owner-${times}x`,
    what: `SIGSTOP of a scheduler for ${ms / 1_000} s (${times} times the silence after which shards move), then SIGCONT`,
    load: { windowMs: 8_000 + ms },
    async inject({ cluster, random }) {
      await paused(pick(cluster.schedulers, random), ms);
    },
    ...(ms < LIMITS.nodeSilentMs ? falseAlarms() : {}),
  };
}

async function paused(member: Member, ms: number): Promise<void> {
  member.signal('SIGSTOP');
  await delay(ms);
  member.signal('SIGCONT');
}

function blockLoop(seconds: number): ChaosCase {
  return {
    name: `block-loop-${seconds}s`,
    what: `the event loop of a scheduler stands still for ${seconds} s`,
    load: { windowMs: (8 + seconds) * 1_000 },
    async inject({ cluster, random }) {
      pick(cluster.schedulers, random).order({ do: 'block', ms: seconds * 1_000 });
      await delay(seconds * 1_000);
    },
    ...(seconds * 1_000 < LIMITS.nodeSilentMs ? falseAlarms() : {}),
  };
}

/** Nobody is taken for dead: no shard gets another owner. */
function falseAlarms(): Required<Pick<ChaosCase, 'prepare' | 'verify'>> {
  let before = 0;
  const takeovers = async ({ cluster }: Pick<Scene, 'cluster'>): Promise<number> => {
    const counts = await Promise.all(cluster.schedulers.map((member) => member.metric('belfry_shard_takeovers_total')));
    return counts.reduce<number>((sum, count) => sum + (count ?? NaN), 0);
  };
  return {
    async prepare(scene) {
      before = await takeovers(scene);
    },
    async verify(scene) {
      const after = await takeovers(scene);
      if (after !== before) scene.blame(`shards were taken over, ${before} times before and ${after} times after`);
    },
  };
}

export const PAUSES: readonly ChaosCase[] = [
  pauseOwner(0.5),
  pauseOwner(1),
  pauseOwner(3),
  blockLoop(1),
  blockLoop(10),
  blockLoop(60),
  {
    name: 'pause-leader',
    what: `SIGSTOP of the process that leads and owns for 8 s, then SIGCONT`,
    load: { windowMs: 16_000 },
    async inject({ cluster }) {
      await paused(await cluster.leader(), 8_000);
    },
  },
  {
    name: 'pause-gateway',
    what: 'SIGSTOP of one of two gateways for 5 s, then SIGCONT',
    load: { windowMs: 14_000 },
    async inject({ cluster, random }) {
      await paused(pick(cluster.gateways, random), 5_000);
    },
  },
  {
    name: 'pause-worker',
    what: 'SIGSTOP of one of two workers for longer than its lease, with executions in its hands, then SIGCONT',
    load: { work: () => ({ ms: 400 }) },
    async inject(scene) {
      await silenced(scene, pick(scene.cluster.workers, scene.random), LIMITS.workLeaseMs + 5_000);
    },
  },
];

async function silenced({ cluster }: Scene, worker: Member, ms: number): Promise<void> {
  const fromMs = Date.now();
  cluster.absent(worker, fromMs, fromMs + ms);
  await paused(worker, ms);
}
