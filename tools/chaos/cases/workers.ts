import { setTimeout as delay } from 'node:timers/promises';

import { pick } from '../random.ts';
import type { ChaosCase, Scene } from '../scene.ts';

import { ranElsewhere } from './kills.ts';

export const WORKERS: readonly ChaosCase[] = [
  {
    name: 'handler-hangs',
    what: 'the first attempt of each tenth task hangs until its time of 2 s is up',
    load: { work: (index) => (index % 10 === 0 ? { ms: 0, hang: true } : { ms: 20 }), more: { timeoutMs: 2_000 } },
    async inject() {
      // The load itself is the fault.
    },
    async verify({ cluster, load, blame }) {
      const again = new Set(
        cluster
          .runs()
          .filter(({ attempt }) => attempt > 1)
          .map(({ execution }) => execution),
      );
      const hung = load.retries.size;
      if (hung === 0 || again.size < hung) blame(`${again.size} of ${hung} hanging executions had a second attempt`);
    },
  },
  {
    name: 'poison',
    what: 'a message kills the process of every handler that gets it; killed workers are started again',
    patienceMs: 240_000,
    async inject(scene) {
      const { load } = scene;
      const at = Date.now() + 1_000;
      const id = await load.add({ at, retry: { attempts: 1 } }, { ms: 0, crash: true });
      const execution = `${id}-${at.toString(36)}`;
      const endedAs = async (): Promise<string | undefined> => await load.stateOf(id, execution);
      await keptAlive(scene, endedAs, 220_000);
      const state = await endedAs();
      if (state !== 'dead' && state !== 'lost')
        scene.blame(`the poison message ended as ${state}, not as a dead letter`);
      scene.note(`${scene.cluster.runs().filter((run) => run.execution === execution).length} processes died of it`);
    },
  },
];

export const FLEET: readonly ChaosCase[] = [
  {
    name: 'kill-fleet-tenth',
    what: 'kill -9 of one of ten workers, with executions in its hands',
    ground: { workers: 10, gateways: 1 },
    load: { work: () => ({ ms: 400 }) },
    async inject({ cluster, random }) {
      await cluster.killWorker(pick(cluster.workers, random));
    },
    async verify(scene) {
      ranElsewhere(scene, 'the executions of a killed worker ran elsewhere after');
    },
  },
];

/** Starts workers that have died, as an init system does, until it is over or the time is up. */
async function keptAlive({ cluster }: Scene, isOver: () => Promise<unknown>, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while ((await isOver()) === undefined && performance.now() < deadline) {
    for (const worker of cluster.members.filter(({ roles, isRunning }) => roles === '' && !isRunning)) {
      // When exactly it died nobody saw; it was within the last round.
      cluster.absent(worker, Date.now() - 1_000, Infinity);
      await worker.start();
    }
    await delay(250);
  }
}
