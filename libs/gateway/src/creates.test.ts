import {
  decodeTarget,
  encodeTarget,
  LIMITS,
  parseTaskId,
  shardOf,
  taskIdOfKey,
  type CreateRecord,
} from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { bytes, settle, SPEC, specs, T0, TestWorld } from './test-world.ts';

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('tasks.create', () => {
  it('answers one task with its id, whether it is new, and its next fires', async () => {
    const reply = await new TestWorld().ask('tasks.create', SPEC);
    expect(reply).toEqual({ id: reply.id, status: 'created', created: true, next: [SPEC.at] });
    expect(parseTaskId(reply.id)).toBe(reply.id);
  });

  it('writes records that carry all that their outcome depends on', async () => {
    const world = new TestWorld();
    const task = {
      every: '15m',
      queue: 'q',
      handler: 'h',
      key: 'k "1"',
      priority: 'high',
      metadata: { b: '2', a: '1' },
    };
    await world.ask('tasks.create', task, 'acme', { traceparent: TRACEPARENT });
    const [record] = world.records() as CreateRecord[];
    const id = taskIdOfKey('acme', 'k "1"');
    const t = '["acme","q","h",0,3,1000,2,3600000,0.2,300000]';
    const rest = { k: 'create', key: 'k "1"', s: 'e900000', t, p: 'null', d: '{"a":"1","b":"2"}', tp: TRACEPARENT };
    expect(record).toEqual({ c: expect.any(Number), m: expect.any(Number), id, ...rest });
    expect(Number.isSafeInteger(record?.m)).toBe(true);
    expect(world.appends[0]?.[0]?.shard).toBe(shardOf(id, 8));
  });

  it('answers an array, and items, in their order', async () => {
    const world = new TestWorld({ shards: 256 });
    for (const request of [specs(300), { items: specs(300) }]) {
      world.appends.length = 0;
      const { items } = await world.ask('tasks.create', request);
      expect(items.length).toBe(300);
      const byId = new Map((world.records() as CreateRecord[]).map((record) => [record.id, record.p]));
      expect(items.map(({ id }) => byId.get(id))).toEqual(items.map((_, index) => String(index)));
    }
    expect(await world.ask('tasks.create', [])).toEqual({ items: [] });
  });

  it('does not let one bad item sink the others', async () => {
    const world = new TestWorld();
    const { items } = await world.ask('tasks.create', [SPEC, { ...SPEC, queue: 'a.b' }, 17, SPEC]);
    expect(items.map((item) => item.status ?? item.error)).toEqual([
      'created',
      expect.objectContaining({ code: 'invalid_name', path: 'items[1].queue' }),
      expect.objectContaining({ code: 'malformed', path: 'items[2]' }),
      'created',
    ]);
    expect(world.records().length).toBe(2);
  });

  it('answers a batch of nothing but bad items', async () => {
    const { items } = await new TestWorld().ask('tasks.create', [{}, {}]);
    expect(items.map(({ error }) => error.code)).toEqual(['missing_field', 'missing_field']);
  });

  it('takes a key once a batch', async () => {
    const { items } = await new TestWorld().ask(
      'tasks.create',
      specs(3, (index) => ({ key: index < 2 ? 'same' : 'other' })),
    );
    expect(items[0]?.id).toBe(taskIdOfKey('acme', 'same'));
    expect(items[1]?.error).toMatchObject({ code: 'duplicate_key', path: 'items[1].key' });
    expect(items[2]?.status).toBe('created');
  });

  it('makes the same tasks for the same command id, and others for another one', async () => {
    const world = new TestWorld();
    const first = await world.ask('tasks.create', { items: specs(5), commandId: 'one' });
    const again = await world.ask('tasks.create', { items: specs(5), commandId: 'one' });
    const other = await world.ask('tasks.create', { items: specs(5), commandId: 'two' });
    expect(again.items.map(({ id, status }) => [id, status])).toEqual(first.items.map(({ id }) => [id, 'unchanged']));
    expect(other.items.map(({ status }) => status)).toEqual(Array(5).fill('created'));
    const hashes = (world.records() as CreateRecord[]).map(({ m }) => m);
    expect(hashes.slice(5, 10)).toEqual(hashes.slice(0, 5));
    expect(new Set(hashes).size).toBe(10);
  });

  it('keeps namespaces apart', async () => {
    const world = new TestWorld();
    const request = { items: [SPEC, { ...SPEC, key: 'k' }], commandId: 'one' };
    const one = await world.ask('tasks.create', request, 'acme');
    const two = await world.ask('tasks.create', request, 'zeta');
    expect(one.items.map(({ id }) => id)).not.toEqual(two.items.map(({ id }) => id));
    expect(new Set((world.records() as CreateRecord[]).map(({ m }) => m)).size).toBe(4);
  });

  it('ignores a trace context that is none', async () => {
    const world = new TestWorld();
    await world.ask('tasks.create', SPEC, 'acme', { traceparent: '00-zz","k":"cancel-01' });
    expect((world.records()[0] as CreateRecord).tp).toBeUndefined();
  });

  describe('instants', () => {
    const at = async (value: unknown, nowMs = T0) => {
      const world = new TestWorld();
      world.nowMs = nowMs;
      const reply = await world.ask('tasks.create', { ...SPEC, at: value });
      return reply.error === undefined ? reply['next'] : `${reply.error.code} ${reply.error.path}`;
    };

    it.each([
      [T0 - LIMITS.atPastMs, [new Date(T0 - LIMITS.atPastMs).toISOString()]],
      [T0 - LIMITS.atPastMs - 1, 'at_out_of_range at'],
      ['1969-12-31T23:59:59Z', 'at_out_of_range at'],
      [-1, 'at_out_of_range at'],
      ['9999-12-31T23:59:59.999Z', ['9999-12-31T23:59:59.999Z']],
      ['9999-12-31T23:59:59-01:00', 'at_out_of_range at'],
      ['10000-01-01T00:00:00Z', 'at_out_of_range at'],
      ['+010000-01-01T00:00:00Z', 'at_out_of_range at'],
      [LIMITS.latestMs + 1, 'at_out_of_range at'],
      [1e300, 'at_out_of_range at'],
      [1.5, 'invalid_schedule at'],
      ['tomorrow', 'invalid_schedule at'],
      ['2030-02-30T00:00:00Z', 'invalid_schedule at'],
      [null, 'invalid_field at'],
      [{}, 'invalid_field at'],
    ])('%j: %j', async (value, expected) => {
      expect(await at(value)).toEqual(expected);
    });
  });

  it.each<[object, number[]]>([
    [{}, []],
    [{ precision: 'normal' }, []],
    [{ precision: 'high' }, [0]],
    [{ catchUp: 'skip' }, [1, 0]],
    [{ catchUp: { policy: 'latest' }, precision: 'low' }, [2, 1]],
    [{ catchUp: { policy: 'all', window: '2h' } }, [1, 2, 7_200_000]],
  ])('carries the policies %j in the target, and nothing for the defaults', async (change, policies) => {
    const world = new TestWorld();
    await world.ask('tasks.create', { ...SPEC, ...change });
    const [record] = world.records() as CreateRecord[];
    expect((JSON.parse(record?.t ?? '') as unknown[]).slice(10)).toEqual(policies);
    expect(encodeTarget(decodeTarget(record?.t ?? ''))).toBe(record?.t);
  });

  describe('bad input', () => {
    const long = 'x'.repeat(300);
    it.each<[string, object, string]>([
      ['an unknown field', { colour: 1 }, 'unknown_field colour'],
      ['__proto__ as a field', JSON.parse('{"__proto__": {}}') as object, 'unknown_field __proto__'],
      ['a queue with a wildcard', { queue: '*' }, 'invalid_name queue'],
      ['a queue with all below', { queue: '>' }, 'invalid_name queue'],
      ['a queue with a dot', { queue: 'a.b' }, 'invalid_name queue'],
      ['a handler with a blank', { handler: 'a b' }, 'invalid_name handler'],
      ['a handler with a line break', { handler: 'a\r\nb' }, 'invalid_name handler'],
      ['a queue of 65 characters', { queue: 'q'.repeat(65) }, 'invalid_name queue'],
      ['a number as queue', { queue: 5 }, 'invalid_name queue'],
      ['no handler', { handler: undefined }, 'missing_field handler'],
      ['no schedule', { at: undefined }, 'missing_field at'],
      ['two schedules', { every: '5m' }, 'invalid_schedule every'],
      ['an impossible cron', { at: undefined, cron: '61 * * * *' }, 'invalid_schedule cron'],
      ['a cron that never fires', { at: undefined, cron: '0 0 31 2 *' }, 'invalid_schedule cron'],
      ['an unknown zone', { at: undefined, cron: '0 0 * * *', timezone: 'Mars/Olympus' }, 'invalid_timezone timezone'],
      ['a zone without cron', { timezone: 'Europe/Berlin' }, 'invalid_schedule timezone'],
      ['a period that is none', { at: undefined, every: '5 parsecs' }, 'invalid_schedule every'],
      ['a period of nothing', { at: undefined, every: 0 }, 'invalid_schedule every'],
      ['an anchor that is none', { at: undefined, every: '5m', anchor: 'noon' }, 'invalid_schedule anchor'],
      ['a long cron', { at: undefined, cron: long }, 'too_large cron'],
      ['a priority that is none', { priority: 'urgent' }, 'invalid_field priority'],
      ['an empty key', { key: '' }, 'invalid_field key'],
      ['a long key', { key: long }, 'invalid_field key'],
      ['half a surrogate pair in a key', { key: '\ud800' }, 'invalid_field key'],
      ['too many attempts', { retry: { attempts: 101 } }, 'invalid_field retry.attempts'],
      ['an unknown field of retry', { retry: { tries: 1 } }, 'unknown_field retry.tries'],
      ['retry as a number', { retry: 3 }, 'invalid_field retry'],
      ['no time to run', { timeoutMs: 0 }, 'invalid_field timeoutMs'],
      ['a precision that is none', { precision: 'exact' }, 'invalid_field precision'],
      ['a policy that is none', { catchUp: 'never' }, 'invalid_field catchUp'],
      ['catch-up without a policy', { catchUp: { window: '1h' } }, 'missing_field catchUp.policy'],
      ['an unknown field of catch-up', { catchUp: { policy: 'all', limit: 1 } }, 'unknown_field catchUp.limit'],
      ['a window of another policy', { catchUp: { policy: 'latest', window: '1h' } }, 'invalid_field catchUp.window'],
      ['a window that is none', { catchUp: { policy: 'all', window: 'long' } }, 'invalid_field catchUp.window'],
      ['a window of true', { catchUp: { policy: 'all', window: true } }, 'invalid_field catchUp.window'],
      ['a window below a minute', { catchUp: { policy: 'all', window: '59s' } }, 'invalid_field catchUp.window'],
      ['a window over 30 days', { catchUp: { policy: 'all', window: '31d' } }, 'invalid_field catchUp.window'],
      ['a label with a dot', { metadata: { 'a.b': '1' } }, 'invalid_name metadata.a.b'],
      ['a label that is no text', { metadata: { a: 1 } }, 'invalid_field metadata.a'],
      ['NUL in a label', { metadata: { a: '\0' } }, 'invalid_field metadata.a'],
      ['half a surrogate pair in a label', { metadata: { a: '\udc00' } }, 'invalid_field metadata.a'],
      ['an oversize payload', { payload: 'x'.repeat(LIMITS.payloadBytes) }, 'too_large payload'],
      [
        'an oversize payload of two-byte characters',
        { payload: 'ü'.repeat(LIMITS.payloadBytes / 2) },
        'too_large payload',
      ],
      ['a command id in a bare task', { commandId: 'x' }, 'unknown_field commandId'],
    ])('refuses %s', async (_, change, expected) => {
      const world = new TestWorld();
      const { error } = await world.ask('tasks.create', { ...SPEC, ...change });
      expect(`${error.code} ${error.path}`).toBe(expected);
      expect(error.message).not.toBe('');
      expect(world.appends).toEqual([]);
      expect(await world.ask('tasks.create', SPEC)).toMatchObject({ created: true });
    });

    it.each<[string, unknown, string]>([
      ['nothing', '', 'malformed undefined'],
      ['no JSON', '{"at":', 'malformed undefined'],
      ['no UTF-8', new Uint8Array([0x22, 0xff, 0x22]), 'malformed undefined'],
      ['a number', 5, 'malformed undefined'],
      ['null', null, 'malformed undefined'],
      ['1,001 items', specs(1_001), 'too_large items'],
      ['items that are none', { items: 5 }, 'invalid_field items'],
      ['an unknown field beside items', { items: [], colour: 1 }, 'unknown_field colour'],
      ['a long command id', { items: [], commandId: 'x'.repeat(129) }, 'invalid_field commandId'],
      ['a command id that is no text', { items: [], commandId: 5 }, 'invalid_field commandId'],
    ])('refuses %s as a whole', async (_, request, expected) => {
      const world = new TestWorld();
      const { error } = await world.ask('tasks.create', request);
      expect(`${error.code} ${error.path}`).toBe(expected);
      expect(world.appends).toEqual([]);
      expect(world.gateway.load).toEqual({ items: 0, records: 0, bytes: 0 });
    });

    it('takes 1,000 items', async () => {
      const { items } = await new TestWorld().ask('tasks.create', specs(1_000));
      expect(items.every(({ status }) => status === 'created')).toBe(true);
    });

    it.each(['[', '{"a":'])('refuses a payload of %s many levels deep', async (open) => {
      for (const levels of [600, 100_000]) {
        const close = (open === '[' ? ']' : '}').repeat(levels);
        const payload = `${open.repeat(levels)}${open === '[' ? '' : '1'}${close}`;
        const request = `{"every":"5m","queue":"q","handler":"h","payload":${payload}}`;
        const { error } = await new TestWorld().ask('tasks.create', bytes(request));
        expect(error).toMatchObject({ code: 'too_large', path: 'payload' });
      }
    });

    it('refuses a payload with a number that would become null, and takes one with null', async () => {
      const request = (payload: string): Uint8Array =>
        bytes(`{"every":"5m","queue":"q","handler":"h","payload":${payload}}`);
      for (const payload of ['1e400', '{"a":[0,-1e999]}']) {
        const { error } = await new TestWorld().ask('tasks.create', request(payload));
        expect(error).toMatchObject({ code: 'invalid_field', path: 'payload' });
      }
      expect(await new TestWorld().ask('tasks.create', request('[null,"1e400",1e300]'))).toMatchObject({
        created: true,
      });
    });

    it('answers with a bounded path, however long a field is', async () => {
      const { error } = await new TestWorld().ask('tasks.create', { ['f'.repeat(100_000)]: 1 });
      expect(error.code).toBe('unknown_field');
      expect(error.path?.length).toBe(200);
    });

    it('tells numbers and texts of a period apart, also when it has met one', async () => {
      const world = new TestWorld();
      const every = (value: unknown) => world.ask('tasks.create', { every: value, queue: 'q', handler: 'h' });
      expect((await every(60_000)).status).toBe('created');
      expect((await every('60000')).error.code).toBe('invalid_schedule');
      expect((await every(60_000)).status).toBe('created');
    });

    it.each(['', 'a.b', '*', '>', 'a b', 'x'.repeat(65)])('refuses the namespace %j', async (namespace) => {
      const { error } = await new TestWorld().ask('tasks.create', SPEC, namespace);
      expect(error).toMatchObject({ code: 'invalid_name', path: 'namespace' });
    });

    it.each(['tasks.drop', 'tasks.toString', 'executions.create', 'workers.heartbeat', 'tasks.'])(
      'knows no %s',
      async (op) => {
        expect((await new TestWorld().ask(op, {})).error.code).toBe('unsupported');
      },
    );
  });

  it('says internal to a fault, logs it, and goes on', async () => {
    const world = new TestWorld();
    world.append = () => Promise.reject(new Error('a bug'));
    const { error } = await world.ask('tasks.create', SPEC);
    expect(error).toMatchObject({ code: 'internal', retryable: true });
    expect(world.logged.join()).toContain('a bug');
    world.append = (messages) => world.memory.append(messages);
    expect((await world.ask('tasks.create', SPEC)).status).toBe('created');
    await settle();
    expect(world.gateway.load).toEqual({ items: 0, records: 0, bytes: 0 });
  });
});
