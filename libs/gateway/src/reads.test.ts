import { encodeTarget, executionId, LIMITS, shardOf, taskIdOfKey } from '@belfry/protocol';
import {
  ok,
  refused,
  retry,
  type ActiveRow,
  type HistoryRow,
  type StoredExecution,
  type StoredTask,
} from '@belfry/ports';
import { describe, expect, it } from 'vitest';

import { bytes, settle, T0, TestWorld } from './test-world.ts';
import { scheduleFields, taskView } from './views.ts';

const ID = '0123456789abcdef0123456789abcdef';
const RETRY = { attempts: 3, initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.2 };
const ROUTE = { namespace: 'acme', queue: 'mail', handler: 'send' };
const TARGET = encodeTarget({
  ...ROUTE,
  priority: 0,
  retry: RETRY,
  timeoutMs: 5_000,
  precision: 'low',
  catchUp: undefined,
});
const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const iso = (ms: number): string => new Date(ms).toISOString();

function stored(change: Partial<StoredTask> = {}): StoredTask {
  const texts = { schedule: 'e60000', target: TARGET, payload: '{"a":1}', metadata: '{"team":"red"}' };
  const times = { createdAt: T0 - 90_000, effectiveFrom: T0 - 90_000 };
  return {
    id: ID,
    key: undefined,
    ...ROUTE,
    ...texts,
    ...times,
    traceparent: undefined,
    shard: 3,
    ended: undefined,
    ...change,
  };
}

function over(change: Partial<HistoryRow> = {}): StoredExecution {
  const times = {
    dispatchedAt: T0 + 1,
    deliveredAt: T0 + 2,
    startedAt: T0 + 3,
    finishedAt: T0 + 4,
    acceptedAt: T0 + 5,
  };
  const rest = {
    worker: 'w',
    error: undefined,
    result: '{"ok":true}',
    attempts: undefined,
    epoch: 2,
    createdAt: T0 - 9,
  };
  const row: HistoryRow = {
    task: ID,
    scheduledAt: T0,
    ...ROUTE,
    state: 'succeeded',
    attempt: 1,
    traceparent: TRACEPARENT,
    ...times,
    ...rest,
    ...change,
  };
  return { kind: 'over', row, checkpointedAt: T0 + 600 };
}

function active(change: Partial<ActiveRow> = {}): StoredExecution {
  const row: ActiveRow = {
    task: ID,
    scheduledAt: T0,
    attempt: 1,
    state: 'dispatched',
    retryAt: undefined,
    dispatchedAt: T0 + 5,
    lost: 0,
    failures: 0,
    attempts: '[]',
    target: undefined,
    traceparent: undefined,
    ...change,
  };
  return { kind: 'active', row, ...ROUTE, createdAt: T0 - 9 };
}

const FAILED = {
  attempt: 1,
  outcome: 'failed',
  worker: 'v',
  startedAt: T0 + 2,
  finishedAt: T0 + 3,
  acceptedAt: T0 + 4,
  error: 'E',
};

describe('tasks.get', () => {
  const view = taskView({ ...stored(), state: 'waiting', next: [T0 + 5] });

  it('asks the shard that has the task', async () => {
    const world = new TestWorld();
    const asked: unknown[] = [];
    world.askShard = async (...ask) => {
      asked.push(ask);
      return ok(bytes(JSON.stringify({ task: view })));
    };
    expect(await world.ask('tasks.get', { key: 'k' })).toEqual(JSON.parse(JSON.stringify(view)));
    const id = taskIdOfKey('acme', 'k');
    expect(asked).toEqual([[shardOf(id, 8), 'get', JSON.stringify({ id, namespace: 'acme' })]]);
  });

  it('asks again while the shard moves', async () => {
    const world = new TestWorld();
    let times = 0;
    world.askShard = async () => {
      times++;
      if (times === 1) return refused('no_owner');
      if (times === 2) return retry(new Error('no answer'));
      return ok(bytes(JSON.stringify({ task: view })));
    };
    const reply = world.ask('tasks.get', { id: ID });
    await settle();
    await world.pass(500);
    expect((await reply).id).toBe(ID);
  });

  it('gives up in its time', async () => {
    const world = new TestWorld();
    const reply = world.ask('tasks.get', { id: ID });
    await settle();
    await world.pass(LIMITS.answerMs + 200);
    expect((await reply).error).toMatchObject({ code: 'unavailable', retryable: true });
  });

  it('passes on that there is no such task, and survives answers that are none', async () => {
    const world = new TestWorld();
    world.askShard = async () => ok(bytes('{"error":{"code":"not_found","message":"none"}}'));
    expect((await world.ask('tasks.get', { id: ID })).error).toEqual({
      code: 'not_found',
      message: 'none',
      path: 'id',
    });
    for (const answer of ['nonsense', '5', '{}', '{"task":5}']) {
      world.askShard = async () => ok(bytes(answer));
      expect((await world.ask('tasks.get', { id: ID })).error.code).toBe('internal');
    }
    expect((await world.ask('tasks.get', {})).error).toMatchObject({ code: 'missing_field', path: 'id' });
  });
});

describe('tasks.list', () => {
  it('shows tasks as they were stored', async () => {
    const world = new TestWorld();
    const ended = { state: 'cancelled', at: T0 } as const;
    world.tasks = [
      stored({ key: 'k' }),
      stored({ schedule: `a${T0 + 5}` }),
      stored({ schedule: `a${T0 - 5}` }),
      stored({ ended }),
      stored({ schedule: 'c0 9 * * *;Europe/Berlin' }),
    ];
    const { items, ...rest } = await world.ask('tasks.list', '');
    expect(rest).toEqual({ asOf: iso(T0) });
    expect(items[0]).toEqual({
      id: ID,
      key: 'k',
      ...ROUTE,
      every: '1m',
      priority: 'high',
      retry: RETRY,
      timeoutMs: 5_000,
      precision: 'low',
      catchUp: 'latest',
      metadata: { team: 'red' },
      state: 'waiting',
      createdAt: iso(T0 - 90_000),
      next: [iso(T0 + 30_000), iso(T0 + 90_000), iso(T0 + 150_000)],
      shard: 3,
    });
    expect(items.slice(1).map((item) => [item['state'], item['next']])).toEqual([
      ['waiting', [iso(T0 + 5)]],
      ['due', []],
      ['cancelled', []],
      ['waiting', expect.objectContaining({ length: 3 })],
    ]);
    expect(items[4]).toMatchObject({ cron: '0 9 * * *', timezone: 'Europe/Berlin' });
  });

  it('passes filters on', async () => {
    const world = new TestWorld();
    const filter = { queue: 'q', handler: 'h', state: 'active', metadata: { a: 'b' }, limit: 5, cursor: 'c' };
    await world.ask('tasks.list', filter);
    await world.ask('tasks.list', {});
    expect(world.taskFilters).toEqual([filter, { limit: 100 }]);
  });

  it('makes a page shorter that would not fit a message, with its own cursor', async () => {
    const world = new TestWorld();
    const metadata = JSON.stringify({ label: 'x'.repeat(3_900) });
    world.tasks = Array.from({ length: 1_000 }, () => stored({ metadata }));
    const reply = await world.ask('tasks.list', { limit: 1_000 });
    expect(reply.items.length).toBeGreaterThan(100);
    expect(reply['cursor']).toBe(`after-${reply.items.length}`);
    expect(JSON.stringify(reply).length).toBeLessThan(LIMITS.messageBytes);
  });

  it.each<[object, string]>([
    [{ limit: 0 }, 'invalid_field limit'],
    [{ limit: 1_001 }, 'invalid_field limit'],
    [{ limit: '5' }, 'invalid_field limit'],
    [{ cursor: 5 }, 'invalid_field cursor'],
    [{ cursor: 'a\0' }, 'invalid_field cursor'],
    [{ cursor: 'x'.repeat(201) }, 'invalid_field cursor'],
    [{ queue: 'a.b' }, 'invalid_name queue'],
    [{ state: 'waiting' }, 'invalid_field state'],
    [{ metadata: 'a=b' }, 'invalid_field metadata'],
    [{ metadata: { 'a b': '' } }, 'invalid_name metadata.a b'],
    [{ metadata: { a: '\ud800' } }, 'invalid_field metadata.a'],
    [{ colour: 1 }, 'unknown_field colour'],
  ])('refuses %j', async (filter, expected) => {
    const { error } = await new TestWorld().ask('tasks.list', filter);
    expect(`${error.code} ${error.path}`).toBe(expected);
  });

  it('tells a bad cursor, a query that is too wide, and a store that is away apart', async () => {
    const world = new TestWorld();
    const codeOf = async (error: Error, operation = 'tasks.list') => {
      world.queryError = error;
      return (await world.ask(operation, { cursor: 'x' })).error.code;
    };
    const badCursor = Object.assign(new Error('c'), { code: 'BELFRY_INVALID_CURSOR' });
    expect(await codeOf(badCursor)).toBe('invalid_field');
    expect(await codeOf(badCursor, 'tasks.history')).toBe('invalid_field');
    expect(await codeOf(Object.assign(new Error('w'), { code: 'BELFRY_QUERY_TOO_WIDE' }))).toBe('too_large');
    expect(await codeOf(new Error('away'))).toBe('unavailable');
  });
});

describe('tasks.history', () => {
  it('shows executions, ended and under way', async () => {
    const world = new TestWorld();
    world.executions = [
      over(),
      over({
        state: 'dead',
        attempt: 2,
        startedAt: T0 + 900,
        error: 'F',
        result: undefined,
        attempts: JSON.stringify([FAILED]),
      }),
      active({ attempt: 2, attempts: JSON.stringify([FAILED]) }),
      active({ state: 'retrying', dispatchedAt: undefined, attempts: JSON.stringify([FAILED]) }),
    ];
    const { items } = await world.ask('tasks.history', { id: ID });
    expect(items[0]).toEqual({
      execution: executionId(ID, T0),
      task: ID,
      ...ROUTE,
      scheduledAt: iso(T0),
      state: 'succeeded',
      latenessMs: 3,
      attempts: [
        {
          attempt: 1,
          outcome: 'succeeded',
          worker: 'w',
          dispatchedAt: iso(T0 + 1),
          deliveredAt: iso(T0 + 2),
          startedAt: iso(T0 + 3),
          finishedAt: iso(T0 + 4),
          acceptedAt: iso(T0 + 5),
        },
      ],
      result: { ok: true },
      epoch: 2,
      traceId: '0af7651916cd43dd8448eb211c80319c',
    });
    const shape = items.map((item) => [
      item['state'],
      item['latenessMs'],
      (item['attempts'] as { outcome: string }[]).map(({ outcome }) => outcome),
    ]);
    expect(shape.slice(1)).toEqual([
      ['dead', 2, ['failed', 'failed']],
      ['dispatched', 2, ['failed', 'dispatched']],
      ['retrying', 2, ['failed']],
    ]);
  });

  it('shows how the last attempt of a dead execution ended, once', async () => {
    const world = new TestWorld();
    const ends = ['failed', 'timed_out', 'lost'];
    world.executions = ends.map((outcome) =>
      over({ state: 'dead', attempt: 2, attempts: JSON.stringify([FAILED, { ...FAILED, attempt: 2, outcome }]) }),
    );
    const { items } = await world.ask('tasks.history', { id: ID });
    const shown = items.map(({ attempts }) => (attempts as { outcome: string }[]).map(({ outcome }) => outcome));
    expect(shown).toEqual(ends.map((outcome) => ['failed', outcome]));
  });

  it('shows no attempt of what was cancelled while it waited, and survives a result that cannot be read', async () => {
    const world = new TestWorld();
    const never = { dispatchedAt: undefined, deliveredAt: undefined, startedAt: undefined, worker: undefined };
    world.executions = [over({ state: 'cancelled', ...never, result: undefined }), over({ result: '{"a":' })];
    const { items } = await world.ask('tasks.history', {});
    expect(items[0]?.['attempts']).toEqual([]);
    expect(items[1]).not.toHaveProperty('result');
  });

  it('says that there is more, also when a page is cut to fit', async () => {
    const world = new TestWorld();
    world.executions = Array.from({ length: 300 }, () => over({ result: JSON.stringify('x'.repeat(8_000)) }));
    const full = await world.ask('tasks.history', { limit: 1_000 });
    expect(full.items.length).toBeLessThan(300);
    expect(full.items.length).toBeGreaterThan(10);
    expect(full['cursor']).toBe(`after-${full.items.length}`);
    expect((await world.ask('tasks.history', { limit: 5 }))['cursor']).toBe('after-5');
    world.executions = world.executions.slice(0, 5);
    expect(await world.ask('tasks.history', { limit: 10 })).not.toHaveProperty('cursor');
  });

  it('passes filters on', async () => {
    const world = new TestWorld();
    await world.ask('tasks.history', { key: 'k', state: 'dead', before: iso(T0), limit: 7 });
    await world.ask('tasks.history', { before: T0, cursor: 'c' });
    const task = taskIdOfKey('acme', 'k');
    expect(world.executionFilters).toEqual([
      { task, shard: shardOf(task, 8), state: 'dead', before: T0, limit: 7 },
      { before: T0, cursor: 'c', limit: 100 },
    ]);
  });

  it.each<[object, string]>([
    [{ before: 'noon' }, 'invalid_field before'],
    [{ before: {} }, 'invalid_field before'],
    [{ before: -1 }, 'invalid_field before'],
    [{ cursor: 5 }, 'invalid_field cursor'],
    [{ cursor: 'a\0' }, 'invalid_field cursor'],
    [{ cursor: 'x'.repeat(201) }, 'invalid_field cursor'],
    [{ state: 'great' }, 'invalid_field state'],
    [{ id: 5 }, 'invalid_field id'],
    [{ id: ID, key: 'k' }, 'invalid_field key'],
  ])('refuses %j', async (filter, expected) => {
    const { error } = await new TestWorld().ask('tasks.history', filter);
    expect(`${error.code} ${error.path}`).toBe(expected);
  });
});

describe('executions.trace', () => {
  const execution = executionId(ID, T0);

  it('adds when the task was created and when Postgres had it', async () => {
    const world = new TestWorld();
    world.executions = [over()];
    expect(await world.ask('executions.trace', { execution })).toMatchObject({
      execution,
      createdAt: iso(T0 - 9),
      checkpointedAt: iso(T0 + 600),
    });
  });

  it('asks the shard for what no checkpoint has yet', async () => {
    const world = new TestWorld();
    const facts = {
      id: execution,
      scheduledAt: T0,
      state: 'dispatched',
      attempt: 1,
      dispatchedAt: T0,
      attempts: [],
      epoch: 4,
    } as const;
    const task = taskView({ ...stored(), state: 'running', next: [], executions: [facts] });
    world.askShard = async () => ok(bytes(JSON.stringify({ task })));
    expect(await world.ask('executions.trace', { execution })).toMatchObject({
      execution,
      state: 'dispatched',
      epoch: 4,
    });
    const other = executionId(ID, T0 + 1);
    expect((await world.ask('executions.trace', { execution: other })).error.code).toBe('unknown_execution');
  });

  it('refuses what is no execution, and one of a task that there is not', async () => {
    const world = new TestWorld();
    world.askShard = async () => ok(bytes('{"error":{"code":"not_found","message":"none"}}'));
    expect((await world.ask('executions.trace', { execution })).error).toMatchObject({ code: 'unknown_execution' });
    expect((await world.ask('executions.trace', { execution: ID })).error).toMatchObject({ code: 'invalid_field' });
    expect((await world.ask('executions.trace', {})).error).toMatchObject({ code: 'missing_field', path: 'execution' });
  });
});

describe('tasks.explain', () => {
  const HOUR = 3_600_000;
  const task = {
    ...stored(),
    schedule: `e${HOUR}@${T0 - 10 * HOUR}`,
    createdAt: T0 - 20 * HOUR,
    effectiveFrom: T0 - 20 * HOUR,
  };

  /** A task that fires each hour, the last time at T0, half an hour ago; its shard knows no more than that. */
  function worldOf(): TestWorld {
    const world = new TestWorld();
    world.nowMs = T0 + HOUR / 2;
    const { row } = over() as { row: HistoryRow };
    world.facts = { task, executions: [{ kind: 'over', row, checkpointedAt: T0 }], recordedSince: T0 - HOUR };
    world.askShard = async () =>
      ok(bytes(JSON.stringify({ task: taskView({ ...task, state: 'waiting', next: [T0 + HOUR] }) })));
    return world;
  }

  const verdicts = (reply: { readonly [field: string]: unknown }): string[] =>
    (reply['fires'] as { verdict: string }[]).map(({ verdict }) => verdict);

  it('tells of an instant, and by a whole second of all of it', async () => {
    const world = worldOf();
    const reply = await world.ask('tasks.explain', { id: ID, at: T0 });
    expect([reply['from'], reply['to'], verdicts(reply)]).toEqual([iso(T0), iso(T0 + 999), ['ran']]);
    const without = await world.ask('tasks.explain', { id: ID, at: iso(T0 + 1) });
    expect(without['absence']).toMatchObject({ previous: iso(T0), next: iso(T0 + HOUR) });
  });

  it('tells of the last day, or of a span', async () => {
    const world = worldOf();
    const day = await world.ask('tasks.explain', { id: ID, limit: 2 });
    expect([day['from'], verdicts(day), day['more']]).toEqual([iso(T0 - 23.5 * HOUR), ['missed', 'ran'], true]);
    const span = await world.ask('tasks.explain', { id: ID, from: T0 - 3 * HOUR, to: T0 + HOUR });
    expect(verdicts(span)).toEqual(['unknown', 'unknown', 'missed', 'ran', 'coming']);
  });

  it('does without the shard where nobody owns it, and not for long', async () => {
    const world = worldOf();
    world.askShard = async () => refused('no_owner');
    const reply = world.ask('tasks.explain', { id: ID, at: T0 });
    for (let passed = 0; passed < 2_500; passed += 250) {
      await settle();
      await world.pass(250);
    }
    expect(verdicts(await reply)).toEqual(['ran']);
  });

  it('says that there is no such task, or that the span is too wide', async () => {
    const world = worldOf();
    world.facts = { task: { ...task, schedule: 'e100' } };
    expect((await world.ask('tasks.explain', { id: ID })).error).toMatchObject({ code: 'too_large', path: 'from' });
    world.facts = {};
    world.askShard = async () => ok(bytes('{"error":{"code":"not_found","message":"none"}}'));
    expect((await world.ask('tasks.explain', { key: 'k' })).error).toMatchObject({ code: 'not_found', path: 'key' });
  });

  it.each([
    [{}, 'missing_field id'],
    [{ id: ID, at: 'noon' }, 'invalid_field at'],
    [{ id: ID, at: 5, to: 6 }, 'invalid_field at'],
    [{ id: ID, from: 6, to: 5 }, 'invalid_field from'],
    [{ id: ID, limit: LIMITS.explainFires + 1 }, 'invalid_field limit'],
  ])('refuses %j', async (request, expected) => {
    const { error } = await worldOf().ask('tasks.explain', request);
    expect(`${error.code} ${error.path}`).toBe(expected);
  });
});

describe('views', () => {
  it('show the words of a schedule whose zone this machine does not know', () => {
    expect(scheduleFields('c0 9 * * *;Mars/Olympus')).toEqual({ cron: '0 9 * * *', timezone: 'Mars/Olympus' });
  });
});
