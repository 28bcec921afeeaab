import { ensureStreams, natsNames } from '@belfry/adapter-nats';
import { testInstallation, testNatsUrl } from '@belfry/adapter-nats/testing';
import { STREAMS, subjects, type CreateRequest, type LifecycleEvent, type TaskSpec } from '@belfry/protocol';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';

import { Belfry, defineTask } from './index.ts';
import { belfryError } from './errors.ts';
import { memoryLog, TestGateway } from './test-gateway.ts';

const url = testNatsUrl();
const mail = defineTask({ name: 'mail', queue: 'mails', schema: z.object({ to: z.email() }), priority: 'high' });
const id = 'a'.repeat(32);

let gateway: TestGateway;
let belfry: Belfry;

beforeAll(async () => {
  const { link, dispose } = await testInstallation(url);
  await ensureStreams(link, natsNames());
  await dispose();
});

beforeEach(async () => {
  gateway = await TestGateway.open(url);
  belfry = new Belfry({ url, namespace: gateway.namespace, timeoutMs: 20_000, log: memoryLog().log });
  gateway.answers.set('tasks.create', ({ items }: CreateRequest) => ({ items: items.map(created) }));
});

afterEach(async () => {
  await belfry.close();
  for (const [stream, subject] of [
    [STREAMS.ingest, subjects.ingest(gateway.namespace)],
    [STREAMS.rejected, subjects.rejected(gateway.namespace)],
  ] as const) {
    await gateway.api(`STREAM.PURGE.${stream}`, { filter: subject });
  }
  await gateway[Symbol.asyncDispose]();
});

function created(spec: TaskSpec): object {
  if (spec.handler === 'refused') {
    return { error: { code: 'invalid_schedule', message: 'can never fire', path: 'items[0].cron' } };
  }
  return { id, status: 'created', created: true, next: ['2026-11-25T12:00:00.000Z'] };
}

const creates = () => gateway.bodies('tasks.create') as CreateRequest[];

describe('schedule', () => {
  it('sends what a definition makes of a typed payload, and gives the shard’s answer', async () => {
    const scheduled = await belfry.schedule(mail, { cron: '0 9 * * *', payload: { to: 'a@b.example' }, key: 'k' });
    expect(scheduled).toEqual({ id, status: 'created', created: true, next: ['2026-11-25T12:00:00.000Z'] });
    expect(creates()[0]).toEqual({
      commandId: expect.any(String),
      items: [
        {
          queue: 'mails',
          handler: 'mail',
          priority: 'high',
          cron: '0 9 * * *',
          key: 'k',
          payload: { to: 'a@b.example' },
        },
      ],
    });
  });

  it('does not send a payload that the schema refuses', async () => {
    const refused = belfry.schedule(mail, { every: '1h', payload: { to: 'nobody' } });
    await expect(refused).rejects.toMatchObject({ code: 'invalid_field', path: 'payload.to' });
    expect(creates()).toEqual([]);
  });

  it('throws a refusal with its code and the path inside the spec', async () => {
    const refused = belfry.schedule({ cron: '0 0 31 2 *', queue: 'q', handler: 'refused' });
    await expect(refused).rejects.toMatchObject({ name: 'BelfryError', code: 'invalid_schedule', path: 'cron' });
  });

  it('tries again with the same command id while nobody can say what became of it', async () => {
    const codes = ['unavailable', 'overloaded'] as const;
    gateway.answers.set('tasks.create', ({ items }: CreateRequest) => {
      const code = codes[creates().length - 1];
      if (code !== undefined) throw belfryError(code, 'later');
      return { items: items.map(created) };
    });
    await belfry.schedule({ at: 1, queue: 'q', handler: 'h' });
    expect(creates()).toHaveLength(3);
    expect(new Set(creates().map(({ commandId }) => commandId)).size).toBe(1);
  });

  it('asks again with the same command id when the gateway that got it does not answer', async () => {
    await using impatient = new Belfry({ url, namespace: gateway.namespace, timeoutMs: 8_000, log: memoryLog().log });
    gateway.answers.set('tasks.create', ({ items }: CreateRequest) =>
      creates().length === 1 ? new Promise(() => undefined) : { items: items.map(created) },
    );
    expect(await impatient.schedule({ at: 1, queue: 'q', handler: 'h' })).toMatchObject({ id, status: 'created' });
    expect(creates()).toHaveLength(2);
    expect(new Set(creates().map(({ commandId }) => commandId)).size).toBe(1);
  });

  it('gives up when its time is up, with what it was told last', async () => {
    await using impatient = new Belfry({ url, namespace: gateway.namespace, timeoutMs: 2_000, log: memoryLog().log });
    gateway.answers.set('tasks.create', () => {
      throw belfryError('overloaded', 'the inbox is full');
    });
    const refused = impatient.schedule({ at: 1, queue: 'q', handler: 'h' });
    await expect(refused).rejects.toMatchObject({ code: 'overloaded', retryable: true });
    expect(creates().length).toBeGreaterThan(1);
  });

  it('takes any number at once, each with its own result', async () => {
    const specs = Array.from({ length: 2_500 }, (_, i) => ({
      at: i,
      queue: 'q',
      handler: i === 1_000 ? 'refused' : 'h',
    }));
    const results = await belfry.scheduleMany(specs);
    expect(results).toHaveLength(2_500);
    expect(results.flatMap((result, i) => ('error' in result ? [[i, result.error.path]] : []))).toEqual([
      [1_000, 'cron'],
    ]);
    expect(creates().map(({ items }) => items.length)).toEqual([1_000, 1_000, 500]);
  });
});

describe('a task', () => {
  it('is changed, cancelled and asked for by id or key', async () => {
    gateway.answers.set('tasks.update', () => ({ id, status: 'updated', created: false, next: [] }));
    gateway.answers.set('tasks.cancel', () => ({ id, status: 'cancelled', running: ['x'] }));
    gateway.answers.set('tasks.get', () => {
      throw belfryError('not_found', 'no task of this key', 'key');
    });
    const scheduled = await belfry.schedule({ at: 1, queue: 'q', handler: 'h' });
    await belfry.update(scheduled, { at: new Date(5), priority: 'low' });
    expect(await belfry.cancel({ key: 'k' })).toEqual({ id, status: 'cancelled', running: ['x'] });
    await expect(belfry.get({ key: 'k' })).rejects.toMatchObject({ code: 'not_found', path: 'key' });
    expect(gateway.bodies('tasks.update')).toEqual([
      { id, set: { at: 5, priority: 'low' }, commandId: expect.any(String) },
    ]);
    expect(gateway.bodies('tasks.cancel')).toEqual([{ key: 'k', commandId: expect.any(String) }]);
  });

  it('is among those that are listed, page after page', async () => {
    gateway.answers.set('tasks.list', ({ cursor }: { cursor?: string }) =>
      cursor === undefined ? { items: [{ id: '1' }], asOf: 'x', cursor: 'c' } : { items: [{ id: '2' }], asOf: 'x' },
    );
    const ids: string[] = [];
    for await (const task of belfry.list({ queue: 'q' })) ids.push(task.id);
    expect(ids).toEqual(['1', '2']);
    expect((await belfry.list()).items).toEqual([{ id: '1' }]);
  });
});

describe('publish', () => {
  const stored = async () => {
    const subject = subjects.ingest(gateway.namespace);
    const found = await gateway.api<{ message: { data: string; hdrs: string } }>(`STREAM.MSG.GET.${STREAMS.ingest}`, {
      last_by_subj: subject,
    });
    const { data, hdrs } = found.message;
    return { body: JSON.parse(atob(data)) as CreateRequest, headers: atob(hdrs) };
  };

  it('is over when the task is on disk, under its command id', async () => {
    await belfry.publish(mail, { in: '1h', payload: { to: 'a@b.example' } });
    const { body, headers } = await stored();
    expect(body.items).toMatchObject([{ handler: 'mail', at: expect.any(Number), payload: { to: 'a@b.example' } }]);
    expect(headers).toContain(`Nats-Msg-Id: ${body.commandId}`);
  });

  it('carries many at a time', async () => {
    await Promise.all(Array.from({ length: 5_000 }, (_, n) => belfry.publish({ at: n, queue: 'q', handler: 'h' })));
    const subject = subjects.ingest(gateway.namespace);
    const { state } = await gateway.api<{ state: { subjects: Record<string, number> } }>(
      `STREAM.INFO.${STREAMS.ingest}`,
      { subjects_filter: subject },
    );
    expect(state.subjects[subject]).toBe(5_000);
  });

  it('checks the payload first', async () => {
    const refused = belfry.publish(mail, { in: '1h', payload: { to: 'nobody' } });
    await expect(refused).rejects.toMatchObject({ path: 'payload.to' });
  });
});

describe('what ingest refused', () => {
  it('is listed oldest first, from where one has read', async () => {
    const record = (n: number) => ({
      error: { code: 'invalid_field', message: `fault ${n}`, path: `items[${n}].at` },
      task: `{"n":${n}}`,
      receivedAt: new Date(n).toISOString(),
      index: n,
    });
    expect(await belfry.rejected()).toEqual([]);
    for (let n = 0; n < 5; n++) gateway.publish(subjects.rejected(gateway.namespace), JSON.stringify(record(n)));
    gateway.publish(subjects.rejected(gateway.namespace), 'not a record');
    await expect.poll(() => belfry.rejected()).toHaveLength(6);
    const first = await belfry.rejected(2);
    expect(first).toMatchObject([
      { at: '1970-01-01T00:00:00.000Z', error: { message: 'fault 0', path: 'at' }, message: '{"n":0}' },
      { error: { message: 'fault 1' } },
    ]);
    const rest = await belfry.rejected(10, first[1]!.sequence);
    expect(rest.map(({ error }) => error.message)).toEqual(['fault 2', 'fault 3', 'fault 4', 'no record of a gateway']);
  });
});

describe('events', () => {
  const publish = (type: string, task: string, attempt: number) =>
    gateway.publish(subjects.event(gateway.namespace, type, task), JSON.stringify({ type, task, attempt }));

  it('come as they happen, of the type and task that were asked for, until the signal aborts', async () => {
    const seen: LifecycleEvent[] = [];
    const abort = new AbortController();
    const reading = (async () => {
      for await (const event of belfry.events({ type: 'succeeded', task: id }, abort.signal)) seen.push(event);
    })();
    await expect
      .poll(() => {
        publish('succeeded', 'b'.repeat(32), 0);
        publish('failed', id, 0);
        publish('succeeded', id, 1);
        return seen.length;
      })
      .toBeGreaterThan(0);
    abort.abort();
    await reading;
    expect(new Set(seen.map(({ attempt }) => attempt))).toEqual(new Set([1]));
  });

  it('end with an error when the client is closed', async () => {
    const reading = belfry.events()[Symbol.asyncIterator]().next();
    const ended = expect(reading).rejects.toMatchObject({ code: 'unavailable' });
    await belfry.list().catch(() => undefined); // connected, and subscribed before this was sent
    await belfry.close();
    await ended;
  });

  it.each([{ type: '>' }, { task: '*.x' }])('%j is refused', async (filter) => {
    await expect(belfry.events(filter).next()).rejects.toMatchObject({ code: 'invalid_field' });
  });
});

describe('a connection', () => {
  it('that cannot be made is told with the address, without its password', async () => {
    const lost = new Belfry({ url: 'nats://u:secret@127.0.0.1:1', connectTimeoutMs: 200, log: memoryLog().log });
    const failure = await lost.get({ id }).catch((error: unknown) => error);
    expect(failure).toMatchObject({
      name: 'ConnectionError',
      code: 'unavailable',
      message: expect.stringContaining('127.0.0.1:1'),
    });
    expect(String(failure)).not.toContain('secret');
  });

  it('that was closed takes no more calls', async () => {
    await belfry.close();
    await belfry.close();
    await expect(belfry.schedule({ at: 1, queue: 'q', handler: 'h' })).rejects.toMatchObject({ code: 'unavailable' });
    await expect(belfry.publish({ at: 1, queue: 'q', handler: 'h' })).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('needs a namespace that is a name', () => {
    expect(() => new Belfry({ url, namespace: 'a.*' })).toThrow(expect.objectContaining({ path: 'namespace' }));
  });
});
