import { setTimeout as delay } from 'node:timers/promises';

import { lateUntil } from '../check.ts';
import { SHARDS, type Cluster } from '../cluster.ts';
import { pick } from '../random.ts';
import type { ChaosCase, Scene } from '../scene.ts';

const DAY_MS = 86_400_000;
const STORMED = 2_000;

export const LOADS: readonly ChaosCase[] = [
  {
    name: 'all-schedulers',
    what: 'kill -9 of all schedulers and supervisors at once, started again after 5 s',
    load: { windowMs: 20_000 },
    async inject({ cluster }) {
      await Promise.all(cluster.schedulers.map((member) => member.kill()));
      await delay(5_000);
      await startMissing(cluster);
    },
  },
  {
    name: 'retry-storm',
    what: `${STORMED} executions of one instant fail twice each, half a second apart`,
    load: { windowMs: 12_000 },
    async inject({ load }) {
      const retry = { attempts: 4, initialMs: 500, factor: 1 };
      await load.addMany(STORMED, { at: Date.now() + 3_000, retry }, { ms: 0, failures: 2 });
    },
    async verify({ cluster, load, blame }) {
      const attempts = Map.groupBy(cluster.runs(), ({ execution }) => execution);
      const failed = [...load.retries].filter(([, failures]) => failures === 2).map(([execution]) => execution);
      const thrice = failed.filter(
        (execution) => new Set(attempts.get(execution)?.map(({ attempt }) => attempt)).size === 3,
      );
      if (thrice.length !== STORMED) blame(`${thrice.length} of ${STORMED} executions had three attempts`);
    },
  },
];

export const STORM: readonly ChaosCase[] = [
  {
    name: 'tick-storm',
    what: 'as many fires as --tasks says are due at one instant',
    ground: { slots: 1_000 },
    load: { windowMs: 12_000, trickle: 2 },
    patienceMs: 240_000,
    async inject(scene) {
      const { cluster, load, settings } = scene;
      // All are there before it comes.
      const at = Date.now() + 5_000 + Math.round(settings.tasks / 3);
      await load.addMany(settings.tasks, { at }, { ms: 0 });
      if (Date.now() > at) scene.blame(`the tasks were not made before their instant: ${Date.now() - at} ms too late`);
      const begun = cluster.begun;
      const isOver = (): boolean => cluster.begun >= begun + settings.tasks && load.haveRun(cluster.runs(), at);
      await cluster.until('the storm is over', isOver, at - Date.now() + 120_000 + settings.tasks);
      scene.measured(`${settings.tasks} fires of one instant had all begun after`, Date.now() - at);
    },
  },
];

export const SCALE: readonly ChaosCase[] = [
  {
    name: 'scale-1-5-1',
    what: 'one scheduler; four more join under load, and leave again one after the other (SIGTERM)',
    ground: { schedulers: 5 },
    load: { windowMs: 45_000 },
    patienceMs: 120_000,
    async prepare({ cluster }) {
      for (const member of cluster.schedulers.slice(1)) await member.stop();
      await owns(cluster, 1);
    },
    async inject({ cluster }) {
      await startMissing(cluster);
      await owns(cluster, 5);
      for (const member of cluster.schedulers.slice(1)) await member.stop();
      await owns(cluster, 1);
    },
  },
];

export const MANY: readonly ChaosCase[] = [
  {
    name: 'kill-owner-many',
    what: 'kill -9 of an owner, with --tasks waiting tasks in all',
    load: { tasks: 400, windowMs: 20_000 },
    prepare: fill,
    async inject(scene) {
      const { cluster, random } = scene;
      const leader = await cluster.leader();
      const others = cluster.schedulers.filter((member) => member !== leader);
      await killed(scene, () => pick(others, random).kill());
    },
    verify: onTimeAgain,
  },
  {
    name: 'all-schedulers-many',
    what: 'kill -9 of all schedulers and supervisors, started again at once, with --tasks waiting tasks in all',
    load: { tasks: 400, windowMs: 30_000 },
    prepare: fill,
    async inject(scene) {
      const { cluster } = scene;
      await killed(scene, () => Promise.all(cluster.schedulers.map((member) => member.kill())));
      await startMissing(cluster);
    },
    verify: onTimeAgain,
    spoils: true,
  },
];

const killedAt = new WeakMap<object, number>();

async function killed({ load }: Scene, kill: () => Promise<unknown>): Promise<void> {
  killedAt.set(load, Date.now());
  await kill();
}

/**
 * From the kill to the last instant of the load whose fire was more than 1 s late: what was due later was on time. What the comparison with
 * a recovery makes comes after it, and waits for retries on purpose.
 */
async function onTimeAgain({ cluster, load, measured, blame }: Scene): Promise<void> {
  const lost = await cluster.filledLost();
  if (lost !== 0) blame(`${lost} of the ${cluster.filled} tasks that wait are not stored as waiting`);
  const fromMs = killedAt.get(load) as number;
  const evidence = { fires: load.fires, runs: cluster.runs() };
  measured('every fire was on time again after', lateUntil(evidence, fromMs, load.plan.endMs) - fromMs);
}

/**
 * Tasks that wait for tomorrow, once a cluster, and that have been there for a while: of rows that are a minute old, Postgres has no statistics, and
 * looks through them for itself at that very moment.
 */
async function fill({ cluster, settings }: Omit<Scene, 'load'>): Promise<void> {
  await cluster.fill(settings.tasks, Date.now() + DAY_MS);
  await cluster.primary.sql('VACUUM (ANALYZE) belfry.task');
}

export async function startMissing(cluster: Cluster): Promise<void> {
  const missing = cluster.members.filter(({ isRunning }) => !isRunning);
  for (const member of missing) await member.begin();
  await Promise.all(missing.map((member) => member.untilReady()));
}

/** So many schedulers own all shards, each of them some. */
export async function owns(cluster: Cluster, count: number): Promise<void> {
  await cluster.until(`${count} schedulers own all shards`, async () => {
    const owned = [...(await cluster.ownedShards()).values()];
    const all = owned.flat();
    return (
      owned.length === count &&
      owned.every((of) => of.length > 0) &&
      new Set(all).size === SHARDS &&
      all.length === SHARDS
    );
  });
}
