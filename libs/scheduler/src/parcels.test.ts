import { LIMITS, taskIdOfKey, type Answer } from '@belfry/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Prepared } from './hosted-shard.ts';
import { pack } from './parcels.ts';
import { keyIn, testCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => vi.useRealTimers());

const DUE_MS = 1_000;
const sizes = async (): Promise<number[]> => (await cluster.messages()).map(({ length }) => length).sort();

/** Tasks of shard 0 that are due at the same time; returns their executions. */
async function create(count: number, change: Parameters<TestCluster['create']>[3] = {}): Promise<string[]> {
  const executions: string[] = [];
  for (let i = 0; i < count; i++)
    executions.push(await cluster.create(0, `${change.queue ?? 't'}${i}`, DUE_MS, change));
  return executions;
}

/** All of them dispatched, to a worker that takes three in a message. */
async function dispatched(count: number): Promise<string[]> {
  await cluster.startOwner();
  await cluster.worker('w', 100, [], ['mail'], { parcel: 3 });
  const executions = await create(count);
  await cluster.pass(DUE_MS);
  return executions;
}

function cancel(name: string): Promise<Answer> {
  const id = taskIdOfKey('acme', keyIn(0, name));
  return cluster.send(0, { k: 'cancel', c: 0, m: cluster.nextCommand(), id, ns: 'acme' });
}

/** A worker asks about a message that was delivered before. */
function ask(x: string, n: number): Promise<Answer> {
  return cluster.send(0, { k: 'redelivered', c: 0, x, ns: 'acme', a: 1, w: 'x', n, p: true });
}

const nameOf = (executions: readonly string[], execution: string): string => `t${executions.indexOf(execution)}`;

describe('packing', () => {
  /** As much of what waits to be published as packing looks at. */
  const prepared = (name: string, { queueKey = 'acme.mail', lost = 0, chars = 100 } = {}): Prepared =>
    ({ execution: { id: name, lost, target: { queueKey } }, attempt: 1, body: 'x'.repeat(chars) }) as Prepared;
  const packed = (items: readonly Prepared[], most: number): string[][] =>
    pack(items, () => most).map((parcel) => parcel.map(({ execution }) => execution.id));

  it('fills one message after the other, queue by queue, in order', () => {
    const items = ['a', 'b', 'c'].map((name) => prepared(name));
    items.splice(1, 0, prepared('x', { queueKey: 'acme.print' }));
    expect(packed(items, 2)).toEqual([['a', 'b'], ['x'], ['c']]);
    expect(packed(items, 1)).toEqual([['a'], ['x'], ['b'], ['c']]);
  });

  it('ends a message before it has more bytes than a parcel may, and sends a bigger body alone', () => {
    const third = Math.floor(LIMITS.parcelBytes / 9); // three bytes a character, at most
    const items = ['a', 'b', 'c', 'd'].map((name) => prepared(name, { chars: third }));
    const big = prepared('big', { chars: LIMITS.parcelBytes });
    expect(packed([...items, big, prepared('e')], 10)).toEqual([['a', 'b', 'c'], ['d'], ['big'], ['e']]);
  });

  it('sends alone what was lost with a worker before', () => {
    const items = [prepared('a'), prepared('poison', { lost: 1 }), prepared('b')];
    expect(packed(items, 10)).toEqual([['a', 'b'], ['poison']]);
  });
});

describe('a parcel', () => {
  it('carries as many executions as each worker of its queue takes', async () => {
    const executions = await dispatched(8);
    expect(await sizes()).toEqual([2, 3, 3]);
    expect((await cluster.inStream()).sort()).toEqual(executions.map((execution) => `${execution}.1`).sort());
    for (const { body } of cluster.pull()) {
      const parts = JSON.parse(body) as { v: number; execution: string; payload: unknown }[];
      expect(parts.every(({ v, execution }) => v === 1 && executions.includes(execution))).toBe(true);
    }
  });

  it('is not made while one worker of the queue does not say that it takes it', async () => {
    await cluster.startOwner();
    await cluster.worker('w', 100, [], ['mail'], { parcel: 3 });
    await cluster.worker('plain', 100);
    await create(4);
    await cluster.pass(DUE_MS);
    expect(await sizes()).toEqual([1, 1, 1, 1]);
  });

  it('is of one queue', async () => {
    await cluster.startOwner();
    await cluster.worker('w', 100, [], ['mail', 'print'], { parcel: LIMITS.parcelItems });
    const mail = await create(2, { queue: 'mail' });
    const print = await create(2, { queue: 'print' });
    await cluster.pass(DUE_MS);
    const messages = (await cluster.messages()).map((message) => message.map((one) => one.slice(0, -2)).sort()).sort();
    expect(messages).toEqual([mail.sort(), print.sort()].sort());
  });

  it('is taken back whole when one of its tasks is cancelled in time; the others go again', async () => {
    const executions = await dispatched(3);
    const [first, ...others] = executions as [string, string, string];
    expect(await cancel(nameOf(executions, first))).toEqual({ ok: true, status: 'cancelled', running: [] });
    await cluster.settle();
    await cluster.pass(1);
    expect((await cluster.inStream()).sort()).toEqual(others.map((execution) => `${execution}.2`).sort());
    await cluster.checkpoint();
    expect(cluster.history()).toEqual([`${first} cancelled 1`]);
  });

  it('stays with the worker that has it when one of its tasks is cancelled', async () => {
    const executions = await dispatched(3);
    cluster.pull();
    const [first] = executions as [string];
    expect(await cancel(nameOf(executions, first))).toEqual({ ok: true, status: 'cancelled', running: [first] });
    expect(await cluster.inStream()).toHaveLength(3);
    expect(await cluster.result(first, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
  });

  it('is parted by an owner that knows its message to be gone, too: a replay does not know it', async () => {
    const [first] = (await dispatched(3)) as [string];
    const [message] = cluster.pull();
    await cluster.checkpoint();
    await message?.ack();
    await cluster.until(() => cluster.logged('have no message any more').length > 0, 'it is found to be gone');
    expect(await ask(first, 2)).toMatchObject({ ok: true, status: 'skip' });
  });

  it('is parted when its worker has died with it: each goes alone, so that one that kills its worker does so alone', async () => {
    const [first, second, third] = (await dispatched(3)) as [string, string, string];
    const [message] = cluster.pull();
    expect(await cluster.result(second, 1, 'succeeded')).toMatchObject({ ok: true });
    for (const execution of [first, second, third]) {
      expect(await ask(execution, 2)).toMatchObject({ ok: true, status: 'skip' });
    }
    await message?.ack();
    await cluster.pass(1);
    const expected = [[`${first}.2`], [`${third}.2`]].sort();
    expect((await cluster.messages()).sort()).toEqual(expected);
    // Delivered a third time, before the second worker acknowledged it.
    expect(await ask(first, 3)).toMatchObject({ ok: true, status: 'skip' });
    expect((await cluster.messages()).sort()).toEqual(expected);
    await cluster.checkpoint();
    for (const execution of [first, third]) {
      expect(await cluster.result(execution, 2, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
    }
  });

  it('is known by what it carries to the next owner', async () => {
    const owner = await cluster.startOwner();
    await cluster.worker('w', 100, [], ['mail'], { parcel: 3 });
    const [first, second, third] = (await create(3)) as [string, string, string];
    await cluster.pass(DUE_MS);
    owner.kill();
    await cluster.startOwner('b');
    await cluster.settle();
    expect((await cluster.messages()).map((message) => message.toSorted())).toEqual([
      [first, second, third].map((execution) => `${execution}.1`).toSorted(),
    ]);
    expect(await cluster.result(first, 1, 'succeeded')).toEqual({ ok: true, status: 'accepted' });
  });

  it('of which some is over is taken back by the next owner, unless a worker has it', async () => {
    const owner = await cluster.startOwner();
    await cluster.worker('w', 100, [], ['mail'], { parcel: 3 });
    const [first, second, third] = (await create(3)) as [string, string, string];
    await cluster.pass(DUE_MS);
    await cluster.result(first, 1, 'succeeded');
    owner.kill();
    await cluster.startOwner('b');
    await cluster.settle();
    await cluster.pass(1);
    expect((await cluster.inStream()).sort()).toEqual([`${second}.2`, `${third}.2`].sort());
  });
});
