import type { ActiveRow, CalendarRow, ShardDelta, StoredExecution, StoredTask, TaskRow } from '@belfry/ports';
import { shardOf } from '@belfry/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { InvalidCursor } from './cursors.ts';
import { execution, install, Owner, randomId, SHARDS, task, T0, type Installed } from './test-support.ts';

function active({ id }: TaskRow, change: Partial<ActiveRow> = {}): ActiveRow {
  return {
    task: id,
    scheduledAt: T0,
    attempt: 1,
    state: 'dispatched',
    retryAt: undefined,
    dispatchedAt: undefined,
    lost: 0,
    failures: 0,
    attempts: '[]',
    target: undefined,
    traceparent: undefined,
    ...change,
  };
}

describe('queries', () => {
  let installed: Installed;
  let owner: Owner;
  beforeAll(async () => {
    installed = await install();
    owner = new Owner(installed.link);
    await owner.take();
  });
  afterAll(() => installed[Symbol.asyncDispose]());

  const ids = (items: readonly { readonly id: string }[]): string[] => items.map(({ id }) => id);

  it('list tasks newest first, page by page, each once, also those of one instant', async () => {
    const tasks = Array.from({ length: 95 }, (_, i) =>
      task({ namespace: 'pages', createdAt: T0 + Math.floor(i / 40), priority: (i % 3) as 0 | 1 | 2 }),
    );
    await owner.insert(...tasks, task({ namespace: 'else' }));
    const got: StoredTask[] = [];
    let cursor: string | undefined;
    do {
      const page = await installed.link.queries.tasks('pages', {
        limit: 20,
        ...(cursor === undefined ? {} : { cursor }),
      });
      got.push(...page.items);
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(got).toHaveLength(95);
    expect(new Set(ids(got))).toEqual(new Set(ids(tasks)));
    const created = got.map(({ createdAt }) => createdAt);
    expect(created).toEqual(created.toSorted((a, b) => b - a));
  });

  it('show tasks whole', async () => {
    const row = task({
      namespace: 'whole',
      key: 'k',
      payload: JSON.stringify('long '.repeat(500)),
      metadata: '{"a":"1"}',
    });
    await owner.insert(row);
    const { items, cursor } = await installed.link.queries.tasks('whole', { limit: 5 });
    const { bodyHash: _, ...shown } = row;
    expect(items).toEqual([{ ...shown, shard: expect.any(Number), ended: undefined }]);
    expect(cursor).toBeUndefined();
  });

  it('filter by queue, handler, state and labels, all at once', async () => {
    const namespace = 'filters';
    const labels = { metadata: '{"team":"red","zone":"1"}' };
    const [a, b, c] = [
      task({ namespace, ...labels }),
      task({ namespace, queue: 'pdf', metadata: '{"team":"red","zone":"2"}' }),
      task({ namespace, queue: 'pdf', handler: 'render', key: 'k' }),
    ];
    await owner.insert(a, b, c);
    const end = { id: c.id, ended: { state: 'cancelled', at: T0 + 9 } } as const;
    await owner.write(
      owner.deltas(
        [end],
        ({ id }) => id,
        (patches) => ({ patches }),
      ),
    );
    const list = async (filter: object): Promise<string[]> =>
      ids((await installed.link.queries.tasks(namespace, { limit: 10, ...filter })).items).sort();
    expect(await list({})).toEqual([a.id, b.id, c.id].sort());
    expect(await list({ queue: 'pdf' })).toEqual([b.id, c.id].sort());
    expect(await list({ handler: 'render' })).toEqual([c.id]);
    expect(await list({ state: 'ended' })).toEqual([c.id]);
    expect(await list({ state: 'active', queue: 'pdf' })).toEqual([b.id]);
    expect(await list({ metadata: { team: 'red' } })).toEqual([a.id, b.id].sort());
    expect(await list({ metadata: { team: 'red', zone: '2' } })).toEqual([b.id]);
    expect(await list({ metadata: { team: "r'ed" } })).toEqual([]);
    expect(await list({ metadata: {} })).toHaveLength(3);
    expect(await list({ queue: 'none' })).toEqual([]);
  });

  it('follow a task to its new queue', async () => {
    const row = task({ namespace: 'moving' });
    await owner.insert(row);
    const moved = task({ namespace: 'moving', queue: 'pdf' });
    const patch = { id: row.id, queue: 'pdf', target: moved.target };
    await owner.write(
      owner.deltas(
        [patch],
        ({ id }) => id,
        (patches) => ({ patches }),
      ),
    );
    const { items } = await installed.link.queries.tasks('moving', { limit: 5, queue: 'pdf' });
    expect(items).toMatchObject([{ id: row.id, queue: 'pdf', target: moved.target }]);
  });

  it('refuse cursors that nobody gave out', async () => {
    for (const cursor of ['', 'x', '1.2', `0.${'z'.repeat(32)}`, `1.${randomId()}.3`, `-.${randomId()}`]) {
      await expect(installed.link.queries.tasks('acme', { limit: 1, cursor })).rejects.toBeInstanceOf(InvalidCursor);
      const executions = installed.link.queries.executions('acme', { limit: 1, cursor });
      await expect(executions).rejects.toBeInstanceOf(InvalidCursor);
    }
  });

  it('show executions latest first, those under way among them', async () => {
    const row = task({ namespace: 'runs' });
    const other = task({ namespace: 'runs', queue: 'pdf' });
    await owner.insert(row, other);
    const over = [0, 1, 2, 3].map((i) => execution(i === 3 ? other : row, { scheduledAt: T0 + i * 10 }));
    over[1] = { ...(over[1] as (typeof over)[0]), state: 'dead', error: 'no such invoice', attempts: '[[1,"failed"]]' };
    await owner.record(...over);
    const retrying = active(row, {
      scheduledAt: T0 + 15,
      attempt: 2,
      state: 'retrying',
      retryAt: T0 + 99,
      failures: 1,
    });
    await owner.write(
      owner.deltas(
        [retrying],
        (of) => of.task,
        (rows) => ({ active: rows }),
      ),
    );
    const { queries } = installed.link;
    const list = async (filter: object): Promise<number[]> => {
      const { items } = await queries.executions('runs', { limit: 10, ...filter });
      return items.map(({ row: of }) => of.scheduledAt - T0);
    };
    expect(await list({})).toEqual([30, 20, 15, 10, 0]);
    expect(await list({ limit: 2 })).toEqual([30, 20]);
    expect(await list({ before: T0 + 20 })).toEqual([15, 10, 0]);
    expect(await list({ task: row.id })).toEqual([20, 15, 10, 0]);
    expect(await list({ task: row.id, before: T0 + 15 })).toEqual([10, 0]);
    expect(await list({ state: 'dead' })).toEqual([10]);
    expect(await list({ state: 'retrying' })).toEqual([15]);
    expect(await list({ state: 'nonsense' })).toEqual([]);
    expect(await queries.execution('runs', row.id, T0 + 10)).toEqual({
      kind: 'over',
      row: over[1],
      checkpointedAt: expect.any(Number),
    });
    expect(await queries.execution('runs', row.id, T0 + 15)).toEqual({
      kind: 'active',
      row: retrying,
      namespace: 'runs',
      queue: 'mail',
      handler: 'send',
      createdAt: T0,
    });
    expect(await queries.execution('runs', row.id, T0 + 11)).toBeUndefined();
    expect(await queries.execution('else', row.id, T0 + 10)).toBeUndefined();
    expect((await queries.executions('else', { task: row.id, limit: 5 })).items).toEqual([]);
  });

  it('show executions page by page, each once, also those of one instant, under way or over', async () => {
    const tasks = Array.from({ length: 75 }, (_, i) =>
      task({ namespace: 'crowd', queue: i % 2 === 0 ? 'mail' : 'pdf' }),
    );
    await owner.insert(...tasks);
    const underWay = tasks.filter((_, i) => i % 3 === 0);
    await owner.record(...tasks.filter((of) => !underWay.includes(of)).map((of) => execution(of)));
    await owner.write(
      owner.deltas(
        underWay.map((of) => active(of)),
        (of) => of.task,
        (rows) => ({ active: rows }),
      ),
    );
    const got: StoredExecution[] = [];
    const sizes: number[] = [];
    let cursor: string | undefined;
    do {
      const page = await installed.link.queries.executions('crowd', {
        limit: 7,
        before: T0 + 1,
        ...(cursor === undefined ? {} : { cursor }),
      });
      got.push(...page.items);
      sizes.push(page.items.length);
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(sizes).toEqual([...Array.from({ length: 10 }, () => 7), 5]);
    expect(got.map(({ row }) => row.task)).toEqual(ids(tasks).sort().reverse());
    const shown = got.filter(({ kind }) => kind === 'active').map(({ row }) => row.task);
    expect(shown.sort()).toEqual(ids(underWay).sort());
  });

  it('say up to when everything is included', async () => {
    const before = Date.now();
    await using fresh = await install();
    const first = (await fresh.link.queries.tasks('acme', { limit: 1 })).asOf;
    expect(first).toBeGreaterThanOrEqual(before - 5);
    const all = new Owner(fresh.link);
    await all.take();
    const many = Array.from({ length: 200 }, () => task());
    const deltas = all.deltas(
      many,
      ({ id }) => id,
      (inserts) => ({ inserts, takenAt: first + 1_000 }),
    );
    await all.write(deltas.slice(1));
    expect((await fresh.link.queries.tasks('acme', { limit: 1 })).asOf).toBe(first);
    const ofOne = await fresh.link.queries.executions('acme', { limit: 1, shard: deltas[1]?.shard as number });
    expect(ofOne.asOf).toBeGreaterThan(first);
    await all.write(deltas.slice(0, 1));
    const { asOf } = await fresh.link.queries.tasks('acme', { limit: 1 });
    expect(asOf).toBeGreaterThanOrEqual(first);
    expect(asOf).toBeLessThanOrEqual(first + 1_000);
  });

  it('show the calendars of a namespace, of each the latest definition that any shard has', async () => {
    const row = (name: string, version: number, namespace = 'dates') => ({
      namespace,
      name,
      version,
      definition: JSON.stringify({ exclude: [`${version}`] }),
      setAt: T0 + version,
    });
    const place = (shard: number, ...calendars: CalendarRow[]): ShardDelta[] =>
      owner.deltas([shard.toString(16).padStart(8, '0').padEnd(32, '0')], String, () => ({ calendars }));
    const none = { items: [], asOf: expect.any(Number) };
    expect(await installed.link.queries.calendars('dates')).toEqual(none);
    await owner.write(place(0, row('holidays', 1), row('freeze', 4), row('holidays', 1, 'else')));
    await owner.write(place(1, row('holidays', 3)));
    await owner.write(place(2, row('holidays', 2)));
    const { items } = await installed.link.queries.calendars('dates');
    expect(items).toEqual([row('freeze', 4), row('holidays', 3)]);
  });

  it('count the live tasks of schedules whose minute was chosen', async () => {
    const chosen = (slot: number): string => `s{"e":[0,1,0],"b":[120,240],"slot":${slot}}`;
    const tasks = [chosen(7), chosen(9), chosen(7), 'e60000', 's{"e":[1,0,0]}'].map((schedule) =>
      task({ namespace: 'slots', schedule, key: 'k' }),
    );
    const over = task({ namespace: 'slots', schedule: chosen(9), key: 'over' });
    await owner.insert(...tasks, over);
    const end = { id: over.id, ended: { state: 'cancelled', at: T0 } } as const;
    await owner.write(
      owner.deltas(
        [end],
        ({ id }) => id,
        (patches) => ({ patches }),
      ),
    );
    expect(await installed.link.queries.slots(10)).toEqual([
      { schedule: chosen(7), tasks: 2 },
      { schedule: chosen(9), tasks: 1 },
    ]);
    expect(await installed.link.queries.slots(1)).toHaveLength(1);
  });

  it('tell what explains a task: its life, its executions in the span, and its shard', async () => {
    const { queries } = installed.link;
    const row = task({ namespace: 'why', key: 'k', createdAt: T0, effectiveFrom: T0 + 50 });
    const shard = shardOf(row.id, SHARDS);
    await owner.insert(row);
    const life = [
      { task: row.id, namespace: 'why', kind: 'rescheduled', at: T0 + 50, schedule: 'e1000', createdAt: T0 } as const,
      { task: row.id, namespace: 'why', kind: 'cancelled', at: T0 + 90, schedule: 'e2000', createdAt: T0 } as const,
    ];
    const gaps = [
      { fromMs: T0, untilMs: T0 + 10, foundMs: T0 + 60_010 },
      { fromMs: T0 + 100, untilMs: T0 + 200, foundMs: T0 + 60_200 },
    ];
    await owner.write(
      owner.deltas(
        [row.id],
        (id) => id,
        () => ({ life, unwatched: gaps }),
      ),
    );
    const runs = [0, 1_000, 2_000, 3_000].map((ms) => execution(row, { namespace: 'why', scheduledAt: T0 + ms }));
    await owner.record(...runs);
    await owner.write(
      owner.deltas(
        [row.id],
        (id) => id,
        () => ({ active: [active(row, { scheduledAt: T0 + 2_500 })] }),
      ),
    );
    const facts = await queries.explain('why', row.id, shard, { fromMs: T0 + 20, toMs: T0 + 2_500 }, 100);
    expect(facts.task).toMatchObject({ id: row.id, key: 'k', shard, effectiveFrom: T0 + 50 });
    expect(facts.life).toEqual(life);
    expect(facts.executions.map(({ row: { scheduledAt } }) => scheduledAt - T0)).toEqual([2_500, 2_000, 1_000]);
    expect(facts.owners).toMatchObject([{ epoch: 1, node: 'node', former: undefined }]);
    expect(facts.unwatched).toEqual([gaps[1]]);
    expect(facts.recordedSince).toBeGreaterThan(0);
    expect(facts.asOf).toBeGreaterThan(0);
    const elsewhere = await queries.explain('other', row.id, shard, { fromMs: 0, toMs: T0 + 9_000 }, 100);
    expect(elsewhere).toMatchObject({ task: undefined, life: [], executions: [] });
  });

  it('tell what time-zone data was recorded, the latest first, and not without end', async () => {
    const { link } = installed;
    const data = { version: '2026a', digest: 'a', recordedAt: T0, fromS: 1, untilS: 2, zones: '{}' };
    await link.recordZoneData(data);
    await link.recordZoneData({ ...data, version: '2026b', recordedAt: T0 + 1 });
    await link.recordZoneData({ ...data, digest: 'b', recordedAt: T0 + 2 });
    await link.recordZoneData({ ...data, recordedAt: T0 + 3, zones: 'ignored' });
    const read = async (): Promise<string[]> =>
      (await link.queries.zoneData()).map(({ version, digest }) => `${version} ${digest}`);
    expect(await read()).toEqual(['2026a a', '2026a b', '2026b a']);
    expect((await link.queries.zoneData())[0]).toEqual({ ...data, recordedAt: T0 + 3 });
    for (let n = 0; n < 25; n++) await link.recordZoneData({ ...data, version: `x${n}`, recordedAt: T0 + 10 + n });
    expect(await read()).toHaveLength(20);
    expect((await read())[0]).toBe('x24 a');
  });
});
