import { LIMITS, type Envelope } from '@belfry/protocol';
import { ok, refused, retry, type InboxAppend, type Outcome } from '@belfry/ports';
import { describe, expect, it } from 'vitest';

import { settle, SPEC, specs, TestWorld } from './test-world.ts';

/** Appends that end when they are told to. */
function held(world: TestWorld): { release(): void; readonly count: () => number } {
  let waiting: (() => void)[] = [];
  world.append = async (messages) => {
    await new Promise<void>((resolve) => waiting.push(resolve));
    return world.memory.append(messages);
  };
  return {
    release: () => {
      const now = waiting;
      waiting = [];
      for (const resolve of now) resolve();
    },
    count: () => waiting.length,
  };
}

const recordsOf = (messages: readonly InboxAppend[]): number =>
  messages.reduce((sum, { body }) => sum + (JSON.parse(body) as Envelope).r.length, 0);

describe('group commit', () => {
  it('joins what comes in one turn, an envelope per shard', async () => {
    const world = new TestWorld({ shards: 8 });
    const replies = await Promise.all(specs(200).map((spec) => world.ask('tasks.create', spec)));
    expect(replies.every(({ status }) => status === 'created')).toBe(true);
    expect(world.appends.length).toBe(1);
    expect(world.appends[0]?.map(({ shard }) => shard).sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(recordsOf(world.appends[0] ?? [])).toBe(200);
    for (const { body } of world.appends[0] ?? []) expect(JSON.parse(body)).toMatchObject({ v: 1, g: 'gateway-1' });
  });

  it('has a bounded number in flight, and gathers meanwhile', async () => {
    const world = new TestWorld();
    const appends = held(world);
    const replies = [];
    for (let n = 0; n < 20; n++) {
      replies.push(world.ask('tasks.create', SPEC));
      await settle();
    }
    expect(appends.count()).toBe(LIMITS.groupCommitsInFlight);
    appends.release();
    await settle();
    expect(world.appends.length).toBe(LIMITS.groupCommitsInFlight + 1);
    expect(recordsOf(world.appends.at(-1) ?? [])).toBe(20 - LIMITS.groupCommitsInFlight);
    appends.release();
    expect((await Promise.all(replies)).every(({ status }) => status === 'created')).toBe(true);
  });

  it('splits what does not fit an envelope, at its bytes', async () => {
    const world = new TestWorld({ shards: 1 });
    for (const filler of ['x', 'ü', '"', '\u0001']) {
      world.appends.length = 0;
      const payload = filler.repeat(Math.floor(80_000 / (Buffer.byteLength(JSON.stringify(filler)) - 2)));
      const replies = await Promise.all(specs(30, () => ({ payload })).map((spec) => world.ask('tasks.create', spec)));
      expect(replies.every(({ status }) => status === 'created')).toBe(true);
      const sizes = world.appends.flatMap((messages) => messages.map(({ body }) => Buffer.byteLength(body)));
      expect(sizes.length).toBeGreaterThan(1);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(LIMITS.envelopeBytes);
      expect(world.records().length).toBe(30);
    }
  });

  it('fits the largest task whose every character is escaped', async () => {
    const world = new TestWorld({ shards: 1 });
    const payload = '\\'.repeat(LIMITS.payloadBytes / 2 - 1);
    const metadata = Object.fromEntries(Array.from({ length: 7 }, (_, n) => [`label${n}`, '"'.repeat(256)]));
    expect(await world.ask('tasks.create', { ...SPEC, payload, metadata })).toMatchObject({ created: true });
    expect(Buffer.byteLength(world.appends[0]?.[0]?.body ?? '')).toBeLessThanOrEqual(LIMITS.envelopeBytes);
  });

  it('keeps an append within its messages, records and bytes', async () => {
    const world = new TestWorld({ shards: 4_000 });
    const appends = held(world);
    const blockers = [];
    for (let n = 0; n < LIMITS.groupCommitsInFlight; n++) {
      blockers.push(world.ask('tasks.create', SPEC));
      await settle();
    }
    world.appends.length = 0;
    const many = Array.from({ length: 8 }, () => world.ask('tasks.create', specs(1_000)));
    const heavy = Array.from({ length: 40 }, () =>
      world.ask(
        'tasks.create',
        specs(3, () => ({ payload: 'x'.repeat(250_000) })),
      ),
    );
    for (let turn = 0; turn < 30; turn++) {
      appends.release();
      await settle();
    }
    const replies = await Promise.all([...blockers, ...many, ...heavy]);
    expect(replies.every((reply) => reply.error === undefined)).toBe(true);
    expect(world.records().length).toBe(8_120);
    for (const messages of world.appends) {
      expect(messages.length).toBeLessThanOrEqual(LIMITS.batchMessages);
      if (messages.length === 1) continue;
      expect(recordsOf(messages)).toBeLessThanOrEqual(LIMITS.groupCommitRecords);
      const bytes = messages.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
      expect(bytes).toBeLessThanOrEqual(LIMITS.groupCommitBytes);
    }
  });

  it('repeats an append until it is done', async () => {
    const world = new TestWorld();
    let failures = 3;
    world.append = (messages) =>
      failures-- > 0 ? Promise.resolve(retry(new Error('away'))) : world.memory.append(messages);
    const reply = world.ask('tasks.create', SPEC);
    await settle();
    expect(world.appends.length).toBe(1);
    await world.pass(2_000);
    expect(await reply).toMatchObject({ created: true });
    expect(world.appends.length).toBe(4);
    expect(new Set(world.appends.map((messages) => JSON.stringify(messages))).size).toBe(1);
    expect(world.gateway.load.records).toBe(0);
  });

  it('gives up when the time of all who wait is over', async () => {
    const world = new TestWorld();
    world.append = () => Promise.resolve(retry(new Error('away')));
    const reply = world.ask('tasks.create', SPEC);
    await world.pass(LIMITS.answerMs + 2_500);
    expect((await reply).error).toMatchObject({ code: 'unavailable', retryable: true });
    const tries = world.appends.length;
    await world.pass(10_000);
    expect(world.appends.length).toBe(tries);
    expect(world.gateway.load).toEqual({ items: 0, records: 0, bytes: 0 });
  });

  it('does not repeat an append whose answers prove that it was stored', async () => {
    const world = new TestWorld();
    world.append = (messages) => {
      for (const message of messages) world.answer(message);
      return Promise.resolve(retry(new Error('the acknowledgement was lost')));
    };
    expect(await world.ask('tasks.create', SPEC)).toMatchObject({ created: true });
    await world.pass(5_000);
    expect(world.appends.length).toBe(1);
    expect(world.gateway.load.records).toBe(0);
  });

  it('says overloaded when the inbox is full', async () => {
    const world = new TestWorld();
    world.append = () => Promise.resolve(refused('full'));
    expect((await world.ask('tasks.create', SPEC)).error).toMatchObject({ code: 'overloaded', retryable: true });
    expect(world.gateway.load.records).toBe(0);
  });
});

describe('overload', () => {
  const FINISH = { execution: `${'a'.repeat(32)}-abc`, attempt: 1, worker: 'w', outcome: 'succeeded' };

  it('refuses creates while the inbox is filling up, and nothing else', async () => {
    const world = new TestWorld();
    world.gateway.onInboxUsage({ bytes: 70, maxBytes: 100 });
    expect((await world.ask('tasks.create', SPEC)).error).toMatchObject({ code: 'overloaded', retryable: true });
    expect(await world.ask('tasks.cancel', { key: 'k' })).toMatchObject({ status: 'cancelled' });
    expect(await world.ask('executions.finish', FINISH)).toEqual({ ok: true });
    world.gateway.onInboxUsage({ bytes: 69, maxBytes: 100 });
    expect((await world.ask('tasks.create', SPEC)).status).toBe('created');
  });

  it('bounds what waits, with room kept for results', async () => {
    const world = new TestWorld();
    const appends = held(world);
    const requests = Array.from({ length: 40 }, () => world.ask('tasks.create', specs(1_000)));
    await settle();
    const results = world.ask('executions.finish', { items: Array(1_000).fill(FINISH) });
    await settle();
    expect(world.gateway.load.records).toBe(36_000);
    const over = (await Promise.all(requests.slice(35))).map(({ error }) => error.code);
    expect(over).toEqual(Array(5).fill('overloaded'));
    const bulk = Array.from({ length: 20 }, () => world.ask('executions.finish', { items: Array(1_000).fill(FINISH) }));
    await settle();
    expect(world.gateway.load.records).toBeLessThanOrEqual(LIMITS.gatewayPending);
    expect((await bulk[19])?.error.code).toBe('overloaded');
    for (let turn = 0; turn < 40; turn++) {
      appends.release();
      await settle();
    }
    expect((await Promise.all(requests.slice(0, 35))).every(({ items }) => items.length === 1_000)).toBe(true);
    expect((await results).items.length).toBe(1_000);
    expect(world.gateway.load).toEqual({ items: 0, records: 0, bytes: 0 });
  });
});

describe('waiting for answers', () => {
  it('says unavailable after its time, and that it may have been accepted', async () => {
    const world = new TestWorld();
    world.behaviour = () => undefined;
    const bare = world.ask('tasks.create', SPEC);
    const named = world.ask('tasks.create', { items: specs(2), commandId: 'mine' });
    await settle();
    await world.pass(LIMITS.answerMs - 100);
    expect(world.gateway.load.items).toBe(3);
    await world.pass(200);
    expect((await bare).error).toMatchObject({ code: 'unavailable', retryable: true });
    expect((await bare).error.message).toMatch(/may have been accepted.*it was [0-9a-f-]{36}/);
    expect((await named).items.map(({ error }) => error.code)).toEqual(['unavailable', 'unavailable']);
    expect(world.gateway.load.items).toBe(0);
  });

  it('gives what has been answered beside what has not', async () => {
    const world = new TestWorld({ shards: 2 });
    const plain = world.behaviour;
    world.behaviour = (record, shard) => (shard === 0 ? plain(record, shard) : undefined);
    const reply = world.ask('tasks.create', specs(20));
    await world.pass(LIMITS.answerMs + 100);
    const outcomes = new Set((await reply).items.map(({ status, error }) => status ?? error.code));
    expect([...outcomes].sort()).toEqual(['created', 'unavailable']);
  });

  it('ignores answers that come late, twice, or for nobody', async () => {
    const world = new TestWorld();
    world.behaviour = () => undefined;
    const reply = world.ask('tasks.create', SPEC);
    await world.pass(LIMITS.answerMs + 100);
    await reply;
    const late = (a: unknown): void => world.gateway.onReplies(new TextEncoder().encode(JSON.stringify({ v: 1, a })));
    late([[1_024, { ok: true, status: 'created', next: [] }]]);
    late([[1e15, { ok: true, status: 'created', next: [] }]]);
    late([[0, { ok: false, error: { code: 'execution_over', message: '' } }]]);
    expect(world.logged).toEqual([]);
    late('nonsense');
    world.gateway.onReplies(new Uint8Array([1, 2, 3]));
    expect(world.logged.length).toBe(2);
    world.behaviour = () => ({ ok: true, status: 'created', next: [] });
    expect((await world.ask('tasks.create', SPEC)).status).toBe('created');
  });

  it('answers a result that is on disk, when its shard is silent', async () => {
    const world = new TestWorld();
    world.behaviour = () => undefined;
    const result = { execution: `${'a'.repeat(32)}-abc`, attempt: 1, worker: 'w', outcome: 'succeeded' };
    const reply = world.ask('executions.finish', result);
    await settle();
    await world.pass(LIMITS.resultAnswerMs - 100);
    expect(world.gateway.load.items).toBe(1);
    await world.pass(200);
    expect(await reply).toEqual({ ok: true });
  });

  it('does not answer for a result that is not on disk', async () => {
    const world = new TestWorld();
    let away = true;
    world.append = (messages): Promise<Outcome<readonly number[], 'full'>> =>
      away ? Promise.resolve(retry(new Error('away'))) : world.memory.append(messages).then(() => ok([]));
    world.behaviour = () => undefined;
    const result = { execution: `${'a'.repeat(32)}-abc`, attempt: 1, worker: 'w', outcome: 'succeeded' };
    const never = world.ask('executions.finish', result);
    await world.pass(LIMITS.answerMs + 200);
    expect((await never).error.code).toBe('unavailable');
    const late = world.ask('executions.finish', result);
    await world.pass(LIMITS.resultAnswerMs + 500);
    expect(world.gateway.load.items).toBe(1);
    away = false;
    await world.pass(2_500);
    expect(await late).toEqual({ ok: true });
  });
});

describe('an end', () => {
  it('waits for what was taken, and takes nothing more', async () => {
    const world = new TestWorld();
    const appends = held(world);
    const taken = world.ask('tasks.create', SPEC);
    await settle();
    let drained = false;
    const drain = world.gateway.drain().then(() => (drained = true));
    expect((await world.ask('tasks.create', SPEC)).error).toMatchObject({ code: 'unavailable', retryable: true });
    await settle();
    expect(drained).toBe(false);
    appends.release();
    expect((await taken).status).toBe('created');
    await drain;
  });

  it('answers everything at a stop', async () => {
    const world = new TestWorld();
    held(world);
    const waiting = Array.from({ length: 10 }, () => world.ask('tasks.create', SPEC));
    await settle();
    world.gateway.stop();
    world.gateway.stop();
    expect((await Promise.all(waiting)).map(({ error }) => error.code)).toEqual(Array(10).fill('unavailable'));
  });
});
