export { Belfry } from './belfry.ts';
export type { BelfryOptions, EventFilter } from './belfry.ts';
export type { Calendars } from './calendars.ts';
export type { ConnectionOptions } from './connection.ts';
export { defineTask } from './define-task.ts';
export type {
  Handler,
  HandlerFunction,
  TaskDefaults,
  TaskDefinition,
  TaskDefinitionOptions,
  TypedSpec,
} from './define-task.ts';
export { BelfryError, ConnectionError, ERROR_CODES, FatalError } from './errors.ts';
export type { ErrorCode, WireError } from './errors.ts';
export { HandlerContext } from './handler-context.ts';
export { jsonLog } from './log.ts';
export type { Log, LogFields } from './log.ts';
export type { Pages } from './pages.ts';
export type { RejectedTask } from './rejected.ts';
export type { Instant, Scheduled, ScheduleSpec, TaskChanges, TaskOptions, When } from './specs.ts';
export { Worker } from './worker.ts';
export type { WorkerOptions } from './worker.ts';
export type {
  AttemptView,
  CalendarDefinition,
  CalendarListReply,
  CalendarRule,
  CalendarSetReply,
  CalendarSummary,
  CalendarView,
  CancelReply,
  CreateResult,
  ExecutionView,
  ExplainedFire,
  ExplainReply,
  ExplainRequest,
  ForecastReply,
  TzdiffReply,
  HistoryReply,
  HistoryRequest,
  LifecycleEvent,
  LintReply,
  ListReply,
  ListRequest,
  PreviewReply,
  Reason,
  TaskRef,
  TaskView,
  Verdict,
} from '@belfry/protocol';
