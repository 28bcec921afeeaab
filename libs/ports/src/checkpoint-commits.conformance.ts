import { describe, expect, it } from 'vitest';

import {
  activeRow,
  calendarRow,
  deltaOf,
  handsOn,
  historyRow,
  T0,
  target,
  taskId,
  taskRow,
  TRACEPARENT,
  value,
} from './checkpoint-rows.conformance.ts';
import type { CheckpointStoreHarness } from './checkpoint-rows.conformance.ts';

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

/** What commits do to what is loaded later. */
export function checkpointCommits(now: () => CheckpointStoreHarness): void {
  const { take, commit, load, loadChanged, body } = handsOn(now);

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
        const hash = keyed ? bodyHash : [0, 0, 0, 0];
        expect(tasks.get(id)).toEqual({ id, schedule, createdAt, effectiveFrom, bodyHash: hash, keyed, ...rest });
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
        expect((await now().history(inserted))[0]).toMatchObject({ error: text, result: parts.payload });
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
      await expect(now().store.commit(bug, 'twice')).rejects.toThrow();
      expect([...(await load(0, 1)).tasks.keys()]).toEqual([id]);
      expect(await now().history(other)).toEqual([]);
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
      const recorded = await now().history(id);
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

    it('keeps the calendars of each shard, as they were set last', async () => {
      const [one, two] = [await take(0), await take(1)];
      const christmas = calendarRow('christmas', { definition: '{"exclude":["12-24","\\"quoted\\""]}' });
      const [freeze, later] = [
        calendarRow('freeze'),
        calendarRow('freeze', { version: 2, definition: '{}', setAt: T0 + 9 }),
      ];
      const elsewhere = calendarRow('freeze', { namespace: 'zeta' });
      await commit(deltaOf(one, { calendars: [christmas, freeze, elsewhere] }), deltaOf(two, { calendars: [freeze] }));
      await commit(deltaOf(one, { seq: 2, calendars: [later] }));
      const { calendars } = await load(0, 1, 2);
      expect(new Set(calendars.get(0))).toEqual(new Set([christmas, later, elsewhere]));
      expect(calendars.get(1)).toEqual([freeze]);
      expect(calendars.has(2)).toBe(false);
    });

    it('tells what has changed of shards that were loaded before', async () => {
      const [one, two] = [await take(0), await take(1)];
      const [patched, pointed, same, gone] = [taskId(0), taskId(0), taskId(0), taskId(0)];
      const elsewhere = taskId(1);
      const [early, late] = [
        { hash: 1, at: T0 },
        { hash: 2, at: T0 + 10 },
      ];
      await commit(
        deltaOf(one, {
          inserts: [patched, pointed, same, gone].map((id) => taskRow(id)),
          commands: [early],
          calendars: [calendarRow('freeze')],
        }),
        deltaOf(two, { inserts: [taskRow(elsewhere)] }),
      );
      await commit(
        deltaOf(one, {
          seq: 2,
          deletes: [gone],
          patches: [{ id: patched, effectiveFrom: T0 + 5 }],
          pointers: [{ task: pointed, next: T0 + 6 }],
          active: [activeRow(same)],
          commands: [late],
        }),
      );
      const tasks = [patched, pointed, gone, elsewhere];
      const changed = await loadChanged([0, 1], { tasks, commandsFrom: late.at });
      expect(new Set(changed.tasks.keys())).toEqual(new Set([patched, pointed, elsewhere]));
      expect(changed.tasks.get(patched)).toMatchObject({ effectiveFrom: T0 + 5, pointer: undefined });
      expect(changed.tasks.get(pointed)).toMatchObject({ shard: 0, pointer: T0 + 6 });
      expect([...changed.active.values()]).toEqual([[activeRow(same)]]);
      expect(changed.commands).toEqual(new Map([[0, [late]]]));
      expect(changed.calendars.size).toBe(0);
      const nothing = await loadChanged([0, 1], { tasks: [], commandsFrom: Infinity });
      expect([nothing.tasks.size, nothing.commands.size]).toEqual([0, 0]);
    });

    it('is not written twice when it is repeated with the same attempt', async () => {
      const head = await take(0);
      const id = taskId(0);
      const delta = deltaOf(head, {
        inserts: [taskRow(id)],
        history: [historyRow(id)],
        commands: [{ hash: 1, at: T0 }],
      });
      for (let i = 0; i < 3; i++) expect(value(await now().store.commit([delta], 'same'))).toEqual({ fenced: [] });
      expect(value(await now().other.commit([delta], 'same'))).toEqual({ fenced: [] });
      expect(await now().history(id)).toHaveLength(1);
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
      value(await now().store.commit(deltas.slice(0, 1), 'part'));
      expect(value(await now().store.commit(deltas, 'part'))).toEqual({ fenced: [] });
      expect((await load(0, 1)).tasks.size).toBe(2);
    });

    it('never goes back in the inbox', async () => {
      const head = await take(0);
      await commit(deltaOf(head, { seq: 10 }));
      await expect(now().store.commit([deltaOf(head, { seq: 9 })], 'back')).rejects.toThrow('go back');
    });

    it('of one node does not disturb that of another', async () => {
      const heads = await Promise.all([0, 1, 2, 3, 4, 5, 6, 7].map((shard) => take(shard)));
      const writes = Array.from({ length: 6 }, (_, round) => {
        const of = heads.filter(({ shard }) => shard % 2 === round % 2);
        const ordered = round % 3 === 0 ? of.toReversed() : of;
        const deltas = ordered.map((head) => deltaOf(head, { inserts: [taskRow(taskId(head.shard))] }));
        return (round % 2 === 0 ? now().store : now().other).commit(deltas, `round ${round}`);
      });
      for (const outcome of await Promise.all(writes)) expect(value(outcome)).toEqual({ fenced: [] });
      expect((await load(0, 1, 2, 3, 4, 5, 6, 7)).tasks.size).toBe(24);
    });
  });
}
