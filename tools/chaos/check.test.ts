import { describe, expect, it } from 'vitest';

import type { BookedTask } from './booked.ts';
import { account, historyProblems, lateUntil, type Evidence, type Run } from './check.ts';
import { RunBook } from './run-log.ts';

const TASK = 'a'.repeat(32);
const fire = (at: number): { execution: string; scheduledAt: number } => ({
  execution: `${TASK}-${at.toString(36)}`,
  scheduledAt: at,
});
const run = (at: number, startMs: number, more: Partial<Run> = {}): Run => ({
  execution: fire(at).execution,
  attempt: 1,
  worker: 'w1_1',
  epoch: 1,
  startMs,
  endMs: startMs + 10,
  ...more,
});
const NOTHING: Evidence = {
  fires: [],
  tasks: [],
  toMs: 100_000,
  runs: [],
  absences: [],
  retries: new Map(),
  doomed: new Set(),
};
const kinds = (evidence: Partial<Evidence>): string[] =>
  account({ ...NOTHING, ...evidence }).findings.map(({ kind }) => kind);

describe('the account of a run', () => {
  it('is clean when every fire ran once, at its time', () => {
    const { findings, worstMs, late } = account({ ...NOTHING, fires: [fire(1_000)], runs: [run(1_000, 1_040)] });
    expect([findings, worstMs, late]).toEqual([[], 40, 0]);
  });

  it('finds what never ran, and what never ended', () => {
    expect(kinds({ fires: [fire(1_000)] })).toEqual(['lost']);
    expect(kinds({ fires: [fire(1_000)], runs: [run(1_000, 1_000, { endMs: undefined })] })).toEqual(['lost']);
  });

  it('does not expect a good end of what is doomed', () => {
    const { execution } = fire(1_000);
    const runs = [run(1_000, 1_000, { endMs: undefined })];
    expect(kinds({ fires: [fire(1_000)], runs, doomed: new Set([execution]) })).toEqual([]);
  });

  it('finds what ran early, beyond the exactness of a clock', () => {
    expect(kinds({ fires: [fire(1_000)], runs: [run(1_000, 999)] })).toEqual([]);
    expect(kinds({ fires: [fire(1_000)], runs: [run(1_000, 998)] })).toEqual(['early']);
  });

  it('counts what began more than a second late', () => {
    expect(account({ ...NOTHING, fires: [fire(1_000)], runs: [run(1_000, 2_001)] }).late).toBe(1);
  });

  describe('of a second run', () => {
    const fires = [fire(1_000)];
    const second = run(1_000, 40_000, { worker: 'w2_1', attempt: 2 });

    it('finds a double where the first worker lived', () => {
      expect(kinds({ fires, runs: [second, run(1_000, 1_000)] })).toEqual(['doubled']);
    });

    it('takes it as allowed where the first worker died with it in its hands', () => {
      const runs = [run(1_000, 1_000, { endMs: undefined }), second];
      const evidence = { ...NOTHING, fires, runs, absences: [{ worker: 'w1_1', fromMs: 1_500, untilMs: Infinity }] };
      expect(account(evidence)).toMatchObject({ findings: [], again: 1 });
    });

    it('finds a double where the first worker died long after its result', () => {
      const absences = [{ worker: 'w1_1', fromMs: 30_000, untilMs: Infinity }];
      expect(kinds({ fires, runs: [run(1_000, 1_000), second], absences })).toEqual(['doubled']);
    });

    it('finds a double where the first worker died only after the second run began', () => {
      const absences = [{ worker: 'w1_1', fromMs: 41_000, untilMs: Infinity }];
      expect(kinds({ fires, runs: [run(1_000, 1_000), second], absences })).toEqual(['doubled']);
    });

    it('takes retries as allowed, as many as handlers failed on purpose', () => {
      const { execution } = fire(1_000);
      const runs = [run(1_000, 1_000, { endMs: undefined }), run(1_000, 2_000, { attempt: 2 })];
      expect(kinds({ fires, runs, retries: new Map([[execution, 1]]) })).toEqual([]);
      const more = [...runs, run(1_000, 3_000, { attempt: 3 })];
      expect(kinds({ fires, runs: more, retries: new Map([[execution, 1]]) })).toEqual(['doubled']);
    });
  });

  describe('of a second run after a silence', () => {
    const fires = [fire(1_000)];
    const first = run(1_000, 1_000, { endMs: undefined });
    const secondAt = (startMs: number): Run => run(1_000, startMs, { worker: 'w2_1', attempt: 2 });
    const absences = [{ worker: 'w1_1', fromMs: 2_000, untilMs: 60_000 }];

    it('takes it as allowed once that was as long as a lease, which was renewed not long before', () => {
      expect(kinds({ fires, runs: [first, secondAt(6_000)], absences })).toEqual([]);
      expect(kinds({ fires, runs: [first, secondAt(5_999)], absences })).toEqual(['doubled']);
    });

    it('finds a double where the first began when its worker was heard again', () => {
      const runs = [run(1_000, 60_001, { endMs: undefined }), secondAt(70_000)];
      expect(kinds({ fires, runs, absences })).toEqual(['doubled']);
    });
  });

  describe('of a task that is cancelled', () => {
    const { execution } = fire(1_000);
    const cancelled = (running: readonly string[] = [], ackedMs: number | undefined = 4_000): BookedTask => ({
      id: TASK,
      versions: [{ instants: [1_000, 3_500, 5_000], sentMs: 0, ackedMs: 0, owedFromMs: 0 }],
      cancel: { sentMs: 3_000, ackedMs, running },
    });

    it('finds what should have begun before, and never did', () => {
      expect(kinds({ tasks: [cancelled()], runs: [] })).toEqual(['lost']);
      expect(kinds({ tasks: [cancelled()], runs: [run(1_000, 1_000, { endMs: undefined })] })).toEqual([]);
    });

    it('excuses that when others that were due at about the same time waited, too', () => {
      const fires = [{ execution: `${'b'.repeat(32)}-1`, scheduledAt: 1_500 }];
      const runs = [{ ...run(1_000, 4_000), execution: `${'b'.repeat(32)}-1` }];
      expect(kinds({ fires, tasks: [cancelled()], runs })).toEqual([]);
    });

    it('finds what starts after that was acknowledged, unless it was named as running', () => {
      expect(kinds({ tasks: [cancelled()], runs: [run(1_000, 5_000)] })).toEqual(['cancelled']);
      expect(kinds({ tasks: [cancelled()], runs: [run(1_000, 1_000), run(5_000, 5_000)] })).toEqual(['cancelled']);
      expect(kinds({ tasks: [cancelled()], runs: [run(1_000, 4_000)] })).toEqual([]);
      expect(kinds({ tasks: [cancelled([execution])], runs: [run(1_000, 5_000)] })).toEqual([]);
    });

    it('finds what was named as running and starts after it more than once', () => {
      const runs = [run(1_000, 5_000, { endMs: undefined }), run(1_000, 9_000, { worker: 'w2_1', attempt: 2 })];
      expect(kinds({ tasks: [cancelled([execution])], runs })).toEqual(['doubled', 'cancelled']);
    });

    it('finds what ran twice or early before', () => {
      expect(kinds({ tasks: [cancelled()], runs: [run(1_000, 1_000), run(1_000, 2_000)] })).toEqual(['doubled']);
      expect(kinds({ tasks: [cancelled()], runs: [run(1_000, 900)] })).toEqual(['early']);
    });
  });

  describe('of a task that gets another schedule', () => {
    const updated: BookedTask = {
      id: TASK,
      versions: [
        { instants: [1_000, 3_000], sentMs: 0, ackedMs: 0, owedFromMs: 0 },
        { instants: [2_500], sentMs: 1_500, ackedMs: 1_600, owedFromMs: 2_500 },
      ],
      cancel: undefined,
    };

    it('is clean when the old one ran until then, and the new one since', () => {
      expect(kinds({ tasks: [updated], runs: [run(1_000, 1_000), run(2_500, 2_500)] })).toEqual([]);
    });

    it('finds what is lost of either, and what the old one fires after it', () => {
      expect(kinds({ tasks: [updated], runs: [run(2_500, 2_500)] })).toEqual(['lost']);
      expect(kinds({ tasks: [updated], runs: [run(1_000, 1_000)] })).toEqual(['lost']);
      const runs = [run(1_000, 1_000), run(2_500, 2_500), run(3_000, 3_000)];
      expect(kinds({ tasks: [updated], runs })).toEqual(['stray']);
    });
  });

  it('finds a run at an instant that a task does not have, and knows nothing of other tasks', () => {
    const runs = [run(1_000, 1_000), run(2_000, 2_000)];
    expect(kinds({ fires: [fire(1_000)], runs })).toEqual(['stray']);
    expect(kinds({ runs })).toEqual([]);
  });
});

describe('the last late instant', () => {
  const fires = [fire(1_000), fire(2_000), fire(20_000)];

  it('is that of the last fire that began late, and the beginning when none did', () => {
    expect(lateUntil({ fires, runs: [run(1_000, 2_001), run(2_000, 3_002)] }, 500, 10_000)).toBe(2_000);
    expect(lateUntil({ fires, runs: [run(1_000, 2_000), run(2_000, 3_000)] }, 500, 10_000)).toBe(500);
  });

  it('counts from the first attempt: a retry is later by its own wait', () => {
    const runs = [run(1_000, 1_000), run(2_000, 2_000), run(2_000, 9_000, { attempt: 2 })];
    expect(lateUntil({ fires, runs }, 500, 10_000)).toBe(500);
    expect(lateUntil({ fires, runs: runs.toReversed() }, 500, 10_000)).toBe(500);
  });

  it('leaves out what is due later than asked for', () => {
    const runs = [run(1_000, 1_000), run(2_000, 2_000), run(20_000, 29_000)];
    expect(lateUntil({ fires, runs }, 500, 10_000)).toBe(500);
    expect(lateUntil({ fires, runs }, 500, 20_000)).toBe(20_000);
  });
});

describe('the history', () => {
  const end = { execution: fire(1_000).execution, succeeded: true };
  const bad = { ...end, succeeded: false };
  const owed = { owed: [fire(1_000)], open: [] };
  const open = { owed: [], open: [fire(1_000)] };
  const nothing = new Set<string>();

  it('has one good end of each fire', () => {
    expect(historyProblems(owed, nothing, [end])).toEqual([]);
    expect(historyProblems(owed, nothing, [])).toEqual([expect.stringContaining('no end of 1 fires')]);
    expect(historyProblems(owed, nothing, [end, end])).toEqual([expect.stringContaining('several ends')]);
    expect(historyProblems(owed, nothing, [bad])).toEqual([expect.stringContaining('a wrong end')]);
  });

  it('has a bad end of what is doomed', () => {
    const doomed = new Set([end.execution]);
    expect(historyProblems(owed, doomed, [bad])).toEqual([]);
    expect(historyProblems(owed, doomed, [end])).toEqual([expect.stringContaining('a wrong end')]);
  });

  it('has any end of what was cancelled since, and one at most of what may have run', () => {
    const cancelled = { owed: [{ ...fire(1_000), cancelled: true }], open: [] } as const;
    expect(historyProblems(cancelled, nothing, [bad])).toEqual([]);
    expect(historyProblems(cancelled, nothing, [])).toEqual([expect.stringContaining('no end')]);
    expect(historyProblems(open, nothing, [])).toEqual([]);
    expect(historyProblems(open, nothing, [end, bad])).toEqual([expect.stringContaining('several ends')]);
  });
});

describe("a worker's log", () => {
  it('gives its runs, with and without an end, and leaves a torn line out', () => {
    const { execution } = fire(1_000);
    const log = `S ${execution} 1 1000 7\nS ${execution} 2 2000 8\nE ${execution} 1 1500\nS ${execution} 3 30`;
    const book = new RunBook('w1_1');
    for (const part of [log.slice(0, 7), log.slice(7)]) book.add(part);
    expect(book.runs).toEqual([
      { execution, attempt: 1, worker: 'w1_1', epoch: 7, startMs: 1_000, endMs: 1_500 },
      { execution, attempt: 2, worker: 'w1_1', epoch: 8, startMs: 2_000, endMs: undefined },
    ]);
  });
});
