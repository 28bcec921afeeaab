export { ABORT_REASONS } from './contract.ts';
export type { AbortReason, Verdict, WorkerEffect, WorkerInput } from './contract.ts';
export type { Holding } from './holding.ts';
export { Parcel } from './parcel.ts';
export { TICK_MS, WorkerCore } from './worker-core.ts';
export type { WorkerSettings } from './worker-core.ts';
