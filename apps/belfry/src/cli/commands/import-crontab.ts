import { realpathSync } from 'node:fs';

import { type CreateResult, LIMITS } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import type { CliClient } from '../client.ts';
import { checkSchedules } from '../crontab/check.ts';
import { type CrontabFormat, type CrontabProblem, parseCrontab } from '../crontab/parse.ts';
import { crontabTasks, type CrontabTask } from '../crontab/tasks.ts';
import { warningsOf } from '../crontab/warnings.ts';
import { EXIT, reportOf, usageError } from '../exit.ts';
import { printable, table } from '../table.ts';
import { durationFlag, readTextFile } from '../task-flags.ts';
import { instant, relative } from '../time.ts';

export interface ImportOptions {
  readonly dryRun?: boolean;
  readonly system?: boolean;
  readonly seconds?: boolean;
  readonly prune?: boolean;
  readonly source?: string;
  readonly timezone?: string;
  readonly queue: string;
  readonly handler: string;
  readonly attempts?: number;
  readonly timeout?: string;
}

/** A crontab as read: what becomes of its lines, and what is wrong with them. */
interface Reading {
  readonly name: string;
  readonly source: string;
  readonly tasks: readonly CrontabTask[];
  readonly problems: readonly CrontabProblem[];
}

interface StaleTask {
  readonly id: string;
  readonly key: string | undefined;
  readonly command: string;
  readonly cancelled: boolean;
}

const CHUNK = 500;

export async function importCrontab(cli: Cli, file: string, options: ImportOptions): CommandResult {
  const reading = await read(cli, file, options);
  if (!cli.json) tellProblems(cli, reading);
  if (options.dryRun) return report(cli, reading, undefined, []);
  const client = await cli.connect();
  const results = await sendAll(cli, client, reading.tasks);
  const stale = await staleTasks(cli, client, reading, options.prune === true);
  return report(cli, reading, results, stale);
}

function sourceOf(file: string, flag: string | undefined): string {
  if (flag === undefined && file === '-')
    throw usageError('--source is required with stdin: tasks are remembered by it');
  const source = flag ?? realpathSync(file);
  if (source === '' || source.length > LIMITS.labelValueChars) {
    throw usageError(`--source must be 1 to ${LIMITS.labelValueChars} characters`);
  }
  return source;
}

async function read(cli: Cli, file: string, options: ImportOptions): Promise<Reading> {
  const text = file === '-' ? await cli.stdin() : readTextFile(file);
  const source = sourceOf(file, options.source);
  const format: CrontabFormat = { system: options.system ?? false, seconds: options.seconds ?? false };
  const { entries, problems } = parseCrontab(text, format);
  const { scheduleEngine } = await import('../crontab/engine.ts');
  const localZone = options.timezone ?? new Intl.DateTimeFormat().resolvedOptions().timeZone;
  const checked = checkSchedules(entries, scheduleEngine, localZone, cli.now());
  const users = entries.filter((entry) => entry.user !== undefined && entry.user !== 'root');
  const all = [...problems, ...checked.problems, ...entries.flatMap((entry) => warningsOf(entry, format))];
  if (users[0] !== undefined) {
    all.push({
      severity: 'warning',
      line: users[0].line,
      column: 1,
      message: 'commands run as the user of the worker; the user column is kept as the label user',
    });
  }
  const tasks = crontabTasks(entries, checked.good, {
    source,
    queue: options.queue,
    handler: options.handler,
    attempts: options.attempts ?? 1,
    timeoutMs: options.timeout === undefined ? 3_600_000 : durationFlag('timeout', options.timeout),
  });
  return {
    name: file === '-' ? 'stdin' : file,
    source,
    tasks,
    problems: all.sort((a, b) => a.line - b.line || a.column - b.column),
  };
}

async function sendAll(cli: Cli, client: CliClient, tasks: readonly CrontabTask[]): Promise<CreateResult[]> {
  const results: CreateResult[] = [];
  for (let i = 0; i < tasks.length; i += CHUNK) {
    results.push(...(await client.scheduleMany(tasks.slice(i, i + CHUNK).map((task) => task.spec))));
    cli.out.progress(`${results.length} of ${tasks.length} lines`);
  }
  return results;
}

/** Tasks of this source that no line makes any more. Nothing is pruned while a line is wrong: its task would go with it. */
async function staleTasks(cli: Cli, client: CliClient, reading: Reading, prune: boolean): Promise<StaleTask[]> {
  const keys = new Set(reading.tasks.map((task) => task.spec.key));
  const stale: StaleTask[] = [];
  const wrong = reading.problems.some((problem) => problem.severity === 'error');
  let cursor: string | undefined;
  do {
    const page = await client.list({
      metadata: { source: reading.source },
      state: 'active',
      limit: LIMITS.pageRows,
      ...(cursor === undefined ? {} : { cursor }),
    });
    for (const task of page.items) {
      if (task.key !== undefined && keys.has(task.key)) continue;
      if (task.key?.startsWith('crontab:') !== true || task.state === 'cancelled') continue;
      stale.push({
        id: task.id,
        key: task.key,
        command: await commandOf(client, task.id),
        cancelled: prune && !wrong,
      });
    }
    cursor = page.cursor;
  } while (cursor !== undefined);
  if (prune && !wrong) for (const { id } of stale) await client.cancel({ id });
  if (prune && wrong && stale.length > 0 && !cli.json) {
    cli.out.note('nothing was pruned, since some lines are wrong');
  }
  return stale;
}

/** Lists leave payloads out; a task that has gone meanwhile has none. */
async function commandOf(client: CliClient, id: string): Promise<string> {
  try {
    const { command } = ((await client.get({ id })).payload ?? {}) as { command?: unknown };
    return typeof command === 'string' ? command : '';
  } catch (error) {
    if (reportOf(error).exit === EXIT.notFound) return '';
    throw error;
  }
}

/** As soon as the file is read: they stand also where Belfry can't be reached. */
function tellProblems(cli: Cli, { name, problems }: Reading): void {
  for (const { severity, line, column, message } of problems) {
    const label = severity === 'error' ? cli.paint('red', 'error') : cli.paint('yellow', 'warning');
    cli.out.note(`${name}:${line}:${column}: ${label}: ${printable(message)}`);
  }
}

/** Tells what became of the lines; without `results` it was a dry run. */
function report(
  cli: Cli,
  reading: Reading,
  results: readonly CreateResult[] | undefined,
  stale: readonly StaleTask[],
): number {
  const errors = reading.problems.filter((problem) => problem.severity === 'error').length;
  const refused = results?.filter((result) => 'error' in result).length ?? 0;
  if (cli.json) {
    cli.out.json({
      source: reading.source,
      dryRun: results === undefined,
      tasks: reading.tasks.map((task, i) => taskJson(task, results?.[i])),
      problems: reading.problems,
      stale,
    });
  } else {
    for (const line of taskLines(cli, reading, results)) cli.out.line(line);
    for (const task of stale) cli.out.line(staleLine(cli, task, errors > 0));
    cli.out.line(summary(reading, results, stale, errors));
  }
  return errors + refused > 0 ? EXIT.refused : EXIT.ok;
}

function taskJson({ entry, timezone, next, spec }: CrontabTask, result: CreateResult | undefined): object {
  return {
    line: entry.line,
    key: spec.key,
    cron: spec.cron,
    timezone,
    command: entry.command,
    ...(result ?? { next: next.map((ms) => new Date(ms).toISOString()) }),
  };
}

function taskLines(cli: Cli, reading: Reading, results: readonly CreateResult[] | undefined): string[] {
  if (reading.tasks.length === 0) return [];
  const now = cli.now();
  const rows = reading.tasks.map(({ entry, timezone, next }, i) => {
    const result = results?.[i];
    const status = result === undefined ? [] : ['error' in result ? `error ${result.error.code}` : result.status];
    const [first, ...later] = next.map((ms) => instant(ms, cli.clock));
    const fires = `${first ?? '-'} (${relative(next[0] as number, now)})`;
    const then = results === undefined ? [later.map((text) => text.slice(5, 16)).join(', ')] : [];
    return [String(entry.line), ...status, entry.schedule, timezone, fires, ...then, printable(entry.command)];
  });
  const columns = [
    { title: 'LINE', align: 'right' as const },
    ...(results === undefined ? [] : [{ title: 'STATUS' }]),
    { title: 'SCHEDULE' },
    { title: 'ZONE' },
    { title: `NEXT (${cli.clock.zone})` },
    ...(results === undefined ? [{ title: 'THEN' }] : []),
    { title: 'COMMAND', shrink: true },
  ];
  const lines = table(columns, rows, cli.out.columns, cli.paint);
  for (const [i, result] of (results ?? []).entries()) {
    if ('error' in result)
      cli.out.note(`${reading.name}:${reading.tasks[i]?.entry.line}:1: ${result.error.code}: ${result.error.message}`);
  }
  return lines;
}

/** While lines are wrong, one of them may be the task's own. */
function staleWords(someWrong: boolean): string {
  return someWrong ? 'no right line makes it' : 'no longer in the file';
}

function staleLine(cli: Cli, task: StaleTask, someWrong: boolean): string {
  const command = printable(task.command).slice(0, 80);
  return task.cancelled
    ? `cancelled  ${task.id}  ${command}`
    : cli.paint('yellow', `${staleWords(someWrong)}  ${task.id}  ${command}`);
}

function summary(
  reading: Reading,
  results: readonly CreateResult[] | undefined,
  stale: readonly StaleTask[],
  errors: number,
): string {
  const count = (status: string) =>
    (results ?? []).filter((result) => ('error' in result ? 'refused' : result.status) === status).length;
  const statuses = ['created', 'updated', 'unchanged', 'refused']
    .map((status) => [count(status), status] as const)
    .filter(([n]) => n > 0)
    .map(([n, status]) => `${n} ${status}`);
  const parts = [
    results === undefined ? `${reading.tasks.length} tasks would be made` : statuses.join(', ') || 'no tasks',
    ...(errors === 0 ? [] : [`${errors} ${errors === 1 ? 'line' : 'lines'} wrong`]),
    ...(stale.some((task) => task.cancelled) ? [`${stale.length} cancelled`] : []),
    ...(stale.some((task) => !task.cancelled)
      ? [`${stale.length} ${staleWords(errors > 0)}${errors > 0 ? '' : ' (--prune cancels)'}`]
      : []),
  ];
  return parts.join('; ');
}
