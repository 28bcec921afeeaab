import type { OperatorOp } from './operators.ts';

/**
 * Every subject, stream and bucket of Belfry. Users' words stand in subjects only after `isName` has passed them.
 * Public ones start with `belfry.v1.`; the others are between Belfry's own processes.
 */
export const STREAMS = {
  /** Commands and results, a subject per shard and one for bundles. File, limits retention, never deleted from but in front. */
  inbox: 'BELFRY_INBOX',
  /** Dispatched executions and the shards' fences. Memory: it can be rebuilt from the shards. */
  work: 'BELFRY_WORK',
  /** Durable publishes of clients, until a gateway has appended them to an inbox. */
  ingest: 'BELFRY_INGEST',
  /** Refused ingest messages with their reasons. */
  rejected: 'BELFRY_REJECTED',
} as const;

export const BUCKETS = { leases: 'BELFRY_LEASES', placement: 'BELFRY_PLACEMENT' } as const;

export const TASK_OPS = ['create', 'update', 'get', 'list', 'cancel', 'history', 'explain'] as const;
export type TaskOp = (typeof TASK_OPS)[number];
export const EXECUTION_OPS = ['finish', 'redelivered', 'trace'] as const;
export type ExecutionOp = (typeof EXECUTION_OPS)[number];
export const CALENDAR_OPS = ['set', 'get', 'list'] as const;
export type CalendarOp = (typeof CALENDAR_OPS)[number];
export const SCHEDULE_OPS = ['preview', 'lint', 'forecast', 'tzdiff'] as const;
export type ScheduleOp = (typeof SCHEDULE_OPS)[number];
export const WORKER_OPS = ['subscribe'] as const;

export const subjects = {
  /** Request/reply. */
  tasks: (namespace: string, op: TaskOp | '*') => `belfry.v1.${namespace}.tasks.${op}`,
  executions: (namespace: string, op: ExecutionOp | '*') => `belfry.v1.${namespace}.executions.${op}`,
  calendars: (namespace: string, op: CalendarOp | '*') => `belfry.v1.${namespace}.calendars.${op}`,
  schedules: (namespace: string, op: ScheduleOp | '*') => `belfry.v1.${namespace}.schedules.${op}`,
  workers: (namespace: string, op: 'subscribe' | 'heartbeat') => `belfry.v1.${namespace}.workers.${op}`,
  /** Durable publish. */
  ingest: (namespace: string) => `belfry.v1.${namespace}.ingest`,
  rejected: (namespace: string) => `belfry.v1.${namespace}.rejected`,
  /** Lifecycle events, plain NATS. */
  event: (namespace: string, type: string, taskId: string) => `belfry.v1.${namespace}.events.${type}.${taskId}`,

  inbox: (shard: number) => `belfry.inbox.${shard}`,
  /** Envelopes of several shards in one message. */
  inboxBundle: 'belfry.inbox.bundle',
  fence: (shard: number) => `belfry.fence.${shard}`,
  /** Of the first attempt that the message carries, and how many `more` there are in it. */
  work: (namespace: string, queue: string, shard: number, execution: string, attempt: number, more = 0) =>
    `belfry.work.${namespace}.${queue}.${shard}.${execution}.${more === 0 ? attempt : `${attempt}+${more}`}`,
  workOfQueue: (namespace: string, queue: string) => `belfry.work.${namespace}.${queue}.>`,
  workOfShard: (shard: number) => `belfry.work.*.*.${shard}.>`,
  /** The address of a shard: only its owner serves it. */
  shard: (shard: number, op: 'get' | 'schedules' | 'prepare' | 'release' | '*') => `belfry.shard.${shard}.${op}`,
  /** Where shards answer a gateway. */
  replies: (gateway: string) => `belfry.gateway.${gateway}.replies`,
  /** Request/reply of operators: the leading supervisor answers. */
  operators: (op: OperatorOp) => `belfry.operators.v1.${op}`,
  /** Request/reply: one process answers about itself. */
  operatorsOfNode: (node: string, op: 'ping' | 'shards') => `belfry.operators.v1.node.${node}.${op}`,
  nodeHeartbeat: 'belfry.nodes.heartbeat',
  processHeartbeat: 'belfry.processes.heartbeat',
  leaderHeartbeat: 'belfry.supervisor.heartbeat',
} as const;

/** Name of the durable pull consumer of one queue. */
export function workConsumer(namespace: string, queue: string): string {
  return `${namespace}=${queue}`;
}

/** The parts of a work subject. */
export interface WorkSubject {
  readonly namespace: string;
  readonly queue: string;
  readonly shard: number;
  /** The first attempt in the message. */
  readonly execution: string;
  readonly attempt: number;
  /** How many attempts it carries besides. */
  readonly more: number;
}

/** The parts of a work subject; undefined if it is none. */
export function parseWorkSubject(subject: string): WorkSubject | undefined {
  const t = subject.split('.');
  if (t.length !== 7 || t[0] !== 'belfry' || t[1] !== 'work') return undefined;
  const shard = Number(t[4]);
  const [attempt, more] = (t[6] as string).split('+', 2).map(Number) as [number, number?];
  if (!Number.isInteger(shard) || !Number.isInteger(attempt) || !Number.isInteger(more ?? 0)) return undefined;
  return {
    namespace: t[2] as string,
    queue: t[3] as string,
    shard,
    execution: t[5] as string,
    attempt,
    more: more ?? 0,
  };
}
