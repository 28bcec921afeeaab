import type { WorkMessage } from '@belfry/protocol';

import type { Handler } from './define-task.ts';
import { belfryError } from './errors.ts';
import { HandlerContext } from './handler-context.ts';
import type { Log } from './log.ts';
import type { Run } from './run.ts';
import { validatePayload } from './schema.ts';
import { isTracing, runInSpan } from './trace-context.ts';

/** Handlers by queue and name. */
export type Handlers = ReadonlyMap<string, ReadonlyMap<string, Handler>>;

/** @throws BelfryError `invalid_field` when a queue has two of the same name */
export function handlersByQueue(handlers: readonly Handler[]): Handlers {
  const queues = new Map<string, Map<string, Handler>>();
  for (const handler of handlers) {
    const named = queues.get(handler.queue) ?? new Map<string, Handler>();
    if (named.has(handler.name)) {
      throw belfryError('invalid_field', `queue ${handler.queue} has two handlers ${handler.name}`, 'handlers');
    }
    queues.set(handler.queue, named.set(handler.name, handler));
  }
  return queues;
}

/**
 * Runs one attempt; what became of it stands in `run` then. Never rejects.
 *
 * A handler that this worker doesn't have fails the attempt, but not for good: another worker of the queue may have it. A payload
 * that the schema refuses fails for good.
 */
export async function execute(
  run: Run,
  queue: string,
  attempt: number,
  handlers: Handlers,
  log: Log,
): Promise<'succeeded' | 'failed'> {
  run.startedAt = Date.now();
  const outcome = await attemptRun(run, queue, attempt, handlers, log);
  run.finishedAt = Math.max(run.startedAt, Date.now());
  return outcome;
}

async function attemptRun(
  run: Run,
  queue: string,
  attempt: number,
  handlers: Handlers,
  log: Log,
): Promise<'succeeded' | 'failed'> {
  const { message } = run;
  if (message === undefined) {
    run.fail(`this worker cannot read the work message (${run.delivery.data.length} bytes)`, false);
    return 'failed';
  }
  const handler = handlers.get(queue)?.get(message.handler);
  if (handler === undefined) {
    const known = [...(handlers.get(queue)?.keys() ?? [])].join(', ');
    run.fail(`this worker has no handler ${message.handler} for queue ${queue}; it has: ${known}`, false);
    return 'failed';
  }
  try {
    let payload: unknown = message.payload;
    if (handler.schema !== undefined) {
      const checked = await validatePayload(handler.schema, payload);
      if ('error' in checked) {
        run.fail(checked.error, true);
        return 'failed';
      }
      payload = checked.value;
    }
    const context = new HandlerContext(message, payload, attempt, log, () => run.signal());
    run.succeed(await call(handler, context, run, message));
    return 'succeeded';
  } catch (error) {
    run.fail(error);
    const { execution, task } = message;
    log.warn('a handler failed', { execution, task, handler: handler.name, attempt, fatal: run.fatal, error });
    return 'failed';
  }
}

/** @throws what the handler throws */
function call(handler: Handler, context: HandlerContext, run: Run, message: WorkMessage): unknown {
  if (!isTracing()) return handler.run(context);
  const attributes = {
    'belfry.execution': message.execution,
    'belfry.task': message.task,
    'belfry.namespace': message.namespace,
    'belfry.queue': message.queue,
    'belfry.handler': message.handler,
    'belfry.attempt': context.attempt,
    'belfry.scheduled_at': message.scheduledAt,
  };
  const { delivery } = run;
  return runInSpan(
    delivery.header('traceparent'),
    delivery.header('tracestate'),
    attributes,
    (traceparent) => (run.traceparent = traceparent),
    async () => await handler.run(context),
  );
}
