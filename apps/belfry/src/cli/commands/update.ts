import type { Cli, CommandResult } from '../cli.ts';
import { refused, usageError } from '../exit.ts';
import { readTextFile, taskFields, type TaskFlags } from '../task-flags.ts';
import { taskRef } from '../task-ref.ts';
import { describeCreated } from './schedule.ts';

export interface UpdateOptions extends TaskFlags {
  readonly key?: boolean;
}

export async function update(cli: Cli, task: string, options: UpdateOptions): CommandResult {
  const set = await taskFields(options, { now: cli.now(), utc: cli.clock.utc, file: readTextFile, stdin: cli.stdin });
  if (Object.keys(set).length === 0) throw usageError('nothing to change', 'Try `belfry update --help`.');
  const result = await (await cli.connect()).update(taskRef(task, options.key), set);
  if ('error' in result) throw refused(result.error);
  if (cli.json) cli.out.json(result);
  else for (const line of describeCreated(cli, result)) cli.out.line(line);
}
