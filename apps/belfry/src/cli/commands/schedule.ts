import type { CreateResult, TaskSpec } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import { CliError, EXIT, refused, usageError } from '../exit.ts';
import { fields } from '../table.ts';
import { readTextFile, taskFields, type TaskFlags } from '../task-flags.ts';
import { instantAndDistance } from '../time.ts';
import { scheduleFile } from './schedule-file.ts';

export interface ScheduleOptions extends TaskFlags {
  readonly key?: string;
  readonly file?: string;
}

/** What goes with a file: the options that all commands have. */
const BESIDE_FILE: readonly string[] = ['file', 'json', 'namespace', 'url', 'utc'];

export async function schedule(cli: Cli, options: ScheduleOptions): CommandResult {
  if (options.file !== undefined) {
    const isBeside = ([flag, value]: [string, unknown]): boolean => !BESIDE_FILE.includes(flag) && value !== undefined;
    const [beside] = Object.entries(options).find(isBeside) ?? [];
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
  if ('error' in result) throw refused(result.error);
  if (cli.json) cli.out.json(result);
  else for (const line of describeCreated(cli, result)) cli.out.line(line);
}

function dashed(flag: string): string {
  return flag.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
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
