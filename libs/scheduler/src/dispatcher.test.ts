import { refused, retry, type WorkItem } from '@belfry/ports';
import { LIMITS, subjects } from '@belfry/protocol';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Demand } from './demand.ts';
import { SHARDS, T0, testCluster, type TestCluster } from './test-cluster.ts';

let cluster: TestCluster;
beforeEach(() => {
  cluster = testCluster();
});
afterEach(() => vi.useRealTimers());

const DUE_MS = 1_000;

/** Tasks due at the same time, on the shards in turn. Returns the work messages of their first attempts. */
async function createDue(count: number, name = 't', priority: 0 | 1 | 2 = 1, queue = 'mail'): Promise<string[]> {
  const works: string[] = [];
  for (let at = 0; at < count; at++) {
    works.push(`${await cluster.create(at % SHARDS, `${name}${at}`, DUE_MS, { priority, queue })}.1`);
  }
  return works;
}

/** What goes into the work stream, batch by batch, and the most that was ever dispatched and not over. */
class Watch {
  readonly batches: { readonly node: string; readonly id: string; readonly items: readonly WorkItem[] }[] = [];
  most = 0;
  #published = 0;
  #over = 0;

  constructor() {
    const { publish } = cluster.work;
    vi.spyOn(cluster.work, 'publish').mockImplementation((fence, id, items) => {
      this.batches.push({ node: cluster.calls.at(-1)?.split(' ')[0] ?? '', id, items });
      this.#published += items.length;
      this.most = Math.max(this.most, this.outstanding);
      return publish.call(cluster.work, fence, id, items);
    });
  }

  get outstanding(): number {
    return this.#published - this.#over;
  }

  /** A worker gets what is in the stream, and all of it succeeds. Returns what it was. */
  async runAll(queue = 'mail'): Promise<string[]> {
    const pulled = cluster.pull(1_000, queue);
    const attempts = pulled.flatMap(({ ref }) => ref.attempts);
    for (const { execution, attempt } of attempts) {
      this.#over++;
      await cluster.result(execution, attempt, 'succeeded');
    }
    for (const { ack } of pulled) await ack();
    await cluster.settle();
    return attempts.map(({ execution, attempt }) => `${execution}.${attempt}`);
  }
}

describe('demand', () => {
  it('of nobody dispatches nothing; what is due waits, and goes when a worker comes', async () => {
    const owner = await cluster.startOwner();
    const publish = vi.spyOn(cluster.work, 'publish');
    const works = await createDue(8);
    await cluster.pass(DUE_MS);
    await cluster.seconds(5);
    expect(publish).not.toHaveBeenCalled();
    expect(owner.scheduler.status().backlog).toBe(8);
    await cluster.worker('w', 100);
    expect((await cluster.inStream()).toSorted()).toEqual(works.toSorted());
    expect(owner.scheduler.status().backlog).toBe(0);
  });

  it('counts for its own queues alone', async () => {
    await cluster.startOwner();
    const mail = await createDue(4, 'm', 1, 'mail');
    const print = await createDue(4, 'p', 1, 'print');
    await cluster.worker('w', 100, [], ['print']);
    await cluster.pass(DUE_MS);
    expect((await cluster.inStream()).toSorted()).toEqual(print.toSorted());
    await cluster.worker('x', 100, [], ['mail']);
    expect((await cluster.inStream()).toSorted()).toEqual([...mail, ...print].toSorted());
  });

  it('ends with a silent worker', async () => {
    const owner = await cluster.startOwner();
    await cluster.worker('w', 100);
    await cluster.create(0, 'one', 60_000);
    cluster.silence('w');
    await cluster.seconds(LIMITS.workerSilentMs / 1_000);
    expect(owner.scheduler.status().workers).toBe(1);
    await cluster.seconds(1);
    await cluster.pass(60_000);
    expect([owner.scheduler.status().workers, await cluster.inStream()]).toEqual([0, []]);
  });

  it('ends at once with a worker that stops', async () => {
    await cluster.startOwner();
    await cluster.worker('w', 100);
    cluster.silence('w');
    const beat = { worker: 'w', queues: ['mail'], capacity: 100, running: [], stopping: true };
    cluster.messenger.tell(subjects.workers('acme', 'heartbeat'), JSON.stringify(beat));
    await cluster.create(0, 'one', DUE_MS);
    await cluster.pass(DUE_MS);
    expect(await cluster.inStream()).toEqual([]);
  });

  it('of a worker that says too much counts as far as a worker goes', () => {
    const demand = new Demand(0);
    demand.heartbeat('acme', { worker: 'w', queues: ['mail'], capacity: Number.MAX_SAFE_INTEGER, running: [] }, 0);
    expect(demand.slots('acme.mail')).toBe(LIMITS.workerCapacity);
  });

  it('that cannot be read is passed over', async () => {
    await cluster.startOwner();
    await cluster.create(0, 'one', DUE_MS);
    await cluster.pass(DUE_MS);
    const subject = subjects.workers('acme', 'heartbeat');
    cluster.messenger.tell(subject, '{');
    cluster.messenger.tell(subject, JSON.stringify({ worker: 'w', queues: ['mail'], capacity: -1, running: [] }));
    cluster.messenger.tell(subject, JSON.stringify({ worker: 'w', queues: ['mail'], capacity: 5, running: ['no id'] }));
    await cluster.settle();
    expect(cluster.logged('a heartbeat that')).toHaveLength(3);
    expect(await cluster.inStream()).toEqual([]);
  });
});

describe('of one queue', () => {
  it('no more is dispatched and not over than the window, through all of a backlog', async () => {
    await cluster.startOwner();
    const watch = new Watch();
    const works = await createDue(40);
    await cluster.worker('one', 3);
    await cluster.worker('two', 1);
    await cluster.pass(DUE_MS);
    const window = 4 * LIMITS.dispatchWindow;
    expect(watch.outstanding).toBe(window);
    await cluster.seconds(3);
    expect(watch.outstanding).toBe(window);
    const ran: string[] = [];
    while (watch.outstanding > 0) ran.push(...(await watch.runAll()));
    expect(ran.toSorted()).toEqual(works.toSorted());
    expect(watch.most).toBe(window);
  });

  it('each node dispatches the share of its shards, rounded up', async () => {
    const [a, b] = [await cluster.start('a'), await cluster.start('b')];
    await cluster.place([a, b, b, b]);
    const watch = new Watch();
    await createDue(80);
    await cluster.worker('w', 6);
    await cluster.pass(DUE_MS);
    const window = 6 * LIMITS.dispatchWindow;
    const items = (node: string): number =>
      watch.batches.filter((batch) => batch.node === node).reduce((sum, batch) => sum + batch.items.length, 0);
    expect([items('a'), items('b')]).toEqual([Math.ceil(window / 4), Math.ceil((window * 3) / 4)]);
  });

  it('a full window holds up no other queue', async () => {
    await cluster.startOwner();
    await createDue(20, 'm', 0, 'mail');
    const print = await createDue(4, 'p', 2, 'print');
    await cluster.worker('w', 2, [], ['mail']);
    await cluster.worker('x', 20, [], ['print']);
    await cluster.pass(DUE_MS);
    const seen = await cluster.inStream();
    expect(seen).toHaveLength(4 + 2 * LIMITS.dispatchWindow);
    expect(seen).toEqual(expect.arrayContaining(print));
  });

  it('what waits for a retry leaves its place to others', async () => {
    await cluster.startOwner();
    await cluster.create(0, 'first', 500);
    const second = await cluster.create(1, 'second', DUE_MS);
    await cluster.create(2, 'third', DUE_MS + 1);
    await cluster.worker('w', 1);
    await cluster.pass(500);
    const [work] = cluster.pull();
    await cluster.pass(500);
    const first = work?.ref.attempts[0]?.execution as string;
    expect(await cluster.inStream()).toEqual([`${first}.1`, `${second}.1`]);
    await cluster.pass(100);
    expect(await cluster.inStream()).toHaveLength(2);
    await cluster.result(first, 1, 'failed');
    await work?.ack();
    await cluster.settle();
    expect(await cluster.inStream()).toHaveLength(2);
  });
});

describe('priorities', () => {
  it('go in order, over all shards, and a late high one overtakes what waits', async () => {
    await cluster.startOwner();
    const watch = new Watch();
    const low = await createDue(4, 'low', 2);
    const medium = await createDue(8, 'medium', 1);
    const high = await createDue(4, 'high', 0);
    await cluster.pass(DUE_MS);
    await cluster.worker('w', 2);
    const ran = [await watch.runAll()];
    const late = `${await cluster.create(3, 'late', DUE_MS, { priority: 0 })}.1`;
    while (watch.outstanding > 0) ran.push(await watch.runAll());
    const order = ran.flat();
    const places = (works: readonly string[]): number[] => works.map((work) => order.indexOf(work));
    expect(order).toHaveLength(17);
    expect(Math.max(...places(high))).toBeLessThan(Math.min(...places(medium)));
    expect(Math.max(...places(medium))).toBeLessThan(Math.min(...places(low)));
    // Two windows were full when it came.
    expect(order.indexOf(late)).toBeLessThanOrEqual(2 * 2 * LIMITS.dispatchWindow);
  });
});

describe('a dispatch batch', () => {
  it('holds no more than its limit, and is the only one of its shard in flight', async () => {
    await cluster.startOwner();
    const records = Array.from({ length: 600 }, (_, at) => cluster.createRecord(0, `t${at}`, DUE_MS));
    await cluster.append(0, ...records);
    const { publish } = cluster.work;
    const sizes: number[] = [];
    const held: (() => void)[] = [];
    vi.spyOn(cluster.work, 'publish').mockImplementation(async (fence, id, items) => {
      sizes.push(items.length);
      await new Promise<void>((go) => held.push(go));
      return await publish.call(cluster.work, fence, id, items);
    });
    await cluster.worker('w', 600);
    await cluster.pass(DUE_MS);
    for (const done of [250, 500, 600]) {
      await cluster.seconds(1);
      expect(held).toHaveLength(1);
      held.pop()?.();
      await cluster.settle();
      expect(await cluster.inStream()).toHaveLength(done);
    }
    expect(sizes).toEqual([LIMITS.dispatchBatch, LIMITS.dispatchBatch, 100]);
  });

  it('is repeated as it is until its fate is known, and holds up no other shard', async () => {
    await cluster.startOwner();
    const works = await createDue(SHARDS);
    const { publish } = cluster.work;
    const tries: { readonly shard: number; readonly id: string; readonly items: readonly WorkItem[] }[] = [];
    vi.spyOn(cluster.work, 'publish').mockImplementation(async (fence, id, items) => {
      if (fence.shard !== 1) return await publish.call(cluster.work, fence, id, items);
      tries.push({ shard: fence.shard, id, items });
      if (tries.length === 1) return refused('full');
      const outcome = await publish.call(cluster.work, fence, id, items);
      // It is in the stream, but the acknowledgement is lost.
      return tries.length === 2 ? retry('no acknowledgement') : outcome;
    });
    await cluster.worker('w', 100);
    await cluster.pass(DUE_MS);
    expect(await cluster.inStream()).toHaveLength(SHARDS - 1);
    await cluster.until(() => tries.length === 3, 'a third try');
    await cluster.settle();
    expect(tries).toEqual([tries[0], tries[0], tries[0]]);
    expect((await cluster.inStream()).toSorted()).toEqual(works.toSorted());
    expect(cluster.counts.get('dispatched')).toBe(SHARDS);
  });

  it('is not repeated for longer than the broker knows it again: what the stream holds is looked up', async () => {
    const owner = await cluster.startOwner();
    const [work] = (await createDue(1)) as [string];
    const { publish } = cluster.work;
    let tries = 0;
    const spy = vi.spyOn(cluster.work, 'publish').mockImplementation(async (fence, id, items) => {
      if (tries++ === 0) await publish.call(cluster.work, fence, id, items);
      return retry('no acknowledgement');
    });
    await cluster.worker('w', 100);
    await cluster.pass(DUE_MS);
    await cluster.until(() => tries > 1, 'a second try');
    cluster.elapsedMs += LIMITS.dispatchRepeatMs + 1;
    await cluster.until(() => cluster.logged('whether a dispatch was stored').length === 1, 'it gives up');
    spy.mockRestore();
    await cluster.seconds(3);
    expect(owner.owned).toEqual([0, 1, 2, 3]);
    const attempts = cluster.pull().flatMap(({ ref }) => ref.attempts);
    expect(attempts.map(({ execution, attempt }) => `${execution}.${attempt}`)).toEqual([work]);
  });

  it('that is refused for a newer owner costs its shard alone', async () => {
    const owner = await cluster.startOwner();
    const works = await createDue(SHARDS);
    await cluster.work.takeFence(1, 7);
    vi.spyOn(cluster.store, 'takeEpochs').mockResolvedValue(retry('away')); // so that it stays as it is
    await cluster.worker('w', 100);
    await cluster.pass(DUE_MS);
    expect(owner.owned).toEqual([0, 2, 3]);
    expect(cluster.logged('a shard is lost: it has a newer owner')).toHaveLength(1);
    expect((await cluster.inStream()).toSorted()).toEqual(works.filter((_, shard) => shard !== 1).toSorted());
    const next = await cluster.create(2, 'next', DUE_MS);
    await cluster.settle();
    expect(await cluster.inStream()).toContain(`${next}.1`);
  });

  it('carries what a worker needs', async () => {
    await cluster.startOwner();
    await cluster.worker('w', 1);
    const execution = await cluster.create(2, 'one', DUE_MS, { timeoutMs: 7_000 });
    await cluster.pass(DUE_MS + 250);
    const [work] = cluster.pull();
    expect(JSON.parse(work?.body ?? '')).toEqual({
      v: 1,
      execution,
      task: execution.split('-')[0],
      namespace: 'acme',
      key: expect.stringMatching(/^one-/) as string,
      queue: 'mail',
      handler: 'send',
      attempt: 1,
      scheduledAt: T0 + DUE_MS,
      dispatchedAt: T0 + DUE_MS + 250,
      epoch: 1,
      timeoutMs: 7_000,
      metadata: {},
      payload: 'one',
    });
  });
});
