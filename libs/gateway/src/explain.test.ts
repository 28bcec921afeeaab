import { encodeTarget, LIMITS, taskIdOfCommand, type ExplainReply, type TaskView, type Target } from '@belfry/protocol';
import type { ActiveRow, Facts, HistoryRow, LifeRow, StoredExecution, StoredTask } from '@belfry/ports';
import { parseSchedule } from '@belfry/timing';
import { describe, expect, it } from 'vitest';

import { explain, type ExplainInput } from './explain.ts';

const ID = taskIdOfCommand('acme', 'explained', 0);
const NOON = Date.parse('2026-11-25T12:00:00Z');
const HOUR = 3_600_000;
const TARGET: Target = {
  namespace: 'acme',
  queue: 'mail',
  handler: 'send',
  priority: 1,
  retry: { attempts: 3, initialMs: 1_000, factor: 2, maxMs: 60_000, jitter: 0 },
  timeoutMs: 10_000,
  precision: 'high',
  catchUp: undefined,
};
/** Every full hour. */
const HOURLY = `e${HOUR}@${NOON - 100 * HOUR}`;

function task(change: Partial<StoredTask> & { readonly target?: string } = {}): StoredTask {
  const createdAt = NOON - 50 * HOUR;
  return {
    id: ID,
    shard: 7,
    key: 'report',
    namespace: 'acme',
    queue: 'mail',
    handler: 'send',
    schedule: HOURLY,
    target: encodeTarget(TARGET),
    payload: 'null',
    metadata: '{}',
    traceparent: undefined,
    createdAt,
    effectiveFrom: change.createdAt ?? createdAt,
    ended: undefined,
    ...change,
  };
}

function over(scheduledAt: number, change: Partial<HistoryRow> = {}): StoredExecution {
  const row: HistoryRow = {
    task: ID,
    scheduledAt,
    namespace: 'acme',
    queue: 'mail',
    handler: 'send',
    state: 'succeeded',
    attempt: 1,
    dispatchedAt: scheduledAt + 5,
    deliveredAt: scheduledAt + 8,
    startedAt: scheduledAt + 12,
    finishedAt: scheduledAt + 2_312,
    acceptedAt: scheduledAt + 2_320,
    worker: 'w-1',
    error: undefined,
    result: undefined,
    attempts: undefined,
    epoch: 3,
    traceparent: undefined,
    createdAt: NOON - 50 * HOUR,
    ...change,
  };
  return { kind: 'over', row, checkpointedAt: row.acceptedAt + 500 };
}

const life = (kind: LifeRow['kind'], at: number, schedule: string, createdAt = NOON - 50 * HOUR): LifeRow => ({
  task: ID,
  namespace: 'acme',
  kind,
  at,
  schedule,
  createdAt,
});

/** The shard's word: what it knows of the task now. */
function live(next: number, change: Partial<TaskView> = {}): TaskView {
  return { state: 'waiting', next: [new Date(next).toISOString()], executions: [], ...change } as TaskView;
}

type Change = Partial<Omit<ExplainInput, 'facts'>> & { readonly facts?: Partial<Facts> };

function explained({ facts, ...change }: Change = {}): ExplainReply {
  const nowMs = change.nowMs ?? NOON + 30 * 60_000;
  const all: Facts = {
    task: task(),
    life: [],
    executions: [],
    owners: [],
    unwatched: [],
    recordedSince: 0,
    asOf: nowMs - 300,
    ...facts,
  };
  const span = { fromMs: NOON, toMs: NOON + 999 };
  const input = { id: ID, namespace: 'acme', shard: 7, live: live(NOON + HOUR), calendars: [], limit: 20 };
  return explain({ ...input, ...span, nowMs, ...change, facts: all });
}

/** The one fire of a reply: its verdict, then its reasons. */
function told(change: Change = {}): string[] {
  const { fires } = explained(change);
  expect(fires).toHaveLength(1);
  return [fires[0]?.verdict as string, ...(fires[0]?.reasons ?? []).map(({ code, text }) => `${code}: ${text}`)];
}

const codes = (change: Change): (string | undefined)[] => told(change).map((line) => line.split(':')[0]);

describe('a fire that ran', () => {
  it('is told with its worker and its lateness', () => {
    expect(told({ facts: { executions: [over(NOON)] } })).toEqual([
      'ran',
      'succeeded: started at 2026-11-25T12:00:00.012Z, 12 ms late, and succeeded on worker w-1 after 2.3 s',
    ]);
  });

  it('that was late had to wait for a worker', () => {
    const late = {
      dispatchedAt: NOON + 42_000,
      deliveredAt: NOON + 42_002,
      startedAt: NOON + 42_003,
      finishedAt: NOON + 43_003,
    };
    expect(told({ facts: { executions: [over(NOON, late)] } })).toEqual([
      'ran',
      'waited: waited 42 s in line for a free slot of a worker of queue mail',
      'succeeded: started at 2026-11-25T12:00:42.003Z, 42 s late, and succeeded on worker w-1 after 1 s',
    ]);
  });

  it('that was late because its shard had moved says so first', () => {
    const late = { dispatchedAt: NOON + 4_000, deliveredAt: NOON + 4_001, startedAt: NOON + 4_002 };
    const owner = { node: 'node-b', epoch: 8, former: 'node-a', watermark: NOON - 100, checkpointedAt: NOON - 90 };
    const before = { ...owner, at: NOON - 9 * HOUR, epoch: 7, node: 'node-a', former: undefined };
    const owners = [before, { ...owner, at: NOON + 3_500 }];
    const lines = told({ facts: { executions: [over(NOON, late)], owners } });
    expect(lines.slice(1, 3)).toEqual([
      'moved: node-b took shard 7 over as epoch 8, from node-a, whose last checkpoint was of 2026-11-25T11:59:59.910Z',
      'waited: dispatched 4 s after it came due, that and a free slot of a worker of queue mail being what it waited for',
    ]);
  });

  it('that lay in the work stream, and one on the grid of its precision', () => {
    const slow = { deliveredAt: NOON + 900, startedAt: NOON + 901 };
    expect(codes({ facts: { executions: [over(NOON, slow)] } })).toEqual(['ran', 'not_pulled', 'succeeded']);
    const low = task({ target: encodeTarget({ ...TARGET, precision: 'low' }) });
    const onGrid = { dispatchedAt: NOON + 1_000, deliveredAt: NOON + 1_001, startedAt: NOON + 1_002 };
    expect(codes({ facts: { task: low, executions: [over(NOON, onGrid)] } })).toEqual(['ran', 'on_grid', 'succeeded']);
  });

  it('is told with each of its attempts', () => {
    const attempts = JSON.stringify([
      {
        attempt: 1,
        outcome: 'failed',
        worker: 'w-1',
        dispatchedAt: NOON + 3,
        startedAt: NOON + 5,
        finishedAt: NOON + 105,
        acceptedAt: NOON + 110,
        error: 'boom',
      },
      { attempt: 2, outcome: 'lost', worker: '', dispatchedAt: NOON + 1_200, acceptedAt: NOON + 31_300 },
    ]);
    const last = {
      attempt: 3,
      attempts,
      dispatchedAt: NOON + 1_200,
      deliveredAt: undefined,
      startedAt: NOON + 31_400,
      worker: 'w-2',
      finishedAt: NOON + 31_500,
    };
    const lines = told({ facts: { executions: [over(NOON, last)] } });
    expect(lines.slice(0, 4)).toEqual([
      'ran',
      'failed: attempt 1 failed on worker w-1 after 100 ms: boom',
      'retried: attempt 2 was dispatched 1.1 s later',
      'lost: attempt 2 was lost on a worker',
    ]);
    expect(lines.at(-1)).toMatch(/^succeeded: .* on worker w-2 after 100 ms$/);
  });

  it('in time is no catch-up, though its owner died and nobody is known to have watched', () => {
    const unwatched = [{ fromMs: NOON - 2 * HOUR, untilMs: NOON + HOUR, foundMs: NOON + HOUR + 60_000 }];
    const proven = over(NOON, { dispatchedAt: undefined, deliveredAt: undefined });
    const owner = { at: NOON + HOUR, epoch: 8, node: 'b', former: 'a', watermark: 0, checkpointedAt: 0 };
    expect(codes({ facts: { unwatched, owners: [owner], executions: [proven] } })).toEqual(['ran', 'succeeded']);
    const skipped = { dispatchedAt: undefined, deliveredAt: undefined, startedAt: undefined, worker: undefined };
    const row = over(NOON, { ...skipped, state: 'skipped' });
    expect(codes({ facts: { unwatched, executions: [row] } })).toEqual(['skipped', 'catch_up']);
  });

  it('to no good end is failed, cancelled or skipped', () => {
    const dead = over(NOON, { state: 'dead', attempt: 3, error: 'boom' });
    expect(told({ facts: { executions: [dead] } }).at(-1)).toBe(
      'dead: given up after 3 attempts: it is in the dead letters',
    );
    const unrun = { dispatchedAt: undefined, deliveredAt: undefined, startedAt: undefined, worker: undefined };
    expect(codes({ facts: { executions: [over(NOON, { ...unrun, state: 'cancelled' })] } })).toEqual([
      'cancelled',
      'cancelled',
    ]);
    expect(codes({ facts: { executions: [over(NOON, { ...unrun, attempt: 0, state: 'skipped' })] } })).toEqual([
      'skipped',
      'skipped',
    ]);
  });

  it('is told by its shard while it is under way', () => {
    const row: ActiveRow = {
      task: ID,
      scheduledAt: NOON,
      attempt: 2,
      state: 'dispatched',
      retryAt: undefined,
      dispatchedAt: NOON + 9_000,
      lost: 0,
      failures: 1,
      attempts: JSON.stringify([
        { attempt: 1, outcome: 'timed_out', worker: 'w', dispatchedAt: NOON, acceptedAt: NOON + 8_000 },
      ]),
      target: undefined,
      traceparent: undefined,
    };
    const stored = { kind: 'active' as const, row, namespace: 'acme', queue: 'mail', handler: 'send', createdAt: NOON };
    expect(codes({ facts: { executions: [stored] } })).toEqual([
      'running',
      'timed_out',
      'retried',
      'dispatched',
      'running',
    ]);
    // Opened before its turn, as its task got another schedule.
    const opened = {
      ...row,
      attempt: 0,
      state: 'retrying' as const,
      retryAt: 0,
      dispatchedAt: undefined,
      attempts: '[]',
    };
    expect(codes({ facts: { executions: [{ ...stored, row: { ...opened, failures: 0 } }] } })).toEqual([
      'waiting',
      'waiting',
    ]);
  });
});

describe('a fire without an execution', () => {
  it('is coming, or waits', () => {
    expect(codes({ nowMs: NOON - 1 })).toEqual(['coming', 'coming']);
    expect(told({ live: live(NOON) })).toEqual([
      'waiting',
      'waiting: it waits in line for a free slot of a worker of queue mail',
    ]);
    expect(told({ live: live(NOON - HOUR) })[1]).toBe(
      "behind: it waits behind the task's fire of 2026-11-25T11:00:00.000Z",
    );
  });

  it('was skipped when nobody watched and its policy keeps it not', () => {
    const unwatched = [{ fromMs: NOON - 2 * HOUR, untilMs: NOON + HOUR / 2, foundMs: NOON + HOUR / 2 + 60_000 }];
    const of = (catchUp: Target['catchUp'], more: Change = {}): (string | undefined)[] =>
      codes({
        nowMs: NOON + 5 * HOUR,
        live: live(NOON + 6 * HOUR),
        ...more,
        facts: { unwatched, task: task({ target: encodeTarget({ ...TARGET, catchUp }) }) },
      });
    expect(of({ policy: 'skip' })).toEqual(['skipped', 'catch_up']);
    expect(of({ policy: 'all', windowMs: 60_000 })).toEqual(['skipped', 'catch_up']);
    // The policies keep these: that they did not run is a fault.
    expect(of({ policy: 'all', windowMs: HOUR })).toEqual(['missed', 'missed']);
    expect(of(undefined)).toEqual(['missed', 'missed']);
    const earlier = { fromMs: NOON - HOUR, toMs: NOON - HOUR };
    expect(of(undefined, earlier)).toEqual(['skipped', 'catch_up']);
    expect(told({ ...earlier, facts: { unwatched } })[1]).toBe(
      'catch_up: nobody watched shard 7 from 2026-11-25T10:00:00.000Z until 2026-11-25T12:31:00.000Z, and its catch-up policy, latest, does not keep it',
    );
  });

  it('whose schedule ended in a span that nobody watched may have been skipped for a later one of it', () => {
    const unwatched = [{ fromMs: NOON - HOUR, untilMs: NOON + 2 * HOUR, foundMs: NOON + 2 * HOUR + 60_001 }];
    const changedAt = NOON + 30_000;
    const facts = {
      unwatched,
      task: task({ effectiveFrom: changedAt, schedule: `e${4 * HOUR}` }),
      life: [life('rescheduled', changedAt, HOURLY)],
    };
    expect(codes({ nowMs: NOON + 3 * HOUR, live: live(NOON + 4 * HOUR), facts })).toEqual(['skipped', 'catch_up']);
  });

  it('that ran out of catch-up says so', () => {
    const unwatched = [{ fromMs: NOON - 2 * HOUR, untilMs: NOON + 1, foundMs: NOON + 60_001 }];
    const ran = over(NOON, { dispatchedAt: NOON + 60_100, deliveredAt: NOON + 60_101, startedAt: NOON + 60_102 });
    expect(codes({ facts: { unwatched, executions: [ran] } })).toEqual(['ran', 'caught_up', 'waited', 'succeeded']);
  });

  it('was withdrawn by a cancel, unless later ones overtook it', () => {
    const cancelled = { state: 'cancelled' as const, at: NOON + 30_000 };
    const facts = { task: task({ ended: cancelled }), life: [life('cancelled', cancelled.at, HOURLY)] };
    const gone = live(0, { state: 'cancelled', next: [] });
    expect(codes({ live: gone, facts })).toEqual(['withdrawn', 'cancelled']);
    const late = { at: NOON + 3 * HOUR, state: 'cancelled' as const };
    const overtaken = {
      task: task({ ended: late }),
      life: [life('cancelled', late.at, HOURLY)],
      executions: [over(NOON + HOUR)],
    };
    const { fires } = explained({ toMs: NOON + HOUR, nowMs: NOON + 4 * HOUR, live: gone, facts: overtaken });
    expect(fires.map(({ verdict }) => verdict)).toEqual(['missed', 'ran']);
    // Its dispatch may have been forgotten together with that of the later one, of which its worker alone tells.
    const forgotten = { ...overtaken, executions: [over(NOON + HOUR, { dispatchedAt: undefined })] };
    const others = explained({ toMs: NOON + HOUR, nowMs: NOON + 4 * HOUR, live: gone, facts: forgotten });
    expect(others.fires.map(({ verdict }) => verdict)).toEqual(['withdrawn', 'ran']);
  });

  it('was withdrawn by a cancel, though a fire of the schedule before ran later', () => {
    const cancelled = { state: 'cancelled' as const, at: NOON + 30_000 };
    const facts = {
      task: task({ ended: cancelled, effectiveFrom: NOON - 60_000 }),
      life: [life('rescheduled', NOON - 60_000, `e10000@${NOON + 3}`), life('cancelled', cancelled.at, HOURLY)],
      executions: [over(NOON + 10_003)],
    };
    const gone = live(0, { state: 'cancelled', next: [] });
    const { fires } = explained({ toMs: NOON + HOUR, nowMs: NOON + 4 * HOUR, live: gone, facts });
    expect(fires.slice(-2).map(({ verdict }) => verdict)).toEqual(['withdrawn', 'ran']);
  });

  it('of a one-time task moved with an update', () => {
    const moved = {
      task: task({ schedule: `a${NOON + HOUR}`, effectiveFrom: NOON - 60_000 }),
      life: [life('rescheduled', NOON - 60_000, `a${NOON}`)],
    };
    expect(told({ facts: moved })).toEqual([
      'withdrawn',
      'rescheduled: the task got another schedule before it was dispatched',
    ]);
  });

  it('is unknown where what would tell is not recorded', () => {
    expect(codes({ facts: { asOf: NOON - 1 } })).toEqual(['unknown', 'not_checkpointed']);
    expect(codes({ facts: { recordedSince: NOON + 1 } })).toEqual(['unknown', 'not_recorded']);
    const later = NOON + (LIMITS.historyDays + 1) * 24 * HOUR;
    expect(codes({ nowMs: later, live: live(later + HOUR) })).toEqual(['unknown', 'history_gone']);
  });

  it('may have been skipped where very many were due when its schedule changed', () => {
    const secondly = `e1000@${NOON - 100 * HOUR}`;
    const changed = (atMs: number) => ({
      life: [life('rescheduled', atMs, secondly)],
      task: task({ effectiveFrom: atMs }),
    });
    const longAfter = NOON + LIMITS.dueAtChange * 1_000;
    const later = { nowMs: longAfter + HOUR, toMs: NOON, live: live(longAfter + 2 * HOUR) };
    const facts = changed(longAfter);
    expect(codes({ ...later, facts })).toEqual(['unknown', 'crowded_out']);
    expect(codes({ ...later, facts: { ...facts, asOf: NOON - 1 } })).toEqual(['unknown', 'not_checkpointed']);
    expect(codes({ ...later, facts: changed(longAfter - 1_000) })).toEqual(['missed', 'missed']);
    const overtaken = explained({
      ...later,
      fromMs: NOON - 1_000,
      facts: { ...facts, executions: [over(NOON)] },
    });
    expect(overtaken.fires.map(({ verdict }) => verdict)).toEqual(['missed', 'ran']);
  });

  it('is missed where nothing tells of it', () => {
    expect(told()).toEqual([
      'missed',
      'missed: it was due, and nothing tells of it up to the checkpoint of 2026-11-25T12:29:59.700Z: this is a fault of Belfry, please report it',
    ]);
  });
});

describe('a span', () => {
  it('tells the latest of many fires, and that there are more', () => {
    const { fires, more } = explained({ fromMs: NOON - 40 * HOUR, toMs: NOON, limit: 3 });
    expect([fires.map(({ scheduledAt }) => scheduledAt.slice(11, 16)), more]).toEqual([
      ['10:00', '11:00', '12:00'],
      true,
    ]);
  });

  it('takes each schedule for as long as the task had it, and tells its life', () => {
    const facts = {
      task: task({ createdAt: NOON + 2 * HOUR, effectiveFrom: NOON + 2 * HOUR, schedule: `e${2 * HOUR}` }),
      life: [
        life('rescheduled', NOON - 90 * 60_000, `e${HOUR}@${NOON + 30 * 60_000 - 10 * HOUR}`),
        life('cancelled', NOON + 30_000, HOURLY),
      ],
    };
    const reply = explained({
      nowMs: NOON + 9 * HOUR,
      live: live(NOON + 10 * HOUR),
      fromMs: NOON - 3 * HOUR,
      toMs: NOON + 5 * HOUR,
      facts,
    });
    expect(reply.fires.map(({ scheduledAt }) => scheduledAt.slice(11, 16))).toEqual([
      '09:30',
      '10:30',
      '11:00',
      '12:00',
      '16:00',
    ]);
    expect(
      reply.life.map(({ at, what, schedule }) => `${at.slice(8, 16)} ${what} ${JSON.stringify(schedule?.every)}`),
    ).toEqual([
      '23T10:00 created "1h"',
      '25T10:30 rescheduled "1h"',
      '25T12:00 cancelled undefined',
      '25T14:00 created "2h"',
    ]);
  });

  it('is told of a task that is gone by what it has left', () => {
    const { state, fires } = explained({ live: undefined, facts: { task: undefined, executions: [over(NOON)] } });
    expect([state, fires.map(({ verdict }) => verdict)]).toEqual(['gone', ['ran']]);
  });
});

describe('an instant without a fire', () => {
  const MIDDAY = { fromMs: NOON + 60_000, toMs: NOON + 60_999 };
  function absence(schedule: string, change: Change = {}, more: Partial<StoredTask> = {}): string {
    const { facts, ...rest } = change;
    const reply = explained({ ...MIDDAY, ...rest, facts: { task: task({ schedule, ...more }), ...facts } });
    expect(reply.fires).toEqual([]);
    return (reply.absence?.reasons ?? []).map(({ code, text }) => `${code}: ${text}`).join('\n');
  }

  it('is not in the schedule, and the fires around it are told', () => {
    const { absence: why } = explained(MIDDAY);
    expect(why).toEqual({
      reasons: [{ code: 'not_scheduled', text: 'its schedule has no fire then' }],
      previous: '2026-11-25T12:00:00.000Z',
      next: '2026-11-25T13:00:00.000Z',
    });
  });

  it('lies before the task was made, or after its end', () => {
    expect(absence(HOURLY, {}, { createdAt: NOON + HOUR, effectiveFrom: NOON + HOUR })).toBe(
      'before_creation: it was made later',
    );
    const ended = { state: 'cancelled' as const, at: NOON - HOUR };
    expect(absence(HOURLY, {}, { ended })).toBe('cancelled: it was cancelled before that');
    expect(absence(`a${NOON}`)).toBe('once: it is a one-time task of another instant');
  });

  it('is kept away by one part of the schedule', () => {
    const composed = (fields: Record<string, unknown>): string => canonicalOf({ every: '1m', ...fields });
    expect(absence(composed({ startAt: '2026-11-26T00:00:00Z' }))).toMatch(
      /^before_start: its schedule starts at 2026-11-26/,
    );
    expect(absence(composed({ endAt: '2026-11-25T00:00:00Z' }))).toMatch(
      /^after_end: its schedule ended at 2026-11-25/,
    );
    expect(absence(composed({ limit: 10 }))).toBe('limit: its schedule is limited to 10 fires, which lie before');
  });

  it('is excluded by a calendar', () => {
    const definition = JSON.stringify({ exclude: ['2026-11-25'] });
    const calendars = [{ namespace: 'acme', name: 'days', version: 1, definition, setAt: 0 }];
    const text = absence(canonicalOf({ cron: '1 12 * * *', calendars: ['days'] }), { calendars });
    expect(text).toBe('calendar: excluded by the calendars of its schedule (days)');
  });
});

function canonicalOf(fields: Record<string, unknown>): string {
  const reading = parseSchedule(fields, { nowMs: NOON - 50 * HOUR, namespace: 'acme' });
  if (!reading.ok) throw new Error(reading.error.message);
  return reading.schedule.canonical;
}
