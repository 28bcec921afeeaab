export { LeaderWatch } from './leader-watch.ts';
export { placeShards, type PlaceableNode } from './placement.ts';
export { Supervisor, type NodeHeartbeat, type SupervisorEffect, type SupervisorInput } from './supervisor.ts';
