import { startTestServers } from '@belfry/adapter-embedded/testing';
import { AckPolicy, connect, headers, StringCodec, type JsMsg, type NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { startServerProcess, type RunningServer } from '../testing/program.ts';

// Nothing of Belfry's is used here but the page docs/protocol.md: the `nats` package of 2024 stands for any language's client.

vi.setConfig({ testTimeout: 60_000 });

const text = StringCodec();
const NAMESPACE = 'legacy';
const WORKER = 'legacy-worker-1';

let servers: Awaited<ReturnType<typeof startTestServers>>;
let program: RunningServer;
let nc: NatsConnection;

beforeAll(async () => {
  servers = await startTestServers();
  program = await startServerProcess(servers, '--roles', 'gateway,scheduler,supervisor');
  const { hostname, port, username, password } = new URL(servers.natsUrl);
  nc = await connect({ servers: `${hostname}:${port}`, user: username, pass: password });
});

afterAll(async () => {
  await nc?.close();
  await program?.[Symbol.asyncDispose]();
  await servers?.stop();
});

type Answer = Record<string, unknown> & { readonly error?: { readonly code: string; readonly path?: string } };

async function ask(subject: string, body: unknown): Promise<Answer> {
  const data = typeof body === 'string' ? body : JSON.stringify(body);
  const reply = await nc.request(`belfry.v1.${NAMESPACE}.${subject}`, text.encode(data), { timeout: 15_000 });
  return JSON.parse(text.decode(reply.data)) as Answer;
}

interface Work {
  readonly execution: string;
  readonly task: string;
  readonly attempt: number;
  readonly scheduledAt: number;
  readonly handler: string;
  readonly payload: unknown;
}

/** A worker as the page describes it: subscribe, heartbeat every second, pull, finish, acknowledge. */
class PageWorker {
  readonly #queue: string;
  readonly #stop: (() => void)[] = [];

  constructor(queue: string) {
    this.#queue = queue;
  }

  async *pull(): AsyncGenerator<{ readonly message: JsMsg; readonly work: Work }> {
    const { stream, consumer } = await ask('workers.subscribe', { queue: this.#queue });
    const beat = (): void => {
      const body = { worker: WORKER, queues: [this.#queue], capacity: 10, running: [] };
      nc.publish(`belfry.v1.${NAMESPACE}.workers.heartbeat`, text.encode(JSON.stringify(body)));
    };
    beat();
    const timer = setInterval(beat, 1_000);
    this.#stop.push(() => clearInterval(timer));
    const pulling = await nc.jetstream().consumers.get(stream as string, consumer as string);
    const messages = await pulling.consume({ max_messages: 10 });
    this.#stop.push(() => messages.stop());
    for await (const message of messages) yield { message, work: message.json<Work>() };
  }

  stop(): void {
    for (const stop of this.#stop) stop();
  }
}

describe('the legacy nats client, with the protocol page alone', () => {
  it('creates, updates, lists and cancels tasks', async () => {
    const at = new Date(Date.now() + 3_600_000).toISOString();
    const created = await ask('tasks.create', { at, queue: 'q1', handler: 'greet', key: 'one', payload: { a: 1 } });
    expect(created).toMatchObject({ status: 'created', created: true, next: [at] });
    expect(
      await ask('tasks.create', { at, queue: 'q1', handler: 'greet', key: 'one', payload: { a: 1 } }),
    ).toMatchObject({
      id: created['id'],
      status: 'unchanged',
      created: false,
    });
    const updated = await ask('tasks.update', { key: 'one', set: { every: '1h', anchor: at } });
    expect(updated).toMatchObject({ id: created['id'], status: 'updated' });
    expect(await ask('tasks.get', { key: 'one' })).toMatchObject({ state: 'waiting', every: '1h', payload: { a: 1 } });
    await vi.waitFor(
      async () => expect(await ask('tasks.list', { queue: 'q1' })).toMatchObject({ items: [{ key: 'one' }] }),
      10_000,
    );
    expect(await ask('tasks.cancel', { key: 'one' })).toMatchObject({ status: 'cancelled', running: [] });
    expect(await ask('tasks.get', { key: 'one' })).toMatchObject({ state: 'cancelled', next: [] });
  });

  it('answers each bad item of a batch for itself', async () => {
    const good = { at: Date.now() + 3_600_000, queue: 'q1', handler: 'greet' };
    const reply = await ask('tasks.create', {
      items: [good, { ...good, queue: 'a.b' }, { ...good, cron: '* * * * *' }],
    });
    expect(reply['items']).toMatchObject([
      { status: 'created' },
      { error: { code: 'invalid_name', path: 'items[1].queue' } },
      { error: { code: 'invalid_schedule' } },
    ]);
    expect(await ask('tasks.create', '{"at":')).toMatchObject({ error: { code: 'malformed' } });
    expect(await ask('tasks.create', { items: new Array(1_001).fill(good) })).toMatchObject({
      error: { code: 'too_large' },
    });
  });

  it('pulls, extends, finishes and fails executions, and hears of it', async () => {
    const heard: string[] = [];
    const events = nc.subscribe(`belfry.v1.${NAMESPACE}.events.>`, {
      callback: (_error, message) => heard.push(message.subject.split('.')[4] as string),
    });
    const worker = new PageWorker('q2');
    const pulled = worker.pull();
    const first = pulled.next(); // subscribes
    const task = {
      at: Date.now() + 300,
      queue: 'q2',
      handler: 'greet',
      payload: { name: 'Ann' },
      retry: { initialMs: 10 },
    };
    const { id } = await ask('tasks.create', task);
    const { message, work } = (await first).value as { message: JsMsg; work: Work };
    expect(work).toMatchObject({ task: id, attempt: 1, handler: 'greet', payload: { name: 'Ann' } });
    expect(Date.now()).toBeGreaterThanOrEqual(work.scheduledAt);
    message.working();
    const { execution } = work;
    const now = Date.now();
    const told = { execution, worker: WORKER, deliveredAt: now, startedAt: now, finishedAt: now };
    expect(await ask('executions.finish', { ...told, attempt: 1, outcome: 'failed', error: 'not yet' })).toEqual({
      ok: true,
    });
    message.ack();
    const again = (await pulled.next()).value as { message: JsMsg; work: Work };
    expect(again.work).toMatchObject({ execution, attempt: 2 });
    const result = { ...told, attempt: 2, outcome: 'succeeded', result: { greeted: true } };
    expect(await ask('executions.finish', result)).toEqual({ ok: true });
    again.message.ack();
    expect(await ask('executions.finish', result)).toMatchObject({ error: { code: 'execution_over' } });
    worker.stop();

    await vi.waitFor(async () => {
      const history = await ask('tasks.history', { id });
      expect(history).toMatchObject({
        items: [
          {
            execution,
            state: 'succeeded',
            result: { greeted: true },
            attempts: [{ outcome: 'failed', error: 'not yet' }, { outcome: 'succeeded' }],
          },
        ],
      });
    }, 10_000);
    await vi.waitFor(() => expect(heard).toEqual(expect.arrayContaining(['created', 'retrying', 'succeeded'])));
    events.unsubscribe();
  });

  it('cancels what waits in the queue, and names what a worker holds', async () => {
    const queue = 'q4';
    const { stream, consumer } = await ask('workers.subscribe', { queue });
    const beat = JSON.stringify({ worker: WORKER, queues: [queue], capacity: 2, running: [] });
    nc.publish(`belfry.v1.${NAMESPACE}.workers.heartbeat`, text.encode(beat));
    const manager = await nc.jetstreamManager();
    const waiting = async () => (await manager.consumers.info(stream as string, consumer as string)).num_pending;
    const task = { at: Date.now(), queue, handler: 'greet' };
    const held = await ask('tasks.create', { ...task, key: 'held' });
    const pulling = await nc.jetstream().consumers.get(stream as string, consumer as string);
    const message = await pulling.next({ expires: 10_000 });
    const inQueue = await ask('tasks.create', { ...task, key: 'in-queue' });
    await vi.waitFor(async () => expect(await waiting()).toBe(1), 10_000);

    expect(await ask('tasks.cancel', { key: 'in-queue' })).toEqual({
      id: inQueue['id'],
      status: 'cancelled',
      running: [],
    });
    expect(await waiting()).toBe(0);
    const { execution } = message?.json<Work>() as Work;
    expect(await ask('tasks.cancel', { key: 'held' })).toEqual({
      id: held['id'],
      status: 'cancelled',
      running: [execution],
    });
    const told = { execution, attempt: 1, worker: WORKER, outcome: 'succeeded' };
    expect(await ask('executions.finish', told)).toEqual({ ok: true });
    message?.ack();
    const states = async (id: unknown) =>
      ((await ask('tasks.history', { id }))['items'] as { state: string }[]).map(({ state }) => state);
    await vi.waitFor(async () => expect(await states(inQueue['id'])).toEqual(['cancelled']), 10_000);
    await vi.waitFor(async () => expect(await states(held['id'])).toEqual(['succeeded']), 10_000);
  });

  it('publishes durably to ingest, and finds the refused with their reasons', async () => {
    const js = nc.jetstream();
    const publish = (body: unknown, id?: string) =>
      js.publish(`belfry.v1.${NAMESPACE}.ingest`, text.encode(JSON.stringify(body)), {
        headers: headers(),
        ...(id === undefined ? {} : { msgID: id }),
      });
    await publish({ at: Date.now() + 3_600_000, queue: 'q3', handler: 'greet', key: 'by-ingest' }, 'message-1');
    expect(await publish({ at: 0, queue: 'q3', handler: 'greet', key: 'too-late' })).toMatchObject({
      stream: 'BELFRY_INGEST',
    });
    await vi.waitFor(
      async () => expect(await ask('tasks.get', { key: 'by-ingest' })).toMatchObject({ state: 'waiting' }),
      10_000,
    );
    const manager = await nc.jetstreamManager();
    const filter_subject = `belfry.v1.${NAMESPACE}.rejected`;
    const { name } = await manager.consumers.add('BELFRY_REJECTED', { filter_subject, ack_policy: AckPolicy.None });
    const refused = await (await js.consumers.get('BELFRY_REJECTED', name)).next({ expires: 10_000 });
    expect(refused?.json()).toMatchObject({ error: { code: 'at_out_of_range', path: 'at' } });
    await manager.consumers.delete('BELFRY_REJECTED', name);
  });

  it('is told by a code what an execution never was, or a task unknown', async () => {
    const nobody = '00000000000080008000000000000000';
    expect(await ask('tasks.get', { id: nobody })).toMatchObject({ error: { code: 'not_found', path: 'id' } });
    expect(await ask('tasks.cancel', { id: nobody })).toMatchObject({ error: { code: 'not_found' } });
    const result = { execution: `${nobody}-abc`, attempt: 1, worker: WORKER, outcome: 'succeeded' };
    expect(await ask('executions.finish', result)).toMatchObject({ error: { code: 'execution_over' } });
    expect(await ask('executions.finish', { ...result, execution: 'x' })).toMatchObject({
      error: { code: 'invalid_field', path: 'execution' },
    });
    expect(await ask('tasks.nonsense', {})).toMatchObject({ error: { code: 'unsupported' } });
  });
});
