import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { memoryClient, testCli } from '../testing.ts';
import { importCrontab, type ImportOptions } from './import-crontab.ts';

const OPTIONS: ImportOptions = { queue: 'shell', handler: 'shell', timezone: 'UTC' };

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'belfry-crontab-'));
  file = join(folder, 'crontab');
});
afterEach(() => rmSync(folder, { recursive: true }));

function setUp(json = false) {
  const test = testCli(memoryClient(), { json });
  const run = (text: string, options: Partial<ImportOptions> = {}) => {
    writeFileSync(file, text);
    return importCrontab(test.cli, file, { ...OPTIONS, ...options });
  };
  const schedules = () => [...test.client.tasks.values()].map((task) => `${String(task.cron)} ${task.timezone}`);
  return { ...test, run, schedules };
}

describe('import crontab', () => {
  it('makes a task of each line, and nothing more the second time', async () => {
    const { run, stdout, schedules } = setUp();
    const text = '0 7 * * MON-FRI echo a\nCRON_TZ=Europe/Berlin\n@daily echo b\n';
    expect(await run(text)).toBe(0);
    expect(schedules()).toEqual(['0 7 * * MON-FRI UTC', '@daily Europe/Berlin']);
    expect(stdout()).toMatch(/2 created\n$/);
    expect(await run(text)).toBe(0);
    expect(stdout()).toMatch(/2 unchanged\n$/);
  });

  it('updates the task of an edited schedule', async () => {
    const { run, stdout, schedules } = setUp();
    await run('@daily echo a\n');
    await run('30 6 * * * echo a\n');
    expect(schedules()).toEqual(['30 6 * * * UTC']);
    expect(stdout()).toMatch(/1 updated\n$/);
  });

  it('tells of tasks whose lines are gone, and cancels them with --prune', async () => {
    const { run, stdout, schedules } = setUp();
    await run('@daily echo a\n@hourly echo b\n');
    await run('@daily echo a\n');
    expect(schedules()).toHaveLength(2);
    expect(stdout()).toMatch(
      /no longer in the file .* echo b\n1 unchanged; 1 no longer in the file \(--prune cancels\)\n$/,
    );
    expect(await run('@daily echo a\n', { prune: true })).toBe(0);
    expect(schedules()).toEqual(['@daily UTC']);
    expect(stdout()).toMatch(/1 unchanged; 1 cancelled\n$/);
  });

  it('prunes nothing of another file, and nothing while a line is wrong', async () => {
    const { run, schedules, stderr } = setUp();
    await run('@weekly echo other\n', { source: 'other' });
    await run('@daily echo a\n@hourly echo b\n');
    expect(await run('@daily echo a\n0 99 * * * echo b\n', { prune: true })).toBe(1);
    expect(schedules()).toHaveLength(3);
    expect(stderr()).toMatch(/^\S+:2:3: error: .*\nnothing was pruned, since some lines are wrong\n$/);
    expect(await run('@daily echo a\nnonsense\n', { prune: true })).toBe(1);
    expect(schedules()).toHaveLength(3);
    expect(stderr()).toContain('nothing was pruned, since some lines are wrong');
  });

  it('tells the commands of lines that are gone, but not that a wrong line is gone', async () => {
    const { run, stdout } = setUp();
    await run('@daily echo a\n@hourly echo b\n');
    await run('@daily echo a\n');
    expect(stdout()).toMatch(/no longer in the file {2}[0-9a-f]{32} {2}echo b\n/);
    expect(stdout()).toMatch(/1 unchanged; 1 no longer in the file \(--prune cancels\)\n$/);
    await run('@daily echo a\n99 * * * * echo b\n');
    expect(stdout()).toMatch(
      /no right line makes it {2}[0-9a-f]{32} {2}echo b\n.*1 line wrong; 1 no right line makes it\n$/,
    );
  });

  it('goes on after wrong lines, names their places, and exits with 1', async () => {
    const { run, schedules, stdout, stderr } = setUp();
    expect(
      await run('@reboot echo a\n0  24 * * * echo b\nCRON_TZ=Mars/Base\n@daily echo c\nCRON_TZ=\n@daily echo d\n'),
    ).toBe(1);
    expect(schedules()).toEqual(['@daily UTC']);
    expect(stderr()).toContain(`${file}:1:1: error: @reboot`);
    expect(stderr()).toContain(`${file}:2:4: error: `);
    expect(stderr()).toContain(`${file}:4:1: error: `);
    expect(stdout()).toMatch(/1 created; 3 lines wrong\n$/);
  });

  it('tells what is wrong in the file also where Belfry is away', async () => {
    const { cli, stderr } = setUp();
    writeFileSync(file, '@daily echo a\n@reboot echo b\n');
    const cut = { ...cli, connect: () => Promise.reject(new Error('away')) };
    await expect(importCrontab(cut, file, OPTIONS)).rejects.toThrow('away');
    expect(stderr()).toContain(`${file}:2:1: error: @reboot`);
  });

  it('shows with --dry-run what would become of each line, and changes nothing', async () => {
    const { run, stdout, client } = setUp();
    const cli = '0 7 * * * echo a\n* 3 * * * echo often\n';
    expect(await run(cli, { dryRun: true })).toBe(0);
    expect(client.tasks.size).toBe(0);
    expect(stdout()).toMatchSnapshot();
  });

  it('answers with one document with --json', async () => {
    const { run, documents } = setUp(true);
    await run('0 7 * * * echo a\n@reboot b\n');
    expect(documents()).toMatchObject([
      {
        source: file,
        dryRun: false,
        tasks: [{ line: 1, cron: '0 7 * * *', timezone: 'UTC', command: 'echo a', status: 'created' }],
        problems: [{ severity: 'error', line: 2, column: 1 }],
        stale: [],
      },
    ]);
  });

  it('needs a source for stdin', async () => {
    const { cli } = testCli(memoryClient(), { stdin: '@daily echo a' });
    await expect(importCrontab(cli, '-', OPTIONS)).rejects.toMatchObject({ exit: 2 });
    expect(await importCrontab(cli, '-', { ...OPTIONS, source: 'mine' })).toBe(0);
  });

  it('finds nothing wrong with the example', async () => {
    const { client, cli, stderr } = testCli(memoryClient());
    const example = new URL('../../../../../examples/crontab', import.meta.url).pathname;
    expect(await importCrontab(cli, example, OPTIONS)).toBe(0);
    expect(client.tasks.size).toBeGreaterThanOrEqual(28);
    expect(stderr()).toBe('');
  });
});
