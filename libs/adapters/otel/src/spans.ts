import { SpanKind, type Attributes } from '@opentelemetry/api';

import { recordSpan, registeredTracer, startSpan, untraced, type OpenSpan } from './open-span.ts';

/** What `docs/telemetry.md` says about a span. */
export interface SpanDescription {
  readonly madeBy: 'gateway' | 'scheduler' | 'worker';
  readonly kind: 'SERVER' | 'CONSUMER' | 'PRODUCER' | 'INTERNAL';
  readonly stands: string;
  readonly joined: string;
  readonly attributes: readonly string[];
}

const REQUEST = {
  madeBy: 'gateway',
  kind: 'SERVER',
  stands: 'One request, up to its answer.',
  joined: "Child of the caller's context.",
  attributes: ['belfry.namespace'],
} as const;

/** Every span that Belfry makes, by name. */
export const SPANS = {
  'tasks.create': {
    ...REQUEST,
    stands: 'One create, of one task or many, up to its answer. Its context is stored with the tasks.',
  },
  'tasks.update': REQUEST,
  'tasks.cancel': REQUEST,
  'tasks.get': REQUEST,
  'tasks.list': REQUEST,
  'tasks.history': REQUEST,
  'tasks.explain': REQUEST,
  'schedules.preview': REQUEST,
  'schedules.lint': REQUEST,
  'schedules.forecast': REQUEST,
  'schedules.tzdiff': REQUEST,
  'calendars.set': REQUEST,
  'calendars.get': REQUEST,
  'calendars.list': REQUEST,
  ingest: {
    madeBy: 'gateway',
    kind: 'CONSUMER',
    stands: 'The creates of one durable publish. Its context is stored with the tasks.',
    joined: "Child of the publisher's context.",
    attributes: ['belfry.namespace'],
  },
  'belfry.dispatch': {
    madeBy: 'scheduler',
    kind: 'PRODUCER',
    stands: 'One attempt, from its turn until it is in the work stream. Its context goes to the worker.',
    joined:
      'One-time task: child of the creation. Recurring task: a trace of its own, linked to the creation, ' +
      'which the further attempts of that fire join.',
    attributes: [
      'belfry.namespace',
      'belfry.queue',
      'belfry.handler',
      'belfry.task',
      'belfry.execution',
      'belfry.attempt',
    ],
  },
  'belfry.run': {
    madeBy: 'worker',
    kind: 'CONSUMER',
    stands: "The handler, in the worker's process; the active span while it runs.",
    joined: 'Child of the dispatch.',
    attributes: [
      'belfry.execution',
      'belfry.task',
      'belfry.namespace',
      'belfry.queue',
      'belfry.handler',
      'belfry.attempt',
      'belfry.scheduled_at',
    ],
  },
  'executions.finish': {
    ...REQUEST,
    stands: 'Results of a worker, up to their answer.',
    joined: 'Child of the run; a trace of its own when a busy worker sends several results at once.',
  },
  'executions.redelivered': REQUEST,
  'executions.trace': REQUEST,
  'workers.subscribe': REQUEST,
  'belfry.checkpoint': {
    madeBy: 'scheduler',
    kind: 'INTERNAL',
    stands: 'One checkpoint transaction of a node, repeats included.',
    joined: 'A trace of its own.',
    attributes: ['belfry.rows'],
  },
} as const satisfies Record<string, SpanDescription>;

/** What a dispatch span tells of its execution. */
export interface TracedExecution {
  readonly id: string;
  readonly task: string;
  readonly target: { readonly namespace: string; readonly queue: string; readonly handler: string };
  /** Its task has more fires than this one. */
  readonly recurring: boolean;
  /** Of its attempt before, if there was one. */
  readonly traceparent: string | undefined;
}

/** The scheduler's spans. */
export const schedulerSpans = {
  /** `creation`: traceparent of the task's creation. Without an SDK, a recurring task's fire carries no context: see `joined` above. */
  dispatch(execution: TracedExecution, attempt: number, creation: string | undefined): OpenSpan {
    const { id, task, recurring, target } = execution;
    const tracer = registeredTracer();
    if (tracer === undefined) return untraced(recurring ? undefined : creation);
    return recordSpan(tracer, 'belfry.dispatch', {
      kind: SpanKind.PRODUCER,
      ...(recurring ? { parent: execution.traceparent, link: creation } : { parent: creation }),
      attributes: {
        'belfry.namespace': target.namespace,
        'belfry.queue': target.queue,
        'belfry.handler': target.handler,
        'belfry.task': task,
        'belfry.execution': id,
        'belfry.attempt': attempt,
      },
    });
  },

  checkpoint(rows: number): OpenSpan {
    const tracer = registeredTracer();
    if (tracer === undefined) return untraced(undefined);
    return recordSpan(tracer, 'belfry.checkpoint', { attributes: { 'belfry.rows': rows } });
  },
};

/** The gateway's spans. */
export const gatewaySpans = {
  startSpan(name: string, parent: string | undefined, attributes: Attributes): OpenSpan {
    const kind = name === 'ingest' ? SpanKind.CONSUMER : SpanKind.SERVER;
    return startSpan(name, { kind, parent, attributes });
  },
};
