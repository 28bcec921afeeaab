import { taskIdOfCommand } from '@belfry/protocol';
import { NO_FIRES } from '@belfry/ports';
import { describe, expect, it } from 'vitest';
import { fire, T0, target, TestShard } from './test-world.ts';

describe('fires', () => {
  it('are never early, for each kind of schedule', async () => {
    const shard = await TestShard.start();
    const at = shard.create({ s: `a${T0 + 2_003}` });
    const every = shard.create({ s: 'e1001' });
    const cron = shard.create({ s: 'c*/2 * * * * *;UTC' });
    const seen: string[] = [];
    for (let ms = 0; ms < 4_100; ms++) {
      shard.nowMs++;
      shard.core.advance(shard.nowMs, Infinity);
      for (const { execution } of shard.take()) {
        const lateMs = shard.nowMs - execution.scheduledAt;
        expect(lateMs >= 0 && lateMs < 5, `${lateMs} ms late`).toBe(true);
        seen.push(execution.id);
      }
    }
    expect(new Set(seen)).toEqual(
      new Set([
        fire(at, 2_003),
        ...[1_001, 2_002, 3_003, 4_004].map((ms) => fire(every, ms)),
        ...[2_000, 4_000].map((ms) => fire(cron, ms)),
      ]),
    );
  });

  it('wait when the clock steps back', async () => {
    const shard = await TestShard.start();
    shard.create({ s: `e1000@${T0}` });
    shard.pass(10_000);
    shard.dispatch();
    shard.nowMs -= 9_500;
    const id = shard.create({ s: `e1000@${T0}` });
    shard.pass(0);
    expect(shard.dispatch()).toEqual([]);
    await shard.checkpoint();
    await shard.crash();
    shard.pass(500);
    expect(shard.dispatch()).toContain(`${fire(id, 1_000)}.1`);
  });

  it('leave by priority, first come first served, and retries before what has not run', async () => {
    const shard = await TestShard.start();
    const ids = [2, 1, 0, 2, 1, 0].map((priority, at) =>
      shard.create({ s: `a${T0 + at * 10}`, t: target({ priority: priority as 0 | 1 | 2 }) }),
    ) as [string, string, string, string, string, string];
    shard.pass(100);
    const order = shard.dispatch();
    expect(order.map((line) => ids.indexOf(line.slice(0, 32)))).toEqual([2, 5, 1, 4, 0, 3]);
    const late = shard.create({ s: `a${T0}`, t: target({ priority: 0 }) });
    shard.pass(5);
    shard.result(fire(ids[5], 50), 1, 'returned');
    shard.pass(5);
    expect(shard.core.waiting('acme.mail', 0)).toBe(2);
    expect(shard.dispatch()).toEqual([`${fire(ids[5], 50)}.2`, `${fire(late, 0)}.1`]);
  });

  it('of a lower precision wait for its grid, but not when they came due behind another of their task', async () => {
    const shard = await TestShard.start();
    const t = target({ precision: 'low' });
    shard.create({ key: 'often', s: `e300@${T0}`, t });
    shard.pass(900);
    shard.create({ key: 'now', s: `a${T0 + 1_100}`, t });
    expect(shard.take()).toEqual([]);
    shard.pass(300);
    const seen: number[] = [];
    for (let taken = shard.take(); taken.length > 0; taken = shard.take()) {
      seen.push(...taken.map(({ execution }) => execution.scheduledAt - T0));
      shard.pass(0);
    }
    expect(seen).toEqual([300, 600, 900]);
    shard.pass(800);
    expect(shard.take().map(({ execution }) => execution.scheduledAt - T0)).toEqual([1_100, 1_200]);
  });

  it('are taken within a limit, and counted while they are out', async () => {
    const shard = await TestShard.start();
    for (let at = 0; at < 20_000; at++) shard.append(shard.createRecord({ s: `a${T0}` }));
    shard.catchUp();
    expect(shard.core.advance(T0 + 5, 2_000)).toBe(true);
    expect(shard.core.backlog).toBe(2_000);
    while (shard.core.advance(T0 + 5, 2_000));
    expect([shard.core.backlog, shard.core.isReady(shard.nowMs)]).toEqual([20_000, true]);
    const of = (queue: string): boolean => shard.core.isReady(shard.nowMs, queue);
    expect([of('acme.mail'), of('acme.print')]).toEqual([true, false]);
    const first = shard.take(5_000);
    const rest = shard.take(Infinity);
    expect([first.length, rest.length, shard.core.outstanding('acme.mail')]).toEqual([5_000, 15_000, 20_000]);
    expect(shard.core.isReady(shard.nowMs)).toBe(false);
    for (const { execution } of [...first, ...rest]) {
      shard.append({ k: 'result', c: 0, x: execution.id, ns: 'acme', a: 1, o: 'returned', w: '', dl: 0, st: 0, fi: 0 });
    }
    shard.catchUp();
    expect(shard.core.advance(T0 + 5, 2_000)).toBe(true);
    expect([shard.core.backlog, shard.core.outstanding('acme.mail')]).toEqual([2_000, 0]);
    shard.pass(5);
    expect(shard.core.counters).toEqual({ ...NO_FIRES, fired: 20_000 });
  });

  it('tell which bodies will be needed', async () => {
    const shard = await TestShard.start();
    const [soon, later, gone] = [2_000, 8_000, 2_000].map((ms) => shard.create({ s: `a${T0 + ms}` })) as [
      string,
      string,
      string,
    ];
    shard.cancel(gone);
    const seen: string[] = [];
    shard.core.upcoming(T0, T0 + 5_000, (id) => seen.push(id));
    expect([seen, shard.core.pointerOf(later)]).toEqual([[soon], T0 + 8_000]);
  });
});

describe('print', () => {
  it('shows tasks, executions and the backlog', async () => {
    const shard = await TestShard.start();
    const ids = [1, 2, 3, 4, 5].map((m) => taskIdOfCommand('acme', String(m), 0)) as [
      string,
      string,
      string,
      string,
      string,
    ];
    for (const [at, id] of ids.entries()) {
      const s = at === 4 ? `e1000@${T0}` : `a${T0 + (at === 0 ? 9_000 : 0)}`;
      shard.create({ id, m: at + 1, s, ...(at === 1 ? { key: 'k' } : {}) });
    }
    shard.pass(5);
    shard.dispatch();
    shard.result(fire(ids[1], 0), 1, 'failed');
    shard.result(fire(ids[3], 0), 1, 'returned');
    shard.cancel(ids[2]);
    shard.pass(1_000);
    await shard.checkpoint();
    const names = new Map(ids.map((id, at) => [id, `task-${at}`]));
    const text = ids.reduce((printed, id) => printed.replaceAll(id, names.get(id) as string), shard.core.print());
    expect(text).toMatchInlineSnapshot(`
      "shard 0, epoch 1, seq 9, watermark 1790000001005
      5 tasks, 3 under way; expected 4, waiting 1, fired 3, finished 0, dead 0, skipped 0, withdrawn 0, missed 0
      nobody watched from 0: missed until 1789999940005
      task-2 cancelled 1790086400005 a1790000000000 acme.mail/1
        1790000000000 dispatched attempt 1 cancelled 1790000000005
      task-0 waiting 1790000009000 a1790000009000 acme.mail/1
      task-1 held a1790000000000 acme.mail/1 keyed
        1790000000000 pending attempt 2 after failed
      task-4 due 1790000001000 e1000@1790000000000 acme.mail/1 pointer
      task-3 held a1790000000000 acme.mail/1
        1790000000000 pending attempt 2 after returned
      backlog acme.mail/1: 4 task-3-mubbs7i8 task-1-mubbs7i8"
    `);
  });
});
