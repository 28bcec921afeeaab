import assert from 'node:assert/strict';

import { LIMITS, type Outcome } from '@belfry/protocol';

import { ABORT_REASONS, type AbortReason, type Verdict, type WorkerEffect, type WorkerInput } from './contract.ts';
import { Holding, type Line } from './holding.ts';
import { Outbox } from './outbox.ts';
import { Prefetch } from './prefetch.ts';

/** Longest time between two ticks: the precision of timeouts and leases. */
export const TICK_MS = 50;
/** Outcomes that may wait to be accepted before nothing more is pulled. */
const MOST_REPORTING = 10_000;
/** How long a message waits for a slot before it is given back: only several queues that fill at once bring that about. */
const LONGEST_WAIT_MS = 5_000;
const ASK_AGAIN_MS = 250;
/** How soon an extension that was not confirmed is sent again. */
const EXTEND_AGAIN_MS = 1_000;
/** Share of a lease during which it is relied upon; the rest is for clocks and for messages on their way. */
const LEASE_TRUST = 0.9;
/** How long a stop goes on trying to report after the last handler was given up. */
const LAST_REPORTS_MS = 5_000;
/** Bytes of a result request's item that has neither error nor result. */
const BARE_BYTES = 640;

export interface WorkerSettings {
  /** Executions at the same time. */
  readonly capacity: number;
  readonly queues: readonly string[];
  /** How long a handler may go on after its signal was aborted before its slot is given to another. */
  readonly graceMs: number;
}

/**
 * What a worker decides: slots, leases, timeouts, results, stopping. Deterministic: time is an argument (monotonic, ms), and what it
 * wants done comes out as effects.
 *
 * W1. At most `capacity` executions occupy slots. A handler keeps its slot until it ends, or until `graceMs` after its signal aborted.
 * W2. A message is acknowledged only after its outcome was accepted, or the shard has said that it is over. One that another worker has
 *     got since is left to it.
 * W3. Each holding gets one outcome. What a handler does after it timed out is not told.
 * W4. What was delivered before runs only when the shard says so, as the attempt that it says.
 * W5. Nothing starts on, and nothing but a success is told after, a lease that may have run out; but what it is told to run then, it gives back.
 * W6. After `stop` nothing starts; what did not start is returned.
 */
export class WorkerCore<T> {
  readonly capacity: number;
  readonly #graceMs: number;
  readonly #lines: Map<string, Line>;
  /** What is ours to settle, by key. */
  readonly #held = new Map<string, Holding<T>>();
  /** In slots without a message: their handlers run on after their outcome was accepted, or their lease lost. */
  readonly #strays = new Set<Holding<T>>();
  readonly #outbox = new Outbox<T>({ items: LIMITS.batchItems, bytes: LIMITS.envelopeBytes * 0.75 });
  readonly #prefetch: Prefetch;
  #ready: Holding<T>[] = [];
  #readyHead = 0;
  #slots = 0;
  /** Holdings that are asking or ready. */
  #unstarted = 0;
  #reporting = 0;
  /** When handlers are aborted, given up, and reports too; undefined while not stopping. */
  #stop: { readonly abortAt: number; readonly giveUpAt: number; readonly endAt: number } | undefined;
  #drained = false;
  #stopped = false;
  #effects: WorkerEffect<T>[] = [];

  constructor(settings: WorkerSettings) {
    this.capacity = settings.capacity;
    this.#graceMs = settings.graceMs;
    this.#prefetch = new Prefetch(Math.ceil(settings.capacity / 2));
    this.#lines = new Map(settings.queues.map((queue) => [queue, { queue, ackWaitMs: 0, held: 0, window: 0 }]));
  }

  /** Whether ticks are needed. */
  get isBusy(): boolean {
    return (
      this.#held.size > 0 ||
      this.#strays.size > 0 ||
      this.#reporting > 0 ||
      (this.#stop !== undefined && !this.#stopped)
    );
  }

  get isStopping(): boolean {
    return this.#stop !== undefined;
  }

  /**
   * How many executions it takes in one message: some only while handlers are so short that those which then wait for a slot do not
   * wait long.
   */
  get parcel(): number {
    return Math.min(LIMITS.parcelItems, Math.max(1, this.#prefetch.size >> 1));
  }

  /** Executions that are this worker's at the moment: what its heartbeat says. */
  running(): string[] {
    return Array.from(this.#held.values(), (holding) => holding.execution);
  }

  step(input: WorkerInput<T>, now: number): readonly WorkerEffect<T>[] {
    this.#effects = [];
    switch (input.kind) {
      case 'delivered':
        this.#deliver(input, now);
        break;
      case 'ended':
        this.#end(input.holding, input.outcome, input.bytes, now);
        break;
      case 'turn':
        break;
      case 'finished':
        this.#finished(input.holdings, input.verdicts, now);
        break;
      case 'answered':
        this.#answered(input.holding, input.answer, now);
        break;
      case 'extended':
        // What came so late may have found the lease over.
        for (const holding of input.holdings)
          if (!this.#isLapsed(holding, now)) holding.leasedAt = Math.max(holding.leasedAt, input.sentAt);
        break;
      case 'tick':
        this.#tick(now);
        break;
      case 'subscribed':
        this.#line(input.queue).ackWaitMs = input.ackWaitMs;
        break;
      case 'drained':
        this.#drained = true;
        break;
      case 'stop':
        this.#startStopping(input.timeoutMs, now);
        break;
    }
    // Results are gathered over a turn of the event loop; the other inputs are rare, or answers that make room.
    if (input.kind !== 'delivered' && input.kind !== 'ended') this.#send(now);
    this.#endStop(now);
    return this.#effects;
  }

  #line(queue: string): Line {
    const line = this.#lines.get(queue);
    assert(line !== undefined, `no queue ${queue}`);
    return line;
  }

  #deliver(input: Extract<WorkerInput<T>, { kind: 'delivered' }>, now: number): void {
    const known = this.#held.get(input.key);
    if (known !== undefined) {
      // Ours still: only its lease had run out at the broker, which knew nothing of our extension.
      known.leasedAt = Math.max(known.leasedAt, input.leasedAt);
      this.#effects.push({ kind: 'adopt', holding: known, work: input.work });
      return;
    }
    const line = this.#line(input.queue);
    const holding = new Holding(input, line, now);
    // W5: nor is the shard asked, which would count it as lost each time.
    if (this.#isLapsed(holding, now)) return void this.#effects.push({ kind: 'forget', holding });
    this.#held.set(input.key, holding);
    line.held++;
    this.#unstarted++;
    if (this.#stop !== undefined)
      this.#report(holding, 'returned', undefined); // W6
    else if (holding.phase === 'asking')
      this.#effects.push({ kind: 'ask', holding }); // W4
    else this.#start(holding, now);
  }

  #start(holding: Holding<T>, now: number): void {
    if (this.#slots >= this.capacity) {
      this.#ready.push(holding);
      return;
    }
    this.#run(holding, now);
  }

  #run(holding: Holding<T>, now: number): void {
    if (this.#isLapsed(holding, now)) return this.#loseLease(holding, now); // W5
    this.#slots++; // W1
    this.#unstarted--;
    this.#prefetch.started();
    holding.inSlot = true;
    holding.phase = 'running';
    holding.deadline = now + holding.timeoutMs;
    this.#effects.push({ kind: 'run', holding });
  }

  #fillSlots(now: number): void {
    while (this.#slots < this.capacity && this.#readyHead < this.#ready.length) {
      const next = this.#ready[this.#readyHead++] as Holding<T>;
      if (next.phase === 'ready') this.#run(next, now); // others were returned or forgotten meanwhile
    }
    if (this.#readyHead === this.#ready.length && this.#readyHead > 0) {
      this.#ready = [];
      this.#readyHead = 0;
    }
  }

  #freeSlot(holding: Holding<T>, now: number): void {
    if (!holding.inSlot) return;
    holding.inSlot = false;
    this.#slots--;
    this.#strays.delete(holding);
    this.#fillSlots(now);
  }

  /** A handler ended by itself. */
  #end(holding: Holding<T>, outcome: Outcome, bytes: number, now: number): void {
    if (holding.phase === 'running') {
      // W5: a failure on a lost lease is likely the loss's own doing; the redelivery accounts for it.
      if (holding.lost && outcome !== 'succeeded') holding.phase = 'over';
      else this.#report(holding, outcome, undefined, bytes);
    }
    this.#freeSlot(holding, now); // W3: also when it was told already
  }

  /** The one place where an outcome is given (W3). */
  #report(holding: Holding<T>, outcome: Outcome, reason: string | undefined, bytes = BARE_BYTES): void {
    if (holding.phase === 'asking' || holding.phase === 'ready') this.#unstarted--;
    holding.phase = 'reporting';
    holding.outcome = outcome;
    holding.reason = reason;
    holding.bytes = bytes;
    this.#reporting++;
    this.#outbox.add(holding);
  }

  #answered(holding: Holding<T>, answer: number | 'over' | 'superseded' | 'retry', now: number): void {
    if (typeof answer === 'number' && holding.phase === 'over' && holding.lost) {
      holding.attempt = answer;
      return this.#giveBack(holding);
    }
    if (holding.phase !== 'asking') return; // returned meanwhile
    if (answer === 'over' || answer === 'superseded') {
      this.#unstarted--;
      holding.phase = 'over';
      this.#release(holding, answer === 'over' ? 'ack' : 'forget'); // W2
    } else if (answer === 'retry') {
      holding.askAt = now + ASK_AGAIN_MS;
    } else {
      holding.attempt = answer;
      holding.phase = 'ready';
      holding.readyAt = now;
      this.#start(holding, now);
    }
  }

  #finished(holdings: readonly Holding<T>[], verdicts: readonly Verdict[] | undefined, now: number): void {
    let failed = verdicts === undefined;
    for (const [i, holding] of holdings.entries()) {
      const verdict = verdicts?.[i] ?? 'retry';
      if (verdict === 'retry') {
        failed = true;
        this.#outbox.add(holding);
      } else if (verdict === 'refused' && !holding.bare) {
        holding.bare = true;
        holding.bytes = BARE_BYTES;
        this.#outbox.add(holding);
      } else {
        this.#reporting--;
        holding.phase = 'over';
        if (verdict === 'refused') this.#effects.push({ kind: 'unreportable', holding });
        this.#release(holding, verdict === 'accepted' ? 'ack' : 'forget'); // W2
      }
    }
    this.#outbox.answered(failed, now);
  }

  /** The message leaves our hands; its handler may run on. */
  #release(holding: Holding<T>, how: 'ack' | 'forget'): void {
    if (holding.inSlot) this.#strays.add(holding);
    if (holding.lost) return; // it left before
    this.#held.delete(holding.key);
    holding.line.held--;
    holding.lost = how === 'forget';
    this.#effects.push({ kind: how, holding });
  }

  #tick(now: number): void {
    this.#prefetch.tick(now);
    const extend: Holding<T>[] = [];
    for (const holding of this.#held.values()) {
      this.#checkProgress(holding, now);
      if (this.#checkLease(holding, now)) extend.push(holding);
    }
    for (const stray of this.#strays) this.#checkProgress(stray, now);
    if (extend.length > 0) this.#effects.push({ kind: 'extend', holdings: extend, sentAt: now });
  }

  #checkProgress(holding: Holding<T>, now: number): void {
    switch (holding.phase) {
      case 'asking':
        if (now < holding.askAt) break;
        holding.askAt = Infinity;
        this.#effects.push({ kind: 'ask', holding });
        break;
      case 'ready':
        if (now - holding.readyAt >= LONGEST_WAIT_MS) this.#report(holding, 'returned', undefined);
        break;
      case 'running':
        if (this.#stop !== undefined && now >= this.#stop.giveUpAt) {
          if (holding.lost) holding.phase = 'over';
          else this.#report(holding, 'failed', `${ABORT_REASONS.stopping}; the handler had not ended`);
          this.#freeSlot(holding, now);
        } else if (now >= holding.deadline) {
          if (holding.lost) this.#freeSlot(holding, now);
          else {
            this.#report(holding, 'timed_out', `timed out after ${holding.timeoutMs} ms`);
            this.#abort(holding, 'timed_out', now);
          }
        } else if (this.#stop !== undefined && now >= this.#stop.abortAt) {
          this.#abort(holding, 'stopping', now);
        }
        break;
      case 'reporting':
      case 'over':
        if (holding.inSlot && now >= holding.deadline) this.#freeSlot(holding, now); // W1
        break;
    }
  }

  /** The signal aborts once. A handler that is told to stop has its time until it is given up; others have the grace. */
  #abort(holding: Holding<T>, reason: AbortReason, now: number): void {
    if (reason !== 'stopping') holding.deadline = now + this.#graceMs;
    if (holding.aborted) return;
    holding.aborted = true;
    this.#effects.push({ kind: 'abort', holding, reason });
  }

  /** Whether the lease is to be extended now. */
  #checkLease(holding: Holding<T>, now: number): boolean {
    const { ackWaitMs } = holding.line;
    if (holding.lost || holding.phase === 'over') return false;
    if (this.#isLapsed(holding, now)) {
      this.#loseLease(holding, now);
      return false;
    }
    const due =
      now - holding.leasedAt >= ackWaitMs / 3 && now - holding.extendedAt >= Math.min(EXTEND_AGAIN_MS, ackWaitMs / 6);
    if (!due) return false;
    holding.extendedAt = now;
    return true;
  }

  #isLapsed(holding: Holding<T>, now: number): boolean {
    return now - holding.leasedAt >= holding.line.ackWaitMs * LEASE_TRUST;
  }

  #loseLease(holding: Holding<T>, now: number): void {
    const wasTold = holding.phase === 'ready' && holding.deliveries > 1;
    if (holding.phase === 'running') {
      this.#abort(holding, 'lease_lost', now);
    } else if (holding.phase !== 'reporting') {
      this.#unstarted--;
      holding.phase = 'over';
    } // What is being reported stays in the outbox: it may be the first to tell.
    this.#release(holding, 'forget'); // W5
    if (wasTold) this.#giveBack(holding);
  }

  /** W5: nobody else is told to run it for a while, and this lets go of it unrun. If it has come again, that one is asked about. */
  #giveBack(holding: Holding<T>): void {
    if (!this.#held.has(holding.key)) this.#report(holding, 'returned', undefined);
  }

  #startStopping(timeoutMs: number, now: number): void {
    if (this.#stop !== undefined) return;
    const abortAt = now + timeoutMs;
    const giveUpAt = abortAt + this.#graceMs;
    this.#stop = { abortAt, giveUpAt, endAt: giveUpAt + LAST_REPORTS_MS };
    for (const holding of this.#held.values()) {
      if (holding.phase === 'asking' || holding.phase === 'ready') this.#report(holding, 'returned', undefined); // W6
    }
  }

  #endStop(now: number): void {
    if (this.#stop === undefined || this.#stopped) return;
    const idle = this.#drained && this.#held.size === 0 && this.#slots === 0 && this.#reporting === 0;
    if (!idle && now < this.#stop.endAt) return;
    this.#stopped = true;
    this.#effects.push({ kind: 'stopped', unreported: this.#reporting });
  }

  #send(now: number): void {
    for (let batch = this.#outbox.take(now); batch !== undefined; batch = this.#outbox.take(now)) {
      this.#effects.push({ kind: 'finish', holdings: batch });
    }
    this.#resizeWindows();
  }

  /**
   * Each queue may bring what all slots together still take: which queue will have work is not known. What waits to be accepted
   * doesn't count, so that a slow answer doesn't keep slots empty.
   */
  #resizeWindows(): void {
    const open = this.#stop === undefined && this.#reporting < MOST_REPORTING;
    const free = open ? Math.max(0, this.capacity + this.#prefetch.size - this.#slots - this.#unstarted) : 0;
    for (const line of this.#lines.values()) {
      if (line.ackWaitMs === 0) continue;
      const size = line.held + free;
      if (size === line.window) continue;
      line.window = size;
      this.#effects.push({ kind: 'window', queue: line.queue, size });
    }
  }

  /** Throws when the counters and the collections disagree. */
  assertInvariants(): void {
    const held = [...this.#held.values()];
    const inSlots = [...held, ...this.#strays].filter((holding) => holding.inSlot);
    assert.equal(new Set(inSlots).size, this.#slots, 'slots');
    assert(this.#slots <= this.capacity, 'W1');
    assert.equal(
      held.filter(({ phase }) => phase === 'asking' || phase === 'ready').length,
      this.#unstarted,
      'unstarted',
    );
    for (const line of this.#lines.values()) {
      assert.equal(held.filter((holding) => holding.line === line).length, line.held, `held of ${line.queue}`);
    }
    for (const holding of held) assert(holding.phase !== 'over' && !holding.lost, 'W2');
    assert(this.#reporting >= this.#outbox.waiting, 'O1');
  }

  /** One line per holding, for tests and for people. */
  print(): string {
    const lines = [`slots ${this.#slots}/${this.capacity} unstarted ${this.#unstarted} reporting ${this.#reporting}`];
    for (const holding of [...this.#held.values(), ...this.#strays]) {
      const marks = `${holding.inSlot ? ' slot' : ''}${holding.lost ? ' lost' : ''}${holding.outcome ? ` ${holding.outcome}` : ''}`;
      lines.push(`${holding.execution}#${holding.attempt} ${holding.line.queue} ${holding.phase}${marks}`);
    }
    return lines.join('\n');
  }
}
