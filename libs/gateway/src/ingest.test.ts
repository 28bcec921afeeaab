import { LIMITS, taskIdOfCommand, type CreateRecord } from '@belfry/protocol';
import { refused, retry } from '@belfry/ports';
import { describe, expect, it } from 'vitest';

import { bytes, settle, SPEC, specs, T0, TestWorld } from './test-world.ts';

const IDENTITY = '2026-11-24T00:00:00Z:7';

describe('ingest', () => {
  it('makes a task of a message, and is done', async () => {
    const world = new TestWorld();
    expect(await world.ingest(SPEC)).toEqual({ kind: 'done', rejected: 0 });
    expect((world.records() as CreateRecord[]).map(({ id }) => id)).toEqual([taskIdOfCommand('acme', IDENTITY, 0)]);
    expect(world.rejected).toEqual([]);
  });

  it('makes the same tasks when a message comes again', async () => {
    const world = new TestWorld();
    await world.ingest(specs(3));
    await world.ingest(specs(3), { deliveries: 2 });
    await world.ingest(specs(3), { streamCreated: '2026-12-01T00:00:00Z' });
    const ids = (world.records() as CreateRecord[]).map(({ id }) => id).sort();
    expect(new Set(ids).size).toBe(6);
  });

  it('publishes what it refuses, with the reason, and takes the rest', async () => {
    const world = new TestWorld();
    expect(await world.ingest([SPEC, { ...SPEC, at: 'noon' }, { ...SPEC, queue: '>' }])).toEqual({
      kind: 'done',
      rejected: 2,
    });
    expect(world.records().length).toBe(1);
    const receivedAt = new Date(T0).toISOString();
    expect(world.rejected).toEqual([
      {
        namespace: 'acme',
        messageId: `${IDENTITY}:1`,
        body: {
          error: expect.objectContaining({ code: 'invalid_schedule', path: 'items[1].at' }),
          task: JSON.stringify({ ...SPEC, at: 'noon' }),
          receivedAt,
          index: 1,
        },
      },
      { namespace: 'acme', messageId: `${IDENTITY}:2`, body: expect.objectContaining({ index: 2 }) },
    ]);
  });

  it.each<[string, unknown, string]>([
    ['no JSON', 'hello', 'malformed'],
    ['1,001 items', specs(1_001), 'too_large'],
    ['a single bad task', { ...SPEC, colour: 1 }, 'unknown_field'],
  ])('rejects %s as a whole', async (_, body, code) => {
    const world = new TestWorld();
    expect(await world.ingest(body)).toEqual({ kind: 'done', rejected: 1 });
    expect(world.rejected[0]?.body).toMatchObject({ error: { code } });
    expect(world.rejected[0]?.body).not.toHaveProperty('index');
    expect(String(world.rejected[0]?.body['task']).length).toBeLessThanOrEqual(LIMITS.rejectedTaskChars + 1);
  });

  it('shows what it can of bytes and depths', async () => {
    const world = new TestWorld();
    await world.ingest('', { data: new Uint8Array([0xff, 0xfe, 0x00]) });
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    await world.ingest('', { data: bytes(`{"every":"5m","queue":"q","handler":"h","payload":${deep}}`) });
    expect(world.rejected.map(({ body }) => (body['error'] as { code: string }).code)).toEqual([
      'malformed',
      'too_large',
    ]);
  });

  it('lists messages of impossible namespaces apart', async () => {
    const world = new TestWorld();
    expect(await world.ingest(SPEC, { namespace: 'a$b' })).toEqual({ kind: 'done', rejected: 1 });
    expect(world.rejected[0]).toMatchObject({
      namespace: '_',
      body: { error: { code: 'invalid_name', path: 'namespace' } },
    });
  });

  it('takes an instant that was in time when it was published', async () => {
    const world = new TestWorld();
    world.nowMs = T0 + 5 * LIMITS.atPastMs;
    expect(await world.ingest({ ...SPEC, at: T0 }, { timestamp: T0 + 1 })).toEqual({ kind: 'done', rejected: 0 });
    expect(await world.ingest({ ...SPEC, at: T0 })).toEqual({ kind: 'done', rejected: 1 });
  });

  it('publishes what a shard refuses', async () => {
    const world = new TestWorld();
    world.behaviour = () => ({ ok: false, error: { code: 'unsupported', message: 'an older shard' } });
    expect(await world.ingest(SPEC)).toEqual({ kind: 'done', rejected: 1 });
    expect(world.rejected[0]?.body).toMatchObject({ error: { code: 'unsupported' }, task: JSON.stringify(SPEC) });
  });

  it('gives a message back while the inbox is filling up, is full, or cannot be reached', async () => {
    const world = new TestWorld();
    world.gateway.onInboxUsage({ bytes: 9, maxBytes: 10 });
    expect(await world.ingest(SPEC)).toMatchObject({ kind: 'retry', error: { code: 'overloaded' } });
    world.gateway.onInboxUsage({ bytes: 0, maxBytes: 10 });
    world.append = () => Promise.resolve(refused('full'));
    expect(await world.ingest(SPEC)).toMatchObject({ kind: 'retry', error: { code: 'overloaded' } });
    world.append = () => Promise.resolve(retry(new Error('away')));
    const away = world.ingest(SPEC);
    await world.pass(LIMITS.answerMs + 200);
    expect(await away).toMatchObject({ kind: 'retry', error: { code: 'unavailable' } });
    expect(world.rejected).toEqual([]);
  });

  it('is done with what is stored, when its shard is silent', async () => {
    const world = new TestWorld();
    world.behaviour = () => undefined;
    const outcome = world.ingest(SPEC);
    await settle();
    await world.pass(LIMITS.answerMs + 200);
    expect(await outcome).toEqual({ kind: 'done', rejected: 0 });
  });

  it('keeps a message whose refusal cannot be stored', async () => {
    const world = new TestWorld();
    world.publishRejected = () => Promise.resolve(retry(new Error('away')));
    expect(await world.ingest('hello')).toMatchObject({ kind: 'retry' });
    world.publishRejected = () => Promise.reject(new Error('away'));
    expect(await world.ingest('hello')).toMatchObject({ kind: 'retry' });
  });

  it('sets a message aside that causes faults again and again', async () => {
    const world = new TestWorld();
    const header = (): never => {
      throw new Error('a bug');
    };
    for (let deliveries = 1; deliveries < LIMITS.crashesBeforeQuarantine; deliveries++) {
      expect(await world.ingest(SPEC, { header, deliveries })).toMatchObject({
        kind: 'retry',
        error: { code: 'internal' },
      });
    }
    expect(await world.ingest(SPEC, { header, deliveries: LIMITS.crashesBeforeQuarantine })).toEqual({
      kind: 'done',
      rejected: 1,
    });
    expect(world.rejected[0]?.body).toMatchObject({ error: { code: 'internal' } });
  });
});
