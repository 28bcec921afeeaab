import { startTestServers } from '@belfry/adapter-embedded/testing';
import { Belfry } from '@belfry/sdk';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { startServerProcess, type RunningServer } from '../testing/program.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const DAY_MS = 86_400_000;
const TASK = { queue: 'reports', handler: 'run' };
/** Years ahead, so that what is expected does not depend on today. */
const START = '2031-01-31T08:00:00Z';

let servers: Awaited<ReturnType<typeof startTestServers>>;
let program: RunningServer;
let belfry: Belfry;

beforeAll(async () => {
  servers = await startTestServers();
  program = await startServerProcess(servers, '--roles', 'gateway,scheduler,supervisor');
  belfry = new Belfry({ url: servers.natsUrl, namespace: 'kinds' });
});

afterAll(async () => {
  await belfry?.close();
  await program?.[Symbol.asyncDispose]();
  await servers?.stop();
});

const short = (next: readonly string[]): string[] => next.map((iso) => iso.slice(0, 16));

describe('schedules through a whole server', () => {
  it.each([
    [
      'months on the wall clock, ends of months clamped',
      { every: '1mo', anchor: START, timezone: 'Europe/Berlin', startAt: START },
      ['2031-01-31T08:00', '2031-02-28T08:00', '2031-03-31T07:00'],
    ],
    [
      'several expressions',
      { cron: ['0 9 * * *', '30 9 * * *'], startAt: START },
      ['2031-01-31T09:00', '2031-01-31T09:30', '2031-02-01T09:00'],
    ],
    [
      'an end',
      { every: '1h', anchor: START, endAt: '2031-01-31T09:30:00Z', startAt: START },
      ['2031-01-31T08:00', '2031-01-31T09:00'],
    ],
    ['a limit', { cron: '@daily', startAt: START, limit: 2 }, ['2031-02-01T00:00', '2031-02-02T00:00']],
    [
      'a rule for the gap',
      { cron: '30 2 * * *', timezone: 'America/New_York', gap: 'skip', startAt: '2031-03-08T12:00:00Z' },
      ['2031-03-10T06:30', '2031-03-11T06:30', '2031-03-12T06:30'],
    ],
    [
      'a rule for the fold',
      { cron: '30 1 * * *', timezone: 'America/New_York', fold: 'both', startAt: '2031-11-01T12:00:00Z' },
      ['2031-11-02T05:30', '2031-11-02T06:30', '2031-11-03T06:30'],
    ],
  ] as const)('%s', async (_what, when, expected) => {
    const { id, next } = await belfry.schedule({ ...TASK, ...when });
    expect(short(next)).toEqual(expected);
    const view = await belfry.get({ id });
    expect(short(view.next)).toEqual(expected);
    const { startAt: _start, anchor: _anchor, endAt: _end, ...stated } = { anchor: '', endAt: '', ...when };
    if ('cron' in stated && stated.cron === '@daily') expect(view).toMatchObject({ limit: 2 });
    else expect(view).toMatchObject(stated);
  });

  it('moves the fires of each task by an amount of its own', async () => {
    const offsets = await Promise.all(
      ['a', 'b', 'c', 'd'].map(async (key) => {
        const { next } = await belfry.schedule({
          ...TASK,
          key: `jitter-${key}`,
          cron: '0 9 * * *',
          jitter: '30m',
          startAt: START,
        });
        const offset = Date.parse(next[0] as string) - Date.parse('2031-01-31T09:00:00Z');
        expect(Date.parse(next[1] as string) - Date.parse(next[0] as string)).toBe(DAY_MS);
        return offset;
      }),
    );
    for (const offset of offsets) expect(offset >= 0 && offset <= 30 * 60_000, `${offset} ms`).toBe(true);
    expect(new Set(offsets).size).toBeGreaterThan(1);
  });

  it('spreads tasks over their window, and keeps the minute of each', async () => {
    const spec = { ...TASK, every: '1d', between: ['02:00', '02:10'], timezone: 'UTC', startAt: START } as const;
    const specs = Array.from({ length: 10 }, (_, i) => ({ ...spec, key: `nightly-${i}` }));
    const firsts = async (): Promise<string[]> =>
      (await belfry.scheduleMany(specs)).map((result) =>
        'error' in result ? result.error.message : (result.next[0] as string),
      );
    const before = await firsts();
    expect(before.map((iso) => iso.slice(11, 16)).sort()).toEqual(Array.from({ length: 10 }, (_, i) => `02:0${i}`));
    expect(await firsts()).toEqual(before);
    const [again] = await belfry.scheduleMany(specs);
    expect(again).toMatchObject({ status: 'unchanged' });
    expect(await belfry.get({ key: 'nightly-0' })).toMatchObject({ every: '1d', between: ['02:00', '02:10'] });
  });

  it('leaves out what a calendar excludes, also once it changes, and after the scheduler was killed', async () => {
    const spec = {
      ...TASK,
      key: 'opening',
      cron: '0 9 * * *',
      calendars: ['holidays'],
      startAt: '2031-12-24T00:00:00Z',
    } as const;
    await expect(belfry.schedule(spec)).rejects.toMatchObject({ code: 'not_found', path: 'calendars[0]' });
    expect(await belfry.calendars.set('holidays', { exclude: ['12-25'] })).toMatchObject({ status: 'set', rearmed: 0 });
    expect(short((await belfry.schedule(spec)).next)).toEqual([
      '2031-12-24T09:00',
      '2031-12-26T09:00',
      '2031-12-27T09:00',
    ]);
    const changed = { exclude: ['12-24', '12-25', '12-26'] };
    expect(await belfry.calendars.set('holidays', changed)).toMatchObject({ status: 'set', rearmed: 1 });
    const later = ['2031-12-27T09:00', '2031-12-28T09:00', '2031-12-29T09:00'];
    expect(short((await belfry.get({ key: 'opening' })).next)).toEqual(later);
    await program.kill('SIGKILL');
    program = await startServerProcess(servers, '--roles', 'gateway,scheduler,supervisor');
    expect(short((await belfry.get({ key: 'opening' })).next)).toEqual(later);
    await vi.waitFor(
      async () => expect(await belfry.calendars.get('holidays')).toMatchObject({ calendar: changed }),
      15_000,
    );
    await vi.waitFor(async () => {
      const { items } = await belfry.list({ queue: TASK.queue });
      expect(short(items.find(({ key }) => key === 'opening')?.next ?? [])).toEqual(later);
    }, 15_000);
    expect((await belfry.calendars.list()).items.map(({ name, rules }) => [name, rules])).toEqual([['holidays', 3]]);
  });
});
