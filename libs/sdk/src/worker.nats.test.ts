import { testNatsUrl } from '@belfry/adapter-nats/testing';
import { LIMITS } from '@belfry/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';

import { defineTask, FatalError, Worker, type Handler, type WorkerOptions } from './index.ts';
import { belfryError } from './errors.ts';
import { memoryLog, TestGateway, type TestGatewayOptions } from './test-gateway.ts';

const url = testNatsUrl();
const QUEUE = 'q';
const ACK_WAIT_MS = 1_500;

let gateway: TestGateway;
const workers: Worker[] = [];

async function openGateway(options: TestGatewayOptions = {}): Promise<void> {
  await gateway[Symbol.asyncDispose]();
  gateway = await TestGateway.open(url, options);
}

async function startWorker(handlers: readonly Handler[], options: Partial<WorkerOptions> = {}): Promise<Worker> {
  const { log } = memoryLog();
  const worker = new Worker({ url, namespace: gateway.namespace, handlers, name: 'test', log, ...options });
  workers.push(worker);
  await worker.start();
  return worker;
}

const define = (name: string) => defineTask<unknown>({ name, queue: QUEUE });
const results = (count: number) => expect.poll(() => gateway.results, { timeout: 20_000 }).toHaveLength(count);
const resultOf = (execution: string | undefined) => gateway.results.find((result) => result.execution === execution);

/** A handler that waits until it is told to go on. */
function gated(name = 'gated') {
  const started: string[] = [];
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  const handler = define(name).handler(async ({ executionId }) => {
    started.push(executionId);
    await gate;
  });
  return { handler, started, open };
}

beforeEach(async () => {
  gateway = await TestGateway.open(url);
});

afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.stop()));
  await gateway[Symbol.asyncDispose]();
});

describe('a handler', () => {
  it('gets the typed payload and the fire’s identity, and its result is told and the message acknowledged', async () => {
    const greet = defineTask({ name: 'greet', queue: QUEUE, schema: z.object({ name: z.string().toUpperCase() }) });
    const seen: unknown[] = [];
    const worker = await startWorker([
      greet.handler(({ payload, attempt, executionId, scheduledAt, queue, timeoutMs }) => {
        seen.push({ attempt, executionId, queue, timeoutMs, isDate: scheduledAt instanceof Date });
        return { hello: payload.name };
      }),
    ]);
    const [execution] = await gateway.dispatch(QUEUE, [{ handler: 'greet', payload: { name: 'ann' }, attempt: 3 }]);
    await results(1);
    expect(seen).toEqual([{ attempt: 3, executionId: execution, queue: QUEUE, timeoutMs: 60_000, isDate: true }]);
    const [result] = gateway.results;
    expect(result).toEqual({
      execution,
      attempt: 3,
      worker: worker.id,
      outcome: 'succeeded',
      result: { hello: 'ANN' },
      deliveredAt: expect.any(Number),
      startedAt: expect.any(Number),
      finishedAt: expect.any(Number),
    });
    expect(result!.deliveredAt! <= result!.startedAt! && result!.startedAt! <= result!.finishedAt!).toBe(true);
    await expect.poll(() => gateway.unsettled(QUEUE)).toEqual({ waiting: 0, held: 0 });
  });

  it('that throws fails the attempt; a FatalError, or a payload that the schema refuses, fails for good', async () => {
    const strict = defineTask({ name: 'strict', queue: QUEUE, schema: z.object({ n: z.number() }) });
    await startWorker([
      strict.handler(() => undefined),
      define('throws').handler(() => {
        throw new Error('boom');
      }),
      define('fatal').handler(async () => {
        throw new FatalError('no such customer');
      }),
    ]);
    const [thrown, fatal, invalid, unknown] = await gateway.dispatch(QUEUE, [
      { handler: 'throws' },
      { handler: 'fatal' },
      { handler: 'strict', payload: { n: 'x' } },
      { handler: 'elsewhere' },
    ]);
    await results(4);
    expect(resultOf(thrown)).toMatchObject({ outcome: 'failed', error: 'boom' });
    expect(resultOf(thrown)).not.toHaveProperty('fatal');
    expect(resultOf(fatal)).toMatchObject({ outcome: 'failed', error: 'no such customer', fatal: true });
    expect(resultOf(invalid)).toMatchObject({ outcome: 'failed', fatal: true });
    expect(resultOf(invalid)?.error).toMatch(/^payload\.n: /);
    expect(resultOf(unknown)).toMatchObject({ outcome: 'failed' });
    expect(resultOf(unknown)?.error).toMatch(/no handler elsewhere .* it has: strict, throws, fatal/);
    expect(resultOf(unknown)).not.toHaveProperty('fatal');
  });

  it('of a message that cannot be read is not called, and the attempt fails', async () => {
    await startWorker([define('h').handler(() => undefined)]);
    const [execution] = await gateway.dispatch(QUEUE, [{ handler: 'h', raw: '{"v":2}' }]);
    await results(1);
    expect(resultOf(execution)).toMatchObject({ outcome: 'failed', error: expect.stringContaining('cannot read') });
  });

  it('that takes longer than its time limit is aborted, and told as timed out once', async () => {
    const aborted: unknown[] = [];
    await startWorker([
      define('slow').handler(
        ({ signal }) =>
          new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => {
              aborted.push(signal.reason);
              reject(signal.reason as Error);
            });
          }),
      ),
    ]);
    const [execution] = await gateway.dispatch(QUEUE, [{ handler: 'slow', timeoutMs: 100 }]);
    await results(1);
    expect(resultOf(execution)).toMatchObject({ outcome: 'timed_out', error: 'timed out after 100 ms' });
    expect(aborted).toMatchObject([{ name: 'BelfryError', message: 'the time for this attempt is up' }]);
  });

  it('runs with as many others as the worker’s concurrency, and no more', async () => {
    let running = 0;
    let most = 0;
    const handler = define('h').handler(async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
    });
    await startWorker([handler], { concurrency: 7 });
    await gateway.dispatch(QUEUE, new Array(300).fill({ handler: 'h' }));
    await results(300);
    expect(most).toBe(7);
  });
});

describe('results', () => {
  it('are sent again, unchanged, until they are accepted, and only then acknowledged', async () => {
    const sent: unknown[] = [];
    gateway.onFinish = (items) => {
      sent.push(items);
      if (sent.length < 3) throw belfryError('unavailable', 'no answer in time');
      return { items: items.map(() => ({ ok: true })) };
    };
    await startWorker([define('h').handler(() => ({ n: 1 }))]);
    await gateway.dispatch(QUEUE, [{ handler: 'h' }]);
    await expect.poll(() => sent.length, { timeout: 20_000 }).toBe(3);
    expect(sent[1]).toEqual(sent[0]);
    expect(sent[2]).toEqual(sent[0]);
    await expect.poll(() => gateway.unsettled(QUEUE)).toEqual({ waiting: 0, held: 0 });
  });

  it('are told again when the gateway that got them keeps them without an answer', async () => {
    const sent: unknown[] = [];
    gateway.onFinish = (items) => {
      sent.push(items);
      return sent.length === 1 ? new Promise(() => undefined) : { items: items.map(() => ({ ok: true })) };
    };
    await startWorker([define('h').handler(() => ({ n: 1 }))]);
    await gateway.dispatch(QUEUE, [{ handler: 'h' }]);
    await expect.poll(() => sent.length, { timeout: 8_000 }).toBe(2); // long before the first request is given up
    expect(sent[1]).toEqual(sent[0]);
    await expect.poll(() => gateway.unsettled(QUEUE)).toEqual({ waiting: 0, held: 0 });
  });

  it('that are over already are acknowledged', async () => {
    gateway.onFinish = (items) => ({
      items: items.map(() => ({ error: { code: 'execution_over', message: 'over' } })),
    });
    await startWorker([define('h').handler(() => undefined)]);
    await gateway.dispatch(QUEUE, [{ handler: 'h' }]);
    await results(1);
    await expect.poll(() => gateway.unsettled(QUEUE)).toEqual({ waiting: 0, held: 0 });
  });

  it('of many executions go into few requests', async () => {
    await startWorker([define('h').handler(() => undefined)], { concurrency: 200 });
    await gateway.dispatch(QUEUE, new Array(1_000).fill({ handler: 'h' }));
    await results(1_000);
    expect(gateway.bodies('executions.finish').length).toBeLessThan(200);
    expect(new Set(gateway.results.map(({ execution }) => execution)).size).toBe(1_000);
  });
});

describe('a lease', () => {
  it('is kept up while a handler runs, so that nobody else gets the message', async () => {
    await openGateway({ ackWaitMs: ACK_WAIT_MS });
    const { handler, started, open } = gated();
    await startWorker([handler]);
    const [execution] = await gateway.dispatch(QUEUE, [{ handler: 'gated' }]);
    await expect.poll(() => started, { timeout: 20_000 }).toEqual([execution]);
    // The other worker would get it once its lease ran out; its heartbeats count the time.
    await startWorker([handler]);
    const beats = gateway.heartbeats.length;
    await expect.poll(() => gateway.heartbeats.length, { timeout: 30_000 }).toBeGreaterThan(beats + 8);
    open();
    await results(1);
    expect(started).toEqual([execution]);
    expect(gateway.bodies('executions.redelivered')).toEqual([]);
  });

  it('of a worker that is gone runs out, and another runs what the shard lets it run', async () => {
    await openGateway({ ackWaitMs: ACK_WAIT_MS });
    // A worker that was killed: its messages were delivered, and it says nothing more.
    await takeAndDie(2);
    const [first, second] = await gateway.dispatch(QUEUE, [{ handler: 'h' }, { handler: 'h' }]);
    await expect.poll(() => gateway.unsettled(QUEUE), { timeout: 20_000 }).toEqual({ waiting: 0, held: 2 });
    gateway.onRedelivered = ({ execution, attempt }) =>
      execution === first ? { run: true, attempt: attempt + 1 } : { run: false, reason: 'cancelled' };
    const ran: string[] = [];
    const worker = await startWorker([
      define('h').handler(({ executionId, attempt }) => void ran.push(`${executionId}#${attempt}`)),
    ]);
    await results(1);
    await expect.poll(() => gateway.unsettled(QUEUE), { timeout: 20_000 }).toEqual({ waiting: 0, held: 0 });
    expect(ran).toEqual([`${first}#2`]);
    expect(gateway.results).toMatchObject([{ execution: first, attempt: 2, outcome: 'succeeded' }]);
    expect(gateway.bodies('executions.redelivered')).toEqual(
      expect.arrayContaining(
        [first, second].map((execution) => ({ execution, attempt: 1, worker: worker.id, deliveries: 2 })),
      ),
    );
  });

  it('is one for all executions of a parcel, which are run and told each on its own', async () => {
    await openGateway({ ackWaitMs: ACK_WAIT_MS });
    const { handler, started, open } = gated();
    const worker = await startWorker([handler, define('quick').handler(() => undefined)], { concurrency: 4 });
    const began = performance.now();
    const executions = await gateway.dispatchParcel(QUEUE, [{ handler: 'quick' }, { handler: 'gated' }]);
    const [quick, slow] = executions as [string, string];
    await results(1);
    expect(resultOf(quick)).toMatchObject({ execution: quick, attempt: 1, outcome: 'succeeded', worker: worker.id });
    // Held for the other, longer than a lease: nobody else gets it.
    await expect.poll(() => performance.now() - began, { timeout: 20_000 }).toBeGreaterThan(2 * ACK_WAIT_MS);
    expect(started).toEqual([slow]);
    expect(await gateway.unsettled(QUEUE)).toEqual({ waiting: 0, held: 1 });
    open();
    await results(2);
    expect(resultOf(slow)).toMatchObject({ outcome: 'succeeded' });
    await expect.poll(() => gateway.unsettled(QUEUE)).toEqual({ waiting: 0, held: 0 });
    expect(gateway.bodies('executions.redelivered')).toEqual([]);
  });

  it('of a parcel runs out with its worker, and each of its executions is asked about', async () => {
    await openGateway({ ackWaitMs: ACK_WAIT_MS });
    await takeAndDie(1);
    const executions = await gateway.dispatchParcel(QUEUE, [{ handler: 'h' }, { handler: 'h' }, { handler: 'h' }]);
    await expect.poll(() => gateway.unsettled(QUEUE), { timeout: 20_000 }).toEqual({ waiting: 0, held: 1 });
    gateway.onRedelivered = () => ({ run: false, reason: 'it gets a message of its own' });
    const worker = await startWorker([define('h').handler(() => undefined)]);
    await expect.poll(() => gateway.unsettled(QUEUE), { timeout: 20_000 }).toEqual({ waiting: 0, held: 0 });
    expect(gateway.bodies('executions.redelivered')).toEqual(
      executions.map((execution) => ({ execution, attempt: 1, worker: worker.id, deliveries: 2, parcel: true })),
    );
    expect(gateway.results).toEqual([]);
  });

  it('is asked for, and is as the gateway gives it where that knows of none', async () => {
    await startWorker([define('h').handler(() => undefined)], { leaseMs: 60_000 });
    expect(gateway.bodies('workers.subscribe')).toEqual([{ queue: QUEUE, leaseMs: 60_000 }]);
    const given = gateway.answers.get('workers.subscribe');
    gateway.answers.set('workers.subscribe', (request: object) => {
      if ('leaseMs' in request) throw belfryError('unknown_field', 'no field of this name is known here', 'leaseMs');
      return given?.(request as never);
    });
    await startWorker([define('h').handler(() => undefined)]);
    expect(gateway.bodies('workers.subscribe').slice(1)).toEqual([
      { queue: QUEUE, leaseMs: LIMITS.workLeaseMs },
      { queue: QUEUE },
    ]);
  });

  it('may run out under a handler that lets nothing else happen: that is told', async () => {
    const { log, lines } = memoryLog();
    const still = new Int32Array(new SharedArrayBuffer(4));
    const blocking = define('blocking').handler(() => {
      Atomics.wait(still, 0, 0, LIMITS.workLeaseMinMs / 3 + 100);
    });
    await startWorker([blocking], { leaseMs: LIMITS.workLeaseMinMs, log });
    await gateway.dispatch(QUEUE, [{ handler: 'blocking' }]);
    await expect.poll(() => lines.filter((line) => line.includes('stood still')), { timeout: 20_000 }).toHaveLength(1);
    await results(1);
  });

  /** Pulls from the queue as a worker does, and never settles. */
  async function takeAndDie(count: number): Promise<void> {
    const { stream, consumer } = (await gateway.answers.get('workers.subscribe')?.({ queue: QUEUE } as never)) as {
      stream: string;
      consumer: string;
    };
    gateway.pull(stream, consumer, count);
  }
});

describe('heartbeats', () => {
  it('begin with the start, name what runs, and say at once that it stops', async () => {
    const { handler, started, open } = gated();
    const worker = await startWorker([handler], { concurrency: 3 });
    await expect
      .poll(() => gateway.heartbeats[0])
      .toEqual({
        worker: worker.id,
        queues: [QUEUE],
        capacity: 3,
        running: [],
        parcel: 1,
        leaseMs: LIMITS.workLeaseMs,
      });
    const [execution] = await gateway.dispatch(QUEUE, [{ handler: 'gated' }]);
    await expect.poll(() => started).toHaveLength(1);
    await expect.poll(() => gateway.heartbeats.at(-1)?.running, { timeout: 20_000 }).toEqual([execution]);
    const stopping = worker.stop();
    await expect.poll(() => gateway.heartbeats.at(-1)).toMatchObject({ stopping: true, running: [execution] });
    open();
    await stopping;
  });
});

describe('a stop', () => {
  it('lets handlers end, gives back what has not begun, and keeps nothing from other workers', async () => {
    const { handler, started, open } = gated();
    const worker = await startWorker([handler, define('short').handler(() => undefined)], { concurrency: 4 });
    await gateway.dispatch(QUEUE, new Array(40).fill({ handler: 'short' }));
    await results(40);
    await gateway.dispatch(QUEUE, new Array(10).fill({ handler: 'gated' }));
    await expect.poll(() => started).toHaveLength(4);
    const stopping = worker.stop();
    expect(worker.stop()).toBe(stopping);
    open();
    await stopping;
    const outcomes = gateway.results.slice(40).map(({ outcome }) => outcome);
    expect(outcomes.filter((outcome) => outcome === 'succeeded')).toHaveLength(4);
    const returned = outcomes.filter((outcome) => outcome === 'returned').length;
    expect(outcomes).toHaveLength(4 + returned);
    // The rest is another worker's at once, not when a lease of 30 s has run out.
    await startWorker([handler]);
    await results(50);
    await expect.poll(() => gateway.unsettled(QUEUE)).toEqual({ waiting: 0, held: 0 });
  });

  it('aborts handlers when its time is up', async () => {
    const reasons: unknown[] = [];
    const begun = { now: false };
    const handler = define('long').handler(async ({ signal }) => {
      begun.now = true;
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      reasons.push(signal.reason);
      throw new Error('gave up');
    });
    const worker = await startWorker([handler], { stopTimeoutMs: 0 });
    const [execution] = await gateway.dispatch(QUEUE, [{ handler: 'long' }]);
    await expect.poll(() => begun.now).toBe(true);
    await worker.stop();
    expect(reasons).toMatchObject([{ name: 'BelfryError' }]);
    expect(resultOf(execution)).toMatchObject({
      outcome: 'failed',
      error: expect.stringMatching(/^the worker stops.*gave up$/),
    });
  });

  it('before a start is a stop', async () => {
    const worker = new Worker({ url, namespace: gateway.namespace, handlers: [define('h').handler(() => undefined)] });
    await worker.stop();
    await expect(worker.start()).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('ends a start that finds no gateway', async () => {
    gateway.answers.set('workers.subscribe', () => {
      throw belfryError('unavailable', 'not yet');
    });
    const handlers = [define('h').handler(() => undefined)];
    const worker = new Worker({ url, namespace: gateway.namespace, handlers, log: memoryLog().log });
    const started = expect(worker.start()).rejects.toMatchObject({ code: 'unavailable' });
    await expect.poll(() => gateway.bodies('workers.subscribe').length).toBeGreaterThan(1);
    await worker.stop();
    await started;
  });

  it('and a start at random moments leave nothing behind', async () => {
    let ran = 0;
    const handler = define('h').handler(() => void ran++);
    const executions = new Set<string>();
    for (let round = 0; round < 8; round++) {
      const worker = await startWorker([handler], { concurrency: 5 });
      for (const execution of await gateway.dispatch(QUEUE, new Array(20).fill({ handler: 'h' })))
        executions.add(execution);
      const enough = gateway.results.length + round;
      // What the broker was about to send to the worker before comes again after its lease, at worst.
      await expect.poll(() => gateway.results.length, { interval: 1, timeout: 60_000 }).toBeGreaterThanOrEqual(enough);
      await worker.stop();
    }
    await startWorker([handler]);
    const told = () => new Set(gateway.results.map(({ execution }) => execution)).size;
    await expect.poll(told, { timeout: 20_000 }).toBe(executions.size);
    await expect.poll(() => gateway.unsettled(QUEUE)).toEqual({ waiting: 0, held: 0 });
    const succeeded = gateway.results.filter(({ outcome }) => outcome === 'succeeded');
    expect(succeeded).toHaveLength(ran);
  });
});

describe('options', () => {
  const handler = define('h').handler(() => undefined);
  it.each([
    [{ handlers: [] }, 'handlers'],
    [{ handlers: [handler, handler] }, 'handlers'],
    [{ handlers: [handler], concurrency: 0 }, 'concurrency'],
    [{ handlers: [handler], concurrency: 1.5 }, 'concurrency'],
    [{ handlers: [handler], leaseMs: LIMITS.workLeaseMinMs - 1 }, 'leaseMs'],
    [{ handlers: [handler], leaseMs: LIMITS.workLeaseMaxMs + 1 }, 'leaseMs'],
    [{ handlers: [handler], name: 'a b' }, 'name'],
    [{ handlers: [handler], namespace: '*' }, 'namespace'],
  ])('%j are refused', (options, path) => {
    expect(() => new Worker(options)).toThrow(expect.objectContaining({ path }));
  });
});
