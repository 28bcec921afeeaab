import { LIMITS, taskIdOfCommand } from '@belfry/protocol';
import { NO_FIRES } from '@belfry/ports';
import { nextFire, parseCanonical, seedOf } from '@belfry/timing';
import { describe, expect, it } from 'vitest';
import { audit } from './audit.ts';
import { applyCreate } from './definitions.ts';
import { advance, take } from './fires.ts';
import { assertInvariants } from './inspect.ts';
import { Interned } from './intern.ts';
import { ShardState } from './state.ts';
import { TASK_HELD } from './task-table.ts';
import { fire, T0, target, TestShard } from './test-world.ts';

const HOUR = 3_600_000;

/** What is in each account, nothing else. */
function ledger(shard: TestShard): Record<string, number> {
  const { counters, expected, waitingFires } = shard.core;
  const accounts = { expected, waiting: waitingFires, ...counters };
  return Object.fromEntries(Object.entries(accounts).filter(([, count]) => count !== 0));
}

describe('the ledger', () => {
  it('expects what the schedules say, counted apart from it', async () => {
    const shard = await TestShard.start();
    const schedules = ['e700', `e900@${T0 + 50}`, 'e1300', `a${T0 + 4_321}`, `a${T0 + 90_000}`];
    const tasks = schedules.map((s) => ({ id: shard.create({ s }), s }));
    for (let tick = 0; tick < 200; tick++) {
      shard.pass(300);
      shard.dispatch();
    }
    let told = 0;
    for (const { id, s } of tasks) {
      const context = { createdMs: T0, seed: seedOf(id) };
      const next = (afterMs: number): number => nextFire(parseCanonical(s), afterMs, context);
      for (let atMs = next(T0); atMs <= shard.nowMs; atMs = next(atMs)) told++;
    }
    expect(told).toBeGreaterThan(150);
    expect(ledger(shard)).toEqual({ expected: told, fired: told });
  });

  it('tells each end, and what was taken back', async () => {
    const shard = await TestShard.start();
    const ids = [1, 2, 3, 4, 5].map(() => shard.create({ t: target({ retry: { attempts: 1 } as never }) }));
    shard.pass(2_000);
    expect(ledger(shard)).toEqual({ expected: 5, waiting: 5 });
    shard.update(ids[4] as string, { s: `a${T0 + HOUR}` });
    expect(ledger(shard)).toEqual({ expected: 5, waiting: 4, withdrawn: 1 });
    shard.take(3);
    shard.cancel(ids[3] as string);
    shard.result(fire(ids[0] as string, 1_000), 1, 'succeeded');
    shard.result(fire(ids[1] as string, 1_000), 1, 'failed');
    shard.cancel(ids[2] as string);
    shard.result(fire(ids[2] as string, 1_000), 1, 'returned');
    expect(ledger(shard)).toEqual({ expected: 5, fired: 3, finished: 3, dead: 1, cancelled: 1, withdrawn: 2 });
  });

  it('counts each fire that a policy passes over', async () => {
    const shard = await TestShard.start();
    shard.create({ s: `e1000@${T0}` });
    await shard.checkpoint();
    await shard.crash();
    shard.pass(HOUR);
    // The last missed one runs, and those of the last minute.
    expect(ledger(shard)).toEqual({ expected: 3_540, waiting: 1, skipped: 3_539 });
    while (shard.dispatch().length > 0) shard.pass(0);
    expect(ledger(shard)).toEqual({ expected: 3_600, fired: 61, skipped: 3_539 });
  });

  it('counts all fires of a task that wait when it is cancelled', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ s: `e1000@${T0}` });
    shard.pass(10_500);
    shard.cancel(id);
    expect(ledger(shard)).toEqual({ expected: 10, withdrawn: 10 });
  });

  it('is carried over a takeover, with what waited waiting again', async () => {
    const shard = await TestShard.start();
    const [first, second] = [shard.create(), shard.create(), shard.create()];
    shard.pass(2_000);
    shard.publish(shard.take(2));
    shard.result(fire(first, 1_000), 1, 'succeeded');
    await shard.checkpoint();
    const before = { expected: 3, waiting: 1, fired: 2, finished: 1 };
    expect(ledger(shard)).toEqual(before);
    shard.result(fire(second, 1_000), 1, 'succeeded'); // the replay's
    await shard.crash();
    expect(ledger(shard)).toEqual({ expected: 2, fired: 2, finished: 2 });
    shard.pass(0);
    expect(ledger(shard)).toEqual({ expected: 3, waiting: 1, fired: 2, finished: 2 });
  });

  it('counts a skip once, though it stands in no inbox until its checkpoint', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ key: 'once', t: target({ catchUp: { policy: 'skip' } }) });
    await shard.checkpoint();
    await shard.crash();
    shard.pass(HOUR);
    expect(ledger(shard)).toEqual({ expected: 1, skipped: 1 });
    // Its owner dies with that: the next one decides again.
    await shard.crash();
    expect(ledger(shard)).toEqual({});
    shard.pass(0);
    expect(ledger(shard)).toEqual({ expected: 1, skipped: 1 });
    await shard.checkpoint();
    await shard.crash();
    shard.pass(HOUR);
    expect([ledger(shard), shard.history()]).toEqual([{ expected: 1, skipped: 1 }, ['1000 skipped']]);
    expect(shard.core.glance(id, 'acme')?.state).toBe('finished');
  });

  it('lets a command count that was refused for a skip of which no checkpoint tells', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ key: 'once', t: target({ catchUp: { policy: 'skip' } }) });
    await shard.checkpoint();
    await shard.crash();
    shard.pass(HOUR);
    expect(shard.update(id, { s: `a${T0 + 2 * HOUR}` })).toMatchObject({ error: { code: 'not_found' } });
    await shard.crash();
    // The replay knows no skip, so that the update stands: the fire that it took back is in one account, the new one in another.
    expect(ledger(shard)).toEqual({ expected: 1, withdrawn: 1 });
    shard.pass(HOUR);
    expect(shard.dispatch()).toEqual([`${fire(id, 2 * HOUR)}.1`]);
    expect(ledger(shard)).toEqual({ expected: 2, fired: 1, withdrawn: 1 });
  });

  it('begins with the counters that an older program has left', async () => {
    const state = emptyState({ ...NO_FIRES, fired: 10, finished: 9, dead: 1, skipped: 5 });
    expect(state.ledger.expected).toBe(15);
    expect(state.ledger.imbalance(0)).toBe(0);
  });
});

function emptyState(counters = NO_FIRES): ShardState {
  const head = { shard: 0, epoch: 1, seq: 0, watermark: T0, counters, gaps: [] };
  const state = new ShardState(head, new Interned(), T0, 86_400_000);
  state.doubts = undefined;
  return state;
}

/** A shard with one task, that was looked at a second later. */
function withTask(s: string): { state: ShardState; slot: number; id: string } {
  const state = emptyState();
  const id = taskIdOfCommand('acme', '1', 0);
  applyCreate(state, { k: 'create', c: 1, m: 1, id, s, t: target(), p: '1', d: '{}' }, T0);
  advance(state, T0 + 1_000, Infinity);
  assertInvariants(state);
  expect(audit(state, 0, Infinity)).toMatchObject({ next: 0, looked: 1, found: [] });
  return { state, slot: state.table.find(id), id };
}

describe('the audit', () => {
  it('finds a timer that the wheel has lost, and one that it has passed', () => {
    const { state, slot, id } = withTask(`e${HOUR}`);
    state.wheel.cancel(slot);
    const missed = { task: id, scheduledAt: T0 + HOUR, place: 'no timer' };
    expect(audit(state, 0, Infinity).found).toEqual([missed]);
    state.wheel.insert(slot, T0 + 900);
    expect(audit(state, 0, Infinity).found).toEqual([{ task: id, scheduledAt: T0 + 900, place: 'overdue' }]);
  });

  it('finds a fire that was passed over, but for one so near that it may have been proven', () => {
    const { state, slot, id } = withTask(`e${2 * HOUR}`);
    const past = (ms: number): void => {
      state.disarm(slot);
      state.arm(slot, ms);
    };
    past(T0 + 4 * HOUR);
    expect(audit(state, 0, Infinity).found).toEqual([{ task: id, scheduledAt: T0 + 2 * HOUR, place: 'passed over' }]);
    past(T0 + 2 * HOUR);
    advance(state, T0 + 2 * HOUR - LIMITS.clockSlackMs + 1, Infinity);
    past(T0 + 4 * HOUR);
    expect(audit(state, 0, Infinity).found).toEqual([]);
  });

  it('finds a task that waits for nothing', () => {
    const { state, slot, id } = withTask(`e${HOUR}`);
    state.disarm(slot);
    expect(audit(state, 0, Infinity).found).toEqual([{ task: id, scheduledAt: T0 + HOUR, place: 'idle' }]);
    const once = withTask(`a${T0 + HOUR}`);
    once.state.disarm(once.slot);
    expect(audit(once.state, 0, Infinity).found).toMatchObject([{ scheduledAt: T0 + HOUR, place: 'idle' }]);
  });

  it('finds a due task that is in no line', () => {
    const { state, slot, id } = withTask(`a${T0 + 500}`);
    state.backlog.removeSlot('acme.mail', 1, state.laneOf(slot), slot);
    expect(audit(state, 0, Infinity).found).toEqual([{ task: id, scheduledAt: T0 + 500, place: 'no line' }]);
  });

  it('counts what it finds once, and a checkpoint keeps that', () => {
    const { state, slot } = withTask(`e${HOUR}`);
    state.disarm(slot);
    for (let round = 0; round < 3; round++) audit(state, 0, Infinity);
    expect(state.ledger).toMatchObject({ expected: 1, missed: 1 });
    expect(state.ledger.counters(0)).toEqual({ ...NO_FIRES, missed: 1 });
    expect(emptyState(state.ledger.counters(0)).ledger.expected).toBe(1);
  });

  it('is not needed for a timer that is handed out and put nowhere: that does not balance', () => {
    const { state, slot } = withTask(`a${T0 + 500}`);
    expect(state.ledger.imbalance(state.backlog.fires)).toBe(0);
    state.backlog.removeSlot('acme.mail', 1, state.laneOf(slot), slot);
    state.table.state[slot] = TASK_HELD;
    expect(state.ledger.imbalance(state.backlog.fires)).toBe(1);
    expect(() => assertInvariants(state)).toThrow();
    expect(state.ledger.counters(state.backlog.fires).missed).toBe(1);
  });

  it('says nothing while something that is due may be in the wheel', () => {
    const { state } = withTask(`e300`);
    take(state, 'acme.mail', 1, 1, T0 + 1_000); // armed for its next fire, which is due
    expect(audit(state, 0, Infinity)).toEqual({ next: 0, looked: 0, found: [] });
    advance(state, T0 + 1_000, 0);
    expect(audit(state, 0, Infinity).looked).toBe(0);
    advance(state, T0 + 1_000, Infinity);
    expect(audit(state, 0, Infinity).looked).toBe(1);
  });

  it('goes round in slices', async () => {
    const shard = await TestShard.start();
    for (let task = 0; task < 10; task++) shard.create({ s: `e${HOUR}` });
    shard.pass(1);
    const places: number[] = [];
    for (let from = 0, looked = 0; looked < 20;) {
      const slice = shard.core.audit(from, 4);
      looked += slice.looked;
      places.push((from = slice.next));
    }
    expect(places).toEqual([4, 8, 0, 4, 8, 0]);
  });
});
