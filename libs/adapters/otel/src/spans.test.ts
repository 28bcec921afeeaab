import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { startSpan } from './open-span.ts';
import { gatewaySpans, schedulerSpans, SPANS, type SpanDescription, type TracedExecution } from './spans.ts';
import { startTestSdk, type EndedSpan } from './test-sdk.ts';

const CREATION = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const [TRACE, SPAN] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];

function execution(fields: Partial<TracedExecution> = {}): TracedExecution {
  return {
    id: 'task-1',
    task: 'task',
    target: { namespace: 'acme', queue: 'mail', handler: 'send' },
    recurring: false,
    traceparent: undefined,
    ...fields,
  };
}

describe('without an SDK', () => {
  it('passes the context on that came', () => {
    const span = startSpan('tasks.create', { parent: CREATION });
    span.end(new Error('nobody hears it'));
    expect(span.traceparent).toBe(CREATION);
    expect(gatewaySpans.startSpan('tasks.create', CREATION, {}).traceparent).toBe(CREATION);
    expect(schedulerSpans.dispatch(execution(), 1, CREATION).traceparent).toBe(CREATION);
  });

  it('gives a recurring fire no context: it is no child of its creation', () => {
    expect(schedulerSpans.dispatch(execution({ recurring: true }), 1, CREATION).traceparent).toBeUndefined();
  });

  it('makes no object where there is nothing to pass on', () => {
    expect(schedulerSpans.checkpoint(1)).toBe(schedulerSpans.checkpoint(2));
    expect(startSpan('ingest', {})).toBe(schedulerSpans.checkpoint(3));
  });
});

describe('with an SDK', () => {
  let sdk: ReturnType<typeof startTestSdk>;
  const only = (): EndedSpan => {
    expect(sdk.spans).toHaveLength(1);
    return sdk.spans[0] as EndedSpan;
  };

  beforeEach(() => {
    sdk = startTestSdk();
  });
  afterEach(() => sdk.stop());

  it('makes a child of the traceparent that came, and gives its own', () => {
    const span = gatewaySpans.startSpan('tasks.create', CREATION, { 'belfry.namespace': 'acme' });
    span.end();
    const { kind, parentSpanContext, attributes, status } = only();
    const { traceId, spanId } = only().spanContext();
    expect(parentSpanContext).toMatchObject({ traceId: TRACE, spanId: SPAN, isRemote: true });
    expect(span.traceparent).toBe(`00-${TRACE}-${spanId}-01`);
    expect({ traceId, kind, attributes, status }).toEqual({
      traceId: TRACE,
      kind: SpanKind.SERVER,
      attributes: { 'belfry.namespace': 'acme' },
      status: { code: SpanStatusCode.UNSET },
    });
    expect(spanId).not.toBe(SPAN);
  });

  it.each([undefined, '', 'nonsense', CREATION.replace('00-', 'ff-'), CREATION.replace(TRACE, '0'.repeat(32))])(
    'makes a root of the parent %j',
    (parent) => {
      gatewaySpans.startSpan('tasks.get', parent, {}).end();
      expect(only().parentSpanContext).toBeUndefined();
      expect(only().spanContext().traceId).not.toBe(TRACE);
    },
  );

  it('does not record what the caller chose not to record, and passes that choice on', () => {
    const span = gatewaySpans.startSpan('tasks.create', CREATION.replace(/01$/, '00'), {});
    span.end();
    expect(sdk.spans).toEqual([]);
    expect(span.traceparent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`));
  });

  it('makes the dispatch of a one-time task a child of its creation', () => {
    schedulerSpans.dispatch(execution(), 1, CREATION).end();
    expect(only().parentSpanContext).toMatchObject({ traceId: TRACE, spanId: SPAN });
    expect(only().links).toEqual([]);
    expect(only().attributes).toEqual({
      'belfry.namespace': 'acme',
      'belfry.queue': 'mail',
      'belfry.handler': 'send',
      'belfry.task': 'task',
      'belfry.execution': 'task-1',
      'belfry.attempt': 1,
    });
  });

  it('begins a trace with a recurring fire, and links it to the creation', () => {
    const span = schedulerSpans.dispatch(execution({ recurring: true }), 1, CREATION);
    span.end();
    expect(only().parentSpanContext).toBeUndefined();
    expect(only().spanContext().traceId).not.toBe(TRACE);
    expect(only().links.map((link) => link.context)).toMatchObject([{ traceId: TRACE, spanId: SPAN }]);
    expect(span.traceparent).toContain(only().spanContext().traceId);
  });

  it('joins the further attempts of a recurring fire to the first', () => {
    const first = schedulerSpans.dispatch(execution({ recurring: true }), 1, CREATION);
    first.end();
    schedulerSpans.dispatch(execution({ recurring: true, traceparent: first.traceparent }), 2, CREATION).end();
    const [one, two] = sdk.spans as [EndedSpan, EndedSpan];
    expect(two.parentSpanContext).toMatchObject({ spanId: one.spanContext().spanId });
    expect(two.spanContext().traceId).toBe(one.spanContext().traceId);
  });

  it('needs no creation to link to', () => {
    schedulerSpans.dispatch(execution({ recurring: true }), 1, undefined).end();
    expect(only().links).toEqual([]);
  });

  it('makes a checkpoint a root, with its rows', () => {
    schedulerSpans.checkpoint(17).end();
    expect(only().parentSpanContext).toBeUndefined();
    expect(only().attributes).toEqual({ 'belfry.rows': 17 });
  });

  it('tells what went wrong', () => {
    gatewaySpans.startSpan('tasks.create', undefined, {}).end(new TypeError('no such thing'));
    expect(only().status).toEqual({ code: SpanStatusCode.ERROR, message: 'no such thing' });
    expect(only().events[0]?.attributes).toMatchObject({ 'exception.type': 'TypeError' });
  });

  it('makes its spans as the table says', () => {
    schedulerSpans.dispatch(execution(), 1, CREATION).end();
    schedulerSpans.checkpoint(1).end();
    const rows: [string, SpanDescription][] = Object.entries(SPANS);
    for (const [name, { madeBy }] of rows)
      if (madeBy === 'gateway') gatewaySpans.startSpan(name, undefined, { 'belfry.namespace': 'acme' }).end();
    const made = sdk.spans.map(({ name, kind, attributes }) => [name, SpanKind[kind], Object.keys(attributes)]);
    const told = rows.filter(([, { madeBy }]) => madeBy !== 'worker');
    expect(made.sort()).toEqual(told.map(([name, { kind, attributes }]) => [name, kind, attributes]).sort());
  });
});
