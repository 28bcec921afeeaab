import { AsyncLocalStorage } from 'node:async_hooks';

import { testNatsUrl } from '@belfry/adapter-nats/testing';
import {
  context,
  propagation,
  ROOT_CONTEXT,
  trace,
  type Context,
  type ContextManager,
  type Span,
  type TextMapPropagator,
  type Tracer,
} from '@opentelemetry/api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { Belfry, defineTask, Worker } from './index.ts';
import { memoryLog, TestGateway } from './test-gateway.ts';

interface Recorded {
  readonly name: string;
  readonly parent: string | undefined;
  readonly attributes: unknown;
  readonly traceparent: string;
  failed: boolean;
  ended: boolean;
}

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const spans: Recorded[] = [];
const parentOf = (from: Context) => trace.getSpanContext(from)?.spanId;

/** As much of an OpenTelemetry SDK as a worker meets. */
const tracer = {
  startSpan(name, options, from = ROOT_CONTEXT) {
    const spanId = String(spans.length + 1).padStart(16, '0');
    const recorded: Recorded = {
      name,
      parent: parentOf(from),
      attributes: options?.attributes,
      traceparent: `00-${TRACE}-${spanId}-01`,
      failed: false,
      ended: false,
    };
    spans.push(recorded);
    return {
      spanContext: () => ({ traceId: TRACE, spanId, traceFlags: 1 }),
      isRecording: () => true,
      recordException: () => (recorded.failed = true),
      setStatus: () => undefined,
      end: () => (recorded.ended = true),
    } as unknown as Span;
  },
} as Tracer;

const propagator: TextMapPropagator = {
  fields: () => ['traceparent'],
  inject: (from, carrier, setter) => {
    const spanContext = trace.getSpanContext(from);
    if (spanContext !== undefined) setter.set(carrier, 'traceparent', `00-${TRACE}-${spanContext.spanId}-01`);
  },
  extract: (into, carrier, getter) => {
    const header = String(getter.get(carrier, 'traceparent'));
    return trace.setSpanContext(into, { traceId: TRACE, spanId: header.slice(36, 52), traceFlags: 1 });
  },
};

const storage = new AsyncLocalStorage<Context>();
const contexts: ContextManager = {
  disable: () => contexts,
  active: () => storage.getStore() ?? ROOT_CONTEXT,
  with: (active, work, self, ...args) => storage.run(active, () => work.apply(self as never, args)),
  bind: (_context, target) => target,
  enable: () => contexts,
};

beforeAll(() => {
  trace.setGlobalTracerProvider({ getTracer: () => tracer });
  propagation.setGlobalPropagator(propagator);
  context.setGlobalContextManager(contexts);
});

afterAll(() => {
  trace.disable();
  propagation.disable();
  context.disable();
});

describe('where OpenTelemetry is set up', () => {
  it('a run is a child of its dispatch, what its handler schedules a child of the run, and so is its result', async () => {
    await using gateway = await TestGateway.open(testNatsUrl());
    const options = { url: gateway.url, namespace: gateway.namespace, log: memoryLog().log };
    gateway.answers.set('tasks.create', () => ({ items: [{ id: 'x', status: 'created', created: true, next: [] }] }));
    await using belfry = new Belfry(options);
    const parent = defineTask({ name: 'parent', queue: 'q' });
    await using worker = new Worker({
      ...options,
      handlers: [
        parent.handler(async () => {
          await belfry.schedule({ at: 1, queue: 'q', handler: 'child' });
          throw new Error('boom');
        }),
      ],
    });
    await worker.start();
    const dispatch = '00f067aa0ba902b7';
    const traceparent = `00-${TRACE}-${dispatch}-01`;
    const [execution] = await gateway.dispatch('q', [{ handler: 'parent', traceparent }]);
    await expect.poll(() => gateway.results).toHaveLength(1);
    expect(spans).toEqual([
      {
        name: 'belfry.run',
        parent: dispatch,
        attributes: {
          'belfry.execution': execution,
          'belfry.task': execution?.slice(0, 32),
          'belfry.namespace': gateway.namespace,
          'belfry.queue': 'q',
          'belfry.handler': 'parent',
          'belfry.attempt': 1,
          'belfry.scheduled_at': expect.any(Number),
        },
        traceparent: expect.any(String),
        failed: true,
        ended: true,
      },
    ]);
    const run = spans[0]!.traceparent;
    const headers = (op: string) =>
      gateway.asked.filter((asked) => asked.op === op).map(({ header }) => header('traceparent'));
    expect(headers('tasks.create')).toEqual([run]);
    expect(headers('executions.finish')).toEqual([run]);
  });
});
