import { LIMITS } from '@belfry/protocol';
import { backoffDelayMs } from '@belfry/timing';
import { NO_FIRES } from '@belfry/ports';
import { describe, expect, it } from 'vitest';
import { fire, keyed, T0, TARGET, target, TestShard } from './test-world.ts';

/** A shard with one execution in a worker's hands. */
async function running(change: Parameters<TestShard['create']>[0] = {}): Promise<[TestShard, string, string]> {
  const shard = await TestShard.start();
  const id = shard.create({ s: `a${T0}`, ...change });
  shard.pass(5);
  shard.dispatch();
  shard.events();
  return [shard, id, fire(id, 0)];
}

const delay = (seed: string, attempt: number): number => backoffDelayMs({ attempt, ...TARGET.retry, seed });

describe('a result', () => {
  it('of success ends the execution, and a one-time task with it', async () => {
    const [shard, id, x] = await running();
    expect(shard.result(x, 1, 'succeeded', { dl: T0 + 6, st: T0 + 7, fi: T0 + 8, v: '"r"' })).toEqual({
      ok: true,
      status: 'accepted',
    });
    expect([shard.events(), shard.core.tasks, shard.core.underWay]).toEqual([['succeeded *'], 0, 0]);
    const { history, counters } = await shard.checkpoint();
    expect(history).toMatchObject([
      { task: id, scheduledAt: T0, state: 'succeeded', attempt: 1, worker: 'w', startedAt: T0 + 7, result: '"r"' },
    ]);
    expect(counters).toEqual({ ...NO_FIRES, fired: 1, finished: 1 });
  });

  it('of an attempt that was given back is kept for the latest of them, and for all that failed', async () => {
    const [shard, id, x] = await running();
    shard.result(x, 1, 'failed', { e: 'boom' });
    shard.pass(delay(x, 1));
    const last = LIMITS.attemptsKept + 50;
    for (let attempt = 2; attempt <= last; attempt++) {
      expect(shard.dispatch()).toEqual([`${x}.${attempt}`]);
      shard.result(x, attempt, 'returned');
      shard.pass(0);
    }
    const attempts = shard.core.glance(id, 'acme')?.executions[0]?.attempts ?? [];
    expect(attempts).toHaveLength(LIMITS.attemptsKept);
    expect(attempts[0]).toMatchObject({ attempt: 1, outcome: 'failed' });
    expect(attempts.at(-1)).toMatchObject({ attempt: last, outcome: 'returned' });
  });

  it('of failure is followed by a retry after a backoff that every replay finds again, never early', async () => {
    const [shard, id, x] = await running();
    await shard.checkpoint();
    shard.result(x, 1, 'failed', { e: 'boom' });
    expect([shard.events(), shard.under(id)]).toEqual([['retrying *'], ['0 retrying 1']]);
    await shard.crash();
    shard.pass(delay(x, 1) - 1);
    expect(shard.dispatch()).toEqual([]);
    shard.pass(1);
    expect(shard.dispatch()).toEqual([`${x}.2`]);
    shard.result(x, 2, 'timed_out');
    shard.pass(delay(x, 2) - 1);
    expect(shard.dispatch()).toEqual([]);
    shard.pass(1);
    expect(shard.dispatch()).toEqual([`${x}.3`]);
  });

  it('ends in the dead letters after the last attempt, or when it is fatal', async () => {
    const [shard, , x] = await running();
    for (const attempt of [1, 2, 3]) {
      shard.result(x, attempt, attempt < 3 ? 'failed' : 'timed_out', { e: `boom ${attempt}` });
      shard.pass(60_000);
      shard.dispatch();
    }
    expect(shard.events().filter((event) => event.endsWith('*'))).toEqual(['retrying *', 'retrying *', 'dead *']);
    const { history, counters } = await shard.checkpoint();
    expect(history).toMatchObject([{ state: 'dead', attempt: 3, error: 'boom 3' }]);
    expect(JSON.parse(history[0]?.attempts as string)).toMatchObject([
      { outcome: 'failed', error: 'boom 1' },
      { outcome: 'failed', error: 'boom 2' },
      { outcome: 'timed_out', error: 'boom 3' },
    ]);
    expect(counters).toEqual({ ...NO_FIRES, fired: 1, finished: 1, dead: 1 });
    const [fatal, , y] = await running();
    fatal.result(y, 1, 'failed', { f: true });
    expect(fatal.core.counters.dead).toBe(1);
  });

  it('that gives the execution back costs no attempt of the retry policy', async () => {
    const [shard, , x] = await running();
    for (let attempt = 1; attempt <= 10; attempt++) {
      shard.result(x, attempt, 'returned');
      expect(shard.take()).toEqual([]);
      shard.pass(0);
      expect(shard.dispatch()).toEqual([`${x}.${attempt + 1}`]);
    }
    expect(shard.events()).toEqual([]);
  });

  it('is accepted once, and only for the present attempt', async () => {
    const [shard, , x] = await running();
    const code = (a: number, change = {}) => {
      const answer = shard.result(x, a, 'succeeded', change);
      return answer.ok ? answer.status : answer.error.code;
    };
    expect([code(2), code(7), code(1, { ns: 'other' })]).toEqual(Array(3).fill('unknown_execution'));
    shard.result(x, 1, 'failed');
    expect([code(1), code(3)]).toEqual(['execution_over', 'unknown_execution']);
    shard.pass(60_000);
    expect([code(1), code(3)]).toEqual(['execution_over', 'unknown_execution']);
    shard.dispatch();
    expect([code(1), code(3), code(2), code(2)]).toEqual([
      'execution_over',
      'unknown_execution',
      'accepted',
      'execution_over',
    ]);
  });

  it('for what never was is refused, and harms no fire', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `e1000@${T0}` });
    shard.pass(1_005);
    const code = (x: string, a = 1, ns = 'acme') => {
      const answer = shard.result(x, a, 'succeeded', { ns });
      return answer.ok ? answer.status : answer.error.code;
    };
    expect(code(fire(id, 0))).toBe('execution_over');
    expect(code(fire(id, 1_001))).toBe('unknown_execution');
    expect(code(fire(id, 2_000_000))).toBe('unknown_execution');
    expect(code(fire(keyed('no'), 0))).toBe('execution_over');
    expect(code(fire(id, 1_000), 2)).toBe('unknown_execution');
    expect(code(fire(id, 1_000), 1, 'other')).toBe('unknown_execution');
    expect(code('nonsense')).toBe('unknown_execution');
    expect(shard.dispatch()).toEqual([`${fire(id, 1_000)}.1`]);
  });
});

describe('a message that is delivered again', () => {
  it('loses the attempt, and runs as the next one: every time, though it tells of the attempt that it was made for', async () => {
    const [shard, id, x] = await running();
    expect(shard.redelivered(x, 1, 2)).toEqual({ ok: true, status: 'run', attempt: 2 });
    expect(shard.redelivered(x, 1, 3)).toEqual({ ok: true, status: 'run', attempt: 3 });
    expect(shard.redelivered(x, 1, 5)).toEqual({ ok: true, status: 'run', attempt: 4 });
    // Its message is another worker's now, and must stay there.
    expect(shard.result(x, 2, 'succeeded')).toMatchObject({ error: { code: 'delivered_again' } });
    expect(shard.under(id)).toEqual(['0 dispatched 4']);
    expect(shard.result(x, 4, 'succeeded')).toMatchObject({ status: 'accepted' });
    const { history } = await shard.checkpoint();
    expect(JSON.parse(history[0]?.attempts as string)).toMatchObject([
      { attempt: 1, outcome: 'lost' },
      { attempt: 2, outcome: 'lost' },
      { attempt: 3, outcome: 'lost' },
    ]);
  });

  it('gets the same answer to the same question, also from the next owner', async () => {
    const [shard, , x] = await running();
    const run = { ok: true, status: 'run', attempt: 2 };
    expect(shard.redelivered(x, 1, 2)).toEqual(run);
    expect(shard.redelivered(x, 1, 2)).toEqual(run);
    await shard.checkpoint();
    await shard.crash();
    expect(shard.redelivered(x, 1, 2)).toEqual(run);
    expect(shard.redelivered(x, 1, 3)).toEqual({ ...run, attempt: 3 });
    expect(shard.redelivered(x, 1, 2)).toMatchObject({ error: { code: 'delivered_again' } });
  });

  it('is not run by two who hold it, as other deliveries or as the same: the first to ask runs it, also under the next owner', async () => {
    const [shard, , x] = await running();
    const run = { ok: true, status: 'run', attempt: 2 };
    const anothers = { error: { code: 'delivered_again' } };
    expect(shard.redelivered(x, 1, 2, 'first')).toEqual(run);
    expect(shard.redelivered(x, 1, 2, 'second')).toMatchObject(anothers);
    expect(shard.redelivered(x, 1, 3, 'second')).toMatchObject(anothers);
    shard.pass(LIMITS.toldMs - 1);
    await shard.checkpoint();
    await shard.crash();
    expect(shard.redelivered(x, 1, 3, 'second')).toMatchObject(anothers);
    expect(shard.redelivered(x, 1, 2, 'first')).toEqual(run);
    shard.pass(1);
    expect(shard.redelivered(x, 1, 3, 'second')).toEqual({ ...run, attempt: 3 });
    expect(shard.redelivered(x, 1, 2, 'first')).toMatchObject(anothers);
  });

  it('may be asked about anew without its delivery count, when the answer was lost', async () => {
    const [shard, , x] = await running();
    const run = { ok: true, status: 'run', attempt: 2 };
    expect(shard.redelivered(x, 1)).toEqual(run);
    expect(shard.redelivered(x, 1)).toEqual(run);
    shard.pass(LIMITS.toldMs);
    expect(shard.redelivered(x, 1)).toEqual({ ...run, attempt: 3 });
  });

  it('runs on as it did when the inbox tells an earlier time than before', async () => {
    const [shard, , x] = await running();
    shard.redelivered(x, 1, 2, 'first');
    shard.nowMs -= 60_000;
    expect(shard.redelivered(x, 1, 3, 'second')).toEqual({ ok: true, status: 'run', attempt: 3 });
  });

  it('ends in the dead letters when too many workers died with it', async () => {
    const [shard, , x] = await running();
    const answers = Array.from({ length: LIMITS.lostAttempts }, (_, at) => shard.redelivered(x, 1, at + 2));
    expect(answers.map((answer) => answer.ok && answer.status)).toEqual(['run', 'run', 'run', 'run', 'skip']);
    const { history, counters } = await shard.checkpoint();
    expect(counters).toEqual({ ...NO_FIRES, fired: 1, finished: 1, dead: 1 });
    const attempts = JSON.parse(history[0]?.attempts as string) as { attempt: number; outcome: string }[];
    expect(attempts.map(({ attempt, outcome }) => `${attempt} ${outcome}`)).toEqual(
      answers.map((_, at) => `${at + 1} lost`),
    );
  });

  it('does not run when the attempt is over, when the task was cancelled, or in another namespace', async () => {
    const [shard, id, x] = await running();
    shard.result(x, 1, 'failed');
    expect(shard.redelivered(x, 1, 2)).toMatchObject({ status: 'skip' });
    shard.pass(60_000);
    shard.dispatch();
    expect(shard.redelivered(x, 1, 2)).toMatchObject({ status: 'skip' });
    shard.cancel(id);
    expect(shard.redelivered(x, 2, 2)).toMatchObject({ status: 'skip', reason: 'the task was cancelled' });
    expect([shard.core.underWay, (await shard.checkpoint()).history[0]?.state]).toEqual([0, 'cancelled']);
    const [other, , y] = await running();
    expect(other.send({ k: 'redelivered', c: 1, x: y, ns: 'other', a: 1, w: 'w', n: 2 })).toMatchObject({
      status: 'skip',
    });
  });

  it('is told apart from a message of an earlier attempt when a shard is taken over', async () => {
    const [shard, , x] = await running();
    shard.redelivered(x, 1, 2);
    await shard.checkpoint();
    expect(await shard.crash()).toEqual([]);
    shard.result(x, 2, 'failed');
    shard.pass(60_000);
    shard.take();
    await shard.checkpoint();
    // The message of attempt 1 has not been acknowledged yet, and attempt 3 was not published.
    expect(await shard.crash()).toMatchObject([{ attempts: [{ execution: x, attempt: 1 }] }]);
    expect(shard.dispatch()).toEqual([`${x}.3`]);
    expect(await shard.crash()).toEqual([]);
    expect(shard.redelivered(x, 3, 2)).toEqual({ ok: true, status: 'run', attempt: 4 });
  });
});

describe('the policy of retries', () => {
  it('is the one that the task has when the attempt ends', async () => {
    const [shard, id, x] = await running({ t: target({ retry: { ...TARGET.retry, attempts: 1 } }) });
    shard.update(id, { t: { retry: { ...TARGET.retry, attempts: 2 } } });
    shard.result(x, 1, 'failed');
    // The attempt began under the policy of before.
    expect(shard.core.counters.dead).toBe(1);
  });
});
