import { LIMITS } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';
import { Workers } from './workers.ts';

const beat = (worker: string, capacity: number, running: number, more: object = {}): object => ({
  worker,
  queues: ['default'],
  capacity,
  running: Array.from({ length: running }, (_, at) => `e${at}`),
  ...more,
});

describe('workers', () => {
  it('are summed up as they last told, each namespace with its own', () => {
    const workers = new Workers();
    workers.heartbeat('shop', beat('w1', 4, 1), 0);
    workers.heartbeat('mail', beat('w1', 2, 0), 0);
    workers.heartbeat('shop', beat('w1', 8, 3), 1_000);
    expect(workers.sums(1_000)).toEqual({ count: 2, slots: 10, running: 3 });
  });

  it('have no slots while they stop, and are gone after their silence', () => {
    const workers = new Workers();
    workers.heartbeat('shop', beat('w1', 4, 2), 0);
    workers.heartbeat('shop', beat('w2', 4, 2, { stopping: true }), 1);
    expect(workers.sums(LIMITS.workerSilentMs)).toEqual({ count: 2, slots: 4, running: 4 });
    expect(workers.sums(LIMITS.workerSilentMs + 1)).toEqual({ count: 1, slots: 0, running: 2 });
    expect(workers.sums(LIMITS.workerSilentMs + 2)).toEqual({ count: 0, slots: 0, running: 0 });
  });

  it('are no more than the limit, and what is no heartbeat is none of them', () => {
    const workers = new Workers();
    for (let at = 0; at < LIMITS.workers; at++) expect(workers.heartbeat('shop', beat(`w${at}`, 1, 0), 0)).toBe(true);
    expect(workers.heartbeat('shop', beat('more', 1, 0), 0)).toBe(false);
    expect(workers.heartbeat('shop', beat('w0', 1, 1), 0)).toBe(true);
    for (const wrong of [
      1,
      {},
      { worker: 'w', capacity: -1, running: [] },
      { worker: 'a b', capacity: 1, running: [] },
    ])
      expect(workers.heartbeat('shop', wrong, 0)).toBe(false);
    expect(workers.sums(0)).toEqual({ count: LIMITS.workers, slots: LIMITS.workers, running: 1 });
  });
});
