import { LIMITS } from '@belfry/protocol';
import { beforeEach, describe, expect, it } from 'vitest';

import { LeaseWatch, type LeasedQueue } from './lease-watch.ts';

const SHORT = LIMITS.workLeaseMs;
const LONG = LIMITS.ackWaitMs;
/** Seconds for which a lease is watched before it is shortened. */
const KEPT = LIMITS.leaseKeptMs / 1_000;

let watch: LeaseWatch;
let now: number;

beforeEach(() => {
  now = 1_000_000;
  watch = new LeaseWatch(now);
});

function mail(leaseMs: number): LeasedQueue {
  return { namespace: 'acme', queue: 'mail', leaseMs };
}

function beat(leaseMs?: number): object {
  return { worker: 'w', queues: ['mail'], ...(leaseMs === undefined ? {} : { leaseMs }) };
}

/** Seconds pass; in each the workers are heard, and the queue is looked at. Returns what was changed, and after how many seconds. */
function pass(seconds: number, leaseMs: number, ...beats: object[]): readonly [number, number][] {
  const changes: [number, number][] = [];
  for (let second = 1; second <= seconds; second++) {
    now += 1_000;
    for (const one of beats) watch.heard('acme', one, now);
    for (const change of watch.look([mail(leaseMs)], now)) changes.push([second, change.leaseMs]);
  }
  return changes;
}

describe('the leases of a queue', () => {
  it('are shortened when no worker relies on more, and none can have been overheard', () => {
    const [first] = pass(KEPT + 10, LONG, beat(SHORT));
    expect(first).toEqual([KEPT + 3, SHORT]);
  });

  it('stay as they are while a worker is heard that does not say which it relies on', () => {
    expect(pass(KEPT + 10, LONG, beat(SHORT), beat())).toEqual([]);
    const [first] = pass(KEPT + 10, LONG, beat(SHORT));
    expect(first?.[0]).toBeGreaterThan(KEPT);
  });

  it('stay as they are while such a worker stands still, which takes work as soon as it is back', () => {
    pass(KEPT + 1, LONG, beat(SHORT), beat());
    expect(pass(3 * (LONG / 1_000), LONG, beat(SHORT))).toEqual([]);
    expect(pass(KEPT, LONG, beat(SHORT), beat())).toEqual([]);
  });

  it('are lengthened at once for a worker that relies on more', () => {
    expect(pass(1, SHORT, beat(SHORT), beat(60_000))).toEqual([[1, 60_000]]);
    expect(pass(1, SHORT, beat(SHORT), beat())).toEqual([[1, 60_000]]);
  });

  it('are not shortened just after they were lengthened: who asked for that has yet to be heard', () => {
    expect(pass(KEPT + 10, SHORT, beat(SHORT))).toEqual([]);
    expect(pass(KEPT, LONG, beat(SHORT))).toEqual([]);
  });

  it('are not shortened just after the workers could not be heard: one that relies on more may have yet to be', () => {
    expect(pass(KEPT - 10, LONG, beat(SHORT))).toEqual([]);
    expect(pass(20, LONG)).toEqual([]); // cut off, or standing still
    expect(pass(KEPT, LONG, beat(SHORT))).toEqual([]);
    expect(pass(3, LONG, beat(SHORT))[0]?.[1]).toBe(SHORT);
  });

  it('are nobody’s business while no worker is heard', () => {
    expect(pass(KEPT + 10, LONG)).toEqual([]);
    expect(pass(KEPT + 10, SHORT)).toEqual([]);
  });

  it('are not changed by what is no heartbeat, or no lease', () => {
    for (const odd of [undefined, 7, {}, { queues: 'mail' }, { queues: [7, 'a.b'] }]) watch.heard('acme', odd, now);
    expect(pass(KEPT + 10, LONG)).toEqual([]);
    for (const odd of [0, -1, 1.5, '8000', LIMITS.workLeaseMaxMs + 1, LIMITS.workLeaseMinMs - 1])
      watch.heard('acme', { queues: ['mail'], leaseMs: odd }, now);
    expect(watch.look([mail(SHORT)], now)).toEqual([mail(LONG)]); // as of a worker that says nothing
  });
});
