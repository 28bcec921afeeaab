import { describe, expect, it } from 'vitest';

import { checkSchedules, type ScheduleEngine } from './check.ts';
import { parseCrontab } from './parse.ts';
import { crontabTasks, type ImportTarget } from './tasks.ts';

/** Knows nothing of time: refuses what holds 99, `Mars` and 30 February, and fires every minute else. */
const engine: ScheduleEngine = {
  next(cron, timezone, from, count) {
    if (timezone.includes('Mars')) throw new Error(`${timezone} is not a time zone`);
    if (cron.includes('99')) throw new Error('99 is out of range');
    if (cron.includes('30 2')) return [];
    if (cron === '1 2 3 4 5') throw new Error('only this whole is wrong');
    return Array.from({ length: count }, (_, i) => from + (i + 1) * 60_000);
  },
};

const TARGET: ImportTarget = {
  source: '/etc/tabs/ann',
  queue: 'shell',
  handler: 'shell',
  attempts: 1,
  timeoutMs: 60_000,
};

function check(text: string) {
  return checkSchedules(parseCrontab(text, { system: false, seconds: false }).entries, engine, 'Europe/Paris', 0);
}

function tasksOf(text: string, target = TARGET) {
  const { entries } = parseCrontab(text, { system: false, seconds: false });
  return crontabTasks(entries, checkSchedules(entries, engine, 'Europe/Paris', 0).good, target);
}

const keysOf = (text: string, target = TARGET) => tasksOf(text, target).map(({ spec }) => spec.key);

describe('checking schedules', () => {
  it('gives the coming fires, in the zone of the line or the local one', () => {
    const { good } = check('@daily a\nCRON_TZ=Asia/Tokyo\n@daily b');
    expect(good.map(({ timezone, next }) => [timezone, next])).toEqual([
      ['Europe/Paris', [60_000, 120_000, 180_000]],
      ['Asia/Tokyo', [60_000, 120_000, 180_000]],
    ]);
  });

  it('finds the field to blame', () => {
    expect(check('0  99 * * * a\n@daily b').problems).toEqual([
      { severity: 'error', line: 1, column: 4, message: '99 is out of range' },
    ]);
  });

  it('blames the zone when it is the zone', () => {
    expect(check('CRON_TZ=Mars/Base\n0 99 * * * a').problems).toMatchObject([
      { line: 2, column: 1, message: 'Mars/Base is not a time zone' },
    ]);
  });

  it('blames the line when each field alone is right', () => {
    expect(check('1 2 3 4 5 a').problems).toMatchObject([{ column: 1, message: 'only this whole is wrong' }]);
  });

  it('refuses what never fires', () => {
    expect(check('0 0 30 2 * a').problems).toMatchObject([{ line: 1, column: 1, message: '0 0 30 2 * never fires' }]);
  });
});

describe('the task of a line', () => {
  it('carries command, input, shell and environment', () => {
    const [task] = tasksOf('SHELL=/bin/bash\nA=1\n\n0 7 * * MON cat%hi');
    expect(task!.spec).toEqual({
      key: expect.stringMatching(/^crontab:ann:[0-9a-f]{20}$/),
      cron: '0 7 * * MON',
      timezone: 'Europe/Paris',
      queue: 'shell',
      handler: 'shell',
      payload: { command: 'cat', stdin: 'hi\n', shell: '/bin/bash', env: { A: '1' } },
      retry: { attempts: 1 },
      timeoutMs: 60_000,
      metadata: { source: '/etc/tabs/ann', line: '4' },
    });
  });

  it('keeps its key when it moves, and when its schedule, zone or environment change', () => {
    const [key] = keysOf('@daily a');
    expect(keysOf('# more\nA=1\nCRON_TZ=Asia/Tokyo\n5 * * * * a')).toEqual([key]);
  });

  it('has another key for another command, input or source', () => {
    const keys = [
      ...keysOf('@daily a\n@daily b\n@daily a%x'),
      ...keysOf('@daily a', { ...TARGET, source: '/etc/tabs/bob' }),
    ];
    expect(new Set(keys).size).toBe(4);
  });

  it('tells the same command on several lines apart', () => {
    const [first, second, third] = keysOf('@daily a\n@hourly a\n@weekly a');
    expect([second, third]).toEqual([`${first}.2`, `${first}.3`]);
  });

  it('does not take the key of a line that is wrong today', () => {
    const [, second] = keysOf('@daily a\n@hourly a');
    expect(keysOf('0 99 * * * a\n@hourly a')).toEqual([second]);
  });
});
