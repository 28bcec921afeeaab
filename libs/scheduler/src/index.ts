export {
  NO_TRACER,
  type Clock,
  type Environment,
  type Log,
  type OpenSpan,
  type SchedulerMetrics,
  type SchedulerTracer,
} from './environment.ts';
export { SchedulerNode, type NodeShards, type NodeStatus } from './scheduler-node.ts';
export type { Crashes } from './takeover.ts';
export { Turns } from './turns.ts';
