import type { CalendarView, ExecutionView, ExplainReply, ExplainRequest, HistoryRequest, Json } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { memoryClient, NOW, testCli } from '../testing.ts';
import type { CliClient } from '../client.ts';
import { getCalendar, listCalendars, setCalendar } from './calendar.ts';
import { cancel } from './cancel.ts';
import { events } from './events.ts';
import { explain } from './explain.ts';
import { get } from './get.ts';
import { history } from './history.ts';
import { list } from './list.ts';
import { rejected } from './rejected.ts';
import { schedule } from './schedule.ts';
import { trace } from './trace.ts';
import { update } from './update.ts';

const ISO = (offsetMs: number) => new Date(NOW + offsetMs).toISOString();

describe('schedule', () => {
  it('makes a task of flags, on queue default, and shows its next fire', async () => {
    const { cli, client, stdout } = testCli(memoryClient());
    expect(await schedule(cli, { handler: 'echo', in: '10m', key: 'k' })).toBeUndefined();
    expect([...client.tasks.values()]).toMatchObject([{ queue: 'default', handler: 'echo', at: ISO(600_000) }]);
    expect(stdout()).toMatch(/^created {2}[0-9a-f]{32}\nnext {5}2026-11-24 14:04:00 \(in 4m\) UTC\n$/);
  });

  it('prints the answer as one document with --json', async () => {
    const { cli, documents } = testCli(memoryClient(), { json: true });
    await schedule(cli, { handler: 'echo', in: '10m' });
    expect(documents()).toMatchObject([{ status: 'created', created: true, next: [ISO(240_000)] }]);
  });

  it('takes a file with the options that all commands have', async () => {
    const { cli } = testCli(memoryClient());
    const common = { json: true, namespace: 'default', url: 'nats://127.0.0.1:4222', utc: true };
    await expect(schedule(cli, { ...common, ...{ file: '/no/such/file' } })).rejects.toThrow('no such file');
  });

  it.each([
    [{ in: '10m' }, /--handler is required/],
    [{ handler: 'echo' }, /one of --at, --in, --every and --cron/],
    [{ file: 'x', handler: 'echo' }, /--handler does not go with --file/],
    [{ file: 'x', startAt: '2027-01-01T00:00:00Z' }, /--start-at does not go with --file/],
  ])('with %j is wrong usage', async (options, message) => {
    const { cli } = testCli(memoryClient());
    await expect(schedule(cli, options)).rejects.toMatchObject({ exit: 2, message: expect.stringMatching(message) });
  });
});

describe('calendar', () => {
  const client = () => {
    const known = new Map<string, CalendarView>();
    const calendars: CliClient['calendars'] = {
      set: async (name, calendar) => {
        const at = new Date(NOW).toISOString();
        known.set(name, { name, calendar: calendar as Json, version: 1, setAt: at, asOf: at });
        return { name, status: 'set', version: 1, rearmed: 3 };
      },
      get: async (name) => known.get(name) as CalendarView,
      list: async () => ({
        items: [...known.values()].map(({ calendar: _, asOf: __, ...rest }) => ({ ...rest, rules: 2 })),
        asOf: new Date(NOW).toISOString(),
      }),
    };
    return { ...memoryClient(), calendars };
  };

  it('is set from a file or from stdin, shown as it was set, and listed', async () => {
    const { cli, stdout } = testCli(client(), { stdin: '{"exclude":["12-25"]}' });
    await setCalendar(cli, 'holidays', '-');
    expect(stdout()).toContain('3 rearmed');
    await getCalendar(cli, 'holidays');
    expect(stdout()).toContain('"12-25"');
    await listCalendars(cli);
    expect(stdout()).toMatch(/holidays +2 /);
  });

  it('says where a file is no JSON', async () => {
    const { cli } = testCli(client(), { stdin: '{exclude' });
    await expect(setCalendar(cli, 'holidays', '-')).rejects.toMatchObject({
      exit: 1,
      code: 'malformed',
      path: 'stdin',
      message: expect.stringMatching(/^not JSON/),
    });
    await expect(setCalendar(cli, 'holidays', '/no/such/file')).rejects.toThrow('no such file');
  });
});

describe('update, get and cancel', () => {
  it('change, show and cancel a task by its key', async () => {
    const { cli, stdout } = testCli(memoryClient());
    await schedule(cli, { handler: 'echo', cron: ['@daily'], key: 'k', label: { team: 'a' } });
    await update(cli, 'k', { cron: ['@hourly'], timezone: 'Asia/Tokyo' });
    await get(cli, 'k', {});
    expect(stdout()).toContain('@hourly Asia/Tokyo');
    expect(stdout()).toContain('team=a');
    expect(await cancel(cli, ['k'], {})).toBe(0);
    await expect(get(cli, 'k', {})).rejects.toMatchObject({ code: 'not_found' });
  });

  it('update needs something to change', async () => {
    await expect(update(testCli(memoryClient()).cli, 'k', {})).rejects.toMatchObject({ exit: 2 });
  });

  it('cancel goes on after one that is not there, and exits with 4', async () => {
    const { cli, client, stderr } = testCli(memoryClient());
    await schedule(cli, { handler: 'echo', in: '1h', key: 'b' });
    expect(await cancel(cli, ['a', 'b'], {})).toBe(4);
    expect(client.tasks.size).toBe(0);
    expect(stderr()).toBe('error not_found: a: no task of this id or key\n');
  });
});

describe('list', () => {
  it('shows a page and how to go on, or every page', async () => {
    const { cli, stdout, stderr } = testCli(memoryClient());
    for (const key of ['a', 'b', 'c']) await schedule({ ...cli, json: false }, { handler: 'echo', every: '1h', key });
    const before = stdout().length;
    await list(cli, { limit: 2 });
    expect(stderr()).toContain('more: --cursor 2');
    await list(cli, { limit: 2, all: true });
    const lines = stdout().slice(before).trim().split('\n');
    expect(lines.filter((line) => line.startsWith('TASK'))).toHaveLength(2);
    expect(lines).toHaveLength(2 + 2 + 3);
    expect(lines[1]).toContain('every 1h');
  });

  it('says so when there is nothing', async () => {
    const { cli, stdout, stderr } = testCli(memoryClient());
    await list(cli, {});
    expect([stdout(), stderr()]).toEqual(['', 'no tasks, as of 2026-11-24 14:00:00 (now)\n']);
  });

  it('prints the page as one document with --json, and one task a line with --all', async () => {
    const { cli, documents } = testCli(memoryClient(), { json: true });
    for (const key of ['a', 'b', 'c']) await schedule(cli, { handler: 'echo', every: '1h', key });
    await list(cli, { limit: 2 });
    await list(cli, { limit: 2, all: true });
    const [page, ...tasks] = documents().slice(3);
    expect(page).toMatchObject({ items: [{ key: 'a' }, { key: 'b' }], cursor: '2', asOf: ISO(0) });
    expect(tasks.map((task) => task['key'])).toEqual(['a', 'b', 'c']);
  });
});

function execution(id: string, offsetMs: number): ExecutionView {
  return {
    execution: id,
    task: '0'.repeat(32),
    namespace: 'default',
    queue: 'q',
    handler: 'h',
    scheduledAt: ISO(offsetMs),
    state: 'succeeded',
    latenessMs: 12,
    attempts: [{ attempt: 1, outcome: 'succeeded', startedAt: ISO(offsetMs + 12), finishedAt: ISO(offsetMs + 40) }],
    result: 'fine',
  };
}

/** Latest first, page by page, as Belfry answers. */
function historyClient(executions: readonly ExecutionView[]) {
  const sorted = executions.toSorted((a, b) => (a.scheduledAt < b.scheduledAt ? 1 : -1));
  const asked: HistoryRequest[] = [];
  return {
    ...memoryClient(),
    asked,
    history: async (request: HistoryRequest) => {
      asked.push(request);
      const before = request.before === undefined ? Infinity : new Date(request.before).getTime();
      const earlier = sorted.filter((item) => Date.parse(item.scheduledAt) < before);
      const start = Number(request.cursor ?? 0);
      const end = start + (request.limit ?? 100);
      const items = earlier.slice(start, end);
      return { items, asOf: ISO(0), ...(end < earlier.length ? { cursor: String(end) } : {}) };
    },
    trace: async (id: string) => ({ ...execution(id, -5_000), epoch: 7 }),
  };
}

describe('history', () => {
  it('shows state, lateness and result of each execution', async () => {
    const { cli, stdout } = testCli(historyClient([execution('x1', -60_000)]));
    await history(cli, undefined, {});
    expect(stdout()).toMatch(/x1 .*2026-11-24 13:59:00 \(1m ago\) .*succeeded .* 12 ms +28 ms +"fine"\n$/);
  });

  it('loses no execution between pages, though many share an instant', async () => {
    const all = [1, 1, 1, 2, 3, 3, 4].map((minute, i) => execution(`x${i}`, -minute * 60_000));
    const { cli, documents } = testCli(historyClient(all), { json: true });
    await history(cli, 'some-key', { all: true, limit: 2 });
    expect(
      documents()
        .map((item) => item['execution'])
        .toSorted(),
    ).toEqual(all.map((item) => item.execution));
  });

  it('says how to go on', async () => {
    const all = [0, 60_000, 120_000].map((agoMs) => execution(`x${agoMs}`, -agoMs));
    const { cli, stdout, stderr } = testCli(historyClient(all));
    const before = '2026-11-24T14:00:00Z';
    await history(cli, undefined, { limit: 1, before });
    expect(stderr()).toBe('more: --cursor 1, or --all\n');
    expect(stdout()).toContain('x60000');
    const shown = stdout().length;
    await history(cli, undefined, { limit: 1, before, cursor: '1' });
    expect(stdout().slice(shown)).toContain('x120000');
    expect(stderr()).toBe('more: --cursor 1, or --all\n');
  });
});

describe('trace', () => {
  it('takes an execution, or a task for its latest', async () => {
    const client = historyClient([execution(`${'0'.repeat(32)}-abc`, -60_000)]);
    const { cli, documents } = testCli(client, { json: true });
    await trace(cli, `${'1'.repeat(32)}-abc`);
    await trace(cli, 'some-key');
    expect(documents().map((item) => item['execution'])).toEqual([`${'1'.repeat(32)}-abc`, `${'0'.repeat(32)}-abc`]);
    expect(client.asked).toEqual([{ key: 'some-key', limit: 1 }]);
  });

  it('says that a task has not run', async () => {
    await expect(trace(testCli(historyClient([])).cli, 'k')).rejects.toMatchObject({ exit: 4 });
  });
});

describe('explain', () => {
  const reply: ExplainReply = {
    id: 'a'.repeat(32),
    namespace: 'default',
    key: 'report',
    state: 'waiting',
    from: ISO(-3_600_000),
    to: ISO(0),
    life: [{ at: ISO(-86_400_000), what: 'created', schedule: { every: '1h' } }],
    owners: [{ at: ISO(-1_800_000), node: 'node-b', epoch: 8 }],
    fires: [
      {
        scheduledAt: ISO(-1_200_000),
        local: '2026-11-24T13:40:00+00:00',
        verdict: 'skipped',
        reasons: [{ code: 'catch_up', text: `nobody watched shard 7 from ${ISO(-2_000_000)} on`, at: ISO(-600_000) }],
      },
    ],
    more: true,
    asOf: ISO(0),
  };
  const client = (answer: ExplainReply) => {
    const asked: ExplainRequest[] = [];
    const explained = async (request: ExplainRequest) => {
      asked.push(request);
      return answer;
    };
    return { ...memoryClient(), asked, explain: explained };
  };

  it('tells the life of the task, its moves, and each fire with its reasons', async () => {
    const { cli, stdout } = testCli(client(reply));
    await explain(cli, 'report', {});
    expect(stdout()).toBe(
      [
        'report (waiting), from 2026-11-24 13:00:00.000 to 2026-11-24 14:00:00.000 UTC',
        '  2026-11-23 14:00:00.000  created: {"every":"1h"}',
        '  2026-11-24 13:30:00.000  its shard went to node-b, epoch 8',
        '  … earlier fires of the span are left out: --limit',
        '2026-11-24 13:40:00.000  was skipped',
        '    2026-11-24 13:50:00.000  nobody watched shard 7 from 2026-11-24 13:26:40.000 on',
        '',
      ].join('\n'),
    );
  });

  it('steers no terminal by what a handler said', async () => {
    const reasons = [{ code: 'failed', text: 'attempt 1 failed: boom\n\u001b[31mred' }];
    const { cli, stdout } = testCli(
      client({ ...reply, fires: [{ scheduledAt: ISO(0), local: '', verdict: 'failed', reasons }] }),
    );
    await explain(cli, 'report', {});
    expect(stdout()).toContain('    attempt 1 failed: boom⏎·[31mred\n');
  });

  it('tells why there is no fire, and which are around', async () => {
    const reasons = [{ code: 'not_scheduled', text: 'its schedule has no fire then' }];
    const absence = { reasons, previous: ISO(-1), next: ISO(1) };
    const { cli, stdout } = testCli(client({ ...reply, fires: [], more: false, absence }));
    await explain(cli, 'report', { at: '2026-11-24T13:40:00Z' });
    expect(stdout().split('\n').slice(-5)).toEqual([
      'No fire then:',
      '    its schedule has no fire then',
      '  The one before is that of 2026-11-24 13:59:59.999.',
      '  The next one is that of 2026-11-24 14:00:00.001.',
      '',
    ]);
  });

  it('asks for an instant or a span', async () => {
    const { cli, client: asking, documents } = testCli(client(reply), { json: true });
    await explain(cli, 'a'.repeat(32), { at: '2026-11-24 13:40' });
    await explain(cli, 'a'.repeat(32), { key: true, from: '2026-11-24', to: '2026-11-25', limit: 5 });
    expect(asking.asked).toEqual([
      { id: 'a'.repeat(32), at: NOW - 1_200_000 },
      { key: 'a'.repeat(32), from: NOW - 14 * 3_600_000, to: NOW + 10 * 3_600_000, limit: 5 },
    ]);
    expect(documents()).toEqual([reply, reply]);
    await expect(explain(cli, 'k', { at: 'noon' })).rejects.toMatchObject({
      exit: 2,
      message: '--at noon: not an instant',
    });
    await expect(explain(cli, 'k', { at: '2026-11-24', to: '2026-11-25' })).rejects.toMatchObject({ exit: 2 });
  });
});

it('events are followed until as many as asked have come', async () => {
  const filters: unknown[] = [];
  const client = {
    ...memoryClient(),
    async *events(filter: unknown) {
      filters.push(filter);
      yield { type: 'dead' as const, task: 't', at: ISO(0), execution: 't-1', attempt: 3, error: 'boom' };
      yield { type: 'created' as const, task: 't', at: ISO(1) };
    },
  };
  const { cli, stdout } = testCli(client);
  await events(cli, { type: 'dead', count: 1 });
  expect(filters).toEqual([{ type: 'dead' }]);
  expect(stdout()).toBe('2026-11-24 14:00:00.000  dead        t-1 attempt 3  boom\n');
});

it('rejected messages are listed with their reasons', async () => {
  const item = {
    sequence: 9,
    at: ISO(-60_000),
    error: { code: 'malformed' as const, message: 'no JSON' },
    message: '{"a\n',
  };
  const { cli, stdout } = testCli({ ...memoryClient(), rejected: async () => [item] });
  await rejected(cli, {});
  expect(stdout()).toMatch(/ 9 {2}2026-11-24 13:59:00 \(1m ago\) {2}malformed {2}no JSON {2}\{"a⏎\n$/);
});
