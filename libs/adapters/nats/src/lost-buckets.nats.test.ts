import type { Lease, Outcome, Placement } from '@belfry/ports';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { jsApi } from './api.ts';
import { bucketStream } from './buckets.ts';
import { NatsLeaseStore } from './lease-store.ts';
import { NatsPlacementStore } from './placement-store.ts';
import { ensureStreams } from './streams.ts';
import { testInstallation, testNatsUrl, type TestInstallation } from './testing.ts';

const SMALL = { inboxBytes: 1_000_000, ingestBytes: 1_000_000, rejectedBytes: 1_000_000 };

let test: TestInstallation;
beforeEach(async () => {
  test = await testInstallation(testNatsUrl());
  await ensureStreams(test.link, test.names, SMALL);
});
afterEach(() => test.dispose());

const lose = (bucket: string): Promise<unknown> => jsApi(test.link, `STREAM.DELETE.${bucketStream(bucket)}`);

function value<T>(outcome: Outcome<T, string>): T {
  if (outcome.kind !== 'ok') throw new Error(JSON.stringify(outcome));
  return outcome.value;
}

describe('a bucket of leases that was deleted', () => {
  it('is made anew by whoever asks: the holder has lost, and the next term is higher', async () => {
    const store = new NatsLeaseStore(test.link, test);
    const first: Lease = value(await store.acquire('leader', 'a'));
    await lose(test.names.buckets.leases);
    expect(await store.renew('leader', first)).toEqual({ kind: 'refused', reason: 'lost' });
    const second = value(await store.acquire('leader', 'b'));
    expect(second.term).toBeGreaterThan(first.term);
    expect(value(await store.renew('leader', second)).term).toBe(second.term);
    store.close();
  });
});

describe('a bucket of placements that was deleted', () => {
  it('is made anew by the next placement, and watchers see that', async () => {
    const store = new NatsPlacementStore(test.link, test);
    const placement = (version: number): Placement => ({ term: 7, version, nodes: ['a'], assignment: [0, 0] });
    value(await store.write(placement(1)));
    const seen: number[] = [];
    const watching = await store.watch(({ version }) => void seen.push(version));
    await expect.poll(() => seen).toEqual([1]);
    await lose(test.names.buckets.placement);
    expect(await store.read()).toBeUndefined();
    value(await store.write(placement(2)));
    expect(await store.read()).toEqual(placement(2));
    await expect.poll(() => seen, { timeout: 30_000 }).toEqual([1, 2]);
    await watching.stop();
    store.close();
  });
});
