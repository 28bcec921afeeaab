import type { Outcome } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import type { Verdict, WorkerEffect, WorkerInput } from './contract.ts';
import type { Holding } from './holding.ts';
import { WorkerCore } from './worker-core.ts';

const STEPS = 4_000;
const ACK_WAIT_MS = 3_000;
const QUEUES = ['p', 'q'] as const;
const OUTCOMES: readonly Outcome[] = ['succeeded', 'succeeded', 'failed'];

/** Mulberry32. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

type Held = Holding<number>;

/** A broker, a gateway and handlers that do what chance says, and check what the core does by rules of their own. */
class World {
  readonly core = new WorkerCore<number>({ capacity: 5, queues: QUEUES, graceMs: 700 });
  readonly random: (below: number) => number;
  now = 0;
  stopped: number | undefined;
  readonly handlers = new Set<Held>();
  readonly requests: (readonly Held[])[] = [];
  readonly questions = new Set<Held>();
  /** Holdings whose outcome was accepted, or which the shard said are over. */
  readonly settled = new Set<Held>();
  /** Outcomes by holding: one each. */
  readonly told = new Map<Held, Outcome>();
  /** Messages in the worker's hands, by queue. */
  readonly inHands = new Map<string, string>();
  readonly windows = new Map<string, number>();
  readonly unconfirmed: { readonly holdings: readonly Held[]; readonly sentAt: number }[] = [];
  stopping = false;
  messages = 0;
  runs = 0;

  constructor(seed: number) {
    this.random = randomFrom(seed);
    for (const queue of QUEUES) this.step({ kind: 'subscribed', queue, ackWaitMs: ACK_WAIT_MS });
  }

  step(input: WorkerInput<number>): void {
    const effects = this.core.step(input, this.now);
    for (const effect of effects) this.perform(effect);
    this.core.assertInvariants();
  }

  perform(effect: WorkerEffect<number>): void {
    switch (effect.kind) {
      case 'window':
        this.windows.set(effect.queue, effect.size);
        break;
      case 'run':
        expect(this.stopping, 'W6: nothing starts after a stop').toBe(false);
        expect(this.now - effect.holding.leasedAt, 'W5: nothing starts on a lapsed lease').toBeLessThan(ACK_WAIT_MS);
        this.handlers.add(effect.holding);
        this.runs++;
        break;
      case 'finish':
        for (const holding of effect.holdings) {
          const before = this.told.get(holding);
          expect(before ?? holding.outcome, 'W3: one outcome').toBe(holding.outcome);
          this.told.set(holding, holding.outcome as Outcome);
          const mayTell =
            this.lostOutcomes.has(holding) ||
            (this.allowed.has(holding) && holding.outcome === 'returned') ||
            holding.outcome === 'succeeded';
          if (holding.lost) expect(mayTell, 'W5').toBe(true);
        }
        this.requests.push(effect.holdings);
        break;
      case 'ask':
        expect(this.questions.has(effect.holding), 'one question at a time').toBe(false);
        this.questions.add(effect.holding);
        break;
      case 'ack':
        expect(this.settled.has(effect.holding), 'W2: acknowledged before it was accepted').toBe(true);
        this.inHands.delete(effect.holding.key);
        break;
      case 'forget':
        if (effect.holding.outcome !== undefined) this.lostOutcomes.add(effect.holding);
        this.inHands.delete(effect.holding.key);
        break;
      case 'extend':
        this.unconfirmed.push(effect);
        break;
      case 'stopped':
        expect(this.stopped, 'stopped once').toBeUndefined();
        this.stopped = effect.unreported;
        break;
      case 'abort':
      case 'adopt':
      case 'unreportable':
        break;
    }
  }

  /** Had their outcome before their lease ran out. */
  readonly lostOutcomes = new Set<Held>();
  /** Were delivered again, and told to run: so they may be given back. */
  readonly allowed = new Set<Held>();

  deliver(): void {
    const queue = QUEUES[this.random(QUEUES.length)] as string;
    const held = [...this.inHands.values()].filter((of) => of === queue).length;
    if (held >= (this.windows.get(queue) ?? 0)) return;
    const key = `${queue}.${this.messages++}`;
    this.inHands.set(key, queue);
    const deliveries = this.random(5) === 0 ? 2 : 1;
    const timeoutMs = 200 + this.random(4_000);
    const leasedAt = this.#leasedAt();
    this.step({ kind: 'delivered', queue, key, execution: key, attempt: 1, deliveries, leasedAt, timeoutMs, work: 0 });
  }

  deliverAgain(): void {
    const [key, queue] = [...this.inHands][this.random(this.inHands.size)] ?? [];
    if (key === undefined || queue === undefined) return;
    const timeoutMs = 1_000;
    const again = { kind: 'delivered', deliveries: 2, leasedAt: this.#leasedAt(), timeoutMs, work: 1 } as const;
    this.step({ ...again, queue, key, execution: key, attempt: 1 });
  }

  /** Some have waited in a socket. */
  #leasedAt(): number {
    return this.now - (this.random(10) === 0 ? this.random(2 * ACK_WAIT_MS) : this.random(50));
  }

  endHandler(): void {
    const holding = pick(this.handlers, this.random);
    if (holding === undefined) return;
    this.handlers.delete(holding);
    const outcome = OUTCOMES[this.random(OUTCOMES.length)] as Outcome;
    this.step({ kind: 'ended', holding, outcome, bytes: this.random(2_000) });
  }

  answerRequest(): void {
    const [holdings] = this.requests.splice(this.random(this.requests.length + 1), 1);
    if (holdings === undefined) return;
    const mood = this.random(4);
    const verdicts = holdings.map((): Verdict =>
      mood === 1 ? 'retry' : this.random(50) === 0 ? 'refused' : 'accepted',
    );
    if (mood > 0) verdicts.forEach((verdict, i) => verdict === 'accepted' && this.settled.add(holdings[i] as Held));
    this.step({ kind: 'finished', holdings, verdicts: mood === 0 ? undefined : verdicts });
  }

  answerQuestion(): void {
    const holding = pick(this.questions, this.random);
    if (holding === undefined) return;
    this.questions.delete(holding);
    const answer = ([2, 'over', 'retry'] as const)[this.random(3)] as number | 'over' | 'retry';
    if (answer === 'over') this.settled.add(holding);
    if (answer === 2) this.allowed.add(holding);
    this.step({ kind: 'answered', holding, answer });
  }

  confirm(): void {
    const extension = this.unconfirmed.shift();
    if (extension !== undefined && this.random(4) > 0) this.step({ kind: 'extended', ...extension });
  }

  pass(): void {
    this.now += this.random(60) === 0 ? this.random(4_000) : this.random(50);
    this.step({ kind: 'tick' });
  }

  anything(): void {
    const acts = [this.deliver, this.deliver, this.endHandler, this.answerRequest, this.confirm, this.pass] as const;
    const dice = this.random(16);
    if (dice === 15) this.deliverAgain();
    else if (dice === 14) this.answerQuestion();
    else if (dice >= 12) this.step({ kind: 'turn' });
    else (acts[dice % acts.length] as () => void).call(this);
  }
}

function pick<T>(from: ReadonlySet<T>, random: (below: number) => number): T | undefined {
  return [...from][random(Math.max(1, from.size))];
}

describe('a random walk', () => {
  it.each(Array.from({ length: 25 }, (_, i) => i + 1))('keeps the invariants, and all ends well: seed %i', (seed) => {
    const world = new World(seed);
    for (let i = 0; i < STEPS; i++) world.anything();
    expect(world.runs).toBeGreaterThan(100);

    world.stopping = true;
    world.step({ kind: 'stop', timeoutMs: 600_000 });
    for (let i = 0; i < 200; i++) world.anything();
    world.step({ kind: 'drained' });
    while (world.stopped === undefined) {
      // From now on everybody answers.
      for (const holdings of world.requests.splice(0)) {
        for (const holding of holdings) world.settled.add(holding);
        world.step({ kind: 'finished', holdings, verdicts: holdings.map(() => 'accepted') });
      }
      for (const extension of world.unconfirmed.splice(0)) world.step({ kind: 'extended', ...extension });
      for (const holding of [...world.handlers]) {
        world.handlers.delete(holding);
        world.step({ kind: 'ended', holding, outcome: 'succeeded', bytes: 10 });
      }
      world.now += 50;
      world.step({ kind: 'tick' });
    }
    expect(world.stopped).toBe(0);
    expect([...world.inHands]).toEqual([]);
    expect(world.core.print()).toBe('slots 0/5 unstarted 0 reporting 0');
    expect(world.core.isBusy).toBe(false);
  });
});
