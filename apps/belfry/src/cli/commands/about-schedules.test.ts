import { describe, expect, it } from 'vitest';

import { memoryClient, testCli } from '../testing.ts';
import { answersTo } from '../preview-batch.ts';
import { forecast } from './forecast.ts';
import { lint } from './lint.ts';
import { preview } from './preview.ts';
import { tzdiff } from './tzdiff.ts';

async function batch(...lines: string[]): Promise<Record<string, unknown>[]> {
  const { cli, documents } = testCli(memoryClient(), { stdin: lines.join('\n') });
  await preview(cli, { batch: true });
  return documents();
}

async function* once(chunk: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(chunk);
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
    expect(stderr()).toContain('12 tasks, as of 2027-01-01 00:00:00 (in 37d); 3 tasks are left out');
  });
});

describe('schedule tzdiff', () => {
  const reply = {
    from: { version: '2026b', recordedAt: '2026-11-01T00:00:00.000Z' },
    to: { version: '2026c' },
    until: '2032-01-01T00:00:00.000Z',
    zones: ['America/Vancouver'],
    items: [
      {
        schedule: { cron: '0 9 * * *', timezone: 'America/Vancouver' },
        tasks: 12,
        ids: ['0190a'],
        was: '2026-11-27T17:00:00.000Z',
        is: '2026-11-27T16:00:00.000Z',
        next: true,
      },
    ],
    moved: 12,
    leftOut: 0,
    asOf: '2026-11-27T00:00:00.000Z',
  };

  it('lists schedules with what moves', async () => {
    const asked: unknown[] = [];
    const client = { ...memoryClient(), tzdiff: async (from?: string) => (asked.push(from), reply) };
    const { cli, stdout, stderr } = testCli(client);
    await tzdiff(cli, { from: '2026b' });
    expect(asked).toEqual(['2026b']);
    expect(stdout()).toMatch(
      /^SCHEDULE +TASKS +WAS +IS +SOME TASKS\n0 9 \* \* \* America\/Vancouver +12 .*next fire +0190a\n$/,
    );
    expect(stderr()).toContain('12 tasks move from 2026b');
    expect(stderr()).toContain('clocks differ in America/Vancouver');
  });

  it('says that there is nothing to compare with', async () => {
    const { from: _, ...none } = reply;
    const { cli, stdout, stderr } = testCli({
      ...memoryClient(),
      tzdiff: async () => ({ ...none, items: [], moved: 0 }),
    });
    await tzdiff(cli, {});
    expect([stdout(), stderr()]).toEqual([
      '',
      expect.stringContaining('no time-zone data other than the present 2026c'),
    ]);
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

  it('is strictly after an instant between two milliseconds, wherever its offset puts it', async () => {
    const cron = '*/15 * * * *';
    const next = ['2022-04-02T12:15:00.000Z'];
    for (const after of [
      '2022-04-02T12:14:59.9999Z',
      '2022-04-03T02:14:59.9999+14:00',
      '2022-04-02T00:14:59.999-12:00',
    ])
      expect(await batch(JSON.stringify({ id: after, cron, after, count: 1 }))).toEqual([{ id: after, next }]);
  });

  it('takes the definitions of calendars in place of names', async () => {
    const daily = { cron: '0 9 * * *', after: '2027-12-24T10:00:00Z', count: 2 };
    const [skipped, moved, named, wrong, many, text] = await batch(
      JSON.stringify({ id: 1, ...daily, calendars: [{ exclude: ['12-25'] }, { exclude: ['2027-12-26'] }] }),
      JSON.stringify({ id: 2, ...daily, calendars: [{ exclude: ['12-25'] }], onExcluded: 'next' }),
      JSON.stringify({ id: 3, ...daily, calendars: [{ exclude: ['12-25'] }, 'holidays'] }),
      JSON.stringify({ id: 4, ...daily, calendars: [{ exclude: ['12-25', '2027-02-30'] }] }),
      JSON.stringify({ id: 5, ...daily, calendars: Array(9).fill({}) }),
      JSON.stringify({ id: 6, ...daily, calendars: 'holidays' }),
    );
    expect(skipped).toEqual({ id: 1, next: ['2027-12-27T09:00:00.000Z', '2027-12-28T09:00:00.000Z'] });
    expect(moved).toEqual({ id: 2, next: ['2027-12-26T00:00:00.000Z', '2027-12-26T09:00:00.000Z'] });
    expect(named).toMatchObject({ id: 3, error: { code: 'unsupported', path: 'calendars[1]' } });
    expect(wrong).toMatchObject({ id: 4, error: { code: 'invalid_calendar', path: 'calendars[0].exclude[1]' } });
    expect(many).toMatchObject({ id: 5, error: { code: 'invalid_schedule', path: 'calendars' } });
    expect(text).toMatchObject({ id: 6, error: { code: 'invalid_schedule', path: 'calendars' } });
  });

  it('gives ids back as they came, and says which line it is where there is none', async () => {
    const { cli, stdout } = testCli(memoryClient(), {
      stdin: [
        '\ufeff{"id":12345678901234567890,"at":"2022-05-01T00:00:00Z"}\r',
        '{"id":["x"],"at":1}',
        '   ',
        '{"id":1.50,"at":1,"count":1e9}',
        '{"id":true,"at"',
      ].join('\n'),
    });
    await preview(cli, { batch: true });
    expect(stdout().trim().split('\n')).toEqual([
      '{"id":12345678901234567890,"next":[]}',
      '{"id":null,"error":{"code":"invalid_field","message":"line 2: id is a text or a number","path":"id"}}',
      '{"id":1.50,"error":{"code":"invalid_field","message":"count is a whole number from 1 to 10000","path":"count"}}',
      expect.stringMatching(/^\{"id":null,"error":\{"code":"malformed","message":"line 5: /),
    ]);
  });

  it('hands answers on in small texts, whatever a chunk asks for', async () => {
    const line = Buffer.from('{"cron":"* * * * *","after":0,"count":10000}\n');
    const chunk = Buffer.concat(Array<Buffer>(40).fill(line));
    let [texts, longest, lines] = [0, 0, 0];
    for await (const text of answersTo(once(chunk), 0)) {
      texts++;
      longest = Math.max(longest, text.length);
      lines += text.split('\n').length - 1;
    }
    expect([texts, lines]).toEqual([41, 40]);
    expect(longest).toBeLessThan(400_000);
  });

  it('has a line of error for whatever stands in a field', async () => {
    const odd = [null, true, -1, 1e300, 0.5, '', ' ', '\0', 'x'.repeat(5_000), [], [[]], {}, { a: 1 }, ['', 1], 'NaN'];
    const fields =
      'at every anchor cron timezone startAt endAt limit gap fold calendars onExcluded jitter between after count';
    const lines = fields
      .split(' ')
      .flatMap((field) => odd.map((value) => ({ id: field, cron: '0 9 * * *', [field]: value })));
    const answers = await batch(...lines.map((line) => JSON.stringify(line)));
    expect(answers.map(({ id }) => id)).toEqual(lines.map(({ id }) => id));
    const codes = new Set(answers.map(({ error }) => (error as { code?: string } | undefined)?.code));
    expect(codes).toEqual(
      new Set([
        ...['invalid_schedule', 'invalid_cron', 'invalid_timezone', 'invalid_calendar', 'invalid_field', 'unsupported'],
        undefined,
      ]),
    );
    const taken = answers.filter(({ error }) => error === undefined).length;
    expect(taken).toBeLessThan(5);
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
