import { beforeEach, expect, it } from 'vitest';

import { Hearing } from './hearing.ts';

let nowMs: number;
let asked: PromiseWithResolvers<void>[];
let hearing: Hearing;

beforeEach(() => {
  nowMs = 1_000;
  asked = [];
  const ask = (): Promise<void> => {
    const question = Promise.withResolvers<void>();
    asked.push(question);
    return question.promise;
  };
  hearing = new Hearing({ ask, monotonic: () => nowMs, deafMs: 3_000 });
});

it('is deaf when no answer has come for so long', async () => {
  nowMs += 2_999;
  expect(hearing.isDeaf).toBe(false);
  nowMs += 1;
  expect(hearing.isDeaf).toBe(true);
  const look = hearing.look();
  asked[0]?.resolve();
  await look;
  expect(hearing.isDeaf).toBe(false);
});

it('counts an answer from its question on, however late it comes', async () => {
  const look = hearing.look();
  nowMs += 2_500;
  asked[0]?.resolve();
  await look;
  expect(hearing.isDeaf).toBe(false);
  nowMs += 500;
  expect(hearing.isDeaf).toBe(true);
});

it('asks one question at a time, and another one after a failure', async () => {
  const look = hearing.look();
  await hearing.look();
  expect(asked).toHaveLength(1);
  asked[0]?.reject(new Error('no answer'));
  await look;
  void hearing.look();
  expect(asked).toHaveLength(2);
});
