import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { testCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => vi.useRealTimers());

/** An envelope of a version that no program knows. */
const POISON = JSON.stringify({ v: 99, g: '', r: [] });

describe('a message that crashes its shard', () => {
  it('is set aside the third time: the shard goes on behind it, the others never stopped, and it is told', async () => {
    const owner = await cluster.startOwner();
    await cluster.create(1, 'before', 600_000);
    const seq = await cluster.appendRaw(1, POISON);
    const [after] = (await cluster.append(1, cluster.createRecord(1, 'after', 600_000))) as [number];
    await cluster.until(() => owner.owned.length === 3, 'the shard is dropped');
    await cluster.create(2, 'meanwhile', 600_000);
    await cluster.until(() => owner.owned.length === 4, 'the shard is back');
    expect(cluster.crashes.get(`1/${seq}`)).toBe(3);
    expect([...owner.quarantined]).toEqual([`1/${seq}`]);
    expect(cluster.counts.get('quarantined')).toBe(1);
    expect(cluster.logged('a shard crashed')).toHaveLength(1);
    for (const name of ['before', 'after']) {
      expect(await cluster.get(1, name)).toMatchObject({ task: { state: 'waiting' } });
    }
    // Whoever waited for the answer asks again: it is the same command.
    expect(cluster.answers.get(after)).toBeUndefined();
  });

  it('is counted wherever it crashes: the third owner sets it aside', async () => {
    const first = await cluster.startOwner('a');
    const seq = await cluster.appendRaw(1, POISON);
    await cluster.until(() => cluster.crashes.get(`1/${seq}`) === 1, 'a crash');
    first.kill();
    cluster.crashes.set(`1/${seq}`, 2); // another node took it over and died of it
    const third = await cluster.startOwner('c');
    expect([...third.quarantined]).toEqual([`1/${seq}`]);
    expect(cluster.counts.get('quarantined')).toBe(1);
    await cluster.create(1, 'after', 600_000);
  });

  it('is passed over by checkpoints: no later owner reads it again', async () => {
    const owner = await cluster.startOwner();
    await cluster.create(1, 'before', 600_000);
    const seq = await cluster.appendRaw(1, POISON);
    await cluster.until(() => owner.quarantined.size === 1 && owner.owned.length === 4, 'the message is set aside');
    await cluster.create(1, 'after', 600_000);
    await cluster.checkpoint();
    owner.kill();
    const next = await cluster.startOwner('b');
    expect([next.quarantined.size, cluster.crashes.get(`1/${seq}`)]).toEqual([0, 3]);
    expect(await cluster.get(1, 'after')).toMatchObject({ task: { state: 'waiting' } });
  });

  it('costs nothing but time while crashes cannot be counted', async () => {
    const owner = await cluster.startOwner();
    cluster.countsCrashes = false;
    const seq = await cluster.appendRaw(1, POISON);
    await cluster.until(() => cluster.logged('a crash cannot be counted').length >= 3, 'crashes are not counted');
    expect([owner.owned, cluster.crashes.size]).toEqual([[0, 2, 3], 0]);
    cluster.countsCrashes = true;
    await cluster.until(() => owner.owned.length === 4, 'the shard is back');
    expect(cluster.crashes.get(`1/${seq}`)).toBe(3);
  });
});
