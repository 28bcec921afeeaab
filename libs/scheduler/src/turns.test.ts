import { describe, expect, it } from 'vitest';
import { Turns } from './turns.ts';

/** Shards that take some time each, and note that they had their turn. */
function shards(count: number, tookMs: number, leaving: readonly number[] = []) {
  let elapsedMs = 0;
  const had: number[] = [];
  const turns = new Turns({ now: () => 0, monotonic: () => elapsedMs });
  const hosts = Array.from({ length: count }, (_, shard) => ({
    leaving: leaving.includes(shard),
    core: {
      advance: () => {
        had.push(shard);
        elapsedMs += tookMs;
        return false;
      },
    },
  }));
  const tick = () => {
    had.length = 0;
    turns.take(hosts, 0, (_host, act) => act());
    return [...had];
  };
  return { tick, hosts };
}

describe('the turns of shards', () => {
  it('are one for each in a tick', () => {
    const { tick } = shards(3, 1, [1]);
    expect([tick(), tick()]).toEqual([
      [0, 2],
      [0, 2],
    ]);
  });

  it('go on in the next tick where one took too long', () => {
    const { tick, hosts } = shards(5, 6);
    expect([tick(), tick(), tick()]).toEqual([
      [0, 1],
      [2, 3],
      [4, 0],
    ]);
    hosts.length = 1;
    expect(tick()).toEqual([0]);
  });

  it('come to each shard, however long one takes', () => {
    const { tick } = shards(2, 1_000);
    expect([tick(), tick(), tick()]).toEqual([[0], [1], [0]]);
  });
});
