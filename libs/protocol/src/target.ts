import { LIMITS } from './limits.ts';
import {
  CATCH_UP_POLICIES,
  DEFAULT_RETRY,
  DEFAULT_TIMEOUT_MS,
  PRECISIONS,
  PRIORITIES,
  type CatchUpPolicy,
  type Precision,
  type Priority,
  type Retry,
  type TaskDraft,
} from './spec.ts';

/** What becomes of missed fires. Without a window, that of the task's kind holds. */
export interface CatchUp {
  readonly policy: CatchUpPolicy;
  readonly windowMs?: number;
}

/** Where and how a task's executions run. Tasks share few distinct targets, so shards keep each once. */
export interface Target {
  readonly namespace: string;
  readonly queue: string;
  readonly handler: string;
  /** 0 high, 1 medium, 2 low. */
  readonly priority: 0 | 1 | 2;
  readonly retry: Retry;
  readonly timeoutMs: number;
  readonly precision: Precision;
  /** Undefined: the default, which is another for one-time tasks than for recurring ones. */
  readonly catchUp: CatchUp | undefined;
}

/**
 * One text per distinct target: what shards intern, messages carry and Postgres stores. Precision and catch-up stand in it only where they
 * are not the defaults, so that texts from before they were there are those of the same targets now.
 */
export function encodeTarget(t: Target): string {
  const r = t.retry;
  const parts: (string | number)[] = [
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
  ];
  if (t.precision !== DEFAULT_PRECISION || t.catchUp !== undefined) parts.push(PRECISIONS.indexOf(t.precision));
  if (t.catchUp !== undefined) parts.push(CATCH_UP_POLICIES.indexOf(t.catchUp.policy));
  if (t.catchUp?.windowMs !== undefined) parts.push(t.catchUp.windowMs);
  return JSON.stringify(parts);
}

const DEFAULT_PRECISION: Precision = 'normal';

/** Reads what `encodeTarget` wrote, now or in versions before; throws on anything else, since only Belfry writes it. */
export function decodeTarget(text: string): Target {
  const [namespace, queue, handler, priority, attempts, initialMs, factor, maxMs, jitter, timeoutMs, ...policies] =
    JSON.parse(text) as [
      string,
      string,
      string,
      0 | 1 | 2,
      number,
      number,
      number,
      number,
      number,
      number,
      ...number[],
    ];
  const [precision = PRECISIONS.indexOf(DEFAULT_PRECISION), policy, windowMs] = policies;
  return {
    namespace,
    queue,
    handler,
    priority,
    retry: { attempts, initialMs, factor, maxMs, jitter },
    timeoutMs,
    precision: known(PRECISIONS, precision, text),
    catchUp:
      policy === undefined
        ? undefined
        : { policy: known(CATCH_UP_POLICIES, policy, text), ...(windowMs === undefined ? {} : { windowMs }) },
  };
}

function known<T>(names: readonly T[], index: number, text: string): T {
  const name = names[index];
  if (name === undefined) throw new Error(`no target that this version knows: ${text.slice(0, 200)}`);
  return name;
}

export function priorityName(priority: 0 | 1 | 2): Priority {
  return PRIORITIES[priority];
}

/** The policy that holds for a task's missed fires; the window is Infinity where it has no end. */
export function catchUpOf({ catchUp }: Pick<Target, 'catchUp'>, recurring: boolean): Required<CatchUp> {
  const policy = catchUp?.policy ?? (recurring ? 'latest' : 'all');
  return { policy, windowMs: catchUp?.windowMs ?? (recurring ? LIMITS.catchUpWindowMs : Infinity) };
}

/** The target of a draft, whose catch-up has been read whole; what it leaves open comes from the defaults. */
export function targetOf(namespace: string, draft: TaskDraft, catchUp: CatchUp | undefined): Target {
  return {
    namespace,
    queue: draft.queue ?? '',
    handler: draft.handler ?? '',
    priority: draft.priority === undefined ? 1 : (PRIORITIES.indexOf(draft.priority) as 0 | 1 | 2),
    retry: draft.retry ?? DEFAULT_RETRY,
    timeoutMs: draft.timeoutMs ?? DEFAULT_TIMEOUT_MS,
    precision: draft.precision ?? DEFAULT_PRECISION,
    catchUp,
  };
}
