import { describe, expect, it } from 'vitest';

import { Holding } from './holding.ts';
import { FINISHES_IN_FLIGHT, Outbox } from './outbox.ts';

const line = { queue: 'q', ackWaitMs: 1, held: 0, window: 0 };

function outcome(execution: string, bytes: number): Holding<undefined> {
  const from = { key: execution, execution, attempt: 1, deliveries: 1, leasedAt: 0, timeoutMs: 1, work: undefined };
  return Object.assign(new Holding<undefined>(from, line, 0), { bytes });
}

const names = (taken: readonly Holding<undefined>[] | undefined) => taken?.map(({ execution }) => execution).join('');

describe('Outbox', () => {
  it('fills a request up to its items and its bytes, in order', () => {
    const outbox = new Outbox<undefined>({ items: 3, bytes: 100 });
    for (const [execution, bytes] of [
      ['a', 10],
      ['b', 10],
      ['c', 10],
      ['d', 60],
      ['e', 60],
      ['f', 1],
    ] as const) {
      outbox.add(outcome(execution, bytes));
    }
    expect([names(outbox.take(0)), names(outbox.take(0)), names(outbox.take(0)), outbox.take(0)]).toEqual([
      'abc',
      'd',
      'ef',
      undefined,
    ]);
  });

  it('sends what is larger than a request by itself', () => {
    const outbox = new Outbox<undefined>({ items: 3, bytes: 100 });
    outbox.add(outcome('a', 1_000));
    outbox.add(outcome('b', 1));
    expect(names(outbox.take(0))).toBe('a');
  });

  it('has a few requests under way at a time', () => {
    const outbox = new Outbox<undefined>({ items: 1, bytes: 100 });
    for (let i = 0; i < FINISHES_IN_FLIGHT + 1; i++) outbox.add(outcome(String(i), 1));
    for (let i = 0; i < FINISHES_IN_FLIGHT; i++) expect(names(outbox.take(0))).toBe(String(i));
    expect(outbox.take(0)).toBeUndefined();
    outbox.answered(false, 0);
    expect(names(outbox.take(0))).toBe(String(FINISHES_IN_FLIGHT));
  });

  it('holds back everything after a failure, until the time or a success', () => {
    const outbox = new Outbox<undefined>({ items: 1, bytes: 100 });
    for (const execution of ['a', 'b', 'c', 'd']) outbox.add(outcome(execution, 1));
    outbox.take(0);
    outbox.take(0);
    outbox.answered(true, 1_000);
    expect(outbox.take(1_099)).toBeUndefined();
    outbox.answered(false, 1_099);
    expect(names(outbox.take(1_099))).toBe('c');
    outbox.answered(true, 2_000);
    expect(names(outbox.take(2_100))).toBe('d');
  });
});
