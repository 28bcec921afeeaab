import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { NO_FIRES, type CheckpointStore } from './checkpoint-store.ts';
import { checkpointCommits } from './checkpoint-commits.conformance.ts';
import { activeRow, deltaOf, handsOn, historyRow, taskId, T0, taskRow, value } from './checkpoint-rows.conformance.ts';
import type { CheckpointStoreHarness } from './checkpoint-rows.conformance.ts';

export type { CheckpointStoreHarness };

/** What every checkpoint store does. `make` gives an empty one for shards 0 to 7. */
export function checkpointStoreConformance(name: string, make: () => Promise<CheckpointStoreHarness>): void {
  describe(`checkpoint store: ${name}`, () => {
    let harness: CheckpointStoreHarness;
    let store: CheckpointStore;
    beforeEach(async () => {
      harness = await make();
      store = harness.store;
    });
    afterEach(() => harness.dispose());

    const { take, commit, load } = handsOn(() => harness);

    checkpointCommits(() => harness);

    describe('epochs', () => {
      it('begin at 1, with nothing checkpointed', async () => {
        const counters = NO_FIRES;
        expect(await take(3)).toEqual({ shard: 3, epoch: 1, seq: 0, watermark: 0, counters, gaps: [] });
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
        const counters = {
          fired: 12,
          finished: 9,
          dead: 2,
          failed: 1,
          cancelled: 3,
          skipped: 7,
          withdrawn: 4,
          missed: 5,
        };
        const head = {
          shard: 2,
          seq: 77,
          watermark: T0 + 5,
          counters,
          gaps: [[T0 - 9, T0 - 5] as const, [T0 - 2, T0] as const],
        };
        await commit(deltaOf(await take(2), head));
        expect(await take(2, 0, harness.other)).toEqual({ ...head, epoch: 2 });
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

      it('refuses what continues a state that is not there: the store was put back to an older one', async () => {
        const head = await take(1);
        const id = taskId(1);
        expect(await commit(deltaOf({ ...head, epoch: head.epoch + 1 }, { inserts: [taskRow(id)] }))).toEqual([1]);
        expect(await commit(deltaOf(head, { seq: 9, after: 7, inserts: [taskRow(id)] }))).toEqual([1]);
        expect((await load(1)).tasks.size).toBe(0);
        expect(await commit(deltaOf(head, { seq: 9, after: head.seq, inserts: [taskRow(id)] }))).toEqual([]);
        expect(await commit(deltaOf(head, { seq: 12, after: 9 }))).toEqual([]);
        expect((await load(1)).tasks.size).toBe(1);
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
          () => void order.push('calendars'),
          async (shard, tasks) => {
            if (order.at(-1) !== 'tasks') order.push('tasks');
            await new Promise((resolve) => setImmediate(resolve));
            got.set(shard, [...(got.get(shard) ?? []), ...Array.from(tasks, ({ id }) => id)]);
          },
        );
        value(outcome);
        expect(order).toEqual(['active', 'active', 'tasks']);
        expect([...got.keys()].sort()).toEqual([0, 2]);
        for (const [shard, loaded] of got) expect(loaded.sort()).toEqual(ids.get(shard)?.toSorted());
      });

      it('gives many commands and then goes on', async () => {
        const head = await take(0);
        const commands = Array.from({ length: 4_000 }, (_, hash) => ({ hash, at: T0 + hash }));
        await commit(deltaOf(head, { commands, inserts: [taskRow(taskId(0))] }));
        const loaded = await load(0);
        expect(loaded.commands.get(0)).toHaveLength(4_000);
        expect(loaded.tasks.size).toBe(1);
      });

      it('ends with the error of a receiver that fails', async () => {
        const head = await take(0);
        await commit(deltaOf(head, { inserts: [taskRow(taskId(0))] }));
        const failing = store.load(
          [0],
          () => undefined,
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
