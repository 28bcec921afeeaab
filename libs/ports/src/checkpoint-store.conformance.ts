import { randomBytes } from 'node:crypto';

import { encodeTarget, type Target } from '@belfry/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type {
  ActiveRow,
  Body,
  CheckpointStore,
  HistoryRow,
  LoadedTask,
  ShardDelta,
  ShardHead,
  TaskRow,
} from './checkpoint-store.ts';
import type { Outcome } from './outcome.ts';

export interface CheckpointStoreHarness {
  readonly store: CheckpointStore;
  /** The same snapshots as another node sees them. */
  readonly other: CheckpointStore;
  /** What is recorded of a task's executions, in any order. */
  history(task: string): Promise<readonly HistoryRow[]>;
  /** Ends what the harness holds. */
  dispose(): Promise<void>;
}

interface Loaded {
  readonly active: Map<number, ActiveRow[]>;
  readonly commands: Map<number, { hash: number; at: number }[]>;
  readonly tasks: Map<string, LoadedTask & { readonly shard: number }>;
}

const T0 = 1_790_000_000_000;
const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

function value<T>(outcome: Outcome<T, unknown>): T {
  if (outcome.kind !== 'ok') throw new Error(`expected ok: ${JSON.stringify(outcome)}`);
  return outcome.value;
}

/** A random id that belongs to the shard, of 8. */
function taskId(shard: number): string {
  const bytes = randomBytes(16);
  bytes[3] = ((bytes[3] as number) & 0xf8) | shard;
  return bytes.toString('hex');
}

function target(change: Partial<Target> = {}): string {
  return encodeTarget({
    namespace: 'acme',
    queue: 'mail',
    handler: 'send',
    priority: 1,
    retry: { attempts: 3, initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0.2 },
    timeoutMs: 300_000,
    ...change,
  });
}

function taskRow(id: string, change: Partial<TaskRow> = {}): TaskRow {
  return {
    id,
    key: undefined,
    namespace: 'acme',
    queue: 'mail',
    handler: 'send',
    schedule: `at:${T0 + 60_000}`,
    target: target(),
    payload: '{"to":"someone"}',
    metadata: '{}',
    traceparent: undefined,
    createdAt: T0,
    effectiveFrom: T0,
    bodyHash: [0, 1, 0x7fff_ffff, 0xffff_ffff],
    ...change,
  };
}

function activeRow(task: string, change: Partial<ActiveRow> = {}): ActiveRow {
  return {
    task,
    scheduledAt: T0,
    attempt: 1,
    state: 'dispatched',
    retryAt: undefined,
    dispatchedAt: T0 + 5,
    lost: 0,
    failures: 0,
    attempts: '[]',
    target: undefined,
    traceparent: undefined,
    ...change,
  };
}

function historyRow(task: string, change: Partial<HistoryRow> = {}): HistoryRow {
  return {
    task,
    scheduledAt: T0,
    namespace: 'acme',
    queue: 'mail',
    handler: 'send',
    state: 'succeeded',
    attempt: 1,
    dispatchedAt: T0 + 1,
    deliveredAt: T0 + 2,
    startedAt: T0 + 3,
    finishedAt: T0 + 4,
    acceptedAt: T0 + 5,
    worker: 'worker-1',
    error: undefined,
    result: '{"ok":true}',
    attempts: undefined,
    epoch: 1,
    traceparent: undefined,
    createdAt: T0 - 1_000,
    ...change,
  };
}

function deltaOf(head: ShardHead, change: Partial<ShardDelta> = {}): ShardDelta {
  return {
    shard: head.shard,
    epoch: head.epoch,
    seq: head.seq + 1,
    watermark: T0,
    deletes: [],
    inserts: [],
    patches: [],
    pointers: [],
    active: [],
    activeDone: [],
    history: [],
    commands: [],
    forgetCommandsBefore: 0,
    counters: { fired: 0, finished: 0, dead: 0 },
    ...change,
  };
}

const TEXTS = [
  '',
  'plain',
  '{"a":"b"}',
  'back\\slash "quotes" \'single\'',
  'tab\tnewline\nreturn\r',
  '\\N',
  '\\x00ff',
  '{NULL,"x"}',
  'grüße 漢字 🙂',
  'x'.repeat(70_000),
];

/** What every checkpoint store does. `make` gives an empty one for shards 0 to 7. */
export function checkpointStoreConformance(name: string, make: () => Promise<CheckpointStoreHarness>): void {
  describe(`checkpoint store: ${name}`, () => {
    let harness: CheckpointStoreHarness;
    let store: CheckpointStore;
    let attempts = 0;
    beforeEach(async () => {
      harness = await make();
      store = harness.store;
    });
    afterEach(() => harness.dispose());

    const take = async (shard: number, seen = 0, from = store): Promise<ShardHead> =>
      value(await from.takeEpochs([shard], 'node-a', [seen]))[0] as ShardHead;
    const commit = async (...deltas: ShardDelta[]): Promise<readonly number[]> =>
      value(await store.commit(deltas, `attempt-${attempts++}`)).fenced;
    const load = async (...shards: number[]): Promise<Loaded> => {
      const loaded: Loaded = { active: new Map(), commands: new Map(), tasks: new Map() };
      const append = <T>(map: Map<number, T[]>, shard: number, rows: readonly T[]): void =>
        void map.set(shard, [...(map.get(shard) ?? []), ...rows]);
      const outcome = await store.load(
        shards,
        (shard, rows) => append(loaded.active, shard, rows),
        (shard, rows) => append(loaded.commands, shard, rows),
        (shard, rows) => {
          for (const row of rows) loaded.tasks.set(row.id, { ...row, shard });
        },
      );
      value(outcome);
      return loaded;
    };
    const body = async (shard: number, id: string): Promise<Body | undefined> =>
      value(await store.bodies([{ shard, id }])).get(id);

    describe('epochs', () => {
      it('begin at 1, with nothing checkpointed', async () => {
        const counters = { fired: 0, finished: 0, dead: 0 };
        expect(await take(3)).toEqual({ shard: 3, epoch: 1, seq: 0, watermark: 0, counters });
      });

      it('grow past every epoch before, and past those that were seen elsewhere', async () => {
        await take(0);
        expect((await take(0)).epoch).toBe(2);
        expect((await take(0, 41)).epoch).toBe(42);
        expect((await take(0, 7)).epoch).toBe(43);
      });

      it('come in the order of the shards asked for', async () => {
        const heads = value(await store.takeEpochs([5, 1, 7, 0], 'node-a', [10, 20, 30, 40]));
        expect(heads.map(({ shard, epoch }) => [shard, epoch])).toEqual([
          [5, 11],
          [1, 21],
          [7, 31],
          [0, 41],
        ]);
      });

      it('are never given twice, however many ask at once', async () => {
        const shards = [0, 1, 2, 3, 4, 5, 6, 7];
        const asked = Array.from({ length: 12 }, (_, at) => {
          const order = at % 2 === 0 ? shards : shards.toReversed();
          const from = at % 3 === 0 ? harness.other : store;
          return from.takeEpochs(
            order,
            `node-${at}`,
            order.map(() => 0),
          );
        });
        const epochs = (await Promise.all(asked)).flatMap((outcome) =>
          value(outcome).map((h) => `${h.shard}/${h.epoch}`),
        );
        expect(new Set(epochs).size).toBe(96);
        expect((await take(4)).epoch).toBe(13);
      });

      it('carry on what was checkpointed', async () => {
        const counters = { fired: 12, finished: 9, dead: 2 };
        await commit(deltaOf(await take(2), { seq: 77, watermark: T0 + 5, counters }));
        expect(await take(2, 0, harness.other)).toEqual({ shard: 2, epoch: 2, seq: 77, watermark: T0 + 5, counters });
      });
    });

    describe('fencing', () => {
      it('refuses an older owner, and writes nothing of its', async () => {
        const old = await take(1);
        const fresh = await take(1, 0, harness.other);
        const id = taskId(1);
        const late = deltaOf(old, { inserts: [taskRow(id)], active: [activeRow(id)], history: [historyRow(id)] });
        expect(await commit({ ...late, commands: [{ hash: 1, at: T0 }] })).toEqual([1]);
        const { tasks, active, commands } = await load(1);
        expect([tasks.size, active.size, commands.size]).toEqual([0, 0, 0]);
        expect(await harness.history(id)).toEqual([]);
        expect(await commit(deltaOf(fresh))).toEqual([]);
      });

      it('writes the others of the same checkpoint', async () => {
        const stale = await take(1);
        const [one, two] = [await take(0), await take(2)];
        await take(1, 0, harness.other);
        const ids = [taskId(0), taskId(1), taskId(2)];
        const fenced = await commit(
          ...[one, stale, two].map((head, at) => deltaOf(head, { inserts: [taskRow(ids[at] as string)] })),
        );
        expect(fenced).toEqual([1]);
        expect([...(await load(0, 1, 2)).tasks.keys()].sort()).toEqual([ids[0], ids[2]].sort());
      });

      it('refuses an epoch that nobody took', async () => {
        const head = await take(1);
        await expect(store.commit([deltaOf({ ...head, epoch: 9 })], 'a')).rejects.toThrow('never taken');
      });
    });

    describe('a checkpoint', () => {
      it('stores nothing as nothing', async () => {
        expect(await commit()).toEqual([]);
        expect(await commit(deltaOf(await take(0)))).toEqual([]);
        expect((await load(0)).tasks.size).toBe(0);
      });

      it('stores tasks as they are given', async () => {
        const head = await take(6);
        const plain = taskRow(taskId(6));
        const full = taskRow(taskId(6), {
          key: 'invoice 17',
          namespace: 'zeta',
          queue: 'pdf',
          handler: 'render',
          schedule: 'cron:0 9 * * 1 Europe/Berlin',
          target: target({ namespace: 'zeta', queue: 'pdf', handler: 'render', priority: 0 }),
          metadata: '{"team":"red","zone":"1"}',
          traceparent: TRACEPARENT,
          effectiveFrom: T0 + 9,
          bodyHash: [0xdead_beef, 0, 0xffff_ffff, 7],
        });
        await commit(deltaOf(head, { inserts: [plain, full] }));
        const { tasks } = await load(6);
        expect(tasks.size).toBe(2);
        for (const row of [plain, full]) {
          const { id, schedule, createdAt, effectiveFrom, bodyHash, payload, metadata, key, traceparent } = row;
          const keyed = key !== undefined;
          const rest = { shard: 6, ended: undefined, pointer: undefined, target: row.target };
          expect(tasks.get(id)).toEqual({ id, schedule, createdAt, effectiveFrom, bodyHash, keyed, ...rest });
          expect(await body(6, id)).toEqual({ payload, metadata, key, traceparent, createdAt });
        }
      });

      it.each(TEXTS.map((text) => [text.length > 40 ? `${text.length} characters` : JSON.stringify(text), text]))(
        'keeps every character of %s',
        async (_, text) => {
          const head = await take(0);
          const [inserted, patched] = [taskId(0), taskId(0)];
          const parts = { payload: JSON.stringify(text), metadata: JSON.stringify({ label: text.slice(0, 200) }) };
          const key = `k${text.slice(0, 200)}`;
          const rows = [taskRow(inserted, { ...parts, key }), taskRow(patched)];
          await commit(deltaOf(head, { inserts: rows, active: [activeRow(inserted, { attempts: parts.payload })] }));
          await commit(
            deltaOf(head, {
              seq: 2,
              patches: [{ id: patched, ...parts, schedule: `x${text.slice(0, 500)}` }],
              history: [historyRow(inserted, { error: text, result: parts.payload })],
            }),
          );
          expect(await body(0, inserted)).toMatchObject({ ...parts, key });
          expect(await body(0, patched)).toMatchObject(parts);
          const { tasks, active } = await load(0);
          expect(tasks.get(patched)?.schedule).toBe(`x${text.slice(0, 500)}`);
          expect(active.get(0)?.[0]?.attempts).toBe(parts.payload);
          expect((await harness.history(inserted))[0]).toMatchObject({ error: text, result: parts.payload });
        },
      );

      it('is all or nothing', async () => {
        const [a, b] = [await take(0), await take(1)];
        const id = taskId(1);
        await commit(deltaOf(b, { inserts: [taskRow(id)] }));
        const other = taskId(0);
        const bug = [
          deltaOf(a, { inserts: [taskRow(other)], history: [historyRow(other)] }),
          deltaOf(b, { seq: 2, inserts: [taskRow(id)] }),
        ];
        await expect(store.commit(bug, 'twice')).rejects.toThrow();
        expect([...(await load(0, 1)).tasks.keys()]).toEqual([id]);
        expect(await harness.history(other)).toEqual([]);
        expect(await commit(deltaOf(a, { inserts: [taskRow(other)] }))).toEqual([]);
      });

      it('deletes before it inserts, so that a task can be made anew', async () => {
        const head = await take(0);
        const [renewed, gone] = [taskId(0), taskId(0)];
        await commit(deltaOf(head, { inserts: [taskRow(renewed), taskRow(gone)] }));
        const again = taskRow(renewed, { payload: '"new"', createdAt: T0 + 1, effectiveFrom: T0 + 1 });
        await commit(deltaOf(head, { seq: 2, deletes: [renewed, gone, taskId(0)], inserts: [again] }));
        expect([...(await load(0)).tasks.keys()]).toEqual([renewed]);
        expect(await body(0, renewed)).toMatchObject({ payload: '"new"', createdAt: T0 + 1 });
        expect(await body(0, gone)).toBeUndefined();
      });

      it('patches what is given and nothing else', async () => {
        const head = await take(0);
        const id = taskId(0);
        const long = JSON.stringify('long '.repeat(400));
        const row = taskRow(id, { payload: long, metadata: '{"a":"1"}', key: 'k', traceparent: TRACEPARENT });
        await commit(deltaOf(head, { inserts: [row] }));
        const text = target({ queue: 'other', handler: 'else' });
        await commit(
          deltaOf(head, { seq: 2, patches: [{ id, queue: 'other', handler: 'else', target: text, metadata: '{}' }] }),
        );
        const before = (await load(0)).tasks.get(id);
        expect(before).toMatchObject({
          target: text,
          schedule: row.schedule,
          effectiveFrom: T0,
          bodyHash: row.bodyHash,
        });
        expect(await body(0, id)).toMatchObject({ payload: long, metadata: '{}', key: 'k', traceparent: TRACEPARENT });
        const patch = { id, schedule: 'every:60000', effectiveFrom: T0 + 7, bodyHash: [4, 3, 2, 1] as const };
        await commit(deltaOf(head, { seq: 3, patches: [{ ...patch, payload: '"short"' }] }));
        expect((await load(0)).tasks.get(id)).toMatchObject({ ...patch, target: text, createdAt: T0 });
        expect(await body(0, id)).toMatchObject({ payload: '"short"' });
        await commit(deltaOf(head, { seq: 4, patches: [{ id, payload: long }] }));
        expect(await body(0, id)).toMatchObject({ payload: long });
      });

      it('marks ended tasks, also among those that it inserts', async () => {
        const head = await take(0);
        const [first, second] = [taskId(0), taskId(0)];
        await commit(deltaOf(head, { inserts: [taskRow(first, { key: 'k' })] }));
        const ended = (state: 'finished' | 'cancelled') => ({ state, at: T0 + 99 });
        await commit(
          deltaOf(head, {
            seq: 2,
            inserts: [taskRow(second, { key: 'l' })],
            patches: [
              { id: first, ended: ended('finished') },
              { id: second, ended: ended('cancelled'), effectiveFrom: T0 + 2 },
            ],
          }),
        );
        const { tasks } = await load(0);
        expect(tasks.get(first)).toMatchObject({ ended: ended('finished'), keyed: true });
        expect(tasks.get(second)).toMatchObject({ ended: ended('cancelled'), effectiveFrom: T0 + 2 });
      });

      it('sets, moves and removes pointers', async () => {
        const head = await take(0);
        const ids = [taskId(0), taskId(0), taskId(0)] as const;
        const inserts = ids.map((id) => taskRow(id, { schedule: 'every:1000' }));
        await commit(deltaOf(head, { inserts, pointers: ids.map((task) => ({ task, next: T0 })) }));
        const moves = [
          { task: ids[1], next: T0 + 5 },
          { task: ids[2], next: undefined },
        ];
        await commit(deltaOf(head, { seq: 2, pointers: moves }));
        const { tasks } = await load(0);
        expect(ids.map((id) => tasks.get(id)?.pointer)).toEqual([T0, T0 + 5, undefined]);
      });

      it('keeps what is under way until it is done', async () => {
        const head = await take(3);
        const [a, b] = [taskId(3), taskId(3)];
        const retrying = activeRow(a, {
          scheduledAt: T0 + 1,
          attempt: 4,
          state: 'retrying',
          retryAt: T0 + 500,
          dispatchedAt: undefined,
          lost: 2,
          failures: 1,
          attempts: '[[1,"failed"]]',
          target: target({ queue: 'former' }),
          traceparent: TRACEPARENT,
        });
        await commit(deltaOf(head, { active: [activeRow(a), retrying, activeRow(b)] }));
        const again = activeRow(b, { attempt: 2, dispatchedAt: T0 + 50 });
        await commit(
          deltaOf(head, {
            seq: 2,
            active: [again],
            activeDone: [{ task: a, scheduledAt: T0 }],
            history: [historyRow(a)],
          }),
        );
        const { active } = await load(3);
        const rows = (active.get(3) ?? []).toSorted((x, y) => y.attempt - x.attempt);
        expect(rows).toEqual([retrying, again]);
        expect([...active.keys()]).toEqual([3]);
        await commit(deltaOf(head, { seq: 3, activeDone: [{ task: b, scheduledAt: T0 }], active: [activeRow(b)] }));
        expect((await load(3)).active.get(3)).toContainEqual(activeRow(b));
      });

      it('records executions with all their parts', async () => {
        const head = await take(3);
        const id = taskId(3);
        const bare = historyRow(id, {
          scheduledAt: T0 + 1,
          state: 'lost',
          dispatchedAt: undefined,
          deliveredAt: undefined,
          startedAt: undefined,
          worker: undefined,
          result: undefined,
        });
        const full = historyRow(id, {
          scheduledAt: T0 + 2,
          namespace: 'zeta',
          queue: 'pdf',
          handler: 'render',
          state: 'dead',
          attempt: 3,
          error: 'no such invoice',
          attempts: '[[1,"failed"],[2,"timed_out"]]',
          epoch: 77,
          traceparent: TRACEPARENT,
        });
        await commit(deltaOf(head, { history: [historyRow(id), bare, full] }));
        const recorded = await harness.history(id);
        expect(recorded.toSorted((x, y) => x.scheduledAt - y.scheduledAt)).toEqual([historyRow(id), bare, full]);
      });

      it('remembers commands until they are to be forgotten', async () => {
        const head = await take(5);
        const far = 2 ** 53 - 1;
        const commands = [T0, T0 + 10, T0 + 20].map((at, index) => ({ hash: far - index, at }));
        await commit(deltaOf(head, { commands }));
        expect((await load(5)).commands.get(5)?.toSorted((x, y) => x.at - y.at)).toEqual(commands);
        const later = { hash: 4, at: T0 + 30 };
        await commit(deltaOf(head, { seq: 2, commands: [later], forgetCommandsBefore: T0 + 20 }));
        const kept = (await load(5)).commands.get(5)?.toSorted((x, y) => x.at - y.at);
        expect(kept).toEqual([commands[2], later]);
        expect((await load(4)).commands.size).toBe(0);
      });

      it('is not written twice when it is repeated with the same attempt', async () => {
        const head = await take(0);
        const id = taskId(0);
        const delta = deltaOf(head, {
          inserts: [taskRow(id)],
          history: [historyRow(id)],
          commands: [{ hash: 1, at: T0 }],
        });
        for (let i = 0; i < 3; i++) expect(value(await store.commit([delta], 'same'))).toEqual({ fenced: [] });
        expect(value(await harness.other.commit([delta], 'same'))).toEqual({ fenced: [] });
        expect(await harness.history(id)).toHaveLength(1);
        expect((await load(0)).commands.get(0)).toHaveLength(1);
      });

      it('is told from a new one with the same sequence', async () => {
        const head = await take(0);
        await commit(deltaOf(head, { inserts: [taskRow(taskId(0))] }));
        await commit(deltaOf(head, { inserts: [taskRow(taskId(0))] }));
        expect((await load(0)).tasks.size).toBe(2);
      });

      it('writes what a repetition has besides what was written', async () => {
        const [a, b] = [await take(0), await take(1)];
        const deltas = [a, b].map((head) => deltaOf(head, { inserts: [taskRow(taskId(head.shard))] }));
        value(await store.commit(deltas.slice(0, 1), 'part'));
        expect(value(await store.commit(deltas, 'part'))).toEqual({ fenced: [] });
        expect((await load(0, 1)).tasks.size).toBe(2);
      });

      it('never goes back in the inbox', async () => {
        const head = await take(0);
        await commit(deltaOf(head, { seq: 10 }));
        await expect(store.commit([deltaOf(head, { seq: 9 })], 'back')).rejects.toThrow('go back');
      });

      it('of one node does not disturb that of another', async () => {
        const heads = await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((shard) => take(shard)));
        const writes = Array.from({ length: 6 }, (_, round) => {
          const of = heads.filter(({ shard }) => shard % 2 === round % 2);
          const ordered = round % 3 === 0 ? of.toReversed() : of;
          const deltas = ordered.map((head) => deltaOf(head, { inserts: [taskRow(taskId(head.shard))] }));
          return (round % 2 === 0 ? store : harness.other).commit(deltas, `round ${round}`);
        });
        for (const outcome of await Promise.all(writes)) expect(value(outcome)).toEqual({ fenced: [] });
        expect((await load(0, 1, 2, 3, 4, 5, 6, 7)).tasks.size).toBe(24);
      });
    });

    describe('loading', () => {
      it('gives everything of the shards asked for, in slices, what is under way first', async () => {
        const heads = value(await store.takeEpochs([0, 1, 2], 'node-a', [0, 0, 0]));
        const ids = new Map(heads.map(({ shard }) => [shard, Array.from({ length: 3_000 }, () => taskId(shard))]));
        const deltas = heads.map((head) => {
          const inserts = (ids.get(head.shard) as string[]).map((id) => taskRow(id));
          return deltaOf(head, { inserts, active: [activeRow(inserts[0]?.id as string)] });
        });
        await commit(...deltas);
        const got = new Map<number, string[]>();
        const order: string[] = [];
        const outcome = await store.load(
          [0, 2],
          () => void order.push('active'),
          () => void order.push('commands'),
          async (shard, rows) => {
            if (order.at(-1) !== 'tasks') order.push('tasks');
            await new Promise((resolve) => setImmediate(resolve));
            got.set(shard, [...(got.get(shard) ?? []), ...rows.map(({ id }) => id)]);
          },
        );
        value(outcome);
        expect(order).toEqual(['active', 'active', 'tasks']);
        expect([...got.keys()].sort()).toEqual([0, 2]);
        for (const [shard, loaded] of got) expect(loaded.sort()).toEqual(ids.get(shard)?.toSorted());
      });

      it('ends with the error of a receiver that fails', async () => {
        const head = await take(0);
        await commit(deltaOf(head, { inserts: [taskRow(taskId(0))] }));
        const failing = store.load(
          [0],
          () => undefined,
          () => undefined,
          () => {
            throw new Error('cannot digest');
          },
        );
        await expect(failing).rejects.toThrow('cannot digest');
        expect((await load(0)).tasks.size).toBe(1);
      });

      it('gives bodies by id, and leaves out those that are not there', async () => {
        const heads = value(await store.takeEpochs([0, 1], 'node-a', [0, 0]));
        const rows = heads.flatMap(({ shard }) =>
          Array.from({ length: 1_200 }, (_, i) => ({ shard, row: taskRow(taskId(shard), { payload: `${i}` }) })),
        );
        const insertsOf = (of: number) => rows.filter(({ shard }) => shard === of).map(({ row }) => row);
        await commit(...heads.map((head) => deltaOf(head, { inserts: insertsOf(head.shard) })));
        const refs = rows.map(({ shard, row }) => ({ shard, id: row.id }));
        const bodies = value(await store.bodies([...refs, { shard: 0, id: taskId(0) }]));
        expect(bodies.size).toBe(2_400);
        for (const { row } of rows) expect(bodies.get(row.id)?.payload).toBe(row.payload);
        expect(value(await store.bodies([])).size).toBe(0);
      });
    });

    it('counts the work stream up, far enough for what it may hold', async () => {
      const first = await store.nextFirstSeq();
      const second = await harness.other.nextFirstSeq();
      expect(first).toBeGreaterThan(0);
      expect(second - first).toBeGreaterThan(10 ** 9);
      expect(Number.isSafeInteger(second)).toBe(true);
    });
  });
}
