import type { ListReply, ListRequest, TaskView } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import { scheduleText } from '../describe.ts';
import { printable, table } from '../table.ts';
import { instantAndDistance } from '../time.ts';

export interface ListOptions {
  readonly queue?: string;
  readonly handler?: string;
  readonly state?: 'active' | 'ended';
  readonly label?: { readonly [label: string]: string };
  readonly limit?: number;
  readonly cursor?: string;
  readonly all?: boolean;
}

const PAGE = 50;
const PAGE_OF_ALL = 1_000;

export async function list(cli: Cli, options: ListOptions): CommandResult {
  const client = await cli.connect();
  const { queue, handler, state, label, cursor } = options;
  let request: ListRequest = {
    ...(queue === undefined ? {} : { queue }),
    ...(handler === undefined ? {} : { handler }),
    ...(state === undefined ? {} : { state }),
    ...(label === undefined ? {} : { metadata: label }),
    ...(cursor === undefined ? {} : { cursor }),
    limit: options.limit ?? (options.all ? PAGE_OF_ALL : PAGE),
  };
  let shown = 0;
  for (;;) {
    const page = await client.list(request);
    if (cli.json && !options.all) return cli.out.json(page);
    show(cli, page, shown);
    shown += page.items.length;
    if (page.cursor === undefined || !options.all) {
      if (!cli.json) closing(cli, page, shown);
      return;
    }
    await cli.out.drained();
    request = { ...request, cursor: page.cursor };
  }
}

function show(cli: Cli, page: ListReply, before: number): void {
  if (cli.json) for (const task of page.items) cli.out.json(task);
  else if (page.items.length > 0)
    for (const line of taskTable(cli, page.items).slice(before > 0 ? 1 : 0)) cli.out.line(line);
}

function closing(cli: Cli, page: ListReply, shown: number): void {
  if (shown === 0) cli.out.note(`no tasks, as of ${instantAndDistance(page.asOf, cli.clock, cli.now())}`);
  if (page.cursor !== undefined) cli.out.note(`more: --cursor ${page.cursor}, or --all`);
}

export function taskTable(cli: Cli, tasks: readonly TaskView[]): string[] {
  return table(
    [
      { title: 'TASK' },
      { title: 'KEY', shrink: true },
      { title: 'STATE' },
      { title: 'QUEUE' },
      { title: 'HANDLER' },
      { title: 'SCHEDULE' },
      { title: `NEXT (${cli.clock.zone})` },
    ],
    tasks.map((task) => [
      task.id,
      printable(task.key ?? '-'),
      task.state,
      task.queue,
      task.handler,
      scheduleText(task),
      instantAndDistance(task.next[0], cli.clock, cli.now()),
    ]),
    cli.out.columns,
    cli.paint,
  );
}
