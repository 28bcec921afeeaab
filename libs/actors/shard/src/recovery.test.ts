import { NO_FIRES } from '@belfry/ports';
import { describe, expect, it } from 'vitest';
import { fire, T0, target, TestShard } from './test-world.ts';

describe('a shard that is taken over', () => {
  it('fires what came due while nobody owned the shard', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `e1001@${T0 + 1_001}` });
    shard.pass(1_000);
    expect(shard.dispatch()).toEqual([]);
    await shard.checkpoint();
    await shard.crash();
    shard.pass(1);
    expect(shard.dispatch()).toEqual([`${fire(id, 1_001)}.1`]);
  });

  it('knows what is in the work stream, also where its new owner’s clock is slow', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `e100000@${T0}` });
    await shard.checkpoint();
    shard.pass(100_000);
    expect(shard.dispatch()).toEqual([`${fire(id, 100_000)}.1`]);
    shard.nowMs = T0 + 1_000;
    expect(await shard.crash()).toEqual([]);
    shard.nowMs = T0 + 100_000;
    shard.pass(1);
    expect(shard.dispatch()).toEqual([]);
  });

  it('knows what an owner dispatched that had not heard of an update for more than a minute', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `e60000@${T0}`, t: target({ catchUp: { policy: 'all' } }) });
    shard.nowMs += 10_000;
    shard.append({ k: 'update', c: 1, m: shard.nextCommand(), id, ns: 'acme', s: `e60000@${T0 + 30_000}` });
    shard.pass(50_000);
    shard.dispatch();
    shard.pass(30_000);
    await shard.checkpoint();
    shard.pass(30_000);
    expect(shard.dispatch()).toEqual([`${fire(id, 120_000)}.1`]);
    expect(await shard.crash()).toEqual([]);
    for (const at of [60_000, 120_000]) expect(shard.result(fire(id, at), 1, 'succeeded')).toMatchObject({ ok: true });
    await shard.checkpoint();
    expect(shard.history().toSorted()).toEqual(['120000 succeeded', '60000 succeeded']);
  });

  it('does not fire again what was over before the watermark came to it', async () => {
    const shard = await TestShard.start();
    const ids = [1, 2, 3].map(() => shard.create({ s: `e1000@${T0}` }));
    shard.nowMs += 1_000;
    // A slice of what is due: the wheel has not been advanced whole.
    expect(shard.core.advance(shard.nowMs, 2)).toBe(true);
    const first = shard.dispatch();
    for (const line of first) {
      shard.result(line.slice(0, -2), 1, 'succeeded');
      shard.ack(line.slice(0, -2), 1);
    }
    expect(first).toHaveLength(2);
    await shard.checkpoint();
    await shard.crash();
    shard.pass(0);
    const second = shard.dispatch();
    expect([...first, ...second].sort()).toEqual(ids.map((id) => `${fire(id, 1_000)}.1`).sort());
  });

  it('fires what had been found due in a slice before one checkpoint, and was not dispatched until the next', async () => {
    const shard = await TestShard.start();
    const ids = [1, 2].map(() => shard.create({ s: `e1000@${T0}` }));
    shard.pass(10);
    shard.nowMs += 990;
    expect(shard.core.advance(shard.nowMs, 1)).toBe(true);
    await shard.checkpoint();
    shard.pass(10);
    await shard.checkpoint();
    await shard.crash();
    shard.pass(0);
    expect(shard.dispatch().sort()).toEqual(ids.map((id) => `${fire(id, 1_000)}.1`).sort());
  });

  it('dispatches anew what was taken and never published, and counts its fire once', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `a${T0}` });
    shard.pass(5);
    shard.take();
    await shard.checkpoint();
    await shard.crash();
    expect(shard.dispatch()).toEqual([`${fire(id, 0)}.1`]);
    shard.result(fire(id, 0), 1, 'succeeded');
    expect(shard.core.counters).toEqual({ ...NO_FIRES, fired: 1, finished: 1 });
  });

  it('takes a result for the proof of a dispatch that the checkpoint does not know', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `e100@${T0}` });
    await shard.checkpoint();
    shard.pass(110);
    shard.dispatch();
    shard.pass(100);
    shard.dispatch();
    shard.result(fire(id, 200), 1, 'failed');
    shard.ack(fire(id, 200), 1);
    await shard.crash();
    expect(shard.under(id)).toEqual(['100 dispatched 1', '200 retrying 1']);
    shard.work.clear();
    await shard.crash();
    // Nobody speaks for the first fire any more: it was not run.
    shard.pass(0);
    expect(shard.dispatch()).toEqual([`${fire(id, 100)}.1`]);
    expect(shard.core.counters).toMatchObject({ fired: 2, finished: 0 });
  });

  it('removes messages of attempts that are over', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `a${T0}` });
    shard.pass(5);
    shard.dispatch();
    shard.result(fire(id, 0), 1, 'failed');
    expect(await shard.crash()).toMatchObject([{ attempts: [{ execution: fire(id, 0), attempt: 1 }] }]);
    shard.pass(60_000);
    expect(shard.dispatch()).toEqual([`${fire(id, 0)}.2`]);
    await shard.crash();
    expect(shard.under(id)).toEqual(['0 dispatched 2']);
  });

  it('ends a cancelled execution whose message is gone, and never dispatches it', async () => {
    for (const published of [true, false]) {
      const shard = await TestShard.start();
      const id = shard.create({ s: `a${T0}` });
      shard.pass(5);
      const taken = shard.take();
      if (published) shard.publish(taken);
      await shard.checkpoint();
      shard.cancel(id);
      await shard.checkpoint();
      await shard.crash();
      expect(shard.under(id)).toEqual(published ? ['0 dispatched 1'] : []);
      shard.work.clear();
      await shard.crash();
      shard.pass(60_000);
      expect([shard.core.underWay, shard.dispatch()]).toEqual([0, []]);
      await shard.checkpoint();
      expect(shard.history()).toEqual(['0 cancelled']);
    }
  });

  it('accepts results of what had been dispatched when a cancel came, though no checkpoint knew of it', async () => {
    const shard = await TestShard.start();
    const [once, every] = [shard.create({ s: `a${T0}` }), shard.create({ s: `e100@${T0}` })];
    await shard.checkpoint();
    shard.pass(110);
    shard.dispatch();
    for (const id of [once, every]) shard.cancel(id);
    shard.result(fire(once, 0), 1, 'succeeded');
    shard.ack(fire(once, 0), 1);
    await shard.crash();
    expect(shard.under(every)).toEqual(['100 dispatched 1']);
    expect(shard.result(fire(once, 0), 1, 'succeeded')).toMatchObject({ error: { code: 'execution_over' } });
    expect(shard.result(fire(every, 100), 1, 'failed')).toMatchObject({ status: 'accepted' });
    await shard.checkpoint();
    expect(shard.history()).toEqual(['0 succeeded', '100 failed']);
  });

  it('keeps a one-time fire that had been dispatched when an update moved the task, though no checkpoint knew of it', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `a${T0}` });
    await shard.checkpoint();
    shard.pass(5);
    shard.dispatch();
    shard.update(id, { s: `a${T0 + 1_000}` });
    await shard.crash();
    expect(shard.under(id)).toEqual(['0 dispatched 1']);
    shard.result(fire(id, 0), 1, 'failed');
    shard.ack(fire(id, 0), 1);
    shard.pass(60_000);
    expect(shard.dispatch()).toEqual([`${fire(id, 0)}.2`, `${fire(id, 1_000)}.1`]);
  });

  it('ends what was moved and then cancelled when its worker is lost, though no checkpoint knew of the dispatch', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `a${T0}` });
    await shard.checkpoint();
    shard.pass(5);
    shard.dispatch();
    shard.update(id, { s: `a${T0 + 1_000}` });
    shard.cancel(id);
    expect(shard.redelivered(fire(id, 0), 1, 2)).toMatchObject({ status: 'skip' });
    shard.ack(fire(id, 0), 1);
    await shard.crash();
    shard.pass(60_000);
    expect([shard.core.underWay, shard.dispatch()]).toEqual([0, []]);
  });

  it('retries what a task that was made anew took over and then moved, though no checkpoint knew of the dispatch', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ key: 'k', s: `a${T0}` });
    await shard.checkpoint();
    shard.pass(5);
    shard.dispatch();
    shard.cancel(id);
    shard.create({ key: 'k', s: `a${T0}`, p: '2' });
    shard.update(id, { s: `a${T0 + 60_000}` });
    await shard.crash();
    shard.result(fire(id, 0), 1, 'failed');
    shard.pass(10_000);
    expect(shard.dispatch()).toEqual([`${fire(id, 0)}.2`]);
  });

  it('does not take up again what is over of a task that was cancelled and made anew, when its message is still there', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ key: 'k', s: `e100@${T0}` });
    await shard.checkpoint();
    shard.pass(50);
    shard.cancel(id);
    shard.create({ key: 'k', s: `e100@${T0}`, p: '2' });
    shard.pass(60);
    shard.dispatch();
    shard.result(fire(id, 100), 1, 'succeeded');
    expect(await shard.crash()).toMatchObject([{ attempts: [{ execution: fire(id, 100), attempt: 1 }] }]);
    expect(shard.core.underWay).toBe(0);
    expect(shard.result(fire(id, 100), 1, 'failed')).toMatchObject({ error: { code: 'execution_over' } });
  });

  it('keeps recurring fires through a schedule that changed before the crash, each once', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `e100@${T0}` });
    await shard.checkpoint();
    shard.pass(110);
    shard.dispatch();
    shard.pass(100);
    shard.update(id, { s: `e1000@${T0}` });
    shard.result(fire(id, 100), 1, 'succeeded');
    shard.ack(fire(id, 100), 1);
    await shard.crash();
    shard.pass(790);
    expect(shard.dispatch()).toEqual([`${fire(id, 200)}.1`, `${fire(id, 1_000)}.1`]);
    await shard.checkpoint();
    expect(shard.history()).toEqual(['100 succeeded']);
  });

  it('remembers that a one-time fire is over while another of its task goes on', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `a${T0}` });
    shard.pass(5);
    shard.dispatch();
    shard.update(id, { s: `a${T0 + 10}` });
    shard.pass(10);
    shard.dispatch();
    shard.update(id, { s: `a${T0 + 20}` });
    shard.pass(10);
    shard.dispatch();
    for (const offset of [20, 10]) {
      shard.result(fire(id, offset), 1, 'succeeded');
      shard.ack(fire(id, offset), 1);
    }
    await shard.checkpoint();
    await shard.crash();
    shard.pass(1_000);
    expect([shard.dispatch(), shard.under(id)]).toEqual([[], ['0 dispatched 1']]);
    shard.result(fire(id, 0), 1, 'succeeded');
    expect(shard.core.tasks).toBe(0);
  });

  it('remembers commands for as long as it is told, and no longer', async () => {
    const shard = await TestShard.start({ rememberMs: 3_600_000 });
    const id = shard.create({ key: 'k' });
    shard.update(id, { m: 7, p: '2' });
    await shard.checkpoint();
    await shard.crash();
    expect(shard.update(id, { m: 7, p: '3' })).toMatchObject({ status: 'unchanged' });
    shard.nowMs += 3 * 3_600_000;
    expect(shard.update(id, { m: 8, p: '4' })).toMatchObject({ status: 'updated' });
    expect(shard.update(id, { m: 7, p: '3' })).toMatchObject({ status: 'updated' });
  });
});

describe('a work stream that was lost', () => {
  const lose = async (): Promise<[TestShard, string, string]> => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `a${T0}` });
    shard.pass(5);
    shard.dispatch();
    await shard.checkpoint();
    return [shard, id, fire(id, 0)];
  };

  it('leaves executions adrift until a worker or nobody speaks for them', async () => {
    const [shard, , x] = await lose();
    await shard.crash({ streamLost: true });
    shard.pass(1_000);
    expect([shard.core.adrift().map(({ id }) => id), shard.dispatch()]).toEqual([[x], []]);
    expect(shard.core.outstanding('acme.mail')).toBe(0);
    expect(shard.result(x, 1, 'succeeded')).toMatchObject({ status: 'accepted' });
    const [other, , y] = await lose();
    await other.crash({ streamLost: true });
    other.result(y, 1, 'returned');
    other.pass(0);
    expect(other.dispatch()).toEqual([`${y}.2`]);
  });

  it('is of no matter to what had been given back before', async () => {
    const [shard, , x] = await lose();
    shard.work.clear();
    await shard.crash();
    await shard.checkpoint();
    await shard.crash({ streamLost: true });
    shard.pass(0);
    expect([shard.core.adrift(), shard.dispatch()]).toEqual([[], [`${x}.1`]]);
  });

  it('is not forgotten by the next takeover, whether a checkpoint or only the inbox knows of it', async () => {
    for (const checkpoint of [true, false]) {
      const [shard, , x] = await lose();
      await shard.crash({ streamLost: true, foundBefore: !checkpoint });
      if (checkpoint) await shard.checkpoint();
      await shard.crash();
      shard.pass(1_000);
      expect([shard.core.adrift().map(({ id }) => id), shard.dispatch()]).toEqual([[x], []]);
    }
  });

  it('is of no matter to what was dispatched into the new one', async () => {
    const [shard, , x] = await lose();
    const late = shard.create({ s: `a${T0}` });
    await shard.crash({ streamLost: true });
    shard.pass(5);
    expect(shard.dispatch()).toEqual([`${fire(late, 0)}.1`]);
    await shard.crash();
    expect(shard.core.adrift().map(({ id }) => id)).toEqual([x]);
    expect(shard.under(late)).toEqual(['0 dispatched 1']);
    // The record of a node that lost the race for the shard comes late.
    shard.send({ k: 'ownership', c: 0, epoch: 1, node: 'm', lost: true });
    expect(shard.core.adrift()).toHaveLength(1);
  });

  it('ends what was cancelled and nobody speaks for', async () => {
    const [shard, id, x] = await lose();
    shard.cancel(id);
    await shard.crash({ streamLost: true });
    expect(shard.core.adrift()).toHaveLength(1);
    shard.result(x, 1, 'returned');
    expect(shard.core.underWay).toBe(0);
  });
});

describe('a checkpoint', () => {
  it('writes nothing of what came and went since the last one, but its history', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `a${T0}` });
    shard.pass(5);
    shard.dispatch();
    shard.result(fire(id, 0), 1, 'succeeded');
    const delta = await shard.checkpoint();
    const { inserts, patches, deletes, pointers, active, activeDone, history, commands } = delta;
    expect([inserts, patches, deletes, pointers, active, activeDone]).toEqual([[], [], [], [], [], []]);
    expect([history.length, commands.length]).toEqual([1, 1]);
  });

  it('is one of a task that was made anew, and of executions that ended while it was under way', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ key: 'k', s: `a${T0}` });
    shard.pass(5);
    shard.dispatch();
    const first = shard.takeDelta();
    shard.result(fire(id, 0), 1, 'succeeded');
    shard.create({ key: 'k', s: `a${T0}`, p: '2' });
    await shard.commit(first);
    const second = await shard.checkpoint();
    expect([first.active.length, second.activeDone.length]).toEqual([1, 1]);
    expect([second.deletes, second.inserts.map(({ id }) => id)]).toEqual([[id], [id]]);
    shard.work.clear();
    await shard.crash();
    shard.pass(5);
    expect(shard.dispatch()).toEqual([`${fire(id, 0)}.1`]);
  });

  it('has nothing to write when nothing has changed', async () => {
    const shard = await TestShard.start();
    shard.create();
    await shard.checkpoint();
    shard.nowMs += 500;
    shard.core.advance(shard.nowMs, Infinity);
    expect([shard.core.delta(false), shard.core.changedRows]).toEqual([undefined, 0]);
    expect(shard.core.delta(true)).toMatchObject({ watermark: T0 + 500, inserts: [] });
  });
});
