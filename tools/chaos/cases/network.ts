import { setTimeout as delay } from 'node:timers/promises';

import { LIMITS } from '@belfry/protocol';
import { Belfry, BelfryError } from '@belfry/sdk';

import type { Member } from '../member.ts';
import type { Fault } from '../proxy.ts';
import { pick } from '../random.ts';
import type { ChaosCase, Scene } from '../scene.ts';

const PROXIES = { proxies: true } as const;
/** Lists that are asked for while a gateway is cut off. */
const LISTS = 20;
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
  /** Goes on while it is cut off. */
  readonly meanwhile?: (scene: Scene) => Promise<void>;
}

function cut({ name, what, of, from, fault, delayMs, ms, meanwhile }: Cut): ChaosCase {
  return {
    name,
    what: `${what}, for ${ms / 1_000} s`,
    ground: PROXIES,
    load: { windowMs: ms + 10_000 },
    async inject(scene) {
      const { cluster, random, blame } = scene;
      const candidates = { scheduler: cluster.schedulers, gateway: cluster.gateways, worker: cluster.workers }[of];
      const member: Member = pick(candidates, random);
      member.cut(from, fault, delayMs);
      await Promise.all([delay(ms), meanwhile?.(scene)]);
      const lack = member.cutLacks(from, fault, delayMs);
      if (lack !== undefined) blame(`${member.name} was not cut off: ${lack}`);
      member.cut(from, 'pass');
    },
  };
}

/** What gateways read of Postgres: some of it goes to the one that cannot. All of it is answered, or refused with an error that has a type. */
async function listed({ cluster, measured, note, blame }: Scene): Promise<void> {
  await using client = new Belfry({ url: cluster.natsUrl });
  let refused = 0;
  const list = async (): Promise<void> => {
    const startMs = performance.now();
    try {
      await client.list({ limit: 1 });
    } catch (error) {
      refused++;
      if (!(error instanceof BelfryError)) blame(`a list ended with an error of no known type: ${String(error)}`);
    }
    measured('the slowest list had its answer after', performance.now() - startMs);
  };
  await Promise.all(Array.from({ length: LISTS }, list));
  note(`${refused} of ${LISTS} lists were refused`);
}

const NATS_CUTS: readonly Omit<Cut, 'from'>[] = [
  {
    name: 'partition-owner',
    what: 'nothing passes between a scheduler and NATS, as by a cut cable (half-open TCP)',
    of: 'scheduler',
    fault: 'hole',
    ms: 10_000,
  },
  {
    name: 'partition-owner-deaf',
    what: 'a scheduler is heard by NATS and hears nothing of it',
    of: 'scheduler',
    fault: 'deaf',
    ms: 20_000,
  },
  {
    name: 'partition-owner-mute',
    what: 'a scheduler hears NATS, and nothing that it says arrives',
    of: 'scheduler',
    fault: 'mute',
    ms: 10_000,
  },
  {
    name: 'partition-gateway',
    what: 'nothing passes between a gateway and NATS',
    of: 'gateway',
    fault: 'hole',
    ms: 10_000,
  },
  {
    name: 'partition-gateway-deaf',
    what: 'a gateway is heard by NATS and hears nothing of it',
    of: 'gateway',
    fault: 'deaf',
    ms: 20_000,
  },
  {
    name: 'partition-gateway-mute',
    what: 'a gateway hears NATS, requests too, and nothing that it says arrives',
    of: 'gateway',
    fault: 'mute',
    ms: 10_000,
  },
  {
    name: 'partition-worker',
    what: 'nothing passes between a worker and NATS, for less than its lease',
    of: 'worker',
    fault: 'hole',
    ms: LIMITS.workLeaseMs / 2,
  },
  {
    name: 'partition-worker-deaf',
    what: 'a worker is heard by NATS and hears nothing of it: what it asked for is given to nobody',
    of: 'worker',
    fault: 'deaf',
    ms: 2 * LIMITS.workLeaseMs,
  },
  {
    name: 'partition-worker-mute',
    what: 'a worker hears NATS, and nothing that it says arrives, for less than its lease',
    of: 'worker',
    fault: 'mute',
    ms: LIMITS.workLeaseMs / 2,
  },
  {
    name: 'reset-owner',
    what: 'all connections of a scheduler to NATS are broken, and new ones refused',
    of: 'scheduler',
    fault: 'refuse',
    ms: 6_000,
  },
  {
    name: 'slow-link',
    what: '200 ms each way between a scheduler and NATS',
    of: 'scheduler',
    fault: 'pass',
    delayMs: 200,
    ms: 10_000,
  },
];

const POSTGRES_CUTS: readonly Omit<Cut, 'from'>[] = [
  {
    name: 'partition-owner-postgres',
    what: 'nothing passes between a scheduler and Postgres',
    of: 'scheduler',
    fault: 'hole',
    ms: 10_000,
  },
  {
    name: 'partition-owner-postgres-deaf',
    what: 'what a scheduler writes to Postgres is done there, and it hears nothing of it: the fate of its checkpoints is unknown',
    of: 'scheduler',
    fault: 'deaf',
    ms: 20_000,
  },
  {
    name: 'partition-owner-postgres-mute',
    what: 'a scheduler hears Postgres, and nothing that it says arrives',
    of: 'scheduler',
    fault: 'mute',
    ms: 20_000,
  },
  {
    name: 'partition-gateway-postgres',
    what: 'nothing passes between a gateway and Postgres, while tasks are listed',
    of: 'gateway',
    fault: 'hole',
    ms: 10_000,
    meanwhile: listed,
  },
  {
    name: 'partition-gateway-postgres-deaf',
    what: 'a gateway is heard by Postgres and hears nothing of it, while tasks are listed',
    of: 'gateway',
    fault: 'deaf',
    ms: 10_000,
    meanwhile: listed,
  },
];

export const NETWORK: readonly ChaosCase[] = [
  ...NATS_CUTS.map((one) => cut({ ...one, from: 'nats' })),
  ...POSTGRES_CUTS.map((one) => cut({ ...one, from: 'postgres' })),
  {
    name: 'weather',
    what: 'of the messages from NATS to all programs and workers, 5 % come up to 250 ms later, behind those after them, and 5 % of requests and answers come twice, for 15 s',
    ground: PROXIES,
    load: { windowMs: 22_000, trickle: 20 },
    async inject({ cluster, random, blame }) {
      const proxies = cluster.members.flatMap(({ natsProxies }) => natsProxies);
      for (const proxy of proxies) proxy.setWeather({ delayed: 0.05, delayMs: 250, doubled: 0.05, random });
      await delay(15_000);
      if (!proxies.some(({ effect }) => effect.delayed > 0)) blame('no message was delayed or doubled');
      for (const proxy of proxies) proxy.setWeather(undefined);
    },
  },
  {
    name: 'finish-as-lease-ends',
    what: 'a worker is cut off from NATS for as long as its lease, and its handlers finish around its end, one each 100 ms: both it and whoever gets them next may be first',
    ground: PROXIES,
    load: { windowMs: LIMITS.workLeaseMs + 12_000 },
    async inject({ cluster, load, random, blame }) {
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
      const lack = worker.cutLacks('nats', 'hole');
      if (lack !== undefined) blame(`${worker.name} was not cut off: ${lack}`);
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
