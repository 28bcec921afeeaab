import { LIMITS } from '@belfry/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import type { Outcome } from './outcome.ts';
import type { PulledWork } from './memory-work-queue.ts';
import type { AttemptRef, Fence, WorkItem, WorkQueue, WorkRef } from './work-queue.ts';

export interface WorkQueueHarness {
  readonly queue: WorkQueue;
  /** A second client of the same stream. */
  readonly other: WorkQueue;
  /** The first sequence for a stream that is made anew: grows. */
  firstSeq(): Promise<number>;
  /** What a worker gets that asks for exactly `count` messages. */
  pull(namespace: string, queue: string, count: number): Promise<PulledWork[]>;
  /** The stream vanishes with all that is in it. */
  lose(): Promise<void>;
  dispose(): Promise<void>;
}

const execution = (i: number): string => `${i.toString(16).padStart(32, '0')}-kz12abc`;
const attempts = (execution: string, attempt = 1): AttemptRef[] => [{ execution, attempt }];
const item = (i: number, more: Partial<WorkItem> = {}): WorkItem => ({
  namespace: 'acme',
  queue: 'mail',
  attempts: attempts(execution(i)),
  body: `body ${i}`,
  ...more,
});
/** A message that carries `count` executions. */
const parcel = (i: number, count: number): WorkItem => {
  const carried = Array.from({ length: count }, (_, n) => ({ execution: execution(i + n), attempt: n + 1 }));
  return item(i, { attempts: carried, body: JSON.stringify(carried) });
};
const items = (count: number, from = 0): WorkItem[] => Array.from({ length: count }, (_, i) => item(from + i));
const executions = (refs: readonly WorkRef[]): string[] =>
  refs.flatMap((ref) => ref.attempts.map((one) => one.execution)).sort();

function value<T>(outcome: Outcome<T, string>): T {
  if (outcome.kind !== 'ok') throw new Error(JSON.stringify(outcome));
  return outcome.value;
}

/** What every work queue does. `make` gives one whose stream is not there yet and takes about `maxBytes`. */
export function workQueueConformance(
  name: string,
  make: (options: { maxBytes: number }) => Promise<WorkQueueHarness>,
): void {
  describe(`work queue: ${name}`, () => {
    let harness: WorkQueueHarness;
    let queue: WorkQueue;
    beforeEach(async () => {
      harness = await make({ maxBytes: 2_000_000 });
      queue = harness.queue;
    });
    afterEach(() => harness.dispose());

    const take = async (shard: number, epoch: number): Promise<Fence> => value(await queue.takeFence(shard, epoch));

    describe('its stream', () => {
      it('has no incarnation before it is made', async () => {
        expect(await queue.incarnation()).toBe(0);
      });

      it('is made once, whoever asks, and asks the counter only then', async () => {
        const made = await Promise.all([queue.ensure(harness.firstSeq), harness.other.ensure(harness.firstSeq)]);
        expect(made[0]).toBeGreaterThan(0);
        expect(made[1]).toBe(made[0]);
        const never = (): Promise<number> => Promise.reject(new Error('asked again'));
        expect(await queue.ensure(never)).toBe(made[0]);
        expect(await queue.incarnation()).toBe(made[0]);
      });

      it('is another incarnation after it was lost, and old fences are of no use there', async () => {
        const first = await queue.ensure(harness.firstSeq);
        const old = await take(5, 1);
        await harness.lose();
        expect(await queue.publish(old, 'gone', items(1))).toEqual({ kind: 'refused', reason: 'lost' });
        expect(await queue.publish(old, 'gone2', items(2))).toEqual({ kind: 'refused', reason: 'lost' });
        expect(await queue.incarnation()).toBe(0);
        const second = await queue.ensure(harness.firstSeq);
        expect(second).toBeGreaterThan(first);
        expect(await queue.fenceOf(5)).toMatchObject({ epoch: 0 });
        expect(await queue.publish(old, 'b1', items(1))).toEqual({ kind: 'refused', reason: 'lost' });
        await take(6, 1);
        expect(await queue.publish(old, 'b2', items(2))).toEqual({ kind: 'refused', reason: 'lost' });
        const renewed = await take(5, 2);
        expect(renewed.incarnation).toBe(second);
        expect(await queue.publish(renewed, 'b3', items(2))).toMatchObject({ kind: 'ok' });
        expect(await queue.publish(old, 'b4', items(2, 10))).toEqual({ kind: 'refused', reason: 'fenced' });
      });
    });

    describe('its fences', () => {
      beforeEach(() => queue.ensure(harness.firstSeq));

      it('grow only', async () => {
        expect(await queue.fenceOf(7)).toMatchObject({ epoch: 0 });
        expect(await take(7, 3)).toMatchObject({ shard: 7, epoch: 3, incarnation: await queue.incarnation() });
        expect(await queue.fenceOf(7)).toMatchObject({ epoch: 3 });
        const refused = { kind: 'refused', reason: 'fenced' };
        expect(await harness.other.takeFence(7, 3)).toEqual(refused);
        expect(await harness.other.takeFence(7, 2)).toEqual(refused);
        expect(await harness.other.takeFence(7, 4)).toMatchObject({ kind: 'ok' });
        expect(await queue.fenceOf(7)).toMatchObject({ epoch: 4 });
      });

      it('are not taken over one that was seen, and went with the stream', async () => {
        await take(5, 3);
        const incarnation = await queue.incarnation();
        expect(await queue.takeFence(5, 4, { incarnation, epoch: 3 })).toMatchObject({ kind: 'ok' });
        await harness.lose();
        await queue.ensure(harness.firstSeq);
        const refused = { kind: 'refused', reason: 'lost' };
        expect(await queue.takeFence(5, 5, { incarnation, epoch: 4 })).toEqual(refused);
        expect(await queue.fenceOf(5)).toMatchObject({ epoch: 0 });
        expect(await queue.takeFence(5, 5, { incarnation, epoch: 0 })).toMatchObject({ kind: 'ok' });
      });

      it('tell which stream their taker had seen', async () => {
        const incarnation = await queue.incarnation();
        await harness.lose();
        const next = await queue.ensure(harness.firstSeq);
        expect(await queue.takeFence(5, 5, { incarnation, epoch: 0 })).toMatchObject({ kind: 'ok' });
        expect(await queue.fenceOf(5)).toMatchObject({ epoch: 5, seen: incarnation });
        expect(await harness.other.takeFence(5, 6, { incarnation: next, epoch: 5 })).toMatchObject({ kind: 'ok' });
        expect(await queue.fenceOf(5)).toMatchObject({ epoch: 6, seen: next });
      });

      it('let one of many win, the highest epoch in the end', async () => {
        const claims = Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? queue : harness.other).takeFence(9, i + 1));
        const outcomes = await Promise.all(claims);
        expect(outcomes.some(({ kind }) => kind === 'ok')).toBe(true);
        while ((await queue.fenceOf(9)).epoch < 10) value(await queue.takeFence(9, 10));
        expect(await harness.other.takeFence(9, 9)).toEqual({ kind: 'refused', reason: 'fenced' });
      });

      it('stop the former owner at once, with single items and with batches', async () => {
        const old = await take(1, 1);
        expect(await queue.publish(old, 'a', items(2))).toMatchObject({ kind: 'ok' });
        const fresh = value(await harness.other.takeFence(1, 2));
        for (const [i, count] of [1, 2, 50].entries()) {
          const late = await queue.publish(old, `late${i}`, items(count, 100));
          expect(late).toEqual({ kind: 'refused', reason: 'fenced' });
        }
        expect(await harness.other.publish(fresh, 'b', items(2, 200))).toMatchObject({ kind: 'ok' });
        expect(executions(await queue.surviving(1))).toEqual([0, 1, 200, 201].map(execution));
      });

      it('are per shard', async () => {
        const one = await take(1, 1);
        await take(2, 5);
        expect(await queue.publish(one, 'a', items(3))).toMatchObject({ kind: 'ok' });
      });

      it('are never delivered to workers', async () => {
        const fence = await take(1, 1);
        await queue.ensureConsumer('acme', 'mail', LIMITS.workLeaseMs);
        value(await queue.publish(fence, 'a', items(3)));
        const pulled = await harness.pull('acme', 'mail', 3);
        expect(pulled.map(({ ref }) => ref.shard)).toEqual([1, 1, 1]);
        for (const work of pulled) await work.ack();
        expect(await queue.fenceOf(1)).toMatchObject({ epoch: 1 });
      });
    });

    describe('its leases', () => {
      beforeEach(() => queue.ensure(harness.firstSeq));
      const leases = async (): Promise<string[]> =>
        (await harness.other.leases()).map((lease) => `${lease.namespace} ${lease.queue} ${lease.leaseMs}`).sort();

      it('are as long as the longest that was asked for, whoever asks last', async () => {
        expect(await leases()).toEqual([]);
        await queue.ensureConsumer('acme', 'mail', 8_000);
        await queue.ensureConsumer('acme', 'pdf', 8_000);
        expect(await leases()).toEqual(['acme mail 8000', 'acme pdf 8000']);
        await harness.other.ensureConsumer('acme', 'mail', 60_000);
        await queue.ensureConsumer('acme', 'mail', 10_000);
        expect(await leases()).toEqual(['acme mail 60000', 'acme pdf 8000']);
        await Promise.all([20_000, 9_000, 30_000].map((ms) => queue.ensureConsumer('acme', 'new', ms)));
        await queue.ensureConsumer('acme', 'new', 9_000);
        expect((await leases())[1]).toMatch(/^acme new (20|30)000$/);
      });

      it('are shortened by order only, where there is a consumer', async () => {
        await queue.ensureConsumer('acme', 'mail', 60_000);
        await harness.other.setLease({ namespace: 'acme', queue: 'mail', leaseMs: 8_000 });
        await queue.setLease({ namespace: 'acme', queue: 'none', leaseMs: 8_000 });
        expect(await leases()).toEqual(['acme mail 8000']);
      });
    });

    describe('publishing', () => {
      let fence: Fence;
      beforeEach(async () => {
        await queue.ensure(harness.firstSeq);
        fence = await take(17, 1);
      });

      it('takes nothing as nothing', async () => {
        expect(await queue.publish(fence, 'empty', [])).toMatchObject({ kind: 'ok' });
      });

      it('delivers items whole, with their trace context, to their queue alone', async () => {
        await queue.ensureConsumer('acme', 'mail', LIMITS.workLeaseMs);
        await queue.ensureConsumer('acme', 'pdf', LIMITS.workLeaseMs);
        const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
        const batch = [
          item(1, { traceparent }),
          item(2, { queue: 'pdf' }),
          item(3, { body: new TextEncoder().encode('bytes') }),
        ];
        value(await queue.publish(fence, 'a', batch));
        value(
          await queue.publish(fence, 'b', [
            item(4, { attempts: attempts(execution(4), 2), queue: 'pdf', traceparent }),
          ]),
        );
        const mail = await harness.pull('acme', 'mail', 2);
        expect(mail.map(({ body, traceparent: tp }) => [body, tp])).toEqual([
          ['body 1', traceparent],
          ['bytes', undefined],
        ]);
        const pdf = await harness.pull('acme', 'pdf', 2);
        expect(pdf.map(({ ref }) => ref)).toEqual([
          { namespace: 'acme', queue: 'pdf', shard: 17, attempts: attempts(execution(2)) },
          { namespace: 'acme', queue: 'pdf', shard: 17, attempts: attempts(execution(4), 2) },
        ]);
        expect(pdf[1]?.traceparent).toBe(traceparent);
      });

      it('knows a repeated batch again, and stores it once', async () => {
        for (let i = 0; i < 3; i++) {
          expect(await queue.publish(fence, 'single', [item(1)])).toMatchObject({ kind: 'ok' });
          expect(await queue.publish(fence, 'several', items(5, 10))).toMatchObject({ kind: 'ok' });
        }
        expect((await queue.surviving(17)).length).toBe(6);
      });

      it('knows a repeated batch again when some of it is done', async () => {
        await queue.ensureConsumer('acme', 'mail', LIMITS.workLeaseMs);
        value(await queue.publish(fence, 'several', items(5)));
        for (const work of await harness.pull('acme', 'mail', 3)) await work.ack();
        expect(await queue.publish(fence, 'several', items(5))).toMatchObject({ kind: 'ok' });
        expect((await queue.surviving(17)).length).toBe(2);
      });

      it('refuses a batch with an attempt that is there, whole', async () => {
        value(await queue.publish(fence, 'a', items(3)));
        expect(await queue.publish(fence, 'b', [item(10), item(11), item(2)])).toEqual({
          kind: 'refused',
          reason: 'duplicate',
        });
        expect((await queue.surviving(17)).length).toBe(3);
        expect(
          await queue.publish(fence, 'c', [item(10), item(2, { attempts: attempts(execution(2), 2) })]),
        ).toMatchObject({ kind: 'ok' });
      });

      it('refuses what does not fit, whole, and takes it when there is room', async () => {
        const body = 'x'.repeat(200_000);
        let accepted = 0;
        for (let i = 0; i < 8; i++) {
          const outcome = await queue.publish(fence, `big${i}`, [item(2 * i, { body }), item(2 * i + 1, { body })]);
          if (outcome.kind === 'ok') accepted += 2;
          else expect(outcome).toEqual({ kind: 'refused', reason: 'full' });
        }
        expect(accepted).toBeLessThan(16);
        const refs = await queue.surviving(17);
        expect(refs.length).toBe(accepted);
        expect(await queue.publish(fence, 'one', [item(99, { body: 'x'.repeat(500_000) })])).toEqual({
          kind: 'refused',
          reason: 'full',
        });
        await queue.remove(refs);
        expect(await queue.publish(fence, 'again', [item(50, { body }), item(51, { body })])).toMatchObject({
          kind: 'ok',
        });
      });

      it('carries the batches of many shards at the same time', async () => {
        const fences = await Promise.all(Array.from({ length: 40 }, (_, shard) => take(100 + shard, 1)));
        const batches = fences.flatMap((of, s) =>
          [0, 1, 2].map((b) => queue.publish(of, `s${s}b${b}`, items(20, s * 1_000 + b * 20))),
        );
        for (const outcome of await Promise.all(batches)) expect(outcome).toMatchObject({ kind: 'ok' });
        const surviving = await Promise.all(fences.map(({ shard }) => queue.surviving(shard)));
        expect(surviving.map((refs) => refs.length)).toEqual(fences.map(() => 60));
      });
    });

    describe('what survives', () => {
      let fence: Fence;
      beforeEach(async () => {
        await queue.ensure(harness.firstSeq);
        fence = await take(3, 1);
        await queue.ensureConsumer('acme', 'mail', LIMITS.workLeaseMs);
      });

      it('is what is published and neither acknowledged nor removed', async () => {
        value(await queue.publish(fence, 'a', items(6)));
        const [done, inHands] = await harness.pull('acme', 'mail', 2);
        await done?.ack();
        const refs = await queue.surviving(3);
        expect(executions(refs)).toEqual([1, 2, 3, 4, 5].map(execution));
        expect(refs).toContainEqual(inHands?.ref);
        expect(await queue.remove(refs.slice(0, 2))).toBe(2);
        expect(await queue.remove(refs.slice(0, 3))).toBe(1);
        expect(executions(await queue.surviving(3))).toEqual(executions(refs.slice(3)));
        expect(await queue.remove([])).toBe(0);
      });

      it('is of that shard only, in every namespace and queue', async () => {
        const other = await take(33, 1);
        value(await queue.publish(fence, 'a', [item(1), item(2, { namespace: 'zeta', queue: 'q-1' })]));
        value(await queue.publish(other, 'b', items(3, 10)));
        const refs = await queue.surviving(3);
        expect(executions(refs)).toEqual([1, 2].map(execution));
        expect(refs).toContainEqual({ namespace: 'zeta', queue: 'q-1', shard: 3, attempts: attempts(execution(2)) });
        expect(await queue.surviving(4)).toEqual([]);
      });

      it('can be withdrawn while no worker has been given it', async () => {
        value(await queue.publish(fence, 'a', items(4)));
        const [inHands] = await harness.pull('acme', 'mail', 1);
        const refs = await queue.surviving(3);
        const never = { ...(refs[0] as WorkRef), attempts: attempts(execution(77)) };
        const withdrawn = await queue.withdraw([...refs, never]);
        expect(executions(withdrawn)).toEqual([1, 2, 3].map(execution));
        expect(await queue.surviving(3)).toEqual([inHands?.ref]);
        expect(await queue.withdraw(refs)).toEqual([]);
      });

      it('can be withdrawn before its queue has a consumer', async () => {
        value(await queue.publish(fence, 'a', [item(1, { queue: 'quiet' })]));
        expect(await queue.withdraw(await queue.surviving(3))).toMatchObject([{ queue: 'quiet' }]);
        expect(await queue.surviving(3)).toEqual([]);
      });

      it('is told of parcels with all that they carry, and goes as a whole', async () => {
        value(await queue.publish(fence, 'a', [parcel(10, 3), item(20), parcel(30, 2)]));
        const refs = await queue.surviving(3);
        expect(refs.map((ref) => ref.attempts.length).sort()).toEqual([1, 2, 3]);
        expect(executions(refs)).toEqual([10, 11, 12, 20, 30, 31].map(execution));
        const [first] = await harness.pull('acme', 'mail', 1);
        expect(first?.ref.attempts).toEqual([10, 11, 12].map((i, n) => ({ execution: execution(i), attempt: n + 1 })));
        expect(executions(await queue.withdraw(refs))).toEqual([20, 30, 31].map(execution));
        await first?.ack();
        expect(await queue.surviving(3)).toEqual([]);
      });

      it('no longer reaches a worker once it is removed', async () => {
        value(await queue.publish(fence, 'a', items(3)));
        await queue.remove([{ namespace: 'acme', queue: 'mail', shard: 3, attempts: attempts(execution(1)) }]);
        const pulled = await harness.pull('acme', 'mail', 2);
        expect(pulled.map(({ ref }) => ref.attempts)).toEqual([attempts(execution(0)), attempts(execution(2))]);
      });
    });
  });
}
