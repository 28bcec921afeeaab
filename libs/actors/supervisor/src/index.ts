export { LeaderWatch } from './leader-watch.ts';
export { LeaseWatch, type LeasedQueue } from './lease-watch.ts';
export { Levels } from './levels.ts';
export { placeShards, type PlaceableNode } from './placement.ts';
export {
  Supervisor,
  type NodeHeartbeat,
  type Order,
  type OrderOutcome,
  type SupervisorEffect,
  type SupervisorInput,
  type Takes,
} from './supervisor.ts';
export { Workers, type WorkerSums } from './workers.ts';
