import type { CreateReply, CreateRequest } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { batches, createAll, errorWithinItem, requestOf } from './batches.ts';
import { belfryError } from './errors.ts';
import type { ScheduleSpec } from './specs.ts';

const spec = (payload: unknown = null): ScheduleSpec => ({ at: 1, queue: 'q', handler: 'h', payload });
const specs = (count: number): ScheduleSpec[] => Array.from({ length: count }, (_, i) => spec(i));
const cyclic: { self?: unknown } = {};
cyclic.self = cyclic;

const accept = async (request: Uint8Array): Promise<CreateReply> => {
  const { items } = JSON.parse(new TextDecoder().decode(request)) as CreateRequest;
  return {
    items: items.map(({ payload }) => ({ id: JSON.stringify(payload), status: 'created', created: true, next: [] })),
  };
};

describe('batches', () => {
  it('hold a thousand items at most', () => {
    const sizes = [...batches(specs(2_001), new Map())].map(({ items }) => items.length);
    expect(sizes).toEqual([1_000, 1_000, 1]);
  });

  it('fit a message', () => {
    const large = Array.from({ length: 10 }, () => spec('x'.repeat(250_000)));
    const cut = [...batches(large, new Map())];
    expect(cut.map(({ items }) => items.length)).toEqual([4, 4, 2]);
    for (const batch of cut) expect(requestOf(batch).length).toBeLessThan(1_048_576);
  });

  it('are requests as JSON', () => {
    const [batch] = [...batches([spec('ä"€'), spec({ a: [1] })], new Map())];
    const request: unknown = JSON.parse(new TextDecoder().decode(requestOf(batch!)));
    expect(request).toEqual({ items: [spec('ä"€'), spec({ a: [1] })], commandId: batch!.commandId });
  });

  it('have a command id each', () => {
    const ids = [...batches(specs(3_000), new Map())].map(({ commandId }) => commandId);
    expect(new Set(ids).size).toBe(3);
  });
});

describe('createAll', () => {
  it('gives one result per spec, in their order, however requests are answered', async () => {
    const waiting: (() => void)[] = [];
    const results = await createAll(specs(4_000), async (request) => {
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
        if (waiting.length === 4) for (const wake of waiting.splice(0).reverse()) wake();
      });
      return accept(request);
    });
    expect(results.map((result) => ('id' in result ? result.id : result))).toEqual(
      Array.from({ length: 4_000 }, (_, i) => String(i)),
    );
  });

  it('has what cannot be sent refused at its place, and sends the rest', async () => {
    const results = await createAll(
      [spec(0), spec(cyclic), spec('x'.repeat(1_100_000)), { ...spec(3), at: new Date(NaN) }, spec(4)],
      accept,
    );
    expect(results).toMatchObject([
      { id: '0' },
      { error: { code: 'invalid_field', path: 'payload' } },
      { error: { code: 'too_large', path: 'payload' } },
      { error: { code: 'invalid_field', path: 'at' } },
      { id: '4' },
    ]);
  });

  it('fails each item of a request that fails, and no other', async () => {
    let requests = 0;
    const results = await createAll(specs(1_001), (request) => {
      if (requests++ === 0) throw belfryError('unavailable', 'no answer');
      return accept(request);
    });
    expect(results.filter((result) => 'error' in result)).toHaveLength(1_000);
    expect(results[1_000]).toMatchObject({ id: '1000' });
  });

  it('asks for another try while some item was not answered in time', async () => {
    let again: ((reply: CreateReply) => boolean) | undefined;
    await createAll(specs(1), (request, isNotYet) => {
      again = isNotYet;
      return accept(request);
    });
    const error = (code: 'unavailable' | 'invalid_field') => ({ items: [{ error: { code, message: '' } }] });
    expect([again!(error('unavailable')), again!(error('invalid_field'))]).toEqual([true, false]);
  });
});

describe('the path of an error', () => {
  it.each([
    ['items[3].retry.attempts', 'retry.attempts'],
    ['items[3]', undefined],
    ['items[31].at', 'items[31].at'],
    ['namespace', 'namespace'],
  ])('%s is %s inside item 3', (path, inside) => {
    expect(errorWithinItem({ code: 'invalid_field', message: '', path }, 3).path).toBe(inside);
  });
});
