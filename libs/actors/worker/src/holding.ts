import type { Outcome } from '@belfry/protocol';

/** One queue that the worker pulls from. */
export interface Line {
  readonly queue: string;
  /** How long the broker leases a message to us; 0 before the queue was subscribed to. */
  ackWaitMs: number;
  /** Its messages in our hands, unsettled. */
  held: number;
  /** The window that was last asked for. */
  window: number;
}

/**
 * asking: delivered before, so the shard is asked first · ready: waits for a slot · running: in its handler ·
 * reporting: its outcome waits to be accepted · over: nothing more is to be told of it.
 */
export type Phase = 'asking' | 'ready' | 'running' | 'reporting' | 'over';

/** One execution in the worker's hands. `T` is what the shell keeps with it; the core never looks into it. */
export class Holding<T> {
  /** Names one execution and attempt as it was dispatched, whatever message carries it. */
  readonly key: string;
  readonly execution: string;
  readonly line: Line;
  readonly work: T;
  /** How often the broker had delivered it. */
  readonly deliveries: number;
  readonly timeoutMs: number;
  /** The attempt to run and to report: after a redelivery, the one that the shard named. */
  attempt: number;
  phase: Phase;
  /** Occupies a slot: its handler runs, or has not ended yet after its time was up. */
  inSlot = false;
  /** The message was given up: its lease ran out. */
  lost = false;
  /** Its signal has been aborted. */
  aborted = false;
  outcome: Outcome | undefined;
  /** Why the core itself ended it. */
  reason: string | undefined;
  /** Bytes of its result request. */
  bytes = 0;
  /** The gateway refused its result for good: it is sent once more with nothing but the outcome. */
  bare = false;
  /** When the present lease began, as far as it is confirmed. */
  leasedAt: number;
  /** When an extension was last sent. */
  extendedAt: number;
  /** When it became ready. */
  readyAt: number;
  /** When its handler's time is up, or, after that, its slot is taken back. */
  deadline = Infinity;
  /** asking: when to ask again; Infinity while the question is under way. */
  askAt = Infinity;

  constructor(
    from: {
      readonly key: string;
      readonly execution: string;
      readonly attempt: number;
      readonly deliveries: number;
      readonly leasedAt: number;
      readonly timeoutMs: number;
      readonly work: T;
    },
    line: Line,
    now: number,
  ) {
    this.key = from.key;
    this.execution = from.execution;
    this.attempt = from.attempt;
    this.deliveries = from.deliveries;
    this.timeoutMs = from.timeoutMs;
    this.work = from.work;
    this.line = line;
    this.phase = from.deliveries > 1 ? 'asking' : 'ready';
    this.leasedAt = from.leasedAt;
    this.extendedAt = from.leasedAt;
    this.readyAt = now;
  }
}
