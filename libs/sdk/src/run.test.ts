import type { Delivery } from '@belfry/adapter-nats';
import type { ErrorCode, WorkMessage } from '@belfry/protocol';
import { ABORT_REASONS, type Holding } from '@belfry/worker';
import { describe, expect, it } from 'vitest';

import { FatalError } from './errors.ts';
import { finishBody, itemBytes, verdictsOf } from './results.ts';
import { readWorkMessages, Run } from './run.ts';

const message: WorkMessage = {
  v: 1,
  execution: `${'a'.repeat(32)}-1`,
  task: 'a'.repeat(32),
  namespace: 'n',
  queue: 'q',
  handler: 'h',
  attempt: 1,
  scheduledAt: 1,
  dispatchedAt: 2,
  epoch: 3,
  timeoutMs: 4,
  metadata: {},
  payload: null,
};

const newRun = (): Run => new Run({ data: new Uint8Array(0) } as Delivery, message, 10);
const cyclic: { self?: unknown } = {};
cyclic.self = cyclic;

function itemOf(run: Run, holding: Partial<Holding<Run>> = {}): Record<string, unknown> {
  const whole = { execution: message.execution, attempt: 1, outcome: 'succeeded', bare: false, work: run, ...holding };
  const text = new TextDecoder().decode(finishBody([whole as Holding<Run>], 'w'));
  expect(itemBytes(run)).toBeGreaterThanOrEqual(Buffer.byteLength(text) - '{"items":[]}'.length);
  return (JSON.parse(text) as { items: Record<string, unknown>[] }).items[0] as Record<string, unknown>;
}

describe('what a handler returns', () => {
  it.each([{ a: [1, 'ü'] }, null, 0, false, ''])('%j is its result', (value) => {
    const run = newRun();
    run.succeed(value);
    expect(itemOf(run)).toMatchObject({ outcome: 'succeeded', result: value });
  });

  it('may be nothing', () => {
    const run = newRun();
    run.succeed(undefined);
    expect(itemOf(run)).not.toHaveProperty('result');
  });

  it.each([
    ['a cycle', cyclic, /JSON cannot hold it/],
    ['a bigint', 1n, /JSON cannot hold it/],
    ['more than 8 KiB', 'ü'.repeat(5_000), /10002 bytes; the limit is 8192/],
  ])('is not kept when it is %s, and the execution succeeded all the same', (_what, value, why) => {
    const run = newRun();
    run.succeed(value);
    expect(itemOf(run)).toMatchObject({ outcome: 'succeeded', error: expect.stringMatching(why) });
    expect(itemOf(run)).not.toHaveProperty('result');
  });

  it('is said not to be kept, whatever it throws when it is made a text', () => {
    const run = newRun();
    const toJSON = (): never => {
      throw Object.create(null);
    };
    run.succeed({ toJSON });
    expect(itemOf(run)).toMatchObject({ error: expect.stringContaining('the result was not kept') as string });
  });

  it('is told as it was then, whatever becomes of the object', () => {
    const run = newRun();
    const value = { n: 1 };
    run.succeed(value);
    value.n = 2;
    expect(itemOf(run)).toMatchObject({ result: { n: 1 } });
  });
});

describe('what a handler throws', () => {
  it.each([
    [new Error('boom'), 'boom'],
    [new TypeError(''), 'TypeError'],
    ['text', 'text'],
    [{ code: 7 }, '{"code":7}'],
    [Object.assign(new Error(), { message: { status: 502 } }), '{"status":502}'],
    [Object.assign(new Error(), { message: undefined }), 'undefined'],
    [7n, '7'],
    [undefined, 'undefined'],
    [cyclic, 'the handler threw something that cannot be shown'],
  ])('%s is told as %s', (thrown, text) => {
    const run = newRun();
    run.fail(thrown);
    expect(itemOf(run, { outcome: 'failed' })).toMatchObject({ outcome: 'failed', error: text });
    expect(run.fatal).toBe(false);
  });

  it('is final when it is a FatalError', () => {
    const run = newRun();
    run.fail(new FatalError('no such customer'));
    expect(itemOf(run, { outcome: 'failed' })).toMatchObject({ error: 'no such customer', fatal: true });
  });

  it('is cut at 2,000 characters, and never in the middle of one', () => {
    const run = newRun();
    run.fail(new Error(`x${'🔔'.repeat(2_000)}`));
    const { error } = itemOf(run, { outcome: 'failed' }) as { error: string };
    expect(error).toHaveLength(2_000);
    expect(error.isWellFormed()).toBe(true);
  });

  it('after an abort says why it was aborted', () => {
    const run = newRun();
    run.abort('stopping');
    run.fail(new Error('The operation was aborted'));
    expect(itemOf(run)).toMatchObject({ error: `${ABORT_REASONS.stopping}: The operation was aborted` });
    run.fail(run.signal().reason);
    expect(itemOf(run)).toMatchObject({ error: ABORT_REASONS.stopping });
  });
});

describe('the signal', () => {
  it('aborts whoever has asked for it, and whoever asks for it later', () => {
    const early = newRun();
    const signal = early.signal();
    expect(signal.aborted).toBe(false);
    early.abort('timed_out');
    expect(signal.reason).toMatchObject({ message: ABORT_REASONS.timed_out });
    const late = newRun();
    late.abort('lease_lost');
    expect(late.signal().reason).toMatchObject({ message: ABORT_REASONS.lease_lost });
  });
});

describe('a result request', () => {
  it('tells of a handler that was given up only what the worker knows', () => {
    const run = newRun();
    run.startedAt = 20;
    const holding = { outcome: 'timed_out', reason: 'timed out after 4 ms' } as const;
    run.fail(new FatalError('later'));
    expect(itemOf(run, holding)).toMatchObject({ outcome: 'timed_out', error: 'timed out after 4 ms', startedAt: 20 });
    expect(itemOf(run, holding)).not.toHaveProperty('fatal');
  });

  it('that was refused carries the outcome alone', () => {
    const run = newRun();
    run.startedAt = 20;
    run.finishedAt = 30;
    run.succeed({ a: 1 });
    expect(itemOf(run, { bare: true })).toEqual({
      execution: message.execution,
      attempt: 1,
      worker: 'w',
      outcome: 'succeeded',
      deliveredAt: 10,
      startedAt: 20,
      finishedAt: 30,
    });
  });

  it('is answered item by item, or as a whole', () => {
    const error = (code: ErrorCode, retryable = false) => ({
      error: { code, message: '', retryable },
    });
    const items = [{ ok: true } as const, error('execution_over'), error('unavailable', true), error('invalid_field')];
    expect(verdictsOf({ items }, 4)).toEqual(['accepted', 'accepted', 'retry', 'refused']);
    expect(verdictsOf({ items: [error('delivered_again')] }, 1)).toEqual(['superseded']);
    expect(verdictsOf(error('unavailable', true), 2)).toEqual(['retry', 'retry']);
    expect(verdictsOf({ items }, 3)).toBeUndefined();
    expect(verdictsOf([] as never, 1)).toBeUndefined();
  });
});

describe('a work message', () => {
  const read = (value: unknown) => readWorkMessages(Buffer.from(JSON.stringify(value)));

  it('is read, with fields that are not known yet', () => {
    expect(read({ ...message, more: 1 })).toMatchObject([message]);
  });

  it.each([null, [], {}, { ...message, v: 2 }, { ...message, attempt: '1' }, { ...message, execution: undefined }])(
    '%j is none',
    (value) => expect(read(value)).toBeUndefined(),
  );

  it('may carry several, which are read if all are', () => {
    const other = { ...message, attempt: 2, traceparent: '00-aa-bb-01' };
    expect(read([message, other])).toEqual([message, other]);
    expect(read([message, { ...message, v: 2 }])).toBeUndefined();
  });

  it('that is not JSON is none', () => {
    expect(readWorkMessages(Buffer.from([0xff, 0x7b]))).toBeUndefined();
  });
});
