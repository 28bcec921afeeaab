import { LIMITS } from '@belfry/protocol';
import { roundTripSample } from '@belfry/timing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { ClockWatch } from './clock-watch.ts';
import { ProcessClock } from './clock.ts';
import { Metrics } from './metrics.ts';
import { nodeHeartbeat } from './supervisor-role.ts';

const T0 = 1_790_000_000_000;

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] }));
afterEach(() => vi.useRealTimers());

/** A node among other clocks, each off by so many ms; undefined: away. */
function world() {
  let elapsedMs = 0;
  const off: { own: number; postgres: number | undefined; broker: number | undefined } = {
    own: 0,
    postgres: 0,
    broker: 0,
  };
  const machine = { wall: () => T0 + elapsedMs + off.own, monotonic: () => elapsedMs };
  const clock = new ProcessClock({ machine });
  const away = (): Promise<never> => Promise.reject(new Error('away'));
  const log = { info: vi.fn(), warn: vi.fn(), error: vi.fn() };
  const metrics = new Metrics();
  let hear: (body: Uint8Array) => void = () => undefined;
  const messenger = { listen: (_subject: string, handler: typeof hear) => ((hear = handler), () => undefined) };
  const skew = async () =>
    off.postgres === undefined
      ? await away()
      : roundTripSample(machine.wall(), machine.wall() + 2, T0 + elapsedMs + off.postgres);
  const watch = new ClockWatch({
    clock,
    node: 'own',
    platform: { messenger, postgres: { skew } } as never,
    metrics,
    log,
    askBroker: () => (off.broker === undefined ? away() : Promise.resolve(T0 + elapsedMs + off.broker)),
  });
  const shards = { owned: true };
  const changes: boolean[] = [];
  watch.onFitness({
    changed: () => {
      changes.push(watch.isFit);
      shards.owned = watch.isFit;
    },
    ownsShards: () => Promise.resolve(shards.owned),
  });
  return {
    off,
    clock,
    watch,
    log,
    changes,
    peer: (node: string, offMs: number) =>
      hear(new TextEncoder().encode(nodeHeartbeat(node, [], false, T0 + elapsedMs + offMs))),
    seconds: async (count: number) => {
      for (let n = 0; n < count; n++) {
        elapsedMs += LIMITS.clockRoundMs;
        await vi.advanceTimersByTimeAsync(LIMITS.clockRoundMs);
      }
    },
    gauges: async () => {
      const lines = (await metrics.registry.metrics()).split('\n');
      return lines.filter((line) => /^belfry_clock_(skew|unfit)/.test(line)).map((line) => line.split(' ')[1]);
    },
  };
}

describe('the watch of the clock', () => {
  it('leaves a node alone whose clock is right, also while Postgres is an hour off', async () => {
    const node = world();
    await node.watch.start();
    expect(node.watch.status()).toMatchObject({ state: 'calm', sources: { postgres: {}, broker: {} } });
    node.off.postgres = 3_600_000;
    await node.seconds(20);
    expect(node.watch.status()).toMatchObject({ state: 'calm' });
    expect(node.changes).toEqual([]);
    node.watch.stop();
  });

  it('alerts above 1 s, and takes the node out above 5 s, once, after three looks in a row', async () => {
    const node = world();
    await node.watch.start();
    node.off.postgres = node.off.broker = -1_500;
    await node.seconds(6);
    expect(await node.gauges()).toEqual(['1.5', '1', '0']);
    node.off.postgres = node.off.broker = -7_000;
    await node.seconds(2);
    expect(node.watch.isFit).toBe(true);
    await node.seconds(4);
    expect(node.watch.trouble()).toBe("this node's clock is 7.0 s ahead");
    expect(await node.gauges()).toEqual(['7', '1', '1']);
    node.off.postgres = node.off.broker = -3_000; // better, and not healthy
    await node.seconds(10);
    expect(node.watch.isFit).toBe(false);
    node.off.postgres = node.off.broker = -100;
    await node.seconds(6);
    expect(node.watch.status()).toMatchObject({ state: 'calm' });
    expect(node.changes).toEqual([false, true]);
    expect(node.log.warn.mock.calls.map(([message]) => message as string)).toEqual([
      'the clock is off',
      'the clock is off',
    ]);
    expect(node.log.info.mock.calls.map(([message]) => message as string)).toEqual([
      'the clock agrees with the others again',
      'the clock is right: this node takes shards and tasks again',
    ]);
    node.watch.stop();
  });

  it('does not let a node begin with a wrong clock', async () => {
    const node = world();
    node.off.postgres = node.off.broker = 9_000;
    await node.watch.start();
    expect(node.watch.trouble()).toBe("this node's clock is 9.0 s behind");
    node.watch.stop();
  });

  it('asks its peers too, and goes on without servers that are away', async () => {
    const node = world();
    await node.watch.start();
    node.off.postgres = node.off.broker = undefined;
    for (let second = 0; second < 15; second++) {
      for (const peer of ['a', 'b', 'c']) node.peer(peer, peer === 'a' ? 20_000 : 2_000);
      await node.seconds(1);
    }
    expect(node.watch.status()).toMatchObject({ state: 'alert', skewMs: -2_000 });
    await node.seconds(15); // nobody is heard any more: nothing changes
    expect(node.watch.status()).toMatchObject({ state: 'alert', sources: {} });
    node.watch.stop();
  });

  it('begins anew at the wall clock that was set back far, once it owns no shards', async () => {
    const node = world();
    node.off.own = 3_600_000;
    node.off.postgres = node.off.broker = 3_600_000; // all were wrong
    await node.watch.start();
    await node.seconds(2);
    node.off.own = node.off.postgres = node.off.broker = 0;
    const held = node.clock.now();
    expect(node.clock.isHeld()).toBe(true);
    await node.seconds(1);
    expect(node.changes).toEqual([false, true]); // it gave up its shards, and takes them again
    expect(node.clock.isHeld()).toBe(false);
    expect(node.clock.now()).toBeLessThan(held - 3_000_000);
    node.watch.stop();
  });

  it('waits out a small step back with its shards', async () => {
    const node = world();
    await node.watch.start();
    node.off.own = -3_000;
    node.off.postgres = node.off.broker = -3_000;
    await node.seconds(2);
    expect(node.clock.isHeld()).toBe(true);
    await node.seconds(2);
    expect(node.clock.isHeld()).toBe(false);
    expect(node.changes).toEqual([]);
    node.watch.stop();
  });

  it('does not follow a clock that is set an hour ahead: nothing is early until the node is out', async () => {
    const node = world();
    await node.watch.start();
    await node.seconds(3);
    node.off.own = 3_600_000;
    for (let second = 0; second < 6; second++) {
      await node.seconds(1);
      expect(node.clock.now()).toBeLessThanOrEqual(node.clock.wall() - 3_600_000);
    }
    expect(node.changes).toEqual([false]);
    node.off.own = 0;
    await node.seconds(1);
    expect(node.clock.isHeld()).toBe(false); // it never went ahead, so there is nothing to wait for
    expect(node.clock.wall() - node.clock.now()).toBeLessThanOrEqual(50);
    await node.seconds(5);
    expect(node.changes).toEqual([false, true]);
    node.watch.stop();
  });

  it('does not follow a clock that is set 1 s ahead: its node is told of, goes on, and fires nothing early', async () => {
    const node = world();
    await node.watch.start();
    await node.seconds(3);
    node.off.own = 1_000;
    await node.seconds(10);
    expect(node.clock.now()).toBeLessThanOrEqual(node.clock.wall() - 1_000);
    node.off.own = 0;
    await node.seconds(1);
    expect(node.clock.isHeld()).toBe(false);
    expect(node.changes).toEqual([]);
    node.watch.stop();
  });

  it('follows a step forward that the others confirm: the machine has slept', async () => {
    const node = world();
    await node.watch.start();
    await node.seconds(3);
    node.off.own = node.off.postgres = node.off.broker = 600_000;
    await node.seconds(3);
    expect(node.clock.now()).toBe(node.clock.wall());
    expect(node.changes).toEqual([]);
    node.watch.stop();
  });

  it('follows it when there is nobody to ask', async () => {
    const node = world();
    node.off.postgres = node.off.broker = undefined;
    await node.watch.start();
    await node.seconds(1);
    node.off.own = 600_000;
    await node.seconds(LIMITS.clockSourceMs / 1_000 - 1);
    expect(node.clock.now()).toBeLessThan(node.clock.wall() - 599_000);
    await node.seconds(3);
    expect(node.clock.now()).toBe(node.clock.wall());
    node.watch.stop();
  });
});
