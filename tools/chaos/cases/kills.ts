import { pick } from '../random.ts';
import type { ChaosCase, Scene } from '../scene.ts';

/** What a killed worker had runs elsewhere by then. */
const ELSEWHERE_MS = 10_000;

export const KILLS: readonly ChaosCase[] = [
  {
    name: 'kill-owner',
    what: 'kill -9 of a scheduler that owns half of the shards and does not lead',
    async inject({ cluster, random }) {
      const leader = await cluster.leader();
      await pick(
        cluster.schedulers.filter((member) => member !== leader),
        random,
      ).kill();
    },
  },
  {
    name: 'kill-leader-owner',
    what: 'kill -9 of the process that leads the supervisors and owns half of the shards',
    async inject({ cluster }) {
      await (await cluster.leader()).kill();
    },
  },
  {
    name: 'kill-gateway',
    what: 'kill -9 of one of two gateways, in the middle of requests',
    async inject({ cluster, random }) {
      await pick(cluster.gateways, random).kill();
    },
  },
  {
    name: 'kill-worker',
    what: 'kill -9 of one of two workers, with executions in its hands',
    load: { work: () => ({ ms: 400 }) },
    async inject(scene) {
      await scene.cluster.killWorker(pick(scene.cluster.workers, scene.random));
    },
    async verify(scene) {
      ranElsewhere(scene, 'a killed worker’s executions ran elsewhere after');
    },
  },
  {
    name: 'stop-worker',
    what: 'SIGTERM to one of two workers, with executions in its hands',
    load: { work: () => ({ ms: 400 }) },
    async inject({ cluster, random }) {
      await pick(cluster.workers, random).stop();
    },
  },
];

/** How long after its worker's death the last of its executions ran again. */
export function ranElsewhere({ cluster, measured, blame }: Scene, what: string): void {
  const runs = cluster.runs().sort((a, b) => a.startMs - b.startMs);
  const byExecution = Map.groupBy(runs, ({ execution }) => execution);
  for (const { worker, fromMs } of cluster.absences) {
    for (const [first, second] of byExecution.values()) {
      if (first?.worker !== worker || second === undefined) continue;
      const tookMs = second.startMs - fromMs;
      measured(what, tookMs);
      if (tookMs > ELSEWHERE_MS) blame(`an execution of a worker that died ran elsewhere after ${tookMs} ms`);
    }
  }
}
