import { retry, type Outcome } from '@belfry/ports';
import type { Direction, Service } from './machine.ts';
import type { Process } from './process.ts';
import type { Random } from './random.ts';
import type { VirtualTime } from './virtual-time.ts';

/** Shares of messages, and of answers, to which something happens. */
export interface Weather {
  readonly loss: number;
  readonly duplication: number;
  /** Takes up to `delayMs` longer; of plain messages, this changes the order. */
  readonly delay: number;
  readonly delayMs: number;
}

/** What befalls whatever goes to services and comes from them. */
export interface Conditions extends Weather {
  /** Added at most to each way to and from the store. */
  readonly storeSlownessMs: number;
  /** Of what the store is asked, the share that has no answer. */
  readonly storeFailures: number;
  /** Everything but the store answers nobody. */
  readonly isBrokerDown: boolean;
}

const CALM: Conditions = {
  loss: 0,
  duplication: 0,
  delay: 0,
  delayMs: 0,
  storeSlownessMs: 0,
  storeFailures: 0,
  isBrokerDown: false,
};

/** An answer did not come. */
export class NoAnswer extends Error {
  /** The request did not arrive for certain. */
  readonly unsent: boolean;

  constructor(service: string, unsent: boolean) {
    super(`no answer of ${service}`);
    this.unsent = unsent;
  }
}

/** How long a process waits for an answer, ms. */
const TIMEOUTS_MS: Readonly<Record<Service, number>> = {
  inbox: 2_000,
  work: 2_000,
  store: 4_000,
  messages: 2_000,
  leases: 2_000,
};

/**
 * What lies between processes and services: it takes time, and loses, repeats and delays.
 *
 * N1. What one process asks of one service arrives there in order, and what that says comes back in order, but for the store, which has several
 *     connections.
 * N2. Of faults that overlap, the worst of each kind counts, and each ends for itself.
 */
export class Network {
  /** What happened, by kind. */
  readonly happened = new Map<string, number>();
  readonly #time: VirtualTime;
  readonly #random: Random;
  readonly #faults = new Set<Partial<Conditions>>();
  #conditions = CALM;

  constructor(time: VirtualTime, random: Random) {
    this.#time = time;
    this.#random = random;
  }

  /** From here on it is as bad as this, until what is returned is called. */
  suffer(fault: Partial<Conditions>): () => void {
    const own = { ...fault };
    this.#faults.add(own);
    this.#conditions = worstOf(this.#faults);
    return () => {
      this.#faults.delete(own);
      this.#conditions = worstOf(this.#faults);
    };
  }

  /** Whether nothing passes between a process and a service. */
  isOff(process: Process, service: Service, direction: Exclude<Direction, 'both'>): boolean {
    return (this.#conditions.isBrokerDown && service !== 'store') || process.machine.isCut(service, direction);
  }

  /** One way, without an answer; may be lost, doubled and overtaken. `from` undefined: it comes from a service. */
  send(from: Process | undefined, to: Process, run: () => void): void {
    if (this.#conditions.isBrokerDown || from?.machine.isCut('messages', 'out') === true) return this.#count('cut off');
    if (this.#random.chance(this.#conditions.loss)) return this.#count('message lost');
    const copies = this.#random.chance(this.#conditions.duplication) ? 2 : 1;
    if (copies === 2) this.#count('message doubled');
    for (let copy = 0; copy < copies; copy++) {
      this.#time.after(this.#latency(), () => {
        if (this.isOff(to, 'messages', 'in')) this.#count('cut off');
        else to.happen(run);
      });
    }
  }

  /** From a service to a process over its connection (N1). `arrive` finds the process alive and going. */
  deliver(service: Service, to: Process, arrive: () => void): void {
    this.#time.at(this.#arrival(to, service, 'in'), () => {
      if (this.isOff(to, service, 'in')) this.#count('cut off');
      else to.happen(arrive);
    });
  }

  /** From a process to a service, without an answer: an acknowledgement. */
  tell(from: Process, service: Service, arrive: () => void): void {
    if (this.isOff(from, service, 'out')) return this.#count('cut off');
    if (this.#random.chance(this.#conditions.loss)) return this.#count('message lost');
    this.#time.at(this.#arrival(from, service, 'out'), arrive);
  }

  /** Asks a service. Rejects with `NoAnswer`, or with what `act` rejects with. */
  ask<T>(from: Process, service: Service, act: () => Promise<T>): Promise<T> {
    if (!from.isAlive) return new Promise(() => undefined);
    return new Promise((resolve, reject) => {
      const givesUp = (unsent: boolean): void =>
        void this.#time.after(TIMEOUTS_MS[service], () => from.happen(() => reject(new NoAnswer(service, unsent))));
      const isLost = (direction: Exclude<Direction, 'both'>): boolean => {
        if (this.isOff(from, service, direction)) this.#count('cut off');
        else if (this.#random.chance(this.#conditions.loss))
          this.#count(direction === 'out' ? 'request lost' : 'answer lost');
        else return false;
        return true;
      };
      if (isLost('out')) return givesUp(this.#random.chance(0.5));
      this.#time.at(this.#arrival(from, service, 'out'), () => {
        if (this.#failsAt(service) || (this.#conditions.isBrokerDown && service !== 'store')) return givesUp(false);
        const answer = (settle: () => void): void => {
          if (isLost('in')) return givesUp(false);
          this.#time.at(this.#arrival(from, service, 'in'), () => from.happen(settle));
        };
        act().then(
          (value) => answer(() => resolve(value)),
          (error: unknown) =>
            error instanceof NoAnswer
              ? givesUp(false)
              : answer(() => reject(error instanceof Error ? error : new Error(String(error)))),
        );
      });
    });
  }

  /** The same for what answers with an outcome: no answer is `retry`. */
  outcome<T, R>(from: Process, service: Service, act: () => Promise<Outcome<T, R>>): Promise<Outcome<T, R>> {
    return this.ask(from, service, act).catch((error: unknown) => {
      if (!(error instanceof NoAnswer)) throw error;
      return error.unsent ? { ...retry(error), unsent: true as const } : retry(error);
    });
  }

  /** How long a message is on its way. */
  #latency(): number {
    const usual = 1 + this.#random.below(4);
    if (!this.#random.chance(this.#conditions.delay)) return usual;
    this.#count('message delayed');
    return usual + this.#random.below(this.#conditions.delayMs);
  }

  #arrival(process: Process, service: Service, direction: Exclude<Direction, 'both'>): number {
    const atMs = this.#time.nowMs + this.#latency() + this.#slowness(service);
    if (service === 'store') return atMs;
    const arrivals = process.arrivals[direction];
    const inOrder = Math.max(atMs, arrivals.get(service) ?? 0); // N1
    arrivals.set(service, inOrder);
    return inOrder;
  }

  #slowness(service: Service): number {
    return service === 'store' && this.#conditions.storeSlownessMs > 0
      ? this.#random.below(this.#conditions.storeSlownessMs)
      : 0;
  }

  #failsAt(service: Service): boolean {
    if (service !== 'store' || !this.#random.chance(this.#conditions.storeFailures)) return false;
    this.#count('store failed');
    return true;
  }

  #count(what: string): void {
    this.happened.set(what, (this.happened.get(what) ?? 0) + 1);
  }
}

/** N2. */
function worstOf(faults: Iterable<Partial<Conditions>>): Conditions {
  let worst = CALM;
  for (const fault of faults) {
    const most = (name: keyof Weather | 'storeSlownessMs' | 'storeFailures'): number =>
      Math.max(worst[name], fault[name] ?? 0);
    worst = {
      loss: most('loss'),
      duplication: most('duplication'),
      delay: most('delay'),
      delayMs: most('delayMs'),
      storeSlownessMs: most('storeSlownessMs'),
      storeFailures: most('storeFailures'),
      isBrokerDown: worst.isBrokerDown || fault.isBrokerDown === true,
    };
  }
  return worst;
}
