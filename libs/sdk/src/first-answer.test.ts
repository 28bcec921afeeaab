import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { firstAnswer } from './first-answer.ts';

interface Outcome {
  readonly kind: 'ok' | 'retry';
  readonly from: number;
}

describe('firstAnswer', () => {
  let asked: PromiseWithResolvers<Outcome>[];
  const ask = (): Promise<Outcome> => {
    const question = Promise.withResolvers<Outcome>();
    asked.push(question);
    return question.promise;
  };
  const isFinal = ({ kind }: Outcome): boolean => kind === 'ok';
  const answer = (from: number, kind: Outcome['kind']): void => asked[from]?.resolve({ kind, from });

  beforeEach(() => {
    asked = [];
    vi.useFakeTimers();
  });
  afterEach(() => vi.useRealTimers());

  it('asks once when the answer comes in time', async () => {
    const first = firstAnswer(ask, { withinMs: 10_000, pausesMs: [10, 20], isFinal });
    answer(0, 'ok');
    expect(await first).toEqual({ kind: 'ok', from: 0 });
    expect(vi.getTimerCount()).toBe(0);
    expect(asked).toHaveLength(1);
  });

  it('asks again in silence, as often as there are pauses, and takes whichever answer comes first', async () => {
    const first = firstAnswer(ask, { withinMs: 10_000, pausesMs: [10, 20], isFinal });
    await vi.advanceTimersByTimeAsync(9);
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(asked).toHaveLength(3);
    answer(1, 'ok');
    expect(await first).toEqual({ kind: 'ok', from: 1 });
  });

  it('waits for the other questions when one comes to nothing', async () => {
    const first = firstAnswer(ask, { withinMs: 10_000, pausesMs: [10], isFinal });
    await vi.advanceTimersByTimeAsync(10);
    answer(1, 'retry');
    await vi.advanceTimersByTimeAsync(0);
    answer(0, 'ok');
    expect(await first).toEqual({ kind: 'ok', from: 0 });
  });

  it('ends when no question is open: whoever asked decides what comes next', async () => {
    const first = firstAnswer(ask, { withinMs: 10_000, pausesMs: [10], isFinal });
    answer(0, 'retry');
    expect(await first).toEqual({ kind: 'retry', from: 0 });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('lets no question wait for longer than what is left', async () => {
    const left: number[] = [];
    const first = firstAnswer(
      (timeoutMs) => {
        left.push(timeoutMs);
        return ask();
      },
      { withinMs: 100, pausesMs: [60, 60], isFinal },
    );
    await vi.advanceTimersByTimeAsync(120);
    answer(0, 'ok');
    await first;
    expect(left).toEqual([100, 40, 1]);
  });

  it('rejects when a question cannot be asked', async () => {
    const first = firstAnswer(() => Promise.reject(new RangeError('too large')), {
      withinMs: 10_000,
      pausesMs: [10],
      isFinal,
    });
    await expect(first).rejects.toThrow('too large');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is over with the first answer, though a later question cannot be asked', async () => {
    const first = firstAnswer(ask, { withinMs: 10_000, pausesMs: [10], isFinal });
    await vi.advanceTimersByTimeAsync(10);
    answer(0, 'ok');
    expect(await first).toEqual({ kind: 'ok', from: 0 });
    asked[1]?.reject(new Error('closed')); // vitest fails for a rejection that nobody handles
    await vi.advanceTimersByTimeAsync(0);
  });
});
