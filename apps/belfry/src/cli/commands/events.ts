import { type EventType, type LifecycleEvent, taskIdOfKey } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import { stateText } from '../describe-executions.ts';
import { printable } from '../table.ts';
import { taskRef } from '../task-ref.ts';
import { instant } from '../time.ts';

export interface EventsOptions {
  readonly type?: EventType;
  readonly task?: string;
  readonly count?: number;
}

const TYPE_WIDTH = 10;

export async function events(cli: Cli, options: EventsOptions): CommandResult {
  const client = await cli.connect();
  const ref = options.task === undefined ? undefined : taskRef(options.task);
  const task = ref === undefined ? undefined : (ref.id ?? taskIdOfKey(cli.namespace, ref.key as string));
  const filter = {
    ...(options.type === undefined ? {} : { type: options.type }),
    ...(task === undefined ? {} : { task }),
  };
  if (!cli.json) cli.out.note(`following events of namespace ${cli.namespace}; Ctrl-C ends it`);
  let seen = 0;
  for await (const event of client.events(filter, cli.signal)) {
    if (cli.json) cli.out.json(event);
    else cli.out.line(eventLine(cli, event));
    seen++;
    if (seen === options.count) return;
  }
}

export function eventLine(cli: Cli, event: LifecycleEvent): string {
  const what = event.execution ?? event.task;
  const attempt = event.attempt === undefined ? '' : ` attempt ${event.attempt}`;
  const error = event.error === undefined ? '' : `  ${printable(event.error)}`;
  const skipped = event.count === undefined ? '' : `  ${skippedText(cli, event)}`;
  const type = stateText(event.type, cli.paint) + ' '.repeat(Math.max(0, TYPE_WIDTH - event.type.length));
  return `${cli.paint('dim', instant(Date.parse(event.at), cli.clock, true))}  ${type}  ${what}${attempt}${error}${skipped}`;
}

function skippedText(cli: Cli, { count, atLeast, first = '', last = '' }: LifecycleEvent): string {
  const fires = `${atLeast ? 'at least ' : ''}${count} ${count === 1 ? 'fire' : 'fires'}`;
  const at = (iso: string): string => instant(Date.parse(iso), cli.clock);
  return first === last ? `${fires} at ${at(first)}` : `${fires} from ${at(first)} to ${at(last)}`;
}
