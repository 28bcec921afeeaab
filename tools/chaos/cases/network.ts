import { setTimeout as delay } from 'node:timers/promises';

import type { Member } from '../cluster.ts';
import type { Fault } from '../proxy.ts';
import { pick } from '../random.ts';
import type { ChaosCase } from '../scene.ts';

const PROXIES = { proxies: true } as const;

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
    ms: 4_000,
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
];
