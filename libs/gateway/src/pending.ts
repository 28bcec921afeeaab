import { LIMITS, wireError, type Answer, type WireError } from '@belfry/protocol';

/** Correlations are `batch id × SPAN + index`, so that a batch needs one entry whatever its size. */
const SPAN = 1_024;

const ACCEPTED: Answer = { ok: true, status: 'accepted' };

export interface BatchOptions {
  /** Items of the request. At most `LIMITS.batchItems`. */
  readonly size: number;
  /** When to give up waiting, monotonic ms. */
  readonly deadlineMs: number;
  /** From when on (monotonic ms) an item that is stored and not answered counts as accepted; never if undefined. */
  readonly storedWillDoMs?: number | undefined;
}

/**
 * The items of one request that wait for their shards' answers.
 *
 * B1. Each item gets one outcome: the first that comes, be it an answer, a refusal, or the deadline's.
 * B2. `settled` resolves once every item has its outcome, never rejects.
 */
export class Batch {
  readonly settled: Promise<readonly Answer[]>;
  /** Correlation of item 0. */
  readonly correlation: number;
  readonly deadlineMs: number;
  readonly storedWillDoMs: number;
  /** Items that were stored but not answered when the wait ended. */
  unansweredStored = 0;
  /** Items of which nothing was known when the wait ended. */
  unansweredLost = 0;
  readonly #answers: (Answer | undefined)[];
  readonly #stored: Uint8Array;
  readonly #onItem: () => void;
  readonly #onDone: () => void;
  readonly #resolve: (answers: readonly Answer[]) => void;
  #open: number;

  constructor(id: number, options: BatchOptions, onItem: () => void, onDone: () => void) {
    if (options.size > Math.min(SPAN, LIMITS.batchItems)) throw new RangeError(`a batch of ${options.size} items`);
    this.correlation = id * SPAN;
    this.deadlineMs = options.deadlineMs;
    this.storedWillDoMs = options.storedWillDoMs ?? Infinity;
    this.#open = options.size;
    this.#answers = new Array<Answer | undefined>(options.size).fill(undefined);
    this.#stored = new Uint8Array(options.size);
    this.#onItem = onItem;
    this.#onDone = onDone;
    const { promise, resolve } = Promise.withResolvers<readonly Answer[]>();
    this.settled = promise;
    this.#resolve = resolve;
  }

  get open(): number {
    return this.#open;
  }

  isOpen(index: number): boolean {
    return this.#answers[index] === undefined;
  }

  /** The item's record is on disk. */
  stored(index: number): void {
    this.#stored[index] = 1;
  }

  answer(index: number, answer: Answer): void {
    if (index >= this.#answers.length || this.#answers[index] !== undefined) return; // B1
    this.#answers[index] = answer;
    this.#open--;
    this.#onItem();
    if (this.#open > 0) return;
    this.#onDone();
    this.#resolve(this.#answers as readonly Answer[]); // B2
  }

  refuse(index: number, error: WireError): void {
    this.answer(index, { ok: false, error });
  }

  /** Closes what time has decided. */
  expire(nowMs: number): void {
    if (nowMs >= this.storedWillDoMs) this.#close((stored) => (stored ? ACCEPTED : undefined));
    if (nowMs >= this.deadlineMs) this.#close(() => unanswered());
  }

  /** Closes everything. */
  abandon(error: WireError): void {
    this.#close(() => ({ ok: false, error }));
  }

  #close(outcomeOf: (stored: boolean) => Answer | undefined): void {
    const { length } = this.#answers;
    for (let index = 0; index < length; index++) {
      if (this.#answers[index] !== undefined) continue;
      const stored = this.#stored[index] === 1;
      const outcome = outcomeOf(stored);
      if (outcome === undefined) continue;
      if (stored) this.unansweredStored++;
      else this.unansweredLost++;
      this.answer(index, outcome);
    }
  }
}

/**
 * All batches that wait.
 *
 * P1. `items` is the sum of the batches' open items.
 */
export class Pending {
  readonly #batches = new Map<number, Batch>();
  #nextId = 1;
  #items = 0;
  #nextDeadlineMs = Infinity;
  #idle: (() => void)[] = [];

  get items(): number {
    return this.#items;
  }

  open(options: BatchOptions): Batch {
    const id = this.#nextId++;
    const batch = new Batch(
      id,
      options,
      () => this.#items--, // P1
      () => this.#remove(id),
    );
    this.#batches.set(id, batch);
    this.#items += options.size;
    this.#nextDeadlineMs = Math.min(this.#nextDeadlineMs, batch.deadlineMs, batch.storedWillDoMs);
    return batch;
  }

  /** False for a correlation that nobody waits for any more. */
  answer(correlation: number, answer: Answer): boolean {
    const batch = this.#batches.get(Math.floor(correlation / SPAN));
    batch?.answer(correlation % SPAN, answer);
    return batch !== undefined;
  }

  /** `nowMs` is monotonic. Looks through the batches only when the next deadline has come. */
  tick(nowMs: number): void {
    if (nowMs < this.#nextDeadlineMs) return;
    this.#nextDeadlineMs = Infinity;
    for (const batch of [...this.#batches.values()]) {
      batch.expire(nowMs);
      if (batch.open === 0) continue;
      const next = nowMs < batch.storedWillDoMs ? batch.storedWillDoMs : nowMs;
      // What is stored after `storedWillDoMs` is looked for at every tick.
      this.#nextDeadlineMs = Math.min(
        this.#nextDeadlineMs,
        batch.deadlineMs,
        batch.storedWillDoMs === Infinity ? Infinity : next,
      );
    }
  }

  /** Resolves when nothing waits. */
  idle(): Promise<void> {
    if (this.#batches.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  abandonAll(error: WireError): void {
    for (const batch of [...this.#batches.values()]) batch.abandon(error);
  }

  #remove(id: number): void {
    this.#batches.delete(id);
    if (this.#batches.size === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }
}

function unanswered(): Answer {
  const seconds = LIMITS.answerMs / 1_000;
  const message = `no answer within ${seconds} s. It may have been accepted: try again with the same commandId`;
  return { ok: false, error: wireError('unavailable', message) };
}
