/**
 * Loaded into a program under test before its own code (`node --import drill.ts main.ts`): it does to the process what nobody can do from
 * outside. Without its variables it does nothing, and the program knows nothing of it.
 *
 * - SIGUSR2: an order (`Order`), in the file `CHAOS_ORDER`, is followed.
 * - `CHAOS_FAILPOINT=<point>:<before|after>:<file>`: once the file is there, the process is killed at the point.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';

import { NatsInbox, NatsWorkQueue } from '@belfry/adapter-nats';
import { PostgresCheckpointStore } from '@belfry/adapter-postgres';
import type { Shard } from '@belfry/shard';

import { hashOf, onTakeover, stateText } from './state.ts';

export type Order =
  /** The event loop stands still. */
  | { readonly do: 'block'; readonly ms: number }
  /** Checkpoints wait from now on, before they are written; `release` lets them go on. */
  | { readonly do: 'hold' | 'release' }
  /** Into the file `into`: the hashes of the states of all shards that it has taken over, by shard; of one `shard`, its state as text. */
  | { readonly do: 'tell'; readonly into: string; readonly shard?: number };

/** The port methods that a promise hangs on. */
const POINTS: { readonly [point: string]: readonly [prototype: object, method: string] } = {
  /** A gateway has, or is about to have, requests on disk; nobody was answered. A scheduler, its ownership records. */
  ack: [NatsInbox.prototype, 'append'],
  publish: [NatsWorkQueue.prototype, 'publish'],
  checkpoint: [PostgresCheckpointStore.prototype, 'commit'],
  /** Work messages of cancelled tasks that nobody has been given are taken back. */
  purge: [NatsWorkQueue.prototype, 'withdraw'],
};

const orders = process.env['CHAOS_ORDER'];
if (orders !== undefined) {
  const cores = new Map<number, WeakRef<Shard>>();
  onTakeover((core) => void cores.set(core.shard, new WeakRef(core)));
  let release: () => void = () => undefined;
  let held = Promise.resolve();
  around('checkpoint', async (commit) => {
    await held;
    return await commit();
  });
  process.on('SIGUSR2', () => {
    const order = JSON.parse(readFileSync(orders, 'utf8')) as Order;
    switch (order.do) {
      case 'block': {
        const untilMs = performance.now() + order.ms;
        while (performance.now() < untilMs);
        break;
      }
      case 'hold':
        held = new Promise((resolve) => (release = resolve));
        break;
      case 'release':
        release();
        break;
      case 'tell':
        tell(order, cores);
        break;
    }
  });
}

function tell({ into, shard }: Extract<Order, { do: 'tell' }>, cores: ReadonlyMap<number, WeakRef<Shard>>): void {
  const textOf = (of: number): string => {
    const core = cores.get(of)?.deref();
    return core === undefined ? '' : stateText(core);
  };
  const told =
    shard === undefined ? Object.fromEntries([...cores.keys()].map((of) => [of, hashOf(textOf(of))])) : textOf(shard);
  writeFileSync(`${into}.part`, JSON.stringify(told));
  renameSync(`${into}.part`, into);
}

const failpoint = process.env['CHAOS_FAILPOINT'];
if (failpoint !== undefined) arm(...(failpoint.split(':') as [string, string, string]));

function arm(point: string, when: string, file: string): void {
  around(point, async (act) => {
    const armed = existsSync(file);
    if (armed && when === 'before') process.kill(process.pid, 'SIGKILL');
    const result = await act();
    if (armed) process.kill(process.pid, 'SIGKILL');
    return result;
  });
}

function around(point: string, does: (act: () => Promise<unknown>) => Promise<unknown>): void {
  const [prototype, method] = POINTS[point] as readonly [object, string];
  const methods = prototype as { [name: string]: (...args: unknown[]) => Promise<unknown> };
  const original = methods[method] as (...args: unknown[]) => Promise<unknown>;
  methods[method] = async function (this: unknown, ...args) {
    return await does(() => original.apply(this, args));
  };
}
