import { describe, expect, it } from 'vitest';

import { memoryClient, testCli } from '../testing.ts';
import { forecast } from './forecast.ts';
import { lint } from './lint.ts';
import { preview } from './preview.ts';

async function batch(...lines: string[]): Promise<Record<string, unknown>[]> {
  const { cli, documents } = testCli(memoryClient(), { stdin: lines.join('\n') });
  await preview(cli, { batch: true });
  return documents();
}

describe('schedule preview', () => {
  it('shows fires in UTC and on the wall, and why they moved', async () => {
    const { cli, stdout } = testCli(memoryClient());
    const after = '2027-03-27T12:00:00Z';
    await preview(cli, { cron: ['30 2 * * *'], timezone: 'Europe/Berlin', after, count: 2 });
    expect(stdout()).toBe(
      [
        'FIRE (UTC)            LOCAL (Europe/Berlin)      WHY',
        '2027-03-28T01:00:00Z  2027-03-28T03:00:00+02:00  moved by a DST gap: 02:30 does not exist on 2027-03-28',
        '2027-03-29T00:30:00Z  2027-03-29T02:30:00+02:00',
        '',
      ].join('\n'),
    );
  });

  it('tells a wrong expression with its code and field', async () => {
    const { cli } = testCli(memoryClient());
    await expect(preview(cli, { cron: ['61 * * * *'] })).rejects.toMatchObject({
      exit: 1,
      code: 'invalid_cron',
      path: 'cron',
    });
    await expect(preview(cli, {})).rejects.toMatchObject({ exit: 2 });
  });
});

describe('schedule preview with calendars', () => {
  it('asks the server, which knows them', async () => {
    const asked: unknown[] = [];
    const client = {
      ...memoryClient(),
      preview: async (...request: unknown[]) => {
        asked.push(request);
        return {
          timezone: 'UTC',
          items: [{ at: '2027-01-02T00:00:00.000Z', local: '2027-01-02T00:00:00+00:00', notes: [] }],
        };
      },
    };
    const { cli, stdout } = testCli(client);
    await preview(cli, { cron: ['@daily'], calendar: ['off'], after: '2027-01-01T00:00:00Z', count: 1 });
    expect(asked).toEqual([
      [
        { cron: '@daily', calendars: ['off'] },
        { after: Date.UTC(2027, 0, 1), count: 1 },
      ],
    ]);
    expect(stdout()).toContain('2027-01-02T00:00:00Z');
  });
});

describe('schedule forecast', () => {
  it('shows sums and peaks over the window', async () => {
    const fires = Array.from({ length: 1_440 }, (_, minute) => (minute % 60 === 0 ? 50 : minute < 60 ? 1.5 : 0));
    const client = {
      ...memoryClient(),
      forecast: async () => ({
        from: '2027-01-01T00:00:00.000Z',
        stepMs: 60_000,
        fires,
        tasks: 12,
        leftOut: 3,
        asOf: '2027-01-01T00:00:00.000Z',
      }),
    };
    const { cli, stdout, stderr } = testCli(client);
    await forecast(cli, {});
    const lines = stdout().trimEnd().split('\n');
    expect(lines).toHaveLength(25);
    expect(lines[0]).toMatch(/FROM \(UTC\) +FIRES +BUSIEST MINUTE/);
    expect(lines[1]).toMatch(/2027-01-01 00:00:00 +139 +50 +█{40}/);
    expect(lines[2]).toMatch(/2027-01-01 01:00:00 +50 +50 +█{14}$/);
    expect(stderr()).toContain('12 tasks, as of 2027-01-01T00:00:00.000Z; 3 tasks are left out');
  });
});

describe('schedule preview --batch', () => {
  it('answers each line in its order, whatever is wrong with others', async () => {
    const after = '2022-04-02T12:00:00Z';
    expect(
      await batch(
        JSON.stringify({ id: 'ä1', cron: '*/15 * * * *', timezone: 'Pacific/Chatham', after, count: 2 }),
        '{"id": 2, "cron": ',
        '',
        JSON.stringify({ id: 3, cron: '0 12 * *', after }),
        JSON.stringify({ id: 4, every: '90s', after, count: 2 }),
        JSON.stringify({ id: 5, at: '2022-05-01T00:00:00Z', after }),
        JSON.stringify({ id: 6, cron: '@daily', tz: 'UTC' }),
        '[]',
        JSON.stringify({ id: 7, cron: '@daily', after, count: 0 }),
      ),
    ).toEqual([
      { id: 'ä1', next: ['2022-04-02T12:15:00.000Z', '2022-04-02T12:30:00.000Z'] },
      { id: null, error: { code: 'malformed', message: expect.any(String) } },
      {
        id: 3,
        error: { code: 'invalid_cron', path: 'cron', position: 8, message: expect.stringMatching(/did you mean/) },
      },
      { id: 4, next: ['2022-04-02T12:01:30.000Z', '2022-04-02T12:03:00.000Z'] },
      { id: 5, next: ['2022-05-01T00:00:00.000Z'] },
      { id: 6, error: { code: 'unknown_field', path: 'tz', message: expect.any(String) } },
      { id: null, error: { code: 'malformed', message: expect.any(String) } },
      { id: 7, error: { code: 'invalid_field', path: 'count', message: expect.any(String) } },
    ]);
  });

  it('refuses a line that does not end, and goes on after it', async () => {
    const long = JSON.stringify({ id: 'x'.repeat(1_100_000) });
    expect(await batch(long, '{"id":1,"at":"2022-05-01T00:00:00Z"}')).toEqual([
      { id: null, error: { code: 'too_large', message: expect.any(String) } },
      { id: 1, next: [] },
    ]);
  });
});

describe('schedule lint', () => {
  it('exits with 5 when there is something to warn of', async () => {
    const { cli, stdout } = testCli(memoryClient());
    expect(await lint(cli, { cron: ['15 9 31 * *'] })).toBe(5);
    expect(stdout()).toMatch(/^month_lacks_day {2}cron:5 /m);
    expect(await lint(cli, { cron: ['15 9 * * *'] })).toBe(0);
  });

  it('gives one document with --json', async () => {
    const { cli, documents } = testCli(memoryClient(), { json: true });
    await lint(cli, { cron: ['*/7 * * * *'] });
    expect(documents()).toMatchObject([{ warnings: [{ code: 'uneven_step', path: 'cron', position: 0 }] }]);
  });
});
