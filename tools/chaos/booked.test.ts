import { describe, expect, it } from 'vitest';

import { firesOf, inForce, type BookedTask, type Cancel, type Version } from './booked.ts';

const TASK = 'a'.repeat(32);
const PUNCTUAL = (_at: number): number => 20;
/** Fires at 1,000, 2,000 and so on to 6,000. */
const version = (more: Partial<Version> = {}): Version => ({
  instants: [1_000, 2_000, 3_000, 4_000, 5_000, 6_000],
  sentMs: 500,
  ackedMs: 600,
  owedFromMs: 1_000,
  ...more,
});
const task = (versions: Version[], cancel?: Partial<Cancel>): BookedTask => ({
  id: TASK,
  versions,
  cancel: cancel === undefined ? undefined : { sentMs: 3_500, ackedMs: 4_500, running: [], ...cancel },
});
const instants = (of: BookedTask, toMs = 10_000, waitedMs = PUNCTUAL): { owed: number[]; open: number[] } => {
  const { owed, open } = firesOf(of, toMs, waitedMs);
  return { owed: owed.map(({ scheduledAt }) => scheduledAt), open: open.map(({ scheduledAt }) => scheduledAt) };
};

describe('of a task that nobody changes', () => {
  it('owes all fires from the promised one on, and none that is not due yet', () => {
    expect(instants(task([version({ owedFromMs: 2_500 })]), 5_000)).toEqual({
      owed: [3_000, 4_000, 5_000],
      open: [1_000, 2_000, 6_000],
    });
  });

  it('owes nothing without a promise', () => {
    expect(instants(task([version({ ackedMs: undefined, owedFromMs: Infinity })])).owed).toEqual([]);
  });
});

describe('of a task that gets another schedule', () => {
  const other = version({ instants: [2_250, 3_150, 4_050, 4_950], sentMs: 2_500, ackedMs: 3_500, owedFromMs: 4_050 });

  it('owes the fires before it was sent, and those of the new one that were promised; in between, both may run', () => {
    expect(instants(task([version(), other]))).toEqual({ owed: [1_000, 2_000, 4_050, 4_950], open: [3_000, 3_150] });
  });

  it('may have the fires of both from then on, when there was no answer', () => {
    const unanswered = { ...other, ackedMs: undefined, owedFromMs: Infinity };
    expect(instants(task([version(), unanswered]))).toEqual({
      owed: [1_000, 2_000],
      open: [3_000, 4_000, 5_000, 6_000, 3_150, 4_050, 4_950],
    });
  });

  it('is one of them at any time, or either while the answer was on its way', () => {
    const both = task([version(), other]);
    expect(inForce(both, 1_000, 2_000)).toEqual([both.versions[0]]);
    expect(inForce(both, 1_000, 2_600)).toEqual(both.versions);
    expect(inForce(both, 3_600, 3_700)).toEqual([both.versions[1]]);
  });
});

describe('of a task that is cancelled', () => {
  it('owes what was due well before that, and has nothing after the answer', () => {
    expect(instants(task([version()], {}))).toEqual({ owed: [1_000, 2_000], open: [3_000, 4_000] });
  });

  it('owes less where others had to wait, too', () => {
    expect(instants(task([version()], {}), 10_000, (at) => (at === 2_000 ? 600 : 0)).owed).toEqual([1_000]);
  });

  it('does not owe what the answer names as running', () => {
    const running = [`${TASK}-${(1_000).toString(36)}`];
    expect(instants(task([version()], { running })).owed).toEqual([2_000]);
  });

  it('may have all later fires when there was no answer', () => {
    expect(instants(task([version()], { ackedMs: undefined })).open).toEqual([3_000, 4_000, 5_000, 6_000]);
  });

  it('says of each fire that its beginning is enough', () => {
    expect(firesOf(task([version()], {}), 10_000, PUNCTUAL).owed[0]).toMatchObject({ cancelled: true });
    expect(firesOf(task([version()]), 10_000, PUNCTUAL).owed[0]).not.toHaveProperty('cancelled');
  });
});
