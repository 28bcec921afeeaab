import { decodeTarget, encodeTarget, type CatchUp } from '@belfry/protocol';
import { nextFire, parseCanonical } from '@belfry/timing';
import { seeded } from '@belfry/timing/testing';
import { NO_FIRES } from '@belfry/ports';
import { describe, expect, it } from 'vitest';
import { lastFire } from './catch-up.ts';
import { fire, T0, target, TestShard } from './test-world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const WEEKS = 14 * 24 * HOUR;

const policy = (catchUp: CatchUp): string => target({ catchUp });

/** A shard with tasks, whose schedulers are all down from T0 + 500 ms on, and one that starts `downMs` later. */
async function afterDowntime(
  downMs: number,
  ...tasks: { readonly key: string; readonly s: string; readonly t: string }[]
): Promise<TestShard> {
  const shard = await TestShard.start();
  for (const task of tasks) shard.create(task);
  shard.pass(500);
  await shard.checkpoint();
  shard.nowMs += downMs;
  await shard.crash();
  shard.pass(0);
  return shard;
}

/** All that is dispatched until nothing is due, as offsets of scheduledAt from T0 in seconds. */
function drain(shard: TestShard): number[] {
  const seconds: number[] = [];
  for (;;) {
    const taken = [...shard.take(), ...shard.takeLate()];
    if (taken.length === 0) return seconds;
    shard.publish(taken);
    seconds.push(...taken.map(({ execution }) => (execution.scheduledAt - T0) / 1_000));
    shard.pass(0);
  }
}

const skips = (shard: TestShard) =>
  shard.core.takeEvents().flatMap(({ skipped }) => {
    if (skipped === undefined) return [];
    const { policy: kept, firstMs, lastMs, count, atLeast } = skipped;
    return [`${kept} ${(firstMs - T0) / 1_000} to ${(lastMs - T0) / 1_000}: ${count}${atLeast ? ' or more' : ''}`];
  });

const everySecond = { key: 'a', s: `e1000@${T0}` };

describe('missed fires', () => {
  it('run all, in order, when they are less than 60 s late', async () => {
    const shard = await afterDowntime(59_000, { ...everySecond, t: policy({ policy: 'skip' }) });
    expect(drain(shard)).toEqual(Array.from({ length: 59 }, (_, at) => at + 1));
    expect([skips(shard), shard.core.counters.skipped]).toEqual([[], 0]);
  });

  it('are skipped up to those that are less than 60 s late, under skip', async () => {
    const shard = await afterDowntime(100_000, { ...everySecond, t: policy({ policy: 'skip' }) });
    expect(drain(shard)).toEqual(Array.from({ length: 60 }, (_, at) => at + 41));
    expect([skips(shard), shard.core.counters.skipped]).toEqual([['skip 1 to 40: 40'], 40]);
  });

  it('run once with the last of them, under latest', async () => {
    const shard = await afterDowntime(100_000, { ...everySecond, t: policy({ policy: 'latest' }) });
    expect(drain(shard)).toEqual(Array.from({ length: 61 }, (_, at) => at + 40));
    expect([skips(shard), shard.core.counters.skipped]).toEqual([['latest 1 to 39: 39'], 39]);
  });

  it('run all that the window holds, under all', async () => {
    const shard = await afterDowntime(100_000, { ...everySecond, t: policy({ policy: 'all', windowMs: 70_000 }) });
    expect(drain(shard)).toEqual(Array.from({ length: 70 }, (_, at) => at + 31));
    expect(skips(shard)).toEqual(['all 1 to 30: 30']);
  });

  it('run once by default, and the coming ones as ever', async () => {
    const shard = await afterDowntime(30 * MINUTE, { key: 'a', s: `e${10 * MINUTE}@${T0}`, t: target() });
    expect(drain(shard)).toEqual([1_200, 1_800]);
    shard.pass(10 * MINUTE);
    expect(drain(shard)).toEqual([2_400]);
    expect(skips(shard)).toEqual(['latest 600 to 600: 1']);
  });

  it('are nobody’s when the task is made after them, whatever the policy', async () => {
    const shard = await afterDowntime(HOUR);
    shard.create({ key: 'a', s: `a${T0 + 1_000}`, t: policy({ policy: 'skip' }) });
    shard.pass(5);
    expect(drain(shard)).toEqual([1]);
  });

  it('are told by a gap though no owner had left a checkpoint, but for a shard without tasks', async () => {
    for (const tasks of [0, 1]) {
      const shard = await TestShard.start();
      if (tasks === 1) shard.create({ ...everySecond, t: policy({ policy: 'skip' }) });
      shard.nowMs += 100_000;
      await shard.crash();
      shard.pass(0);
      const foundMs = T0 + 100_000;
      const gap = { fromMs: 0, untilMs: foundMs - MINUTE, foundMs };
      expect(shard.takeDelta().unwatched).toEqual(tasks === 1 ? [gap] : []);
      expect(drain(shard)).toHaveLength(tasks === 1 ? 60 : 0);
    }
  });

  it('are skipped at once however many there are', async () => {
    const tasks = (['skip', 'latest', 'all'] as const).map((kind) => ({
      key: kind,
      s: `e1000@${T0}`,
      t: policy({ policy: kind }),
    }));
    const shard = await afterDowntime(WEEKS, ...tasks, { key: 'cron', s: 'c* * * * * *;UTC', t: target() });
    const seconds = WEEKS / 1_000;
    expect(skips(shard).sort()).toEqual([
      `all 1 to ${seconds - 3_600}: ${seconds - 3_600}`,
      `latest 1 to ${seconds - 61}: 100 or more`,
      `latest 1 to ${seconds - 61}: ${seconds - 61}`,
      `skip 1 to ${seconds - 60}: ${seconds - 60}`,
    ]);
    expect([shard.takeLate().length, shard.take().length]).toEqual([3, 1]);
  });
});

describe('a one-time task that was missed', () => {
  const once = { key: 'a', s: `a${T0 + 1_000}` };

  it('runs by default, and under latest and all, after two weeks too', async () => {
    for (const t of [target(), policy({ policy: 'latest' }), policy({ policy: 'all' })])
      expect(drain(await afterDowntime(WEEKS, { ...once, t }))).toEqual([1]);
  });

  it('ends as skipped, with a row that says so, and is told', async () => {
    const shard = await afterDowntime(HOUR, { ...once, t: policy({ policy: 'skip' }) });
    expect(drain(shard)).toEqual([]);
    expect(skips(shard)).toEqual(['skip 1 to 1: 1']);
    await shard.checkpoint();
    expect(shard.history()).toEqual(['1000 skipped']);
    expect(shard.core.counters).toEqual({ ...NO_FIRES, skipped: 1 });
    await shard.crash();
    shard.pass(HOUR);
    expect([drain(shard), shard.history()]).toEqual([[], ['1000 skipped']]);
  });

  it('ends as skipped when its window has passed, and runs while it has not', async () => {
    const t = policy({ policy: 'all', windowMs: 10 * MINUTE });
    expect(drain(await afterDowntime(10 * MINUTE, { ...once, t }))).toEqual([1]);
    expect(drain(await afterDowntime(11 * MINUTE, { ...once, t }))).toEqual([]);
  });

  it('is skipped again after a crash before the checkpoint, and once', async () => {
    const shard = await afterDowntime(HOUR, { ...once, t: policy({ policy: 'skip' }) });
    shard.nowMs += MINUTE;
    await shard.crash();
    shard.pass(0);
    await shard.checkpoint();
    expect([shard.history(), shard.core.counters.skipped]).toEqual([['1000 skipped'], 1]);
  });

  it('keeps what still runs of an instant before', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ key: 'a', s: `a${T0}`, t: policy({ policy: 'skip' }) });
    shard.pass(5);
    shard.dispatch();
    shard.update(id, { s: `a${T0 + 1_000}` });
    await shard.checkpoint();
    shard.nowMs += HOUR;
    await shard.crash();
    shard.pass(0);
    await shard.checkpoint();
    await shard.crash();
    expect([shard.under(id), drain(shard)]).toEqual([['0 dispatched 1'], []]);
    shard.result(fire(id, 0), 1, 'succeeded');
    await shard.checkpoint();
    expect([shard.history(), shard.core.glance(id, 'acme')?.state]).toEqual([
      ['1000 skipped', '0 succeeded'],
      'finished',
    ]);
  });
});

describe('a fire that came due in time', () => {
  it('runs however long it waits for a worker, and so do those that come due behind it', async () => {
    const shard = await TestShard.start();
    shard.create({ ...everySecond, t: policy({ policy: 'skip' }) });
    for (let seconds = 0; seconds < 300; seconds += 10) shard.pass(10_000);
    expect(drain(shard).length).toBe(300);
    expect(shard.core.counters.skipped).toBe(0);
  });

  it('runs after downtime, and only what came due in the downtime is skipped', async () => {
    const shard = await TestShard.start();
    shard.create({ ...everySecond, t: policy({ policy: 'skip' }) });
    for (let seconds = 0; seconds < 100; seconds += 10) shard.pass(10_000);
    await shard.checkpoint();
    for (let restart = 0; restart < 2; restart++) {
      shard.nowMs += 200_000;
      await shard.crash();
      shard.pass(0);
      await shard.checkpoint();
    }
    const ran = drain(shard);
    const span = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);
    expect(ran).toEqual([...span(1, 100), ...span(241, 300), ...span(441, 500)]);
    expect(skips(shard)).toEqual(['skip 101 to 240: 140', 'skip 301 to 440: 140']);
  });

  it('is not skipped once it was dispatched, nor between its attempts', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ ...everySecond, t: policy({ policy: 'skip' }) });
    shard.pass(2_000);
    shard.dispatch();
    shard.pass(0);
    shard.dispatch();
    shard.result(fire(id, 1_000), 1, 'failed');
    await shard.checkpoint();
    shard.nowMs += HOUR;
    await shard.crash();
    shard.pass(0);
    expect(shard.under(id).slice(0, 2)).toEqual(['1000 retrying 2', '2000 dispatched 1']);
    expect(drain(shard).slice(0, 2)).toEqual([1, 3_543]);
  });

  it('is not skipped when the clock leaps ahead and back, and never runs early', async () => {
    const shard = await TestShard.start();
    shard.create({ key: 'a', s: `e${10 * MINUTE}@${T0}`, t: target() });
    shard.pass(30 * MINUTE);
    shard.nowMs -= 30 * MINUTE;
    shard.create({ key: 'b', s: `e${MINUTE}@${T0}`, t: target() });
    expect(drain(shard)).toEqual([1_200]);
    for (let minutes = 0; minutes < 20; minutes += 0.5) {
      shard.pass(30_000);
      for (const seconds of drain(shard)) expect(seconds).toBeLessThanOrEqual((shard.nowMs - T0) / 1_000);
    }
    expect(shard.core.counters.fired).toBeGreaterThan(20);
  });
});

describe('a crash amid catch-up', () => {
  it('before the checkpoint leaves what was dispatched with its worker, and decides about the rest anew', async () => {
    const shard = await afterDowntime(HOUR, { ...everySecond, t: policy({ policy: 'latest' }) });
    const [first] = shard.takeLate(1);
    shard.publish(first === undefined ? [] : [first]);
    expect(first?.execution.scheduledAt).toBe(T0 + 3_540_000);
    shard.nowMs += 10 * MINUTE;
    await shard.crash();
    expect(shard.under(first?.execution.task ?? '')).toEqual(['3540000 dispatched 1']);
    shard.pass(0);
    expect(skips(shard)).toEqual(['latest 1 to 3539: 3539', 'latest 3541 to 4139: 599']);
    expect(drain(shard)[0]).toBe(4_140);
  });

  it('does not run again what a result in the inbox proves, nor any fire before it', async () => {
    const shard = await afterDowntime(WEEKS, { ...everySecond, t: policy({ policy: 'latest' }) });
    const [first] = shard.takeLate(1);
    const id = first?.execution.task ?? '';
    const lastMs = first?.execution.scheduledAt ?? 0;
    shard.result(first?.execution.id ?? '', 1, 'succeeded');
    await shard.crash();
    expect([shard.under(id), shard.core.underWay]).toEqual([[], 0]);
    expect(shard.core.counters).toMatchObject({ fired: 1, finished: 1, skipped: (lastMs - T0) / 1_000 - 1 });
    shard.pass(0);
    expect(drain(shard)[0]).toBe((lastMs - T0) / 1_000 + 1);
  });

  it('takes the word of a worker for fires that a replay has skipped', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ ...everySecond, t: policy({ policy: 'skip' }) });
    await shard.checkpoint();
    // No checkpoint for ten minutes, while fires are run in time; the first takes long.
    for (let seconds = 1; seconds <= 600; seconds++) {
      shard.pass(1_000);
      shard.dispatch();
      if (seconds > 1) shard.result(fire(id, seconds * 1_000), 1, 'succeeded');
      if (seconds > 1) shard.ack(fire(id, seconds * 1_000), 1);
    }
    shard.append({ k: 'result', c: 1, x: fire(id, 1_000), ns: 'acme', a: 1, o: 'failed', w: 'w', dl: 0, st: 0, fi: 0 });
    await shard.crash();
    expect(shard.under(id)).toEqual(['1000 retrying 1']);
    expect(shard.core.counters).toEqual({ ...NO_FIRES, fired: 600, finished: 599 });
  });

  it('takes the word of the work stream for them', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ ...everySecond, t: policy({ policy: 'skip' }) });
    await shard.checkpoint();
    for (let seconds = 1; seconds <= 300; seconds++) {
      shard.pass(1_000);
      shard.dispatch();
    }
    shard.result(fire(id, 300_000), 1, 'succeeded');
    shard.ack(fire(id, 300_000), 1);
    await shard.crash();
    expect([shard.core.underWay, shard.core.counters.skipped, shard.core.outstanding('acme.mail')]).toEqual([
      299, 0, 299,
    ]);
  });

  it('keeps to the window of the first look', async () => {
    const shard = await afterDowntime(2 * HOUR, { key: 'a', s: `e${MINUTE}@${T0}`, t: policy({ policy: 'all' }) });
    await shard.checkpoint();
    for (let restart = 0; restart < 3; restart++) {
      shard.nowMs += 30_000;
      await shard.crash();
      shard.pass(0);
      await shard.checkpoint();
    }
    expect(drain(shard)[0]).toBe(3_660);
  });
});

describe('an update after downtime', () => {
  it('gives what is left of the old schedule to its policy', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ ...everySecond, t: policy({ policy: 'latest' }) });
    await shard.checkpoint();
    shard.nowMs += HOUR;
    shard.append({ k: 'update', c: 1, m: shard.nextCommand(), id, ns: 'acme', s: `e${HOUR}@${T0}` });
    await shard.crash();
    expect(shard.core.counters.skipped).toBe(3_539);
    expect(drain(shard)).toEqual(Array.from({ length: 61 }, (_, at) => at + 3_540));
    expect(shard.core.pointerOf(id)).toBe(T0 + 2 * HOUR);
  });

  it('changes the policy of what has not been decided, too', async () => {
    const shard = await TestShard.start();
    const id = shard.create({ ...everySecond, t: policy({ policy: 'skip' }) });
    await shard.checkpoint();
    shard.nowMs += HOUR;
    shard.append({ k: 'update', c: 1, m: shard.nextCommand(), id, ns: 'acme', t: { catchUp: { policy: 'latest' } } });
    await shard.crash();
    shard.pass(0);
    expect(drain(shard)[0]).toBe(3_540);
  });
});

describe('missed fires that run', () => {
  it('wait behind all that is punctual', async () => {
    const tasks = [0, 1, 2].map((n) => ({ key: `late${n}`, s: `a${T0 + 1_000 + n}`, t: target({ priority: 0 }) }));
    const shard = await afterDowntime(HOUR, ...tasks);
    shard.create({ key: 'now', s: `a${shard.nowMs}`, t: target({ priority: 2 }) });
    shard.pass(1);
    expect(shard.take().map(({ execution }) => execution.scheduledAt)).toEqual([T0 + 500 + HOUR]);
    expect(shard.takeLate(2).map(({ execution }) => execution.scheduledAt)).toEqual([T0 + 1_000, T0 + 1_001]);
    expect(shard.core.waiting('acme.mail', 0)).toBe(1);
  });

  it('are cancelled, and moved to another queue, like others', async () => {
    const shard = await afterDowntime(
      HOUR,
      { key: 'a', s: `a${T0 + 1_000}`, t: target() },
      { key: 'b', s: `a${T0 + 2_000}`, t: target() },
    );
    const [a, b] = [...shard.core.print().matchAll(/^(\w+) late/gm)].map((match) => match[1] as string).sort();
    shard.cancel(a as string);
    shard.update(b as string, { t: { queue: 'post' } });
    shard.pass(0);
    expect([shard.takeLate(), shard.takeLate(Infinity, 'acme.post').map(({ execution }) => execution.task)]).toEqual([
      [],
      [b],
    ]);
  });
});

describe('the last fire up to an instant', () => {
  it.each(['*/7 * * * * *', '0 0 29 2 *', '0 0 1 1 *', '30 2 * * SUN', '* 3 * * *', '0,1,2,50 0 1 * *'])(
    'of %s is found in few steps',
    (cron) => {
      const schedule = parseCanonical(`c${cron};Europe/Berlin`);
      const random = seeded(7);
      for (let round = 0; round < 20; round++) {
        let asked = 0;
        const next = (afterMs: number): number => {
          asked++;
          return nextFire(schedule, afterMs, { createdMs: 0, seed: 0 });
        };
        const firstMs = next(T0 + Math.floor(random() * 1e10));
        const untilMs = firstMs + Math.floor(random() * 10 ** (3 + 9 * random()));
        asked = 0;
        const lastMs = lastFire(next, firstMs, untilMs);
        expect(asked).toBeLessThan(120);
        expect(next(lastMs - 1)).toBe(lastMs);
        expect(lastMs).toBeLessThanOrEqual(untilMs);
        expect(next(lastMs)).toBeGreaterThan(untilMs);
      }
    },
  );

  it('of any fires is the one that a list has', () => {
    const random = seeded(11);
    for (let round = 0; round < 2_000; round++) {
      const fires = [0];
      for (let more = Math.floor(random() * 40); more > 0; more--)
        fires.push((fires.at(-1) as number) + 1 + Math.floor(10 ** (random() * 5)));
      const next = (afterMs: number): number => fires.find((atMs) => atMs > afterMs) ?? Infinity;
      const untilMs = Math.floor(random() * ((fires.at(-1) as number) + 100));
      expect(lastFire(next, 0, untilMs)).toBe(fires.findLast((atMs) => atMs <= untilMs));
    }
  });
});

it('reads and writes targets of before there were policies as they were', () => {
  const old = '["acme","mail","send",1,3,1000,2,60000,0.5,10000]';
  expect(decodeTarget(old)).toMatchObject({ precision: 'normal', catchUp: undefined });
  expect(encodeTarget(decodeTarget(old))).toBe(old);
});
