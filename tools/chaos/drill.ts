/**
 * Loaded into a program or a worker under test before its own code (`node --import drill.ts main.ts`): it does to the process what nobody can
 * do from outside. At SIGUSR2, an order (`Order`) in the file `CHAOS_ORDER` is followed. Without that variable it does nothing, and the
 * program knows nothing of it.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';

import { PostgresCheckpointStore } from '@belfry/adapter-postgres';
import type { Shard } from '@belfry/shard';

import { MOMENTS, type About, type Moment, type Place } from './moments.ts';
import { hashOf, onTakeover, stateText } from './state.ts';

export type Order =
  /** The event loop stands still. */
  | { readonly do: 'block'; readonly ms: number }
  /** Checkpoints wait from now on, before they are written; `release` lets them go on. */
  | { readonly do: 'hold' | 'release' }
  /** The next time that it comes to this moment, and it is not about `unless`, the process is killed; a `Death` stands in the file `into` then. */
  | { readonly do: 'die'; readonly at: Moment; readonly unless?: string; readonly into: string }
  /** Into the file `into`: the hashes of the states of all shards that it has taken over, by shard; of one `shard`, its state as text. */
  | { readonly do: 'tell'; readonly into: string; readonly shard?: number };

/** What a process leaves that was killed at a moment. */
export interface Death {
  /** Since 1970. */
  readonly atMs: number;
  readonly about: About;
}

const orders = process.env['CHAOS_ORDER'];
if (orders !== undefined) {
  const cores = new Map<number, WeakRef<Shard>>();
  onTakeover((core) => void cores.set(core.shard, new WeakRef(core)));
  let release: () => void = () => undefined;
  let held = Promise.resolve();
  around(PostgresCheckpointStore.prototype, 'commit', async (commit) => {
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
      case 'die':
        die(order);
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

function die({ at, unless, into }: Extract<Order, { do: 'die' }>): void {
  const { prototype, method, when, about }: Place = MOMENTS[at];
  const end = (of: About | undefined): void => {
    if (of === undefined || (unless !== undefined && of.includes(unless))) return;
    writeFileSync(into, JSON.stringify({ atMs: Date.now(), about: of } satisfies Death));
    process.kill(process.pid, 'SIGKILL');
  };
  around(prototype, method, (act, call) => {
    if (when === 'before') end(about(call));
    const result = act();
    if (when === 'before') return result;
    if (result instanceof Promise) return result.then((value: unknown) => (end(about(call, value)), value));
    end(about(call, result));
    return result;
  });
}

interface Call {
  readonly on: unknown;
  readonly args: readonly unknown[];
}

function around(prototype: object, method: string, does: (act: () => unknown, call: Call) => unknown): void {
  const methods = prototype as { [name: string]: (...args: unknown[]) => unknown };
  const original = methods[method] as (...args: unknown[]) => unknown;
  methods[method] = function (this: unknown, ...args) {
    return does(() => original.apply(this, args), { on: this, args });
  };
}
