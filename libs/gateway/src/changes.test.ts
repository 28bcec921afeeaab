import {
  LIMITS,
  shardOf,
  taskIdOfKey,
  type RedeliveredRecord,
  type ResultRecord,
  type UpdateRecord,
} from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { SPEC, T0, TestWorld } from './test-world.ts';

const ID = '0123456789abcdef0123456789abcdef';
const EXECUTION = `${ID}-${T0.toString(36)}`;
const NOT_FOUND = { ok: false, error: { code: 'not_found', message: 'no task of this id or key' } } as const;

describe('tasks.update', () => {
  it('sends what is to change, and nothing else', async () => {
    const world = new TestWorld();
    const policies = { precision: 'high', catchUp: { policy: 'all', window: '2h' } };
    const set = {
      every: '5m',
      priority: 'low',
      retry: { attempts: 7 },
      ...policies,
      payload: [1],
      metadata: { a: 'b' },
    };
    const reply = await world.ask('tasks.update', { key: 'k', set });
    const id = taskIdOfKey('acme', 'k');
    expect(reply).toEqual({ id, status: 'updated', created: false, next: [new Date(T0 + 5).toISOString()] });
    const { c: _c, m: _m, ...record } = world.records()[0] as UpdateRecord;
    const retry = { attempts: 7, initialMs: 1_000, factor: 2, maxMs: 3_600_000, jitter: 0.2 };
    expect(record).toEqual({
      k: 'update',
      id,
      ns: 'acme',
      s: 'e300000',
      t: { priority: 2, retry, precision: 'high', catchUp: { policy: 'all', windowMs: 7_200_000 } },
      p: '[1]',
      d: '{"a":"b"}',
    });
    expect(world.appends[0]?.[0]?.shard).toBe(shardOf(id, 8));
  });

  it('is the same command under the same id, and another one than a cancel of that id', async () => {
    const world = new TestWorld();
    const ref = { id: ID, commandId: 'one' };
    await world.ask('tasks.update', { ...ref, set: { priority: 'low' } });
    await world.ask('tasks.update', { ...ref, set: { priority: 'low' } });
    await world.ask('tasks.cancel', ref);
    const [first, again, cancel] = world.records() as UpdateRecord[];
    expect(again?.m).toBe(first?.m);
    expect(cancel?.m).not.toBe(first?.m);
  });

  it('is another command for another task, though its command id is the same', async () => {
    const world = new TestWorld();
    for (const key of ['a', 'b']) {
      await world.ask('tasks.update', { key, set: { priority: 'low' }, commandId: 'one' });
      await world.ask('tasks.cancel', { key, commandId: 'one' });
    }
    expect(new Set((world.records() as UpdateRecord[]).map(({ m }) => m)).size).toBe(4);
  });

  it.each<[string, object, string]>([
    ['no reference', { set: { priority: 'low' } }, 'missing_field id'],
    ['an id and a key', { id: ID, key: 'k', set: { priority: 'low' } }, 'invalid_field key'],
    ['an id that is none', { id: 'xyz', set: { priority: 'low' } }, 'invalid_field id'],
    ['a key that is none', { key: 5, set: { priority: 'low' } }, 'invalid_field key'],
    ['no changes', { id: ID }, 'missing_field set'],
    ['empty changes', { id: ID, set: {} }, 'missing_field set'],
    ['changes that are none', { id: ID, set: 5 }, 'malformed set'],
    ['an unknown field', { id: ID, set: { colour: 1 } }, 'unknown_field set.colour'],
    ['another key', { id: ID, set: { key: 'k' } }, 'invalid_field set.key'],
    ['a bad window', { id: ID, set: { catchUp: { policy: 'all', window: '1s' } } }, 'invalid_field set.catchUp.window'],
    ['an old instant', { id: ID, set: { at: 0 } }, 'at_out_of_range set.at'],
    ['a bad cron', { id: ID, set: { cron: '* *' } }, 'invalid_schedule set.cron'],
    ['a field beside', { id: ID, set: { priority: 'low' }, force: true }, 'unknown_field force'],
  ])('refuses %s', async (_, request, expected) => {
    const world = new TestWorld();
    const { error } = await world.ask('tasks.update', request);
    expect(`${error.code} ${error.path}`).toBe(expected);
    expect(world.appends).toEqual([]);
  });

  it('names the field of a task that there is not', async () => {
    const world = new TestWorld();
    world.behaviour = () => NOT_FOUND;
    const reply = await world.ask('tasks.update', { key: 'k', set: { priority: 'low' } });
    expect(reply).toEqual({ error: { ...NOT_FOUND.error, path: 'key' } });
  });
});

describe('tasks.cancel', () => {
  it('names what runs on', async () => {
    const world = new TestWorld();
    world.behaviour = () => ({ ok: true, status: 'cancelled', running: [EXECUTION] });
    const dashed = '01234567-89AB-cdef-0123-456789abcdef';
    expect(await world.ask('tasks.cancel', { id: dashed })).toEqual({
      id: ID,
      status: 'cancelled',
      running: [EXECUTION],
    });
    expect(world.records()[0]).toMatchObject({ k: 'cancel', id: ID, ns: 'acme' });
  });

  it('knows no other fields, and no unknown task', async () => {
    const world = new TestWorld();
    expect((await world.ask('tasks.cancel', { id: ID, hard: true })).error).toMatchObject({ path: 'hard' });
    expect((await world.ask('tasks.cancel', [ID])).error.code).toBe('malformed');
    world.behaviour = () => NOT_FOUND;
    expect((await world.ask('tasks.cancel', { id: ID })).error).toMatchObject({ code: 'not_found', path: 'id' });
  });
});

describe('executions.finish', () => {
  const RESULT = { execution: EXECUTION, attempt: 1, worker: 'w-1', outcome: 'succeeded' };

  it('sends a result with its instants', async () => {
    const world = new TestWorld();
    const times = { deliveredAt: T0, startedAt: T0 + 1, finishedAt: T0 + 2 };
    const rest = { error: 'E', fatal: true, result: { a: [1] } };
    expect(await world.ask('executions.finish', { ...RESULT, ...times, ...rest })).toEqual({ ok: true });
    const { c: _c, ...record } = world.records()[0] as ResultRecord;
    expect(record).toEqual({
      k: 'result',
      x: EXECUTION,
      ns: 'acme',
      a: 1,
      o: 'succeeded',
      w: 'w-1',
      dl: T0,
      st: T0 + 1,
      fi: T0 + 2,
      e: 'E',
      f: true,
      v: '{"a":[1]}',
    });
  });

  it('answers many in their order, each for itself', async () => {
    const world = new TestWorld();
    world.behaviour = (record) =>
      record.k === 'result' && record.a === 2
        ? { ok: false, error: { code: 'execution_over', message: 'over' } }
        : { ok: true, status: 'accepted' };
    const items = [RESULT, { ...RESULT, attempt: 2 }, { ...RESULT, attempt: 0 }, RESULT];
    expect(await world.ask('executions.finish', { items })).toEqual({
      items: [
        { ok: true },
        { error: { code: 'execution_over', message: 'over', path: 'items[1].execution' } },
        { error: expect.objectContaining({ code: 'invalid_field', path: 'items[2].attempt' }) },
        { ok: true },
      ],
    });
    expect(await world.ask('executions.finish', [])).toEqual({ items: [] });
    const tooMany = await world.ask('executions.finish', Array(1_001).fill(RESULT));
    expect(tooMany.error).toMatchObject({ code: 'too_large', path: 'items' });
  });

  it.each<[string, object, string]>([
    ['no execution', { execution: undefined }, 'missing_field execution'],
    ['an execution that is none', { execution: `${ID}-ABC` }, 'invalid_field execution'],
    ['a task id as execution', { execution: ID }, 'invalid_field execution'],
    ['no attempt', { attempt: undefined }, 'missing_field attempt'],
    ['half an attempt', { attempt: 1.5 }, 'invalid_field attempt'],
    ['no worker', { worker: undefined }, 'missing_field worker'],
    ['a worker with a dot', { worker: 'a.b' }, 'invalid_name worker'],
    ['no outcome', { outcome: undefined }, 'missing_field outcome'],
    ['an outcome that is none', { outcome: 'great' }, 'invalid_field outcome'],
    ['an outcome that is not the worker’s to say', { outcome: 'lost' }, 'invalid_field outcome'],
    ['a text as instant', { startedAt: '2026-01-01T00:00:00Z' }, 'invalid_field startedAt'],
    ['an instant before 1970', { finishedAt: -1 }, 'invalid_field finishedAt'],
    ['an error that is no text', { error: {} }, 'invalid_field error'],
    ['fatal as text', { fatal: 'yes' }, 'invalid_field fatal'],
    ['an unknown field', { took: 5 }, 'unknown_field took'],
  ])('refuses %s', async (_, change, expected) => {
    const world = new TestWorld();
    const { error } = await world.ask('executions.finish', { ...RESULT, ...change });
    expect(`${error.code} ${error.path}`).toBe(expected);
    expect(world.appends).toEqual([]);
  });

  it('cuts errors, and makes them what Postgres can hold', async () => {
    const world = new TestWorld();
    await world.ask('executions.finish', { ...RESULT, error: `a\0b${'😀'.repeat(LIMITS.errorChars)}` });
    const { e = '' } = world.records()[0] as ResultRecord;
    expect(e.length).toBe(LIMITS.errorChars);
    expect(e.isWellFormed()).toBe(true);
    expect(e.startsWith('a\ufffdb😀')).toBe(true);
  });

  it('drops a result that is too large or too deep, and says so', async () => {
    const world = new TestWorld();
    const deep = `${'['.repeat(50_000)}${']'.repeat(50_000)}`;
    const text = JSON.stringify({ ...RESULT, result: 0 }).replace('"result":0', `"result":${deep}`);
    expect(await world.ask('executions.finish', text)).toEqual({ ok: true });
    expect(await world.ask('executions.finish', { ...RESULT, result: 'x'.repeat(9_000), error: 'E' })).toEqual({
      ok: true,
    });
    const [first, second] = world.records() as ResultRecord[];
    expect([first?.v, second?.v]).toEqual([undefined, undefined]);
    expect(first?.e).toContain('levels');
    expect(second?.e).toMatch(/9002 bytes; the limit is 8192\nE$/);
  });

  it('passes on that an execution never was', async () => {
    const world = new TestWorld();
    world.behaviour = () => ({ ok: false, error: { code: 'unknown_execution', message: 'never was' } });
    const { error } = await world.ask('executions.finish', RESULT);
    expect(error).toEqual({ code: 'unknown_execution', message: 'never was', path: 'execution' });
  });
});

describe('executions.redelivered', () => {
  const ASK = { execution: EXECUTION, attempt: 1, worker: 'w-1' };

  it('says whether to run it, and as which attempt', async () => {
    const world = new TestWorld();
    expect(await world.ask('executions.redelivered', { ...ASK, deliveries: 2 })).toEqual({ run: true, attempt: 2 });
    const { c: _c, ...record } = world.records()[0] as RedeliveredRecord;
    expect(record).toEqual({ k: 'redelivered', x: EXECUTION, ns: 'acme', a: 1, w: 'w-1', n: 2 });
    world.behaviour = () => ({ ok: true, status: 'skip', reason: 'over' });
    expect(await world.ask('executions.redelivered', ASK)).toEqual({ run: false, reason: 'over' });
  });

  it('does not decide without its shard', async () => {
    const world = new TestWorld();
    world.behaviour = () => undefined;
    const reply = world.ask('executions.redelivered', ASK);
    await world.pass(LIMITS.answerMs + 200);
    expect((await reply).error.code).toBe('unavailable');
  });
});

describe('workers.subscribe', () => {
  it('makes the consumer and says how to pull', async () => {
    const world = new TestWorld();
    const made: string[] = [];
    world.ensureConsumer = async (...asked) => void made.push(asked.join('/'));
    expect(await world.ask('workers.subscribe', { queue: 'mail' })).toEqual({
      stream: 'BELFRY_WORK',
      consumer: 'acme=mail',
      ackWaitMs: LIMITS.ackWaitMs,
    });
    expect(made).toEqual([`acme/mail/${LIMITS.ackWaitMs}`]);
  });

  it('leases for as long as the worker asks, within bounds', async () => {
    const world = new TestWorld();
    const made: string[] = [];
    world.ensureConsumer = async (...asked) => void made.push(asked.join('/'));
    expect(await world.ask('workers.subscribe', { queue: 'mail', leaseMs: 9_000 })).toMatchObject({ ackWaitMs: 9_000 });
    expect(made).toEqual(['acme/mail/9000']);
    for (const leaseMs of [LIMITS.workLeaseMinMs - 1, LIMITS.workLeaseMaxMs + 1, 9_000.5, '9000', null])
      expect((await world.ask('workers.subscribe', { queue: 'mail', leaseMs })).error).toMatchObject({
        code: 'invalid_field',
        path: 'leaseMs',
      });
  });

  it('refuses names that are none, and one queue too many', async () => {
    const world = new TestWorld();
    expect((await world.ask('workers.subscribe', { queue: 'a.>' })).error).toMatchObject({
      code: 'invalid_name',
      path: 'queue',
    });
    expect((await world.ask('workers.subscribe', {})).error.code).toBe('missing_field');
    for (let n = 0; n < LIMITS.queues; n++) await world.ask('workers.subscribe', { queue: `q${n}` });
    expect((await world.ask('workers.subscribe', { queue: 'more' })).error).toMatchObject({ code: 'overloaded' });
    const crowded = new TestWorld();
    const names = Array.from({ length: LIMITS.queues + 5 }, (_, n) => `q${n}`);
    const replies = await Promise.all(names.map((queue) => crowded.ask('workers.subscribe', { queue })));
    expect(replies.filter(({ error }) => error?.code === 'overloaded')).toHaveLength(5);
    expect((await world.ask('workers.subscribe', { queue: 'q5' })).error).toBeUndefined();
  });

  it('says unavailable when the broker cannot be asked', async () => {
    const world = new TestWorld();
    world.ensureConsumer = () => Promise.reject(new Error('away'));
    expect((await world.ask('workers.subscribe', { queue: 'mail' })).error).toMatchObject({ retryable: true });
    expect((await world.ask('tasks.create', SPEC)).status).toBe('created');
  });
});
