import { setTimeout as delay } from 'node:timers/promises';

import { LIMITS } from '@belfry/protocol';
import type { ScheduleSpec } from '@belfry/sdk';

import { QUEUE } from '../load.ts';
import type { ChaosCase, Scene } from '../scene.ts';

import { startMissing } from './many.ts';

const DOWN_MS = 80_000;
const EVERY_MS = 2_000;
const OF_EACH = 10;
const POLICIES = ['skip', 'latest', 'all'] as const;
type Policy = (typeof POLICIES)[number];
/** Around the instants at which schedulers end, and begin again, it is open what of it they did. */
const AROUND_MS = 2_000;
const BACK_WITHIN_MS = 15_000;

interface Missed {
  readonly tasks: readonly { readonly id: string; readonly policy: Policy; readonly anchor: number }[];
  /** From the kill to the first that began again, and to when all were back. */
  readonly fromMs: number;
  readonly begunMs: number;
  readonly backMs: number;
}

/** By load. */
const missed = new WeakMap<object, Missed>();

export const MISSED: readonly ChaosCase[] = [
  {
    name: 'all-schedulers-missed',
    what: `kill -9 of all schedulers and supervisors, started again after ${DOWN_MS / 1_000} s: what was missed is skipped, run once, or all run, as each task says`,
    load: { windowMs: DOWN_MS + 20_000 },
    patienceMs: 180_000,
    async inject(scene) {
      const { cluster, load } = scene;
      const tasks = await recurring(scene);
      await delay(2 * EVERY_MS);
      const fromMs = Date.now();
      await Promise.all(cluster.schedulers.map((member) => member.kill()));
      await delay(DOWN_MS);
      const begunMs = Date.now();
      await startMissing(cluster);
      missed.set(load, { tasks, fromMs, begunMs, backMs: Date.now() });
    },
    async verify(scene) {
      const { cluster, load, blame } = scene;
      const { tasks, fromMs, begunMs, backMs } = missed.get(load) as Missed;
      const [first, last] = [fromMs + AROUND_MS, begunMs - LIMITS.catchUpAfterMs - AROUND_MS];
      const recentMs = backMs + BACK_WITHIN_MS - LIMITS.catchUpAfterMs;
      const run = new Set(cluster.runs().map(({ execution }) => execution));
      const between = (anchor: number, from: number, to: number): number[] => {
        const begin = anchor + Math.ceil((from - anchor) / EVERY_MS) * EVERY_MS;
        return Array.from(
          { length: Math.max(0, Math.floor((to - begin) / EVERY_MS) + 1) },
          (_, at) => begin + at * EVERY_MS,
        );
      };
      const wrong: string[] = [];
      for (const { id, policy, anchor } of tasks) {
        const hasRun = (at: number): boolean => run.has(`${id}-${at.toString(36)}`);
        // Missed whenever it was found; not missed whenever it was found; and what lies between.
        const sure = between(anchor, first, last);
        const open = between(anchor, last + 1, recentMs - 1);
        const recent = between(anchor, recentMs, load.plan.endMs - AROUND_MS);
        if (sure.length < 3) blame(`only ${sure.length} fires were missed`);
        const ran = sure.filter(hasRun).length;
        if (policy === 'skip' && ran > 0) wrong.push(`${id} skips, and ran ${ran} of ${sure.length} missed fires`);
        if (policy === 'all' && ran < sure.length) wrong.push(`${id} ran ${ran} of ${sure.length} missed fires`);
        const latest = ran + open.filter(hasRun).length;
        if (policy === 'latest' && (ran > 1 || latest === 0))
          wrong.push(`${id} ran ${ran} missed fires, and ${latest} later`);
        const lacking = recent.filter((at) => !hasRun(at)).length;
        if (lacking > 0)
          wrong.push(`${id} (${policy}) lacks ${lacking} of ${recent.length} fires that were not missed`);
      }
      if (wrong.length > 0)
        blame(`${wrong.length} tasks did not do as their policies say: ${wrong.slice(0, 3).join('; ')}`);
      await explained(scene, tasks.find(({ policy }) => policy === 'skip')?.id as string, first, last);
    },
  },
];

async function recurring({ load }: Scene): Promise<Missed['tasks']> {
  const endAt = load.plan.endMs;
  const planned = POLICIES.flatMap((policy) =>
    Array.from({ length: OF_EACH }, (_, index) => {
      const anchor = load.plan.startMs + index * 100;
      const when: Partial<ScheduleSpec> = {
        every: EVERY_MS,
        anchor,
        endAt,
        catchUp: policy === 'all' ? { policy, window: '1h' } : { policy },
      };
      return { policy, anchor, spec: load.spec(`${policy}-${index}`, { ms: 0 }, { ...when, queue: QUEUE }) };
    }),
  );
  const results = await load.requests.client.scheduleMany(planned.map(({ spec }) => spec));
  return results.map((result, at) => {
    if ('error' in result) throw new Error(`a task was refused: ${JSON.stringify(result.error)}`);
    const { policy, anchor } = planned[at] as (typeof planned)[number];
    return { id: result.id, policy, anchor };
  });
}

/** What was skipped is told as skipped, by its cause. */
async function explained({ load, blame }: Scene, id: string, from: number, to: number): Promise<void> {
  const { fires } = await load.requests.client.explain({ id, from, to });
  const verdicts = new Set(fires.map(({ verdict }) => verdict));
  if (fires.length === 0 || verdicts.size > 1 || !verdicts.has('skipped'))
    blame(`explain tells ${fires.length} skipped fires as ${[...verdicts].join(', ')}`);
}
