import type {
  CalendarDefinition,
  CalendarListReply,
  CalendarSetReply,
  CalendarView,
  CancelReply,
  CreateResult,
  ExecutionView,
  ExplainReply,
  ExplainRequest,
  ForecastReply,
  HistoryReply,
  HistoryRequest,
  LifecycleEvent,
  ListReply,
  ListRequest,
  PreviewReply,
  ScheduleFields,
  TaskRef,
  TaskSpec,
  TaskView,
  WireError,
  TzdiffReply,
} from '@belfry/protocol';

/** A message that ingest refused, as the retained stream holds it. */
export interface RejectedMessage {
  /** Place in the stream. */
  readonly sequence: number;
  readonly at: string;
  readonly error: WireError;
  /** The refused message, as text. */
  readonly message: string;
}

/** What the commands need of Belfry; `openClient` makes it from the SDK, tests from memory. */
export interface CliClient {
  /** Up to 1,000 tasks; one result per task, in the same order. */
  scheduleMany(specs: readonly TaskSpec[]): Promise<readonly CreateResult[]>;
  update(ref: TaskRef, set: Partial<Omit<TaskSpec, 'key'>>): Promise<CreateResult>;
  cancel(ref: TaskRef): Promise<CancelReply>;
  get(ref: TaskRef): Promise<TaskView>;
  list(request: ListRequest): Promise<ListReply>;
  history(request: HistoryRequest): Promise<HistoryReply>;
  trace(execution: string): Promise<ExecutionView>;
  explain(request: ExplainRequest): Promise<ExplainReply>;
  readonly calendars: {
    set(name: string, calendar: CalendarDefinition): Promise<CalendarSetReply>;
    get(name: string): Promise<CalendarView>;
    list(): Promise<CalendarListReply>;
  };
  preview(
    schedule: ScheduleFields,
    options: { readonly after?: number; readonly count?: number },
  ): Promise<PreviewReply>;
  forecast(window: 'hour' | 'day' | 'month'): Promise<ForecastReply>;
  tzdiff(from?: string): Promise<TzdiffReply>;
  /** Oldest first, after `after`. */
  rejected(limit: number, after: number): Promise<readonly RejectedMessage[]>;
  /** Until the signal aborts. */
  events(filter: { type?: string; task?: string }, signal: AbortSignal): AsyncIterable<LifecycleEvent>;
  close(): Promise<void>;
}
