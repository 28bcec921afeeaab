import type { Outcome } from '@belfry/protocol';

import type { Holding } from './holding.ts';

/** Why a handler's signal aborts. */
export const ABORT_REASONS = {
  timed_out: 'the time for this attempt is up',
  lease_lost: 'contact with the broker was lost for longer than the lease: another worker may run this now',
  stopping: 'the worker stops, and its time for that is up',
} as const;
export type AbortReason = keyof typeof ABORT_REASONS;

/** What the gateway said to one result: it has it, or knows that it is over; the message is another worker's since; not now; never. */
export type Verdict = 'accepted' | 'superseded' | 'retry' | 'refused';

/** What happens to a worker. */
export type WorkerInput<T> =
  /** A queue can be pulled from. */
  | { readonly kind: 'subscribed'; readonly queue: string; readonly ackWaitMs: number }
  | {
      readonly kind: 'delivered';
      readonly queue: string;
      /** Names the execution and attempt as it was dispatched: the same one is not run twice at a time, whatever message carries it. */
      readonly key: string;
      readonly execution: string;
      readonly attempt: number;
      /** The broker's count, 1 the first time. */
      readonly deliveries: number;
      /**
       * When the pull was sent that asked for it: its lease began no earlier. It may have been on its way since, or have waited in a socket
       * while the process stood still.
       */
      readonly leasedAt: number;
      readonly timeoutMs: number;
      readonly work: T;
    }
  /** The answer to `ask`: run it as this attempt; it is over; the message is another worker's since; or no answer. */
  | {
      readonly kind: 'answered';
      readonly holding: Holding<T>;
      readonly answer: number | 'over' | 'superseded' | 'retry';
    }
  /** A handler ended, whatever its signal said. `bytes`: of the result request's item, at most. */
  | { readonly kind: 'ended'; readonly holding: Holding<T>; readonly outcome: Outcome; readonly bytes: number }
  /** The answer to `finish`, in its order; undefined: none came. */
  | {
      readonly kind: 'finished';
      readonly holdings: readonly Holding<T>[];
      readonly verdicts: readonly Verdict[] | undefined;
    }
  /** The queue's leader has confirmed the extensions that were sent at `sentAt`. */
  | { readonly kind: 'extended'; readonly holdings: readonly Holding<T>[]; readonly sentAt: number }
  /** The turn of the event loop is over: what was gathered is sent. */
  | { readonly kind: 'turn' }
  /** Time passed: at least every `TICK_MS` while `isBusy`. */
  | { readonly kind: 'tick' }
  /** Nothing more will be delivered. */
  | { readonly kind: 'drained' }
  /** Take no more, end within `timeoutMs`; it is over when all has ended and nothing more can be delivered. */
  | { readonly kind: 'stop'; readonly timeoutMs: number };

/** What the shell performs, in order. */
export type WorkerEffect<T> =
  /** Let so many messages of the queue be in our hands, unsettled. */
  | { readonly kind: 'window'; readonly queue: string; readonly size: number }
  /** `executions.redelivered`. */
  | { readonly kind: 'ask'; readonly holding: Holding<T> }
  | { readonly kind: 'run'; readonly holding: Holding<T> }
  /** Abort the handler's signal. */
  | { readonly kind: 'abort'; readonly holding: Holding<T>; readonly reason: AbortReason }
  /** `executions.finish` with these. */
  | { readonly kind: 'finish'; readonly holdings: readonly Holding<T>[] }
  /** Acknowledge the work message, when all others that it carries are over too. */
  | { readonly kind: 'ack'; readonly holding: Holding<T> }
  /** The message is not ours any more: say nothing to the broker. */
  | { readonly kind: 'forget'; readonly holding: Holding<T> }
  /** `work` is the same message again: it takes the place of the older delivery, which is settled with it. */
  | { readonly kind: 'adopt'; readonly holding: Holding<T>; readonly work: T }
  /** Send `+WPI` for these, and tell when their queue's leader has confirmed it. */
  | { readonly kind: 'extend'; readonly holdings: readonly Holding<T>[]; readonly sentAt: number }
  /** The gateway refused a result that has nothing in it to refuse: a fault to log. */
  | { readonly kind: 'unreportable'; readonly holding: Holding<T> }
  /** All is over; or time is, and so many executions are left without an accepted result. */
  | { readonly kind: 'stopped'; readonly unreported: number };
