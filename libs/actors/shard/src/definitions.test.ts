import { LIMITS } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';
import { fire, keyed, T0, target, TestShard } from './test-world.ts';

const status = (answer: object): unknown => (answer as { status?: string }).status;
const next = (answer: object): unknown => (answer as { next?: number[] }).next?.map((at) => at - T0);

describe('create', () => {
  it('says whether the task is new, and when it fires next', async () => {
    const shard = await TestShard.start();
    const record = shard.createRecord({ key: 'k', s: `e1000@${T0}` });
    expect(shard.send(record)).toEqual({ ok: true, status: 'created', next: [T0 + 1_000, T0 + 2_000, T0 + 3_000] });
    expect(status(shard.send({ ...record, m: shard.nextCommand() }))).toBe('unchanged');
    const changed = shard.send({ ...record, m: shard.nextCommand(), p: '2' });
    expect([status(changed), next(changed)]).toEqual(['updated', [1_000, 2_000, 3_000]]);
    expect(shard.events()).toEqual(['created', 'updated']);
  });

  it('counts the text that it keeps until a checkpoint has it', async () => {
    const shard = await TestShard.start();
    const record = shard.createRecord({ p: JSON.stringify('x'.repeat(1_000)) });
    shard.send(record);
    shard.update(record.id, { p: JSON.stringify('y'.repeat(500)) });
    expect(shard.core.changedChars).toBeGreaterThanOrEqual(1_500);
    await shard.checkpoint();
    expect(shard.core.changedChars).toBe(0);
  });

  it('takes a repeated command for the same command, even when the task has changed since', async () => {
    const shard = await TestShard.start();
    const record = shard.createRecord({ key: 'k' });
    shard.send(record);
    shard.update(record.id, { s: `a${T0 + 9_000}` });
    expect(shard.send(record)).toEqual({ ok: true, status: 'unchanged', next: [T0 + 9_000] });
    const plain = shard.createRecord();
    shard.send(plain);
    shard.update(plain.id, { p: '"other"' });
    expect(shard.send(plain)).toEqual({ ok: true, status: 'unchanged', next: [T0 + 1_000] });
  });

  it('does not make a finished or cancelled task again for a repeated command', async () => {
    const shard = await TestShard.start();
    const [plain, stopped] = [shard.createRecord({ s: `a${T0}` }), shard.createRecord()];
    shard.send(plain);
    shard.send(stopped);
    shard.pass(5);
    shard.dispatch();
    shard.result(fire(plain.id, 0), 1, 'succeeded');
    shard.update(stopped.id, { p: '2' });
    shard.cancel(stopped.id);
    await shard.checkpoint();
    await shard.crash();
    for (const record of [plain, stopped])
      expect(shard.send(record)).toEqual({ ok: true, status: 'unchanged', next: [] });
    shard.pass(10_000);
    expect(shard.dispatch()).toEqual([]);
  });

  it('keeps a tombstone of a keyed task: the same again is a no-op, another definition is a new task', async () => {
    const shard = await TestShard.start({ rememberMs: 60_000 });
    const record = shard.createRecord({ key: 'k', s: `a${T0}` });
    shard.send(record);
    shard.pass(5);
    shard.dispatch();
    shard.result(fire(record.id, 0), 1, 'succeeded');
    expect(shard.core.glance(record.id, 'acme')?.state).toBe('finished');
    expect(status(shard.send({ ...record, m: shard.nextCommand() }))).toBe('unchanged');
    const other = shard.send({ ...record, m: shard.nextCommand(), s: `a${T0 + 5_000}` });
    expect([status(other), next(other)]).toEqual(['created', [5_000]]);
    shard.cancel(record.id);
    shard.pass(70_000);
    expect([shard.core.tasks, shard.core.glance(record.id, 'acme')]).toEqual([0, undefined]);
  });

  it('ends at once what never fires', async () => {
    const shard = await TestShard.start();
    const forever = `e${9_000 * 365 * 86_400_000}`;
    expect(next(shard.send(shard.createRecord({ s: forever })))).toEqual([]);
    expect(shard.core.tasks).toBe(0);
    const id = shard.create({ key: 'k' });
    expect(next(shard.update(id, { s: forever, p: '2' }))).toEqual([]);
    expect(shard.core.glance(id, 'acme')?.state).toBe('finished');
    await shard.checkpoint();
  });
});

/** Stores that these executions, as a dispatch tells them, have succeeded. */
function finish(shard: TestShard, lines: readonly string[]): void {
  for (const line of lines) {
    const x = line.slice(0, -2);
    shard.append({ k: 'result', c: 1, x, ns: 'acme', a: 1, o: 'succeeded', w: 'w', dl: 0, st: 0, fi: 0 });
    shard.ack(x, 1);
  }
}

describe('update', () => {
  it('that is heard late runs nothing again that ran meanwhile, and what it brings in between', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `e60000@${T0}`, t: target({ catchUp: { policy: 'all' } }) });
    shard.nowMs += 10_000;
    shard.append({ k: 'update', c: 1, m: shard.nextCommand(), id, ns: 'acme', s: `e20000@${T0}` });
    shard.pass(55_000);
    const first = shard.dispatch();
    shard.pass(60_000);
    first.push(...shard.dispatch());
    expect(first).toEqual([60_000, 120_000].map((at) => `${fire(id, at)}.1`));
    finish(shard, first);
    shard.catchUp();
    const between = [20_000, 40_000, 80_000, 100_000];
    expect(shard.dispatch().sort()).toEqual(between.map((at) => `${fire(id, at)}.1`).sort());
    shard.pass(20_000);
    expect(shard.dispatch()).toEqual([`${fire(id, 140_000)}.1`]);
  });

  describe('of which several are heard late in a row', () => {
    const MINUTELY = `e60000@${T0}`;
    const all = { catchUp: { policy: 'all' } } as const;

    /** A shard whose minutely task ran after 60 and 120 s, when it had not heard what `append` stored after 10 s. */
    async function deaf(append: (shard: TestShard, id: string) => void): Promise<{ shard: TestShard; id: string }> {
      const shard = await TestShard.start();
      const id = shard.create({ key: 'k', s: MINUTELY, t: target(all) });
      shard.nowMs += 10_000;
      append(shard, id);
      shard.pass(50_000);
      const ran = shard.dispatch();
      shard.pass(60_000);
      ran.push(...shard.dispatch());
      expect(ran).toEqual([60_000, 120_000].map((at) => `${fire(id, at)}.1`));
      finish(shard, ran);
      shard.catchUp();
      return { shard, id };
    }

    const update = (shard: TestShard, id: string, s: string): void =>
      shard.append({ k: 'update', c: 1, m: shard.nextCommand(), id, ns: 'acme', s });
    const cancel = (shard: TestShard, id: string): void =>
      shard.append({ k: 'cancel', c: 1, m: shard.nextCommand(), id, ns: 'acme' });

    it('runs nothing again when the second update undoes the first', async () => {
      const { shard, id } = await deaf((shard, id) => {
        update(shard, id, `e60000@${T0 + 30_000}`);
        update(shard, id, MINUTELY);
      });
      // What the first of them brought in between was due when it was heard.
      expect(shard.dispatch()).toEqual([`${fire(id, 30_000)}.1`, `${fire(id, 90_000)}.1`]);
      shard.pass(60_000);
      expect(shard.dispatch()).toEqual([`${fire(id, 180_000)}.1`]);
    });

    it('takes however many of them there are', async () => {
      const { shard, id } = await deaf((shard, id) => {
        for (let at = 1; at <= 20_000; at++) update(shard, id, at % 2 === 1 ? `e60000@${T0 + 30_000}` : MINUTELY);
      });
      expect(shard.dispatch()).toEqual([`${fire(id, 30_000)}.1`, `${fire(id, 90_000)}.1`]);
      shard.pass(60_000);
      expect(shard.dispatch()).toEqual([`${fire(id, 180_000)}.1`]);
    });

    it('runs nothing again of a task that was cancelled and made anew', async () => {
      const { shard, id } = await deaf((shard, id) => {
        cancel(shard, id);
        shard.append(shard.createRecord({ key: 'k', s: `e30000@${T0}`, t: target(all) }));
      });
      expect(shard.dispatch()).toEqual([`${fire(id, 30_000)}.1`, `${fire(id, 90_000)}.1`]);
      shard.pass(30_000);
      expect(shard.dispatch()).toEqual([`${fire(id, 150_000)}.1`]);
    });

    it('ends a task whose one fire ran before it became a one-time task', async () => {
      const { shard, id } = await deaf((shard, id) => {
        update(shard, id, `a${T0 + 120_000}`);
      });
      expect([shard.dispatch(), shard.core.glance(id, 'acme')?.state]).toEqual([[], 'finished']);
    });

    it.each(['before', 'after'])('runs one of a task made anew that was taken back %s that was heard', async (when) => {
      const shard = await TestShard.start();
      const id = shard.create({ key: 'k', s: `a${T0 + 50_000}` });
      const anew = shard.createRecord({ key: 'k', s: `a${T0 + 50_000}`, p: '2' });
      shard.nowMs += 10_000;
      cancel(shard, id);
      if (when === 'after') shard.append(anew);
      shard.pass(40_000);
      expect(shard.dispatch()).toEqual([`${fire(id, 50_000)}.1`]);
      shard.catchUp();
      shard.nowMs = T0 + 20_000;
      shard.result(fire(id, 50_000), 1, 'returned');
      if (when === 'before') shard.send(anew);
      shard.nowMs = T0 + 50_000;
      shard.pass(0);
      // One that the new task has taken over goes on with its next attempt.
      expect(shard.dispatch()).toEqual([`${fire(id, 50_000)}.${when === 'after' ? 2 : 1}`]);
    });

    it('runs one of a task made anew that no worker had before the cancel', async () => {
      const shard = await TestShard.start();
      const id = shard.create({ key: 'k', s: MINUTELY, t: target(all) });
      shard.nowMs += 10_000;
      update(shard, id, `e50000@${T0}`);
      cancel(shard, id);
      shard.append(shard.createRecord({ key: 'k', s: `e25000@${T0}`, t: target(all) }));
      shard.pass(50_000);
      finish(shard, shard.dispatch());
      shard.catchUp();
      expect(shard.dispatch()).toEqual([`${fire(id, 25_000)}.1`, `${fire(id, 50_000)}.1`]);
    });
  });

  it('knows only live tasks of its namespace, and each command once', async () => {
    const shard = await TestShard.start();
    const id = shard.create();
    expect(shard.update(keyed('no'), { p: '2' })).toMatchObject({ ok: false, error: { code: 'not_found' } });
    expect(shard.update(id, { ns: 'other', p: '2' })).toMatchObject({ ok: false, error: { code: 'not_found' } });
    expect(status(shard.update(id, { m: 77, s: `a${T0 + 2_000}` }))).toBe('updated');
    shard.update(id, { s: `a${T0 + 3_000}` });
    const again = shard.update(id, { m: 77, s: `a${T0 + 2_000}` });
    expect([status(again), next(again)]).toEqual(['unchanged', [3_000]]);
    shard.cancel(id);
    expect(shard.update(id, { p: '2' })).toMatchObject({ ok: false, error: { code: 'not_found' } });
  });

  it('moves what waits and what is due to another queue and priority', async () => {
    const shard = await TestShard.start();
    const [due, waiting] = [shard.create({ s: `a${T0}` }), shard.create()];
    shard.pass(5);
    for (const id of [due, waiting]) shard.update(id, { t: { queue: 'post', priority: 0 } });
    shard.pass(0);
    expect([shard.core.waiting('acme.mail', 1), shard.core.waiting('acme.post', 0)]).toEqual([0, 1]);
    shard.pass(1_000);
    expect(shard.dispatch()).toEqual([]);
    expect(shard.dispatch('acme.post')).toEqual([`${fire(due, 0)}.1`, `${fire(waiting, 1_000)}.1`]);
  });

  it('leaves a running attempt in its queue, and moves the next ones, those that wait for it already too', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `a${T0}` });
    shard.pass(5);
    shard.dispatch();
    shard.update(id, { t: { queue: 'post' } });
    expect([shard.core.outstanding('acme.mail'), shard.core.outstanding('acme.post')]).toEqual([1, 0]);
    shard.result(fire(id, 0), 1, 'returned');
    shard.pass(0);
    expect(shard.core.glance(id, 'acme')?.state).toBe('retrying');
    expect(shard.core.waiting('acme.post', 1)).toBe(1);
    shard.update(id, { t: { queue: 'mail', priority: 2 } });
    shard.update(id, { t: { queue: 'mail', priority: 0 } });
    expect(shard.core.waiting('acme.mail', 0)).toBe(1);
    expect(shard.dispatch('acme.post')).toEqual([]);
    expect(shard.dispatch('acme.mail')).toEqual([`${fire(id, 0)}.2`]);
    expect([shard.core.outstanding('acme.mail'), shard.core.outstanding('acme.post')]).toEqual([1, 0]);
  });

  it('moves the fire of a one-time task that is not under way, and adds one to a task that is', async () => {
    const shard = await TestShard.start();
    const [waits, runs] = [shard.create({ s: `a${T0}` }), shard.create({ s: `a${T0}` })];
    shard.update(waits, { s: `a${T0 + 3_000}` });
    shard.pass(5);
    expect(shard.dispatch()).toEqual([`${fire(runs, 0)}.1`]);
    shard.update(waits, { s: `a${T0}` });
    shard.update(runs, { s: `a${T0 + 500}` });
    shard.pass(0);
    expect(shard.dispatch()).toEqual([`${fire(waits, 0)}.1`]);
    shard.result(fire(runs, 0), 1, 'succeeded');
    shard.pass(1_000);
    expect(shard.dispatch()).toEqual([`${fire(runs, 500)}.1`]);
    shard.result(fire(runs, 500), 1, 'succeeded');
    expect(shard.core.glance(runs, 'acme')).toBeUndefined();
  });

  it('does not fire an instant again that is under way', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `a${T0}` });
    shard.pass(5);
    shard.dispatch();
    shard.update(id, { s: `a${T0 + 500}` });
    shard.update(id, { s: `a${T0}` });
    shard.pass(1_000);
    expect(shard.dispatch()).toEqual([]);
    shard.result(fire(id, 0), 1, 'succeeded');
    expect(shard.core.tasks).toBe(0);
  });

  it('keeps the fires of a recurring task that are due when its schedule changes', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `e100@${T0 + 100}` });
    shard.pass(350);
    shard.update(id, { s: `e1000@${T0}` });
    const { state, next } = shard.core.glance(id, 'acme') ?? {};
    expect([state, next]).toEqual(['due', [T0 + 1_000, T0 + 2_000, T0 + 3_000]]);
    expect(shard.dispatch()).toEqual([`${fire(id, 100)}.1`, `${fire(id, 200)}.1`, `${fire(id, 300)}.1`]);
    shard.pass(650);
    expect(shard.dispatch()).toEqual([`${fire(id, 1_000)}.1`]);
  });

  it('does not fire again by the new schedule what an owner with a fast clock has fired by the old one', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `e1000@${T0 + 1_000}` });
    shard.core.advance(T0 + 1_200, 100);
    expect(shard.dispatch()).toEqual([`${fire(id, 1_000)}.1`]);
    shard.result(fire(id, 1_000), 1, 'succeeded');
    shard.update(id, { s: `e2000@${T0 + 1_000}` });
    expect(shard.core.glance(id, 'acme')?.next?.[0]).toBe(T0 + 3_000);
    shard.update(id, { s: `e1000@${T0 + 1_500}` });
    expect(shard.core.glance(id, 'acme')?.next?.[0]).toBe(T0 + 1_500);
  });

  it('skips the oldest of very many due fires when its schedule changes', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `e1000@${T0}` });
    shard.pass(1_000); // its first fire waits for a worker, and the others behind it
    const most = LIMITS.dueAtChange;
    // Watched all the while: what waits has not been missed.
    for (let step = 0; step < 3 * most; step += 50) shard.pass(50_000);
    shard.update(id, { s: `e100000000@${T0}` });
    const kept = most;
    const lastMs = T0 + 1_000 + 3 * most * 1_000;
    const ran: string[] = [];
    for (let some = shard.dispatch(); some.length > 0; some = shard.dispatch()) ran.push(...some);
    expect(ran).toHaveLength(kept);
    expect(ran[0]).toBe(`${fire(id, lastMs - T0 - (kept - 1) * 1_000)}.1`);
    expect(ran.at(-1)).toBe(`${fire(id, lastMs - T0)}.1`);
    expect(shard.core.takeEvents().findLast(({ type }) => type === 'skipped')?.skipped?.policy).toBe('crowded_out');
    expect(shard.core.counters.skipped).toBe(3 * most + 1 - kept);
    expect(shard.core.imbalance).toBe(0);
  });

  it('keeps the same of very many in a replay that does not know what was dispatched', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `e1000@${T0}` });
    shard.pass(1_000);
    for (let step = 0; step < LIMITS.dueAtChange + 500; step += 50) shard.pass(50_000);
    await shard.checkpoint();
    for (let dispatched = 0; dispatched < 1_000; dispatched++) {
      expect(shard.dispatch()).toHaveLength(1);
      shard.pass(1); // the fire behind it comes out of the wheel
    }
    shard.update(id, { s: `e100000000@${T0}` });
    const waiting = shard.core.backlog;
    expect(waiting).toBe(LIMITS.dueAtChange - 498);
    await shard.crash();
    expect(shard.core.backlog).toBe(waiting);
    expect(shard.core.imbalance).toBe(0);
  });

  it('makes a recurring task one-time, and back', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ key: 'k', s: `e100@${T0}` });
    shard.pass(110);
    shard.dispatch();
    shard.update(id, { s: `a${T0 + 100}` });
    await shard.checkpoint();
    await shard.crash();
    shard.pass(500);
    expect([shard.dispatch(), shard.under(id)]).toEqual([[], ['100 dispatched 1']]);
    shard.update(id, { s: `e100@${T0}` });
    shard.pass(100);
    expect(shard.dispatch()).toEqual([`${fire(id, 700)}.1`]);
  });
});

describe('cancel', () => {
  it('ends a waiting and a due task, and names nothing', async () => {
    const shard = await TestShard.start();
    const [waiting, due] = [shard.create({ s: `e1000@${T0}` }), shard.create({ s: `a${T0}` })];
    shard.pass(5);
    expect(shard.cancel(waiting)).toEqual({ ok: true, status: 'cancelled', running: [] });
    expect(shard.cancel(due)).toEqual({ ok: true, status: 'cancelled', running: [] });
    shard.pass(10_000);
    expect([shard.dispatch(), shard.core.backlog]).toEqual([[], 0]);
    expect(shard.core.glance(due, 'acme')).toMatchObject({ state: 'cancelled', next: [] });
    expect(shard.cancel(keyed('no'))).toMatchObject({ ok: false, error: { code: 'not_found' } });
    expect(shard.cancel(due, { ns: 'other' })).toMatchObject({ ok: false, error: { code: 'not_found' } });
  });

  it('names what runs on, and ends what waits for a retry', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `e100@${T0}` });
    shard.pass(110);
    shard.dispatch();
    shard.pass(100);
    shard.dispatch();
    shard.result(fire(id, 100), 1, 'failed');
    shard.events();
    expect(shard.cancel(id)).toEqual({ ok: true, status: 'cancelled', running: [fire(id, 200)] });
    expect(shard.events()).toEqual(['cancelled', 'cancelled *']);
    expect(shard.under(id)).toEqual(['200 dispatched 1']);
    shard.result(fire(id, 200), 1, 'failed', { e: 'late' });
    shard.pass(60_000);
    expect(shard.dispatch()).toEqual([]);
    await shard.checkpoint();
    expect(shard.history()).toEqual(['100 cancelled', '200 failed']);
  });

  it('ends a pending retry', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `a${T0}` });
    shard.pass(5);
    shard.dispatch();
    shard.result(fire(id, 0), 1, 'returned');
    shard.pass(5);
    shard.cancel(id);
    expect([shard.core.backlog, shard.dispatch(), shard.core.underWay]).toEqual([0, [], 0]);
  });

  it('is done once for a command: a retry does not cancel the task that was made since', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ key: 'k' });
    shard.cancel(id, { m: 99 });
    shard.create({ key: 'k', p: '"again"' });
    await shard.checkpoint();
    await shard.crash();
    expect(shard.cancel(id, { m: 99 })).toEqual({ ok: true, status: 'cancelled', running: [] });
    expect(shard.core.glance(id, 'acme')?.state).toBe('waiting');
  });
});

describe('a task that is made again while the one before still runs', () => {
  it('lets the old execution run on without a retry, and ends after both', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ key: 'k', s: `a${T0}` });
    shard.pass(5);
    shard.dispatch();
    shard.cancel(id);
    shard.create({ key: 'k', s: `a${T0 + 1_000}` });
    await shard.checkpoint();
    await shard.crash();
    shard.pass(1_000);
    expect(shard.dispatch()).toEqual([`${fire(id, 1_000)}.1`]);
    shard.result(fire(id, 1_000), 1, 'succeeded');
    expect(shard.under(id)).toEqual(['0 dispatched 1']);
    shard.result(fire(id, 0), 1, 'returned');
    expect(shard.core.glance(id, 'acme')?.state).toBe('finished');
    await shard.checkpoint();
    expect(shard.history()).toEqual(['1000 succeeded', '0 cancelled']);
  });

  it('takes a fire of the same instant over instead of firing it again', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ key: 'k', s: `a${T0}` });
    shard.pass(5);
    shard.dispatch();
    shard.cancel(id);
    shard.create({ key: 'k', s: `a${T0}`, p: '2' });
    await shard.checkpoint();
    await shard.crash();
    shard.pass(5_000);
    expect(shard.dispatch()).toEqual([]);
    shard.result(fire(id, 0), 1, 'returned');
    shard.pass(5);
    expect(shard.dispatch()).toEqual([`${fire(id, 0)}.2`]);
    shard.result(fire(id, 0), 2, 'succeeded');
    expect(shard.core.glance(id, 'acme')?.state).toBe('finished');
  });

  it('is not forgotten before its last execution is over', async () => {
    const shard = await TestShard.start({ rememberMs: 60_000 });
    const id = shard.create({ s: `a${T0}`, t: target({ timeoutMs: 600_000 }) });
    shard.pass(5);
    shard.dispatch();
    shard.cancel(id);
    shard.pass(200_000);
    await shard.checkpoint();
    await shard.crash();
    expect(shard.under(id)).toEqual(['0 dispatched 1']);
    shard.result(fire(id, 0), 1, 'succeeded');
    shard.pass(60_000);
    await shard.checkpoint();
    expect([shard.core.tasks, shard.history()]).toEqual([0, ['0 succeeded']]);
    await shard.crash();
    expect([shard.core.tasks, shard.core.underWay]).toEqual([0, 0]);
  });
});
