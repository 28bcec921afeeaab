import { setTimeout as delay } from 'node:timers/promises';

import { LIMITS } from '@belfry/protocol';

import type { Cluster } from '../cluster.ts';
import type { Member } from '../member.ts';
import { pick } from '../random.ts';
import type { ChaosCase, Scene } from '../scene.ts';
import { starve, starvedLacks, starvedText, starveObstacle } from '../starve.ts';

const STARVED_MS = 20_000;
/** Of one instant: only with such a load does it lack the processor, and not only answer late. */
const STARVED_FIRES = 10_000;

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

/**
 * A scheduler gets too little of the processor, as beside a greedy neighbour. It says between its pauses that it is there, and keeps its shards
 * as long as it says so in time. Where its work keeps it from that for as long as counts for death, they move, and come back. Both are right.
 */
function starved(who: string, what: string, victim: (scene: Scene) => Promise<Member>): ChaosCase {
  return {
    name: `starve-${who}`,
    what: `${what} gets a fifth of a processor for ${STARVED_MS / 1_000} s (40 ms, then SIGSTOP for 160 ms, and so on), then it runs freely; meanwhile ${STARVED_FIRES} fires are due at one instant`,
    obstacle: starveObstacle,
    load: { windowMs: STARVED_MS + 8_000 },
    async inject(scene) {
      const { cluster, load, settings } = scene;
      const member = await victim(scene);
      const at = Date.now() + 5_000;
      const fires = settings.quick ? STARVED_FIRES / 10 : STARVED_FIRES;
      await load.addMany(fires, { at }, { ms: 0 });
      const before = await takeovers(cluster);
      const phase = await starve(member, STARVED_MS);
      const lack = starvedLacks(phase);
      if (lack !== undefined) scene.blame(`${member.name} was not starved: ${lack}`);
      await cluster.until(`the ${fires} fires have begun`, () => load.haveRun(cluster.runs(), at));
      scene.measured(`${fires} fires of one instant had all begun after`, load.begunOf(cluster.runs(), at).worstMs);
      scene.note(`it got ${starvedText(phase)}; ${(await takeovers(cluster)) - before} takeovers`);
    },
  };
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

/** How often shards were taken over, by all who run. */
async function takeovers({ schedulers }: Cluster): Promise<number> {
  const counts = await Promise.all(schedulers.map((member) => member.metric('belfry_shard_takeovers_total')));
  return counts.reduce<number>((sum, count) => sum + (count ?? NaN), 0);
}

/** Nobody is taken for dead: no shard gets another owner. */
function falseAlarms(): Required<Pick<ChaosCase, 'prepare' | 'verify'>> {
  let before = 0;
  return {
    async prepare(scene) {
      before = await takeovers(scene.cluster);
    },
    async verify(scene) {
      const after = await takeovers(scene.cluster);
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
  starved('owner', 'a scheduler that owns half of the shards and does not lead', async ({ cluster }) => {
    const leader = await cluster.leader();
    return cluster.schedulers.find((member) => member !== leader) as Member;
  }),
  starved('leader', 'the process that leads and owns', async ({ cluster }) => await cluster.leader()),
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
