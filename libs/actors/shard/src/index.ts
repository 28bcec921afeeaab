export { MISPLACES, type MissedFire } from './audit.ts';
export type { AttemptRecord, Execution } from './execution.ts';
export type { Dispatch, Reconciled } from './fires.ts';
export { Interned, queueKey } from './intern.ts';
export type { ExecutionGlance, TaskGlance } from './glance.ts';
export { Shard, type Reply } from './shard.ts';
export type { ShardEvent } from './state.ts';
export { Tally, type TallyRequest, type TallyResult } from './tally.ts';
