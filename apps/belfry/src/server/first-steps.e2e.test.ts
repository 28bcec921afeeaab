import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { Belfry, type ExecutionView, type ListReply, type TaskView } from '@belfry/sdk';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';

import { runCommand, startDev, startScript, temporaryFolder, type RunningDev } from '../testing/program.ts';

vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });
/** A minute until the next full one, and what a busy machine takes. */
const PATIENCE = { timeout: 180_000, interval: 250 };

const ROOT = path.join(import.meta.dirname, '../../../..');
const CRONTAB = path.join(ROOT, 'examples/crontab');
const TEXT = readFileSync(CRONTAB, 'utf8');
const LINES = linesOf(TEXT);
/** Tasks show what a macro stands for. */
const MACROS: { readonly [macro: string]: string } = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
  '@yearly': '0 0 1 1 *',
};

interface Line {
  readonly line: number;
  readonly cron: string;
  readonly timezone: string;
}

/** What `import crontab --json` answers, as far as it is read here. */
interface Imported {
  readonly tasks: readonly (Line & {
    readonly id: string;
    readonly key: string;
    readonly status: string;
    readonly next: readonly string[];
  })[];
  readonly problems: readonly unknown[];
  readonly stale: readonly unknown[];
}

/** The lines that should become tasks, read more simply than the program reads them. */
function linesOf(text: string): Line[] {
  let timezone = '';
  return text.split('\n').flatMap((content, index) => {
    timezone = /^CRON_TZ=(.+)/.exec(content)?.[1] ?? timezone;
    const [cron] = /^(@\w+|[*\d](\S* ){4}\S+)/.exec(content) ?? [];
    return cron === undefined ? [] : [{ line: index + 1, cron, timezone }];
  });
}

/** The user's folder: Belfry's data is in it, and so its address is found from it. */
const folder = temporaryFolder();
let dev: RunningDev;
let belfry: Belfry;
let imported: Imported;

const run = (...args: readonly string[]): ReturnType<typeof runCommand> => runCommand(args, {}, folder.path);

async function json<T>(...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await run(...args, '--json');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as T;
}

beforeAll(async () => {
  dev = await startDev(path.join(folder.path, '.belfry'), '--allow-shell');
  belfry = new Belfry({ url: dev.natsUrl });
  imported = await json('import', 'crontab', CRONTAB);
});

afterAll(async () => {
  await belfry?.close();
  await dev?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** What the owners have of the crontab's tasks, but for what the passing of time changes. */
async function stored(): Promise<Partial<TaskView>[]> {
  const views = await Promise.all(imported.tasks.map(({ id }) => belfry.get({ id })));
  return views.map(({ next: _next, state, executions: _executions, ...lasting }) => {
    expect(state).not.toBe('cancelled');
    return lasting;
  });
}

describe('the first steps of the README', () => {
  it('make a task of each line of the example crontab, in its zone', async () => {
    expect(LINES.length).toBeGreaterThan(30);
    expect(new Set(LINES.map(({ timezone }) => timezone))).toEqual(new Set(['Europe/Berlin', 'America/New_York']));
    expect(imported).toMatchObject({ problems: [], stale: [] });
    expect(imported.tasks).toMatchObject(LINES.map((line) => ({ ...line, status: 'created' })));
    const { items } = await vi.waitFor(async () => {
      const listed = await json<ListReply>('list', '--queue', 'shell');
      expect(listed.items).toHaveLength(LINES.length);
      return listed;
    }, PATIENCE);
    const listed = items.map(({ metadata, cron, timezone }) => ({ line: Number(metadata['line']), cron, timezone }));
    expect(listed.sort((a, b) => a.line - b.line)).toEqual(
      LINES.map((line) => ({ ...line, cron: MACROS[line.cron] ?? line.cron })),
    );
  });

  it('run a handler of their own', async () => {
    await using script = startScript(path.join(ROOT, 'examples/first-handler.ts'), folder.path);
    await vi.waitFor(() => expect(script.stdout(), script.stderr()).toMatch(/^(Hello, Ann!\n){2,}$/), PATIENCE);
    await vi.waitFor(async () => {
      const { items } = await json<{ items: ExecutionView[] }>('history', 'greet-ann', '--state', 'succeeded');
      expect(items.length).toBeGreaterThan(0);
      expect(items[0]).toMatchObject({ handler: 'greet', queue: 'greetings', attempts: [{ outcome: 'succeeded' }] });
    }, PATIENCE);
  });

  it('change nothing when the crontab is imported again', async () => {
    const before = await stored();
    const again = await json<Imported>('import', 'crontab', CRONTAB);
    expect(again).toMatchObject({ problems: [], stale: [] });
    expect(again.tasks).toMatchObject(imported.tasks.map(({ id, key }) => ({ id, key, status: 'unchanged' })));
    expect(await stored()).toEqual(before);
  });

  it('name the line that is wrong, and leave its task and all others alone', async () => {
    const before = await stored();
    const edited = path.join(folder.path, 'edited');
    const wrong = LINES.find(({ cron }) => cron === '0 6 * * *') as Line;
    const count = LINES.length;
    writeFileSync(edited, `${TEXT.replace('\n0 6 ', '\n0 26 ')}@daily echo new\n`);
    const { code, stdout, stderr } = await run('import', 'crontab', edited, '--source', CRONTAB, '--prune');
    expect(code).toBe(1);
    expect(stderr).toBe(
      `${edited}:${wrong.line}:3: error: hour "26" at position 2: 26 is not within 0 to 23\n` +
        'nothing was pruned, since some lines are wrong\n',
    );
    expect(stdout).toMatch(/^no right line makes it .* echo "warm the caches"$/m);
    expect(stdout).toMatch(
      new RegExp(`\n1 created, ${count - 1} unchanged; 1 line wrong; 1 no right line makes it\n$`),
    );
    expect(await stored()).toEqual(before);

    // What is no longer in the file is told from a list, which has what was checkpointed.
    const active = () => belfry.list({ queue: 'shell', state: 'active' });
    await vi.waitFor(async () => expect((await active()).items).toHaveLength(count + 1), PATIENCE);
    const mended = await run('import', 'crontab', CRONTAB, '--prune');
    expect(mended).toMatchObject({ code: 0, stderr: '' });
    expect(mended.stdout).toMatch(new RegExp(`\ncancelled .* echo new\n${count} unchanged; 1 cancelled\n$`));
    expect(await stored()).toEqual(before);
  });

  it('run each line of every minute when its minute comes', async () => {
    const due = imported.tasks.filter(({ cron }) => /^\*(\/1)?( \*){4}$/.test(cron));
    const first = (id: string): Promise<ExecutionView> =>
      vi.waitFor(async () => {
        const execution = (await belfry.history({ id })).items.at(-1);
        expect(execution?.state ?? 'dispatched').not.toBe('dispatched');
        return execution as ExecutionView;
      }, PATIENCE);
    const ran = await Promise.all(due.map(({ id }) => first(id)));
    expect(ran.map(({ scheduledAt }) => scheduledAt)).toEqual(due.map(({ next }) => next[0]));
    expect(ran.map(({ state, error }) => ({ state, error }))).toEqual(due.map(() => ({ state: 'succeeded' })));
    expect(ran.map(({ result }) => (result as { stdout: string }).stdout)).toEqual([
      'heartbeat of Bell & Sons\n',
      expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n$/),
      '/tmp is there\n',
      'Dear \nall,\nthe bell rang.\n',
      expect.stringMatching(/^heartbeat of newyork at .+\n$/),
    ]);

    const [{ key } = { key: '' }] = due;
    const [{ execution, scheduledAt } = { execution: '', scheduledAt: '' }] = ran;
    const history = await run('history', key, '--utc');
    expect(history).toMatchObject({ code: 0, stderr: '' });
    const row = history.stdout.split('\n').find((line) => line.startsWith(execution));
    expect(row).toContain(scheduledAt.slice(0, 19).replace('T', ' '));
    expect(row).toMatch(/ shell +succeeded +1 /);
    const trace = await run('trace', execution);
    expect(trace).toMatchObject({ code: 0, stderr: '' });
    expect(trace.stdout).toContain('heartbeat of Bell & Sons');
    expect(trace.stdout).toMatch(
      /\nattempt 1, succeeded by .*\n +dispatched .*\n +delivered .*\n +started .*\n +finished .*\n +accepted .*\nstored\n +checkpointed /,
    );
  });

  it('end with a clean stop', async () => {
    await belfry.close();
    expect(await dev.stop()).toBe(0);
  });
});
