import { setTimeout as delay } from 'node:timers/promises';

import { LIMITS } from '@belfry/protocol';

import type { Member } from '../member.ts';
import type { Fault } from '../proxy.ts';
import { pick } from '../random.ts';
import type { ChaosCase } from '../scene.ts';

const PROXIES = { proxies: true } as const;
/** Handlers that finish around a lease's end. */
const AROUND = 40;

interface Cut {
  readonly name: string;
  readonly what: string;
  readonly of: 'scheduler' | 'gateway' | 'worker';
  readonly from: 'nats' | 'postgres';
  readonly fault: Fault;
  readonly delayMs?: number;
  readonly ms: number;
}

function cut({ name, what, of, from, fault, delayMs, ms }: Cut): ChaosCase {
  return {
    name,
    what: `${what}, for ${ms / 1_000} s`,
    ground: PROXIES,
    load: { windowMs: ms + 10_000 },
    async inject({ cluster, random }) {
      const candidates = { scheduler: cluster.schedulers, gateway: cluster.gateways, worker: cluster.workers }[of];
      const member: Member = pick(candidates, random);
      member.cut(from, fault, delayMs);
      await delay(ms);
      member.cut(from, 'pass');
    },
  };
}

export const NETWORK: readonly ChaosCase[] = [
  cut({
    name: 'partition-owner',
    what: 'nothing passes between a scheduler and NATS, as by a cut cable (half-open TCP)',
    of: 'scheduler',
    from: 'nats',
    fault: 'hole',
    ms: 10_000,
  }),
  cut({
    name: 'partition-owner-deaf',
    what: 'a scheduler is heard by NATS and hears nothing of it',
    of: 'scheduler',
    from: 'nats',
    fault: 'deaf',
    ms: 20_000,
  }),
  cut({
    name: 'partition-owner-mute',
    what: 'a scheduler hears NATS, and nothing that it says arrives',
    of: 'scheduler',
    from: 'nats',
    fault: 'mute',
    ms: 10_000,
  }),
  cut({
    name: 'partition-owner-postgres',
    what: 'nothing passes between a scheduler and Postgres',
    of: 'scheduler',
    from: 'postgres',
    fault: 'hole',
    ms: 10_000,
  }),
  cut({
    name: 'partition-gateway',
    what: 'nothing passes between a gateway and NATS',
    of: 'gateway',
    from: 'nats',
    fault: 'hole',
    ms: 10_000,
  }),
  cut({
    name: 'partition-worker',
    what: 'nothing passes between a worker and NATS, for less than its lease',
    of: 'worker',
    from: 'nats',
    fault: 'hole',
    ms: LIMITS.workLeaseMs / 2,
  }),
  cut({
    name: 'reset-owner',
    what: 'all connections of a scheduler to NATS are broken, and new ones refused',
    of: 'scheduler',
    from: 'nats',
    fault: 'refuse',
    ms: 6_000,
  }),
  cut({
    name: 'slow-link',
    what: '200 ms each way between a scheduler and NATS',
    of: 'scheduler',
    from: 'nats',
    fault: 'pass',
    delayMs: 200,
    ms: 10_000,
  }),
  {
    name: 'weather',
    what: 'of the messages from NATS to all programs and workers, 5 % come up to 250 ms later, behind those after them, and 5 % of requests and answers come twice, for 15 s',
    ground: PROXIES,
    load: { windowMs: 22_000, trickle: 20 },
    async inject({ cluster, random }) {
      const proxies = cluster.members.flatMap(({ natsProxies }) => natsProxies);
      for (const proxy of proxies) proxy.setWeather({ delayed: 0.05, delayMs: 250, doubled: 0.05, random });
      await delay(15_000);
      for (const proxy of proxies) proxy.setWeather(undefined);
    },
  },
  {
    name: 'finish-as-lease-ends',
    what: 'a worker is cut off from NATS for as long as its lease, and its handlers finish around its end, one each 100 ms: both it and whoever gets them next may be first',
    ground: PROXIES,
    load: { windowMs: LIMITS.workLeaseMs + 12_000 },
    async inject({ cluster, load, random }) {
      const worker = pick(cluster.workers, random);
      const at = Date.now() + 1_000;
      // Cut off once they run. Half of them are at the other worker, which is none the worse.
      const around = Array.from({ length: AROUND }, (_, i) => LIMITS.workLeaseMs + 500 + (i - AROUND / 2) * 100);
      await Promise.all(
        around.map((ms, i) => load.addMany(2, { at: at + i, timeoutMs: 2 * LIMITS.workLeaseMs }, { ms })),
      );
      await cluster.until('they run', () => around.every((_, i) => load.haveRun(cluster.runs(), at + i)));
      const cutAt = Date.now();
      worker.cut('nats', 'hole');
      await delay(LIMITS.workLeaseMs);
      worker.cut('nats', 'pass');
      // It was silent past its lease, which began with what it said last: at most its renewal's interval before.
      cluster.absent(worker, cutAt - LIMITS.workLeaseMs / 2, Date.now() + LIMITS.workerSilentMs);
    },
    async verify({ cluster, load, note }) {
      const ids = new Set(load.fires.map(({ execution }) => execution));
      const runs = Map.groupBy(cluster.runs(), ({ execution }) => execution);
      const twice = [...runs].filter(([execution, of]) => ids.has(execution) && of.length > 1);
      const both = twice.filter(([, of]) => of.filter(({ endMs }) => endMs !== undefined).length > 1);
      note(
        `${twice.length} executions ran a second time, ${both.length} of them to the end both times; each has one result`,
      );
    },
  },
];
