export { NO_METRICS, NO_TRACER } from './environment.ts';
export type { Clock, GatewayEnvironment, GatewayMetrics, Log, OpenSpan, Tracer } from './environment.ts';
export { explain, type ExplainInput } from './explain.ts';
export { Gateway } from './gateway.ts';
export type { HeaderReader } from './gateway.ts';
export type { IngestMessage, IngestOutcome } from './ingest.ts';
export { renderTask } from './render-task.ts';
export { activeView, scheduleFields, storedExecutionView, storedTaskView } from './views.ts';
export type { AttemptFacts, ExecutionFacts, TaskFacts } from './views.ts';
