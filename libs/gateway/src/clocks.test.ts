import { LIMITS, SENT_AT_HEADER } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';
import { SPEC, T0, TestWorld } from './test-world.ts';

const KEYED = { ...SPEC, key: 'k' };

describe('a gateway whose clock is wrong', () => {
  it('refuses creates and updates, and leaves durable publishes to others; cancels and results go on', async () => {
    let trouble: string | undefined = "this node's clock is 7.0 s ahead";
    const world = new TestWorld({ environment: { clockTrouble: () => trouble } });
    const error = {
      code: 'clock_skew',
      retryable: true,
      message: "this node's clock is 7.0 s ahead; try again, another node may answer",
    };
    expect(await world.ask('tasks.create', KEYED)).toEqual({ error });
    expect(await world.ask('tasks.create', [SPEC, SPEC])).toEqual({ error });
    expect(await world.ask('tasks.update', { key: 'k', set: { priority: 'high' } })).toEqual({ error });
    expect(await world.ingest(SPEC)).toEqual({ kind: 'retry', error });
    expect(world.records()).toEqual([]);
    expect(await world.ask('tasks.cancel', { key: 'k' })).toMatchObject({ status: 'cancelled' });
    trouble = undefined;
    expect(await world.ask('tasks.create', KEYED)).toMatchObject({ status: 'created' });
  });
});

describe('a client that states when it sent a request', () => {
  const ask = (op: string, body: unknown, sentAt: string) =>
    new TestWorld().ask(op, body, 'acme', { [SENT_AT_HEADER]: sentAt });

  it.each([
    [T0 + 7_000, 7_000, "your clock is 7.0 s ahead of this gateway's"],
    [T0 - 5_400, -5_400, "your clock is 5.4 s behind this gateway's, or the request was on its way for so long"],
  ])('at %i gets a warning, and what it asked for', async (sentAt, offsetMs, message) => {
    const warnings = [{ code: 'clock_skew', message, offsetMs }];
    const create = await ask('tasks.create', KEYED, String(sentAt));
    expect(create).toMatchObject({ status: 'created', warnings });
    const many = await ask('tasks.create', [SPEC, SPEC], String(sentAt));
    expect(many).toMatchObject({ items: [{ status: 'created' }, { status: 'created' }], warnings });
    const update = await ask('tasks.update', { key: 'k', set: { priority: 'high' } }, String(sentAt));
    expect(update).toMatchObject({ status: 'updated', warnings });
  });

  it.each([
    String(T0),
    String(T0 + LIMITS.clientSkewMs),
    String(T0 - LIMITS.clientSkewMs),
    '',
    'noon',
    '2026-11-25T10:00:00Z',
  ])('at "%s" gets none', async (sentAt) => {
    expect(await ask('tasks.create', KEYED, sentAt)).not.toHaveProperty('warnings');
  });
});
