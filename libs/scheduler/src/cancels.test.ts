import { LIMITS, taskIdOfKey, type Answer, type Envelope } from '@belfry/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { keyIn, T0, testCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => vi.useRealTimers());

const idOf = (shard: number, name: string): string => taskIdOfKey('acme', keyIn(shard, name));
const cancel = (shard: number, name: string): Promise<Answer> =>
  cluster.send(shard, { k: 'cancel', c: 0, m: cluster.nextCommand(), id: idOf(shard, name), ns: 'acme' });
const cancelled = (...running: string[]): Answer => ({ ok: true, status: 'cancelled', running });

/** A dispatched execution of a task of shard 0. */
async function dispatched(name = 'one'): Promise<string> {
  await cluster.startOwner();
  await cluster.worker('w', 10);
  const execution = await cluster.create(0, name, 1_000);
  await cluster.pass(1_000);
  expect(await cluster.inStream()).toEqual([`${execution}.1`]);
  return execution;
}

/** The envelopes that have been appended from now on. */
function watchAppends(): Envelope[] {
  const seen: Envelope[] = [];
  const { append } = cluster.inbox;
  vi.spyOn(cluster.inbox, 'append').mockImplementation((messages) => {
    for (const { body } of messages) seen.push(JSON.parse(body) as Envelope);
    return append.call(cluster.inbox, messages);
  });
  return seen;
}

describe('a cancel', () => {
  it('takes back what no worker has been given, and says so when that stands in the inbox', async () => {
    const execution = await dispatched();
    const appended = watchAppends();
    expect(await cancel(0, 'one')).toEqual(cancelled());
    expect(appended.map(({ r }) => r.map(({ k }) => k))).toEqual([['cancel'], ['result']]);
    expect(appended[1]?.r[0]).toMatchObject({ x: execution, a: 1, o: 'returned' });
    expect(cluster.pull()).toEqual([]);
    await cluster.checkpoint();
    expect(cluster.history()).toEqual([`${execution} cancelled 1`]);
  });

  it('names what a worker holds, whose result is taken', async () => {
    const execution = await dispatched();
    cluster.pull();
    expect(await cancel(0, 'one')).toEqual(cancelled(execution));
    expect(await cluster.result(execution, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
    await cluster.checkpoint();
    expect(cluster.history()).toEqual([`${execution} succeeded 1`]);
  });

  it('names what may be with a worker, when the work stream cannot be asked', async () => {
    const execution = await dispatched();
    vi.spyOn(cluster.work, 'withdraw').mockRejectedValue(new Error('away'));
    expect(await cancel(0, 'one')).toEqual(cancelled(execution));
    expect(cluster.logged('cannot be taken back')).toHaveLength(1);
  });

  it('waits for the publish under way, and takes back what it has published', async () => {
    await cluster.startOwner();
    const gate = Promise.withResolvers<void>();
    const { publish } = cluster.work;
    const publishing = vi.spyOn(cluster.work, 'publish').mockImplementation(async (...args) => {
      await gate.promise;
      return await publish.apply(cluster.work, args);
    });
    const execution = await cluster.create(0, 'one', 1_000);
    await cluster.worker('w', 10);
    await cluster.pass(1_000);
    expect(publishing).toHaveBeenCalledTimes(1);
    const id = idOf(0, 'one');
    const record = { k: 'cancel', c: 0, m: cluster.nextCommand(), id, ns: 'acme' } as const;
    const [correlation] = (await cluster.append(0, record)) as [number];
    await cluster.seconds(2);
    expect(cluster.answers.has(correlation)).toBe(false);
    gate.resolve();
    await cluster.until(() => cluster.answers.has(correlation), 'an answer');
    expect(cluster.answers.get(correlation)).toEqual(cancelled());
    expect(await cluster.inStream()).toEqual([]);
    await cluster.checkpoint();
    expect(cluster.history()).toEqual([`${execution} cancelled 1`]);
  });

  it('of a task without anything dispatched is answered at once, and nothing of it is dispatched', async () => {
    await cluster.startOwner();
    await cluster.create(0, 'one', 1_000);
    const withdraw = vi.spyOn(cluster.work, 'withdraw');
    expect(await cancel(0, 'one')).toEqual(cancelled());
    await cluster.worker('w', 10);
    await cluster.pass(1_000);
    await cluster.seconds(2);
    expect([await cluster.inStream(), withdraw.mock.calls]).toEqual([[], []]);
  });

  it('of thousands of dispatched executions takes all of them back, in messages that the inbox can hold', async () => {
    await cluster.startOwner();
    const fires = 8_000;
    const id = idOf(0, 'often');
    const created = cluster.createRecord(0, 'often', 0);
    if (created.k !== 'create') throw new Error('it is none');
    await cluster.send(0, { ...created, s: `e1000@${T0}` });
    // In steps below a minute: nobody misses a fire.
    for (let seconds = 0; seconds < fires; seconds += 50) await cluster.pass(50_000);
    await cluster.worker('w', fires);
    for (let some = 1_000; some <= fires; some += 1_000) {
      await cluster.until(() => (cluster.counts.get('dispatched') ?? 0) >= some, 'some more fires are dispatched');
    }
    const sizes: number[] = [];
    const { append } = cluster.inbox;
    vi.spyOn(cluster.inbox, 'append').mockImplementation((messages) => {
      for (const { body } of messages) sizes.push(body.length);
      return append.call(cluster.inbox, messages);
    });
    const record = { k: 'cancel', c: 0, m: cluster.nextCommand(), id, ns: 'acme' } as const;
    expect(await cluster.send(0, record)).toEqual(cancelled());
    expect(await cluster.inStream()).toEqual([]);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(LIMITS.envelopeBytes);
    await cluster.checkpoint();
    expect(cluster.history().length).toBeGreaterThanOrEqual(fires);
  });
});
