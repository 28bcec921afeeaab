import { SYSTEM_TIMERS } from '@belfry/actor-runtime';
import { NO_FIRES, retry } from '@belfry/ports';
import { LIMITS, taskIdOfKey, type Answer } from '@belfry/protocol';
import { Interned, Shard } from '@belfry/shard';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Bodies } from './bodies.ts';
import { fire, keyIn, SHARDS, T0, testCluster, type TestCluster, type TestNode } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => vi.useRealTimers());

const DUE_MS = 600_000;

/** A node that has taken over what another one stored: it has no body at hand. */
async function takenOver(...names: string[]): Promise<TestNode> {
  const first = await cluster.startOwner('a');
  for (const [at, name] of names.entries()) await cluster.create(at % SHARDS, name, DUE_MS);
  await cluster.checkpoint();
  first.kill();
  return await cluster.startOwner('b');
}

/** Bodies come from the store, as it was when it was asked, once they are let through. */
function holdBodies(): { readonly asked: string[][]; letThrough: () => void } {
  const gate = Promise.withResolvers<void>();
  const asked: string[][] = [];
  const { bodies } = cluster.store;
  vi.spyOn(cluster.store, 'bodies').mockImplementation(async (refs) => {
    asked.push(refs.map(({ id }) => id));
    const outcome = await bodies.call(cluster.store, refs);
    await gate.promise;
    return outcome;
  });
  return { asked, letThrough: gate.resolve };
}

const idOf = (shard: number, name: string): string => taskIdOfKey('acme', keyIn(shard, name));
const update = (shard: number, name: string, p: string): Promise<Answer> =>
  cluster.send(shard, { k: 'update', c: 0, m: cluster.nextCommand(), id: idOf(shard, name), ns: 'acme', p });
const cancel = (shard: number, name: string): Promise<Answer> =>
  cluster.send(shard, { k: 'cancel', c: 0, m: cluster.nextCommand(), id: idOf(shard, name), ns: 'acme' });

const payloads = (): unknown[] => cluster.pull().map(({ body }) => (JSON.parse(body) as { payload: unknown }).payload);

describe('a body that comes late', () => {
  it('is not told as it was stored, of a task that was updated and has ended meanwhile', async () => {
    await takenOver('far');
    const execution = fire(0, 'far', DUE_MS);
    const held = holdBodies();
    vi.spyOn(cluster.store, 'commit').mockReturnValue(new Promise(() => undefined));
    expect(await update(0, 'far', '"new"')).toMatchObject({ ok: true });
    const answer = cluster.get(0, 'far');
    await cluster.worker('w', 2);
    await cluster.pass(DUE_MS);
    expect(await cluster.result(execution, 1, 'succeeded')).toMatchObject({ ok: true });
    held.letThrough();
    expect(await answer).toEqual({ task: { state: 'finished', payload: '"new"' } });
  });

  it('is not dispatched when a worker has told the result meanwhile', async () => {
    await takenOver('far');
    const execution = fire(0, 'far', DUE_MS);
    const held = holdBodies();
    await cluster.worker('w', 2);
    await cluster.pass(DUE_MS);
    expect(await cluster.result(execution, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
    held.letThrough();
    await cluster.settle();
    await cluster.seconds(1);
    expect(cluster.pull()).toEqual([]);
    expect(cluster.history()).toEqual([`${execution} succeeded 1`]);
  });

  it('is waited for by its own fire alone, which counts as dispatched meanwhile', async () => {
    const node = await takenOver('far');
    const held = holdBodies();
    const near = [await cluster.create(0, 'near', DUE_MS), await cluster.create(1, 'near', DUE_MS)];
    await cluster.worker('w', 2);
    await cluster.pass(DUE_MS);
    expect((await cluster.inStream()).toSorted()).toEqual(near.map((execution) => `${execution}.1`).toSorted());
    expect(await cluster.get(0, 'near')).toMatchObject({ task: { state: 'running' } });
    // Three places of the window are taken.
    await cluster.create(2, 'next', DUE_MS);
    await cluster.seconds(2);
    expect(node.scheduler.status()).toMatchObject({ underWay: 3, backlog: 1 });
    held.letThrough();
    await cluster.settle();
    expect(await cluster.inStream()).toContain(`${fire(0, 'far', DUE_MS)}.1`);
    expect(payloads().toSorted()).toEqual(['far', 'near', 'near']);
  });

  it('is asked for until the store answers, and dispatched once', async () => {
    await takenOver('one', 'two', 'three');
    await cluster.worker('w', 10);
    const { bodies } = cluster.store;
    let away = true;
    const asked = vi
      .spyOn(cluster.store, 'bodies')
      .mockImplementation(async (refs) => (away ? retry('away') : await bodies.call(cluster.store, refs)));
    const publish = vi.spyOn(cluster.work, 'publish');
    await cluster.pass(DUE_MS);
    await cluster.until(() => asked.mock.calls.length >= 4, 'some tries');
    expect(publish).not.toHaveBeenCalled();
    away = false;
    await cluster.seconds(6);
    expect(payloads().toSorted()).toEqual(['one', 'three', 'two']);
    expect(cluster.counts.get('dispatched')).toBe(3);
    expect(cluster.logged('payloads cannot be fetched')).toHaveLength(1);
  });

  it('of a task that is cancelled meanwhile is not dispatched', async () => {
    await takenOver('one');
    const held = holdBodies();
    await cluster.worker('w', 10);
    await cluster.pass(DUE_MS);
    await cluster.until(() => held.asked.length > 0, 'the body is asked for');
    expect(await cancel(0, 'one')).toEqual({ ok: true, status: 'cancelled', running: [] });
    held.letThrough();
    await cluster.seconds(2);
    expect(await cluster.inStream()).toEqual([]);
    expect(cluster.history()).toEqual([`${fire(0, 'one', DUE_MS)} cancelled 1`]);
  });
});

describe('bodies', () => {
  it('are asked for ahead of their fires, in one query, and not again', async () => {
    await takenOver('one', 'two', 'three');
    const asked = vi.spyOn(cluster.store, 'bodies');
    await cluster.worker('w', 10);
    await cluster.pass(DUE_MS - LIMITS.payloadAheadMs - 2_000);
    await cluster.seconds(1);
    expect(asked).not.toHaveBeenCalled();
    await cluster.seconds(2);
    expect(asked.mock.calls.map(([refs]) => refs.length)).toEqual([3]);
    await cluster.seconds(LIMITS.payloadAheadMs / 1_000);
    expect(payloads()).toHaveLength(3);
    expect(asked).toHaveBeenCalledTimes(1);
  });

  it('are at hand before a checkpoint has written them, while it does, and after it', async () => {
    await cluster.startOwner();
    const asked = vi.spyOn(cluster.store, 'bodies');
    await cluster.worker('w', 10);
    await cluster.create(0, 'unsaved', 0);
    await cluster.settle();
    const { commit } = cluster.store;
    const gate = Promise.withResolvers<void>();
    const commits = vi.spyOn(cluster.store, 'commit').mockImplementationOnce(async (...args) => {
      await gate.promise;
      return await commit.apply(cluster.store, args);
    });
    await cluster.create(1, 'under way', 2_000);
    await cluster.until(() => commits.mock.calls.length === 1, 'a checkpoint is under way');
    await cluster.pass(2_000);
    await cluster.create(2, 'saved', 4_000);
    gate.resolve();
    await cluster.checkpoint();
    await cluster.checkpoint();
    await cluster.pass(2_000);
    expect(payloads()).toEqual(['unsaved', 'under way', 'saved']);
    expect(asked).not.toHaveBeenCalled();
  });

  it('are current: an update counts, stored or not, for what is fetched later and for what was fetched before', async () => {
    await takenOver('stored', 'unstored', 'fetched');
    await cluster.worker('w', 10);
    await update(0, 'stored', '"new 0"');
    await cluster.checkpoint();
    await cluster.pass(DUE_MS - LIMITS.payloadAheadMs);
    await cluster.seconds(1);
    await update(2, 'fetched', '"new 2"');
    await cluster.checkpoint();
    await update(1, 'unstored', '"new 1"');
    await cluster.pass(LIMITS.payloadAheadMs);
    expect(payloads().toSorted()).toEqual(['new 0', 'new 1', 'new 2']);
  });

  it('are current, though the store answers with what it held before an update that is stored by now', async () => {
    await takenOver('one', 'two', 'three');
    await cluster.worker('w', 10);
    const held = holdBodies();
    await cluster.pass(DUE_MS - LIMITS.payloadAheadMs);
    await cluster.until(() => held.asked.length > 0, 'the bodies are asked for');
    await update(0, 'one', '"new 1"');
    await cancel(1, 'two');
    await cluster.checkpoint();
    const again = cluster.createRecord(1, 'two', DUE_MS);
    if (again.k !== 'create') throw new Error('it is none');
    await cluster.send(1, { ...again, p: '"new 2"' });
    await cluster.checkpoint();
    held.letThrough();
    await cluster.settle();
    await cluster.pass(LIMITS.payloadAheadMs);
    await cluster.seconds(1);
    expect(payloads().toSorted()).toEqual(['new 1', 'new 2', 'three']);
  });

  it('are current when a shard comes back from another node, where its task was updated', async () => {
    const [a, b] = [await cluster.start('a'), await cluster.start('b')];
    await cluster.place([a, a, a, b]);
    await cluster.worker('w', 10);
    await cluster.create(0, 'one', DUE_MS);
    await cluster.pass(DUE_MS - 2 * LIMITS.payloadAheadMs);
    await cluster.checkpoint(); // soon due: its body stays at hand
    await cluster.place([b, a, a, b]);
    await update(0, 'one', '"new"');
    await cluster.place([a, a, a, b]);
    await cluster.pass(2 * LIMITS.payloadAheadMs);
    await cluster.settle();
    expect(payloads()).toEqual(['new']);
  });

  it('that cannot be read keep no other waiting', async () => {
    const names = ['one', 'two', 'bad', 'three', 'four'];
    await takenOver(...names);
    await cluster.worker('w', 10);
    const bad = idOf(2, 'bad');
    const { bodies } = cluster.store;
    vi.spyOn(cluster.store, 'bodies').mockImplementation(async (refs) => {
      if (refs.some(({ id }) => id === bad)) throw new Error('this row is no good');
      return await bodies.call(cluster.store, refs);
    });
    await cluster.pass(DUE_MS);
    await cluster.seconds(10);
    expect(payloads().toSorted()).toEqual(['four', 'one', 'three', 'two']);
    // It goes on to be asked for.
    vi.mocked(cluster.store.bodies).mockImplementation(bodies.bind(cluster.store));
    await cluster.seconds(6);
    expect(payloads()).toEqual(['bad']);
  });

  it('keep no client waiting while the store does not answer', async () => {
    const owner = await takenOver('far');
    const { bodies } = cluster.store;
    vi.spyOn(cluster.store, 'bodies').mockResolvedValue(retry('away'));
    const first = cluster.get(0, 'far');
    await cluster.until(() => cluster.logged('payloads cannot be fetched').length > 0, 'the store was asked');
    for (let asked = 0; asked < 5; asked++)
      expect(await cluster.get(0, 'far')).toMatchObject({ error: { code: 'unavailable', retryable: true } });
    vi.mocked(cluster.store.bodies).mockImplementation(bodies.bind(cluster.store));
    await cluster.seconds(6);
    expect(await first).toMatchObject({ task: { payload: '"far"' } });
    expect(await cluster.get(0, 'far')).toMatchObject({ task: { payload: '"far"' } });
    owner.kill();
  });

  it('are asked for ahead up to a limit, while the store does not answer', () => {
    const log = { info: vi.fn(), warn: vi.fn(), error: vi.fn() };
    const bodies = new Bodies(cluster.store, log, SYSTEM_TIMERS);
    const head = { shard: 0, epoch: 1, seq: 0, watermark: T0, counters: NO_FIRES, gaps: [] };
    const shard = new Shard({ shard: 0, interned: new Interned(), head, nowMs: T0, rememberMs: LIMITS.rememberMs });
    for (let round = 0; round < 3; round++)
      for (let task = 0; task < LIMITS.payloadsWaiting; task++) bodies.prefetch(shard, `${task}`.padStart(32, '0'));
    expect(bodies.waiting).toBe(LIMITS.payloadsWaiting);
  });
});
