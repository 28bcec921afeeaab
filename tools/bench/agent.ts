/** A producer or worker process of the benches: does what its parent asks over IPC, and ends with it. */
import type {
  AgentCall,
  AgentCalls,
  AgentReply,
  AgentRequest,
  Fill,
  Filled,
  OnTime,
  WorkDone,
} from './agent-protocol.ts';
import { openDriver, type Driver, type Job, type Payload, type Work } from './driver.ts';

type Calls = { [Call in AgentCall]: (args: AgentCalls[Call]['args']) => Promise<AgentCalls[Call]['result']> };

/** Counts handler starts: which jobs ran, how late, and whether any ran twice. */
class Record {
  readonly #startedAt: Float64Array;
  readonly #dueAt: Float64Array;
  readonly #listeners = new Set<(payload: Payload, startMs: number) => void>();
  #ran = 0;
  #repeated = 0;
  #first = 0;

  constructor(jobs: number) {
    this.#startedAt = new Float64Array(jobs);
    this.#dueAt = new Float64Array(jobs);
  }

  readonly onStart = (payload: Payload): void => {
    const startMs = Date.now();
    if (this.#startedAt[payload.n] !== 0) {
      this.#repeated++;
      return;
    }
    if (this.#ran++ === 0) this.#first = performance.now();
    this.#startedAt[payload.n] = startMs;
    this.#dueAt[payload.n] = payload.due;
    for (const listener of this.#listeners) listener(payload, startMs);
  };

  /** Undefined if `found` says yes to no start within the time. */
  until<T>(
    found: (payload: Payload | undefined, startMs: number) => T | undefined,
    timeoutMs: number,
  ): Promise<T | undefined> {
    return new Promise((resolve) => {
      const settle = (value: T | undefined): void => {
        clearTimeout(timer);
        this.#listeners.delete(listener);
        resolve(value);
      };
      const listener = (payload: Payload | undefined, startMs: number): void => {
        const value = found(payload, startMs);
        if (value !== undefined) settle(value);
      };
      const timer = setTimeout(() => settle(undefined), timeoutMs);
      this.#listeners.add(listener);
      listener(undefined, 0);
    });
  }

  get isComplete(): boolean {
    return this.#ran === this.#startedAt.length;
  }

  /** @param settledAt on the monotonic clock */
  done(settledAt: number): WorkDone {
    const lateness = new Float64Array(this.#ran);
    let count = 0;
    for (const [n, startedAt] of this.#startedAt.entries()) {
      const dueAt = this.#dueAt[n] as number;
      if (startedAt !== 0 && dueAt !== 0) lateness[count++] = startedAt - dueAt;
    }
    return {
      ran: this.#ran,
      repeated: this.#repeated,
      elapsedMs: settledAt - this.#first,
      lateness: lateness.slice(0, count),
    };
  }
}

async function fill(driver: Driver, { from, count, batch, inFlight, due }: Fill): Promise<Filled> {
  const step = due === undefined || count < 2 ? 0 : (due.lastMs - due.firstMs) / (count - 1);
  const jobOf = (n: number): Job =>
    due === undefined ? { n } : { n, dueMs: Math.round(due.firstMs + (n - from) * step) };
  let next = from;
  const end = from + count;
  const lane = async (): Promise<void> => {
    while (next < end) {
      const first = next;
      next = Math.min(end, next + batch);
      await driver.create(Array.from({ length: next - first }, (_, i) => jobOf(first + i)));
    }
  };
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: inFlight }, lane));
  return { elapsedMs: performance.now() - startedAt, doneAtMs: Date.now() };
}

async function latency(driver: Driver, options: AgentCalls['latency']['args']): Promise<{ latencies: Float64Array }> {
  const { perSecond, seconds, dueMs } = options;
  const latencies = new Float64Array(Math.round(perSecond * seconds));
  const startedAt = performance.now();
  const answers: Promise<void>[] = [];
  for (let n = 0; n < latencies.length; n++) {
    const wait = startedAt + (n * 1_000) / perSecond - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const sentAt = performance.now();
    answers.push(driver.create([{ n, dueMs }]).then(() => void (latencies[n] = performance.now() - sentAt)));
  }
  await Promise.all(answers);
  return { latencies };
}

let driver: Driver | undefined;
let work: Work | undefined;
let record = new Record(0);

function opened(): Driver {
  if (driver === undefined) throw new Error('the agent has not been opened');
  return driver;
}

const calls: Calls = {
  async open(config) {
    driver = await openDriver(config);
    return undefined;
  },
  fill: (args) => fill(opened(), args),
  latency: (args) => latency(opened(), args),
  async work({ jobs }) {
    record = new Record(jobs);
    work = await opened().work(record.onStart);
    return undefined;
  },
  async finished({ timeoutMs }) {
    await record.until(() => (record.isComplete ? true : undefined), timeoutMs);
    if (!record.isComplete) return record.done(Number.NaN);
    await work?.settled();
    return record.done(performance.now());
  },
  onTime: ({ afterMs, withinMs, timeoutMs }) =>
    record.until((payload, startMs): OnTime | undefined => {
      if (payload === undefined || payload.due < afterMs || startMs - payload.due > withinMs) return undefined;
      return { n: payload.n, dueMs: payload.due, startMs };
    }, timeoutMs),
  async close() {
    await driver?.close();
    return undefined;
  },
};

async function answer<Call extends AgentCall>({ id, call, args }: AgentRequest<Call>): Promise<AgentReply> {
  try {
    return { id, result: await calls[call](args) };
  } catch (error) {
    return { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

process.on('message', (request: AgentRequest) => {
  void answer(request).then((reply) => process.send?.(reply));
});
// The parent is gone, or wants us gone.
process.on('disconnect', () => process.exit());
// Ctrl-C reaches every process of the terminal; the parent decides what it means.
process.on('SIGINT', () => undefined);
