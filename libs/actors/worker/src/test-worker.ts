import type { Outcome } from '@belfry/protocol';

import type { Verdict, WorkerEffect, WorkerInput } from './contract.ts';
import type { Holding } from './holding.ts';
import { WorkerCore, type WorkerSettings } from './worker-core.ts';

export const ACK_WAIT_MS = 30_000;
export const GRACE_MS = 5_000;

interface Delivered {
  readonly queue?: string;
  readonly attempt?: number;
  readonly deliveries?: number;
  readonly leasedAt?: number;
  readonly timeoutMs?: number;
}

type Effects<K extends WorkerEffect<string>['kind']> = Extract<WorkerEffect<string>, { kind: K }>;

/** A core with a clock that is told, a broker that delivers what it is told, and effects that are kept instead of performed. */
export class TestWorker {
  readonly core: WorkerCore<string>;
  now = 0;
  /** Whether the invariants are checked after each step. */
  checks = true;
  /** All effects since they were last taken. */
  #effects: WorkerEffect<string>[] = [];
  readonly #holdings = new Map<string, Holding<string>>();

  constructor(settings: Partial<WorkerSettings> = {}, ackWaitMs = ACK_WAIT_MS) {
    this.core = new WorkerCore({ capacity: 2, queues: ['q'], graceMs: GRACE_MS, ...settings });
    for (const queue of settings.queues ?? ['q']) this.step({ kind: 'subscribed', queue, ackWaitMs });
  }

  step(input: WorkerInput<string>): void {
    const effects = this.core.step(input, this.now);
    if (this.checks) this.core.assertInvariants();
    for (const effect of effects) {
      const named = 'holding' in effect ? [effect.holding] : 'holdings' in effect ? effect.holdings : [];
      for (const holding of named) this.#holdings.set(holding.execution, holding);
    }
    this.#effects.push(...effects);
  }

  deliver(
    execution: string,
    { queue = 'q', attempt = 1, deliveries = 1, leasedAt = this.now, timeoutMs = 600_000 }: Delivered = {},
  ): void {
    const work = `${execution}@${deliveries}`;
    const key = `${execution}.${attempt}`;
    this.step({ kind: 'delivered', queue, key, execution, attempt, deliveries, leasedAt, timeoutMs, work });
  }

  end(execution: string, outcome: Outcome = 'succeeded', bytes = 100): void {
    this.step({ kind: 'ended', holding: this.holding(execution), outcome, bytes });
  }

  answer(execution: string, answer: number | 'over' | 'superseded' | 'retry'): void {
    this.step({ kind: 'answered', holding: this.holding(execution), answer });
  }

  /** Answers one finish request with the same verdict for all, or with none. */
  settle(holdings: readonly Holding<string>[], verdict: Verdict | undefined): void {
    const verdicts = verdict === undefined ? undefined : holdings.map(() => verdict);
    this.step({ kind: 'finished', holdings, verdicts });
  }

  /** The broker has answered what was sent after the last extension. */
  confirmExtension(execution: string): void {
    const holding = this.holding(execution);
    this.step({ kind: 'extended', holdings: [holding], sentAt: holding.extendedAt });
  }

  turn(): void {
    this.step({ kind: 'turn' });
  }

  /** Time passes, in ticks. */
  pass(ms: number, tickMs = 50): void {
    for (const end = this.now + ms; this.now < end;) {
      this.now = Math.min(end, this.now + tickMs);
      this.step({ kind: 'tick' });
    }
  }

  /** What came out since the last time, of one kind; the rest is dropped. */
  take<K extends WorkerEffect<string>['kind']>(kind: K): Effects<K>[] {
    const taken = this.#effects.filter((effect): effect is Effects<K> => effect.kind === kind);
    this.#effects = [];
    return taken;
  }

  /** What came out since the last time, as texts: `run a#1`, `finish a:succeeded b:failed`, `window q 3`. */
  said(): string[] {
    const texts = this.peek();
    this.#effects = [];
    return texts;
  }

  /** As `said`, and it stays. */
  peek(): string[] {
    return this.#effects.map(text);
  }

  /** The latest holding of an execution that an effect has named. */
  holding(execution: string): Holding<string> {
    const holding = this.#holdings.get(execution);
    if (holding === undefined) throw new Error(`no effect has named ${execution}`);
    return holding;
  }
}

function text(effect: WorkerEffect<string>): string {
  switch (effect.kind) {
    case 'window':
      return `window ${effect.queue} ${effect.size}`;
    case 'finish':
      return `finish ${effect.holdings.map(({ execution, outcome }) => `${execution}:${outcome}`).join(' ')}`;
    case 'extend':
      return `extend ${effect.holdings.map(({ execution }) => execution).join(' ')}`;
    case 'abort':
      return `abort ${effect.holding.execution} ${effect.reason}`;
    case 'adopt':
      return `adopt ${effect.holding.execution} ${effect.work}`;
    case 'stopped':
      return `stopped ${effect.unreported}`;
    default:
      return `${effect.kind} ${effect.holding.execution}#${effect.holding.attempt}`;
  }
}
