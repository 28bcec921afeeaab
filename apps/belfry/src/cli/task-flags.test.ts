import { describe, expect, it } from 'vitest';

import { CliError } from './exit.ts';
import { taskFields, type TaskFlags } from './task-flags.ts';
import { NOW } from './testing.ts';

const FROM = { now: NOW, utc: true, file: (path: string) => `{"from":"${path}"}`, stdin: async () => '[1]' };
const read = (flags: TaskFlags) => taskFields(flags, FROM);

describe('flags of a task', () => {
  it.each<[TaskFlags, object]>([
    [{}, {}],
    [{ in: '10m' }, { at: '2026-11-24T14:10:00.000Z' }],
    [{ at: '2030-01-31 08:00' }, { at: '2030-01-31T08:00:00.000Z' }],
    [
      { every: '90s', anchor: '2030-01-31' },
      { every: '90s', anchor: '2030-01-31T00:00:00.000Z' },
    ],
    [
      { cron: ['@daily'], timezone: 'Asia/Tokyo' },
      { cron: '@daily', timezone: 'Asia/Tokyo' },
    ],
    [
      {
        cron: ['* * * * MON', '* * * * FRI'],
        between: ['02:00', '04:00'],
        startAt: '2030-01-31',
        limit: 3,
        gap: 'skip',
        calendar: ['holidays'],
        onExcluded: 'next',
        jitter: '10m',
      },
      {
        cron: ['* * * * MON', '* * * * FRI'],
        between: ['02:00', '04:00'],
        startAt: '2030-01-31T00:00:00.000Z',
        limit: 3,
        gap: 'skip',
        calendars: ['holidays'],
        onExcluded: 'next',
        jitter: '10m',
      },
    ],
    [{ payload: '{"a":1}' }, { payload: { a: 1 } }],
    [{ payload: '@task.json' }, { payload: { from: 'task.json' } }],
    [{ payload: '-' }, { payload: [1] }],
    [
      { attempts: 5, timeout: '30s' },
      { retry: { attempts: 5 }, timeoutMs: 30_000 },
    ],
    [
      { precision: 'low', catchUp: 'skip' },
      { precision: 'low', catchUp: 'skip' },
    ],
    [{ catchUp: 'all', catchUpWindow: '2h' }, { catchUp: { policy: 'all', window: 7_200_000 } }],
    [
      { label: { a: '1' }, priority: 'high', queue: 'q', handler: 'h' },
      { metadata: { a: '1' }, priority: 'high', queue: 'q', handler: 'h' },
    ],
  ])('%j become a spec', async (flags, spec) => expect(await read(flags)).toEqual(spec));

  it.each<[TaskFlags, RegExp]>([
    [{ at: '2030-01-31', cron: ['@daily'] }, /only one of .* --at and --cron/],
    [{ in: '1h', every: '1h' }, /--in and --every/],
    [{ timezone: 'UTC' }, /--timezone goes with --every and --cron/],
    [{ in: '1h', onExcluded: 'next' }, /--on-excluded goes with --every and --cron, not with --in/],
    [{ at: '2030-01-31', calendar: ['a'] }, /--calendar goes with --every and --cron, not with --at/],
    [{ cron: ['@daily'], anchor: '2030-01-31' }, /--anchor goes with --every only/],
    [{ anchor: '2030-01-31' }, /--anchor goes with --every/],
    [{ at: 'tomorrow' }, /--at tomorrow: not an instant/],
    [{ in: 'soon' }, /--in soon: not a duration/],
    [{ in: '999999999999w' }, /beyond the end of time/],
    [{ payload: 'hello' }, /--payload: not JSON/],
    [{ catchUp: 'latest', catchUpWindow: '2h' }, /--catch-up-window goes with --catch-up all only/],
    [{ timeout: '5' }, /--timeout 5: not a duration/],
  ])('%j are wrong usage', async (flags, message) => {
    const error = await read(flags).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(CliError);
    expect(error).toMatchObject({ exit: 2, code: 'usage', message: expect.stringMatching(message) });
  });
});
