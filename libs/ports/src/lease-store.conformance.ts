import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Lease, LeaseStore, Placement, PlacementStore } from './lease-store.ts';
import type { Outcome } from './outcome.ts';

export interface LeaseStoreHarness {
  readonly store: LeaseStore;
  /** Resolves when what was held and not renewed has expired. */
  expire(name: string): Promise<void>;
  dispose(): Promise<void>;
}

function value<T>(outcome: Outcome<T, string>): T {
  if (outcome.kind !== 'ok') throw new Error(JSON.stringify(outcome));
  return outcome.value;
}

/** What every lease store does. `make` gives an empty one with the shortest TTL it knows. */
export function leaseStoreConformance(name: string, make: () => Promise<LeaseStoreHarness>): void {
  describe(`lease store: ${name}`, () => {
    let harness: LeaseStoreHarness;
    let store: LeaseStore;
    beforeEach(async () => {
      harness = await make();
      store = harness.store;
    });
    afterEach(() => harness.dispose());

    const acquire = async (holder: string): Promise<Lease> => value(await store.acquire('leader', holder));

    it('is held by one', async () => {
      const lease = await acquire('a');
      expect(lease).toMatchObject({ holder: 'a' });
      expect(await store.acquire('leader', 'b')).toEqual({ kind: 'refused', reason: 'held' });
      expect(await store.acquire('other', 'b')).toMatchObject({ kind: 'ok' });
    });

    it('is won by one of many that ask at the same time', async () => {
      const outcomes = await Promise.all(
        ['a', 'b', 'c', 'd', 'e', 'f'].map((holder) => store.acquire('leader', holder)),
      );
      expect(outcomes.filter(({ kind }) => kind === 'ok').length).toBe(1);
    });

    it('keeps its term through renewals, and takes the latest revision only', async () => {
      const first = await acquire('a');
      const second = value(await store.renew('leader', first));
      expect(second.term).toBe(first.term);
      const third = value(await store.renew('leader', second));
      expect(third.term).toBe(first.term);
      expect(await store.acquire('leader', 'b')).toEqual({ kind: 'refused', reason: 'held' });
    });

    it('is renewed by its holder even if the last renewal was not heard of', async () => {
      const first = await acquire('a');
      value(await store.renew('leader', first));
      expect(value(await store.renew('leader', first)).term).toBe(first.term);
    });

    it('goes to somebody else when released, with a higher term', async () => {
      const first = await acquire('a');
      await store.release('leader', first);
      const second = await acquire('b');
      expect(second.term).toBeGreaterThan(first.term);
      expect(await store.renew('leader', first)).toEqual({ kind: 'refused', reason: 'lost' });
      await store.release('leader', first);
      expect(await store.acquire('leader', 'c')).toEqual({ kind: 'refused', reason: 'held' });
    });

    it('gives a holder that asks anew a new term, and the old one is lost', async () => {
      const first = await acquire('a');
      const second = await acquire('a');
      expect(second.term).toBeGreaterThan(first.term);
      expect(await store.renew('leader', first)).toEqual({ kind: 'refused', reason: 'lost' });
      expect(await store.renew('leader', second)).toMatchObject({ kind: 'ok' });
    });

    it('is read by everybody', async () => {
      expect(value(await store.read('leader'))).toBeUndefined();
      const first = await acquire('a');
      const second = value(await store.renew('leader', first));
      expect(value(await store.read('leader'))).toMatchObject({ holder: 'a', term: second.term });
      await store.release('leader', second);
      expect(value(await store.read('leader'))).toBeUndefined();
    });

    it('is taken from a holder that is silent, by its term and with a higher one', async () => {
      const first = value(await store.renew('leader', await acquire('a')));
      expect(await store.acquire('leader', 'b', first.term + 1)).toEqual({ kind: 'refused', reason: 'held' });
      const second = value(await store.acquire('leader', 'b', first.term));
      expect(second.term).toBeGreaterThan(first.term);
      expect(await store.renew('leader', first)).toEqual({ kind: 'refused', reason: 'lost' });
      expect(await store.acquire('leader', 'c', first.term)).toEqual({ kind: 'refused', reason: 'held' });
      expect(await store.renew('leader', second)).toMatchObject({ kind: 'ok' });
    });

    it('is taken from a silent holder by one of many', async () => {
      const first = await acquire('a');
      const outcomes = await Promise.all(['b', 'c', 'd', 'e'].map((it) => store.acquire('leader', it, first.term)));
      expect(outcomes.filter(({ kind }) => kind === 'ok').length).toBe(1);
    });

    it('expires when it is not renewed, also after renewals, and the next term is higher', async () => {
      const first = value(await store.renew('leader', await acquire('a')));
      await harness.expire('leader');
      const second = await acquire('b');
      expect(second.term).toBeGreaterThan(first.term);
      expect(await store.renew('leader', first)).toEqual({ kind: 'refused', reason: 'lost' });
    });
  });
}

export interface PlacementStoreHarness {
  readonly store: PlacementStore;
  dispose(): Promise<void>;
}

const placement = (term: number, version: number): Placement => ({
  term,
  version,
  nodes: ['n1', 'n2'],
  assignment: [0, 1, 0, 1],
});

/** What every placement store does. `make` gives an empty one. */
export function placementStoreConformance(name: string, make: () => Promise<PlacementStoreHarness>): void {
  describe(`placement store: ${name}`, () => {
    let harness: PlacementStoreHarness;
    let store: PlacementStore;
    beforeEach(async () => {
      harness = await make();
      store = harness.store;
    });
    afterEach(() => harness.dispose());

    it('has nothing at first, then what was written', async () => {
      expect(await store.read()).toBeUndefined();
      expect(await store.write(placement(1, 1))).toMatchObject({ kind: 'ok' });
      expect(await store.read()).toEqual(placement(1, 1));
    });

    it('takes later placements only', async () => {
      value(await store.write(placement(2, 5)));
      const stale = { kind: 'refused', reason: 'stale' };
      expect(await store.write(placement(2, 4))).toEqual(stale);
      expect(await store.write(placement(1, 9))).toEqual(stale);
      expect(await store.write(placement(2, 6))).toMatchObject({ kind: 'ok' });
      expect(await store.write(placement(3, 1))).toMatchObject({ kind: 'ok' });
      expect(await store.read()).toEqual(placement(3, 1));
    });

    it('tells a watcher what is there, then what comes, in order', async () => {
      value(await store.write(placement(1, 1)));
      const seen: Placement[] = [];
      let arrived: (p: Placement) => void = () => undefined;
      const until = (term: number, version: number): Promise<void> =>
        new Promise((resolve) => {
          arrived = (p) => {
            if (p.term === term && p.version === version) resolve();
          };
        });
      const first = until(1, 1);
      const watching = await store.watch((p) => {
        seen.push(p);
        arrived(p);
      });
      await first;
      const last = until(2, 1);
      for (const next of [placement(1, 2), placement(1, 3), placement(2, 1)]) value(await store.write(next));
      await last;
      await watching.stop();
      const order = seen.map(({ term, version }) => term * 100 + version);
      expect(order).toEqual([...order].sort((a, b) => a - b));
      value(await store.write(placement(3, 1)));
      expect(await store.read()).toEqual(placement(3, 1));
      expect(seen.at(-1)).toEqual(placement(2, 1));
    });
  });
}
