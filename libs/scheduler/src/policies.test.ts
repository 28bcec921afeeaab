import { LIMITS } from '@belfry/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Allowance } from './allowance.ts';
import { SHARDS, testCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => vi.useRealTimers());

const HOUR = 3_600_000;

describe('precision', () => {
  it('decides at which instant a fire is dispatched: at once, or on the grid of its tier, and never early', async () => {
    await cluster.startOwner();
    await cluster.worker('w', 100);
    const dueMs = { high: 1_033, normal: 1_033, low: 1_033, grid: 1_100 };
    const works = {
      high: await cluster.create(0, 'high', dueMs.high, { precision: 'high' }),
      normal: await cluster.create(0, 'normal', dueMs.normal, { precision: 'normal' }),
      low: await cluster.create(0, 'low', dueMs.low, { precision: 'low' }),
      grid: await cluster.create(1, 'grid', dueMs.grid, { precision: 'normal' }),
    };
    const seen = new Map<string, number>();
    for (; cluster.elapsedMs < 2_100; await cluster.pass(1)) {
      for (const work of await cluster.inStream()) if (!seen.has(work)) seen.set(work, cluster.elapsedMs);
    }
    const at = Object.entries(works).map(([name, execution]) => [name, (seen.get(`${execution}.1`) ?? 0) - 1_000]);
    expect(Object.fromEntries(at)).toEqual({ high: 33, normal: 100, low: 1_000, grid: 100 });
  });

  it('joins what lies between two instants of the grid into one batch', async () => {
    await cluster.startOwner();
    await cluster.worker('w', 100);
    for (let ms = 1_001; ms < 1_100; ms += 9) await cluster.create(0, `t${ms}`, ms, { precision: 'normal' });
    const publish = vi.spyOn(cluster.work, 'publish');
    while (cluster.elapsedMs < 1_200) await cluster.pass(1);
    expect(publish.mock.calls.map(([, , items]) => items.length)).toEqual([11]);
  });

  it('does not delay what has waited for a worker since its instant of the grid', async () => {
    await cluster.startOwner();
    const execution = await cluster.create(0, 'low', 1_033, { precision: 'low' });
    cluster.elapsedMs = 2_500;
    await cluster.worker('w', 10);
    await cluster.pass(1);
    expect(await cluster.inStream()).toEqual([`${execution}.1`]);
  });
});

describe('missed fires', () => {
  it('go after what is punctual, whatever its priority, and at a bounded rate', async () => {
    const late = LIMITS.lateFiresASecond;
    const owner = await cluster.startOwner();
    for (let n = 0; n < late; n++) await cluster.create(n % SHARDS, `late${n}`, 1_000, { priority: 0 });
    await cluster.checkpoint();
    cluster.elapsedMs += HOUR;
    await cluster.pass(0);
    const punctual = await cluster.create(0, 'now', HOUR, { priority: 2 });
    expect(owner.scheduler.status().backlog).toBe(late + 1);
    await cluster.worker('w', 1);
    await cluster.pass(1);
    const [first] = await cluster.inStream();
    expect(first).toBe(`${punctual}.1`);
    await cluster.worker('w', 100_000);
    const begun = cluster.counts.get('dispatched') ?? 0;
    for (let ms = 0; ms < 500; ms += 20) await cluster.pass(20);
    const count = (cluster.counts.get('dispatched') ?? 0) - begun;
    expect(count).toBeGreaterThan(late * 0.4);
    expect(count).toBeLessThanOrEqual(late * 0.6);
  });

  it('that are skipped are counted by policy and told', async () => {
    await cluster.startOwner();
    const events: unknown[] = [];
    cluster.messenger.listen('belfry.v1.acme.events.skipped.*', (body) => {
      events.push(JSON.parse(new TextDecoder().decode(body)));
    });
    await cluster.create(0, 'once', 1_000, { catchUp: { policy: 'skip' } });
    cluster.elapsedMs += HOUR;
    await cluster.pass(0);
    expect([events.length, cluster.counts.get('skipped skip')]).toEqual([1, 1]);
    expect(events[0]).toMatchObject({ type: 'skipped', policy: 'skip', count: 1 });
    await cluster.checkpoint();
    expect(cluster.history()).toEqual([expect.stringMatching(/ skipped 0$/)]);
  });
});

describe('an allowance', () => {
  it('is what the rate gives, and of an idle time a tenth of a second', () => {
    const allowance = new Allowance(1_000);
    allowance.use(allowance.at(0));
    expect([allowance.at(1), allowance.at(5)]).toEqual([1, 5]);
    allowance.use(5);
    expect([allowance.at(5), allowance.at(10_000)]).toEqual([0, 100]);
  });
});
