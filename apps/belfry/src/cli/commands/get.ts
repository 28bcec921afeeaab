import type { TaskView } from '@belfry/protocol';
import { formatTaskId } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import { scheduleText } from '../describe.ts';
import { executionTable } from '../describe-executions.ts';
import { fields, printable } from '../table.ts';
import { taskRef } from '../task-ref.ts';
import { duration, instantAndDistance } from '../time.ts';

export interface RefOptions {
  readonly key?: boolean;
}

export async function get(cli: Cli, task: string, options: RefOptions): CommandResult {
  const view = await (await cli.connect()).get(taskRef(task, options.key));
  if (cli.json) return cli.out.json(view);
  for (const line of describeTask(cli, view)) cli.out.line(line);
}

export function describeTask(cli: Cli, task: TaskView): string[] {
  const { retry } = task;
  const labels = Object.entries(task.metadata).map(([name, value]) => `${name}=${printable(value)}`);
  const lines = fields(
    [
      ['task', formatTaskId(task.id)],
      ['key', task.key === undefined ? undefined : printable(task.key)],
      ['state', task.state],
      ['schedule', scheduleText(task)],
      ['handler', `${task.handler} on queue ${task.queue}, priority ${task.priority}`],
      ['payload', task.payload === undefined ? undefined : printable(JSON.stringify(task.payload))],
      [
        'retry',
        `${retry.attempts} ${retry.attempts === 1 ? 'attempt' : 'attempts'}, ${duration(retry.initialMs)} × ${retry.factor} up to ${duration(retry.maxMs)}, jitter ${retry.jitter}`,
      ],
      ['timeout', duration(task.timeoutMs)],
      ['precision', task.precision],
      ['catch-up', catchUpText(task.catchUp)],
      ['labels', labels.length === 0 ? undefined : labels.join(' ')],
      ['created', instantAndDistance(task.createdAt, cli.clock, cli.now())],
      ...nextFires(cli, task),
      ['shard', String(task.shard)],
    ],
    cli.paint,
  );
  if (task.executions && task.executions.length > 0) {
    lines.push('', ...executionTable(cli, task.executions));
  }
  return lines;
}

function catchUpText(catchUp: TaskView['catchUp']): string {
  return typeof catchUp === 'string' ? catchUp : `${catchUp.policy}, the last ${catchUp.window}`;
}

function nextFires(cli: Cli, task: TaskView): [string, string][] {
  if (task.next.length === 0) return [['next', 'no more fires']];
  return task.next.map((iso, i) => [
    i === 0 ? 'next' : '',
    `${instantAndDistance(iso, cli.clock, cli.now())} ${cli.clock.zone}`,
  ]);
}
