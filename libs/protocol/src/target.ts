import { DEFAULT_RETRY, DEFAULT_TIMEOUT_MS, PRIORITIES, type Priority, type Retry, type TaskDraft } from './spec.ts';

/** Where and how a task's executions run. Tasks share few distinct targets, so shards keep each once. */
export interface Target {
  readonly namespace: string;
  readonly queue: string;
  readonly handler: string;
  /** 0 high, 1 medium, 2 low. */
  readonly priority: 0 | 1 | 2;
  readonly retry: Retry;
  readonly timeoutMs: number;
}

/** One text per distinct target: what shards intern, messages carry and Postgres stores. */
export function encodeTarget(t: Target): string {
  const r = t.retry;
  return JSON.stringify([
    t.namespace,
    t.queue,
    t.handler,
    t.priority,
    r.attempts,
    r.initialMs,
    r.factor,
    r.maxMs,
    r.jitter,
    t.timeoutMs,
  ]);
}

/** Reads what `encodeTarget` wrote; throws on anything else, since only Belfry writes it. */
export function decodeTarget(text: string): Target {
  const [namespace, queue, handler, priority, attempts, initialMs, factor, maxMs, jitter, timeoutMs] = JSON.parse(
    text,
  ) as [string, string, string, 0 | 1 | 2, number, number, number, number, number, number];
  return { namespace, queue, handler, priority, retry: { attempts, initialMs, factor, maxMs, jitter }, timeoutMs };
}

export function priorityName(priority: 0 | 1 | 2): Priority {
  return PRIORITIES[priority];
}

/** The target of a draft; what it leaves open comes from `base`, or from the defaults. */
export function targetOf(namespace: string, draft: TaskDraft, base?: Target): Target {
  const priority = draft.priority === undefined ? undefined : (PRIORITIES.indexOf(draft.priority) as 0 | 1 | 2);
  return {
    namespace,
    queue: draft.queue ?? base?.queue ?? '',
    handler: draft.handler ?? base?.handler ?? '',
    priority: priority ?? base?.priority ?? 1,
    retry: draft.retry ?? base?.retry ?? DEFAULT_RETRY,
    timeoutMs: draft.timeoutMs ?? base?.timeoutMs ?? DEFAULT_TIMEOUT_MS,
  };
}
