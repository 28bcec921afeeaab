import type { DriverConfig } from './driver.ts';

/**
 * What the bench asks of an agent: a process of its own that holds one driver, as a producer or as a worker. Requests are
 * answered in the order that they finish. Times are milliseconds.
 */
export interface AgentCalls {
  open: { args: DriverConfig; result: undefined };
  /** Creates jobs `from` … `from + count − 1` in bulk, `inFlight` requests at a time. */
  fill: { args: Fill; result: Filled };
  /** Creates single jobs at a steady rate, whether or not answers come. */
  latency: { args: { perSecond: number; seconds: number; dueMs: number }; result: { latencies: Float64Array } };
  /** Starts to run jobs 0 … `jobs − 1`; settles when jobs can come. */
  work: { args: { jobs: number }; result: undefined };
  /** Settles when every job has run and the system has noted that, or the time is up. */
  finished: { args: { timeoutMs: number }; result: WorkDone };
  /** Settles with the first start that is on time: of a job due after `afterMs`, at most `withinMs` late. */
  onTime: { args: { afterMs: number; withinMs: number; timeoutMs: number }; result: OnTime | undefined };
  close: { args: undefined; result: undefined };
}

export interface Fill {
  readonly from: number;
  readonly count: number;
  readonly batch: number;
  readonly inFlight: number;
  /** When the first and the last are due, the others evenly between; without it, all are due at once. */
  readonly due?: { readonly firstMs: number; readonly lastMs: number };
}

export interface Filled {
  /** From the first request to the last answer. */
  readonly elapsedMs: number;
  /** When the last answer came. */
  readonly doneAtMs: number;
}

export interface WorkDone {
  /** Jobs that ran. */
  readonly ran: number;
  /** Starts beyond the first of each job. */
  readonly repeated: number;
  /** From the first handler start until the system had noted durably that all were done; NaN if not all ran. */
  readonly elapsedMs: number;
  /** Handler start minus due time of each job that ran and had a due time. */
  readonly lateness: Float64Array;
}

export interface OnTime {
  readonly n: number;
  readonly dueMs: number;
  readonly startMs: number;
}

export type AgentCall = keyof AgentCalls;

export interface AgentRequest<Call extends AgentCall = AgentCall> {
  readonly id: number;
  readonly call: Call;
  readonly args: AgentCalls[Call]['args'];
}

export type AgentReply =
  | { readonly id: number; readonly result: AgentCalls[AgentCall]['result'] }
  | { readonly id: number; readonly error: string };
