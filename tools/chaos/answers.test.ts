import { describe, expect, it } from 'vitest';

import { contradictions, endProblems, listProblems, refusalProblems, type Told } from './answers.ts';
import type { BookedTask, Version } from './booked.ts';

const TASK = 'a'.repeat(32);
const FIRST: Version = { instants: [2_000, 3_000], sentMs: 500, ackedMs: 600, owedFromMs: 2_000 };
const OTHER: Version = { instants: [2_250, 8_000], sentMs: 1_500, ackedMs: 1_600, owedFromMs: 2_250 };
const CANCEL = { sentMs: 1_500, ackedMs: 1_600, running: [] };
const task = (more: Partial<BookedTask> = {}): BookedTask => ({
  id: TASK,
  versions: [FIRST],
  cancel: undefined,
  ...more,
});
const told = (askedMs: number, more: Partial<Told> = {}): Told => ({
  task: TASK,
  askedMs,
  answeredMs: askedMs + 10,
  state: 'waiting',
  next: [2_000, 3_000],
  ...more,
});
const isWrong = (of: BookedTask, what: Told): boolean => contradictions([of], [what]).length > 0;

describe('an answer', () => {
  it('says nothing of what nobody has booked', () => {
    expect(contradictions([], [told(1_000)])).toEqual([]);
  });

  it('contradicts when an acknowledged task is not found, unless that may not be there yet', () => {
    expect(contradictions([task()], [told(1_000, { state: 'not_found', next: [] })])).toEqual([
      `task ${TASK}, asked for at 1970-01-01T00:00:01.000Z, was not found, and had been acknowledged`,
    ]);
    const published = task({ versions: [{ ...FIRST, ackedMs: undefined }] });
    expect(isWrong(published, told(1_000, { state: 'not_found', next: [] }))).toBe(false);
  });

  it('contradicts when an acknowledged cancel is not seen, and may or may not see one under way', () => {
    const cancelled = told(1_610, { state: 'cancelled', next: [] });
    expect(isWrong(task({ cancel: CANCEL }), told(1_610))).toBe(true);
    expect(isWrong(task({ cancel: CANCEL }), cancelled)).toBe(false);
    const finished = told(5_010, { state: 'finished', next: [] });
    expect(isWrong(task({ cancel: CANCEL }), finished)).toBe(true);
    expect(isWrong(task({ cancel: { ...CANCEL, ackedMs: 5_000 } }), finished)).toBe(false);
    for (const state of ['waiting', 'cancelled'] as const)
      expect(isWrong(task({ cancel: { ...CANCEL, ackedMs: undefined } }), told(1_610, { state }))).toBe(false);
  });

  it('contradicts when it tells of a cancel that nobody had sent', () => {
    expect(isWrong(task(), told(1_000, { state: 'cancelled', next: [] }))).toBe(true);
    expect(isWrong(task({ cancel: CANCEL }), told(1_000, { state: 'cancelled', next: [] }))).toBe(true);
  });

  it('contradicts when an acknowledged update is not seen, or one that was not sent yet', () => {
    const updated = task({ versions: [FIRST, OTHER] });
    expect(isWrong(updated, told(1_610))).toBe(true);
    expect(isWrong(updated, told(1_610, { next: [2_250] }))).toBe(false);
    expect(isWrong(updated, told(1_000, { next: [2_250] }))).toBe(true);
    expect(isWrong(updated, told(1_550, { next: [2_250] }))).toBe(false);
  });

  it('contradicts when a task has ended that has fires to come', () => {
    expect(isWrong(task(), told(2_500, { state: 'finished', next: [] }))).toBe(true);
    expect(isWrong(task(), told(3_000, { state: 'finished', next: [] }))).toBe(false);
  });
});

describe('in the end', () => {
  const problems = (of: BookedTask, ...answers: Told[]): number => endProblems([of], answers).length;

  it('each task has to say how it is', () => {
    expect(problems(task())).toBe(1);
  });

  it('a task whose fires are over has ended', () => {
    expect(problems(task(), told(5_000, { state: 'finished', next: [] }))).toBe(0);
    for (const state of ['waiting', 'due', 'running', 'not_found'] as const)
      expect(problems(task(), told(5_000, { state, next: [] }))).toBe(1);
  });

  it('a task with fires to come waits for the next one', () => {
    const updated = task({ versions: [FIRST, OTHER] });
    expect(problems(updated, told(5_000, { next: [8_000] }))).toBe(0);
    expect(problems(updated, told(5_000, { next: [2_250] }))).toBe(1);
    expect(problems(updated, told(5_000, { state: 'finished', next: [] }))).toBe(1);
  });
});

it('finds what the list of active tasks lacks, and what it should not have', () => {
  expect(listProblems(new Set(['a']), { waiting: ['a'], ended: ['b'] })).toEqual([]);
  expect(listProblems(new Set(), { waiting: ['a'], ended: [] })).toEqual(['1 tasks that wait are not listed, as a']);
  expect(listProblems(new Set(['b']), { waiting: [], ended: ['b'] })).toEqual([
    '1 tasks that have ended are listed as active, as b',
  ]);
});

it('finds a bad publish that was not refused, and a good one that was', () => {
  const messages = ['no JSON', 'null', '{"key":"bad"}'];
  expect(refusalProblems(['bad'], ['good'], messages)).toEqual([]);
  expect(refusalProblems(['bad'], [], [])).toEqual(['1 bad publishes are not among the rejected, as bad']);
  expect(refusalProblems([], ['bad'], messages)).toEqual(['1 good publishes are among the rejected, as bad']);
});
