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
    async inject(scene) {
      await paused(scene, pick(scene.cluster.schedulers, scene.random), ms);
    },
    ...(ms < LIMITS.nodeSilentMs ? falseAlarms() : {}),
  };
}

async function paused({ blame }: Pick<Scene, 'blame'>, member: Member, ms: number): Promise<void> {
  member.signal('SIGSTOP');
  await delay(ms);
  if (!member.isStopped) blame(`${member.name} did not stand still`);
  member.signal('SIGCONT');
}

function blockLoop(seconds: number): ChaosCase {
  return {
    name: `block-loop-${seconds}s`,
    what: `the event loop of a scheduler stands still for ${seconds} s`,
    load: { windowMs: (8 + seconds) * 1_000 },
    async inject({ cluster, random, blame }) {
      const member = pick(cluster.schedulers, random);
      member.order({ do: 'block', ms: seconds * 1_000 });
      const asked = performance.now();
      await delay(seconds * 500);
      // Whoever asks is answered when the loop goes on, or not at all.
      const answered = await member.health();
      if (answered !== undefined && performance.now() - asked < seconds * 900)
        blame(`${member.name} did not stand still`);
      await delay(Math.max(0, asked + seconds * 1_000 - performance.now()));
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
    async inject(scene) {
      await paused(scene, await scene.cluster.leader(), 8_000);
    },
  },
  {
    name: 'pause-gateway',
    what: 'SIGSTOP of one of two gateways for 5 s, then SIGCONT',
    load: { windowMs: 14_000 },
    async inject(scene) {
      await paused(scene, pick(scene.cluster.gateways, scene.random), 5_000);
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

async function silenced(scene: Scene, worker: Member, ms: number): Promise<void> {
  const fromMs = Date.now();
  scene.cluster.absent(worker, fromMs, fromMs + ms);
  await paused(scene, worker, ms);
}
