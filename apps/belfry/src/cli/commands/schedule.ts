import type { CreateResult, TaskSpec } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import type { CliClient } from '../client.ts';
import { CliError, errorText, EXIT, exitOfCode, usageError } from '../exit.ts';
import { fields } from '../table.ts';
import { type FileItem, readTaskFile } from '../task-file.ts';
import { readTextFile, taskFields, type TaskFlags } from '../task-flags.ts';
import { duration, instantAndDistance } from '../time.ts';

export interface ScheduleOptions extends TaskFlags {
  readonly key?: string;
  readonly file?: string;
}

/** Tasks of one request, and requests under way at the same time. */
const CHUNK = 1_000;
const IN_FLIGHT = 4;
/** Refusals told one by one on a terminal's behalf; the rest only counted. */
const TOLD = 20;

const FLAGS = [
  'at',
  'in',
  'every',
  'cron',
  'timezone',
  'anchor',
  'queue',
  'handler',
  'payload',
  'priority',
  'key',
  'attempts',
  'timeout',
  'precision',
  'catchUp',
  'catchUpWindow',
  'label',
] as const;

export async function schedule(cli: Cli, options: ScheduleOptions): CommandResult {
  if (options.file !== undefined) {
    const beside = FLAGS.find((flag) => options[flag] !== undefined);
    if (beside !== undefined)
      throw usageError(`--${dashed(beside)} does not go with --file: the file states the tasks whole`);
    return scheduleFile(cli, options.file);
  }
  if (options.handler === undefined) throw usageError('--handler is required', 'Try `belfry schedule --help`.');
  const given = await taskFields(options, { now: cli.now(), utc: cli.clock.utc, file: readTextFile, stdin: cli.stdin });
  if (given.at === undefined && given.every === undefined && given.cron === undefined) {
    throw usageError('one of --at, --in, --every and --cron is required', 'Try `belfry schedule --help`.');
  }
  const spec: TaskSpec = {
    queue: 'default',
    handler: options.handler,
    ...given,
    ...(options.key === undefined ? {} : { key: options.key }),
  };
  const [result] = await (await cli.connect()).scheduleMany([spec]);
  if (result === undefined) throw new CliError(EXIT.refused, 'internal', 'no answer for the task');
  if ('error' in result) throw refusal(result);
  if (cli.json) cli.out.json(result);
  else for (const line of describeCreated(cli, result)) cli.out.line(line);
}

function dashed(flag: string): string {
  return flag.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

export function refusal(result: Extract<CreateResult, { error: unknown }>): CliError {
  const { code, message, path } = result.error;
  return new CliError(exitOfCode(code), code, message, path === undefined ? {} : { path });
}

export function describeCreated(cli: Cli, result: Exclude<CreateResult, { error: unknown }>): string[] {
  const next = result.next.map((iso) => instantAndDistance(iso, cli.clock, cli.now()));
  return fields(
    [
      [result.status, result.id],
      ['next', next.length === 0 ? 'no more fires' : `${next.join(', ')} ${cli.clock.zone}`],
    ],
    cli.paint,
  );
}

/** Running counts of a long schedule. */
interface Tally {
  created: number;
  updated: number;
  unchanged: number;
  refused: number;
}

async function scheduleFile(cli: Cli, path: string): CommandResult {
  const client = await cli.connect();
  const tally: Tally = { created: 0, updated: 0, unchanged: 0, refused: 0 };
  const startedAt = cli.now();
  const under = new Set<Promise<void>>();
  let chunk: FileItem[] = [];
  const send = async (items: readonly FileItem[]) => {
    const results = await client.scheduleMany(items.map((item) => item.value as TaskSpec));
    tellResults(cli, items, results, tally);
    const done = tally.created + tally.updated + tally.unchanged + tally.refused;
    cli.out.progress(`${done} tasks, ${Math.round((done * 1_000) / Math.max(1, cli.now() - startedAt))}/s`);
  };
  const start = async () => {
    const items = chunk;
    chunk = [];
    const sending = send(items).finally(() => under.delete(sending));
    under.add(sending);
    if (under.size >= IN_FLIGHT) await Promise.race(under);
  };
  for await (const item of readTaskFile(path, process.stdin)) {
    chunk.push(item);
    if (chunk.length === CHUNK) await start();
  }
  if (chunk.length > 0) await start();
  await Promise.all(under);
  if (!cli.json) {
    const took = duration(cli.now() - startedAt);
    cli.out.line(
      `${tally.created} created, ${tally.updated} updated, ${tally.unchanged} unchanged, ${tally.refused} refused in ${took}`,
    );
  }
  return tally.refused > 0 ? EXIT.refused : EXIT.ok;
}

function tellResults(
  cli: Cli,
  items: readonly FileItem[],
  results: Awaited<ReturnType<CliClient['scheduleMany']>>,
  tally: Tally,
): void {
  for (const [i, result] of results.entries()) {
    const where = items[i]?.where;
    if (cli.json) cli.out.json({ at: where, ...result });
    if (!('error' in result)) {
      tally[result.status]++;
      continue;
    }
    tally.refused++;
    if (cli.json || tally.refused > TOLD) continue;
    const { code, message, path } = result.error;
    const field = path?.replace(/^items\[\d+\]\.?/, '');
    cli.out.note(`${where}: ${errorText({ exit: EXIT.refused, code, message, ...(field ? { path: field } : {}) })}`);
    if (tally.refused === TOLD) cli.out.note('further refusals are only counted; --json tells all');
  }
}
