import type { ExecutionState, ExecutionView, HistoryReply, HistoryRequest } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import { executionTable } from '../describe-executions.ts';
import { instantFlag } from '../task-flags.ts';
import { taskRef } from '../task-ref.ts';
import { instantAndDistance } from '../time.ts';

export interface HistoryOptions {
  readonly key?: boolean;
  readonly state?: ExecutionState;
  readonly limit?: number;
  readonly before?: string;
  readonly cursor?: string;
  readonly all?: boolean;
}

const PAGE = 20;
const PAGE_OF_ALL = 1_000;

export async function history(cli: Cli, task: string | undefined, options: HistoryOptions): CommandResult {
  const { state, before, cursor } = options;
  let request: HistoryRequest = {
    ...(task === undefined ? {} : taskRef(task, options.key)),
    ...(state === undefined ? {} : { state }),
    ...(before === undefined ? {} : { before: instantFlag('before', before, cli.clock.utc) }),
    ...(cursor === undefined ? {} : { cursor }),
    limit: options.limit ?? (options.all ? PAGE_OF_ALL : PAGE),
  };
  const client = await cli.connect();
  let shown = 0;
  for (;;) {
    const page = await client.history(request);
    if (cli.json && !options.all) return cli.out.json(page);
    show(cli, page.items, shown);
    shown += page.items.length;
    if (page.cursor === undefined || !options.all) {
      if (!cli.json) closing(cli, page, shown);
      return;
    }
    await cli.out.drained();
    request = { ...request, cursor: page.cursor };
  }
}

function show(cli: Cli, items: readonly ExecutionView[], before: number): void {
  if (cli.json) for (const execution of items) cli.out.json(execution);
  else if (items.length > 0) {
    for (const line of executionTable(cli, items).slice(before > 0 ? 1 : 0)) cli.out.line(line);
  }
}

function closing(cli: Cli, page: HistoryReply, shown: number): void {
  if (shown === 0) cli.out.note(`no executions, as of ${instantAndDistance(page.asOf, cli.clock, cli.now())}`);
  if (page.cursor !== undefined) cli.out.note(`more: --cursor ${page.cursor}, or --all`);
}
