import { expect, it } from 'vitest';

import { differences, hashOf, stateText } from './state.ts';

const TASK = 'a'.repeat(32);
const core = (text: string): { print(): string } => ({ print: () => text });
const LIVE = `shard 3, epoch 7, seq 90, watermark 1000
1 tasks, 1 under way; expected 1, waiting 0, fired 1, finished 0, dead 0, skipped 0, withdrawn 0, missed 0
${TASK} due 1000 e1000@0 acme.mail/1 pointer
  0 dispatched attempt 1
backlog acme.mail/1: 0`;

it('is the same for two copies that differ in owner, in what was read, and in where a due fire waits', () => {
  const other = LIVE.replace('epoch 7, seq 90, watermark 1000', 'epoch 8, seq 95, watermark 0')
    .replace(' due ', ' waiting ')
    .replace(' pointer', '')
    .replace(/\nbacklog.*/, '');
  expect(hashOf(stateText(core(other)))).toBe(hashOf(stateText(core(LIVE))));
});

it('is another for another next fire, attempt, place or count', () => {
  const others = [
    LIVE.replace('due 1000', 'due 2000'),
    LIVE.replace('attempt 1', 'attempt 2'),
    LIVE.replace(' due ', ' cancelled '),
    LIVE.replace('fired 1', 'fired 2'),
  ];
  const hashes = [LIVE, ...others].map((text) => hashOf(stateText(core(text))));
  expect(new Set(hashes).size).toBe(hashes.length);
});

it('tells in which lines two states differ', () => {
  const told = differences('same\nattempt 1', 'same\nattempt 2');
  expect(told).toBe('live ["attempt 1"], recovered ["attempt 2"]');
});
