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
  readonly all?: boolean;
}

const PAGE = 20;
const PAGE_OF_ALL = 1_000;

export async function history(cli: Cli, task: string | undefined, options: HistoryOptions): CommandResult {
  const client = await cli.connect();
  const limit = options.limit ?? (options.all ? PAGE_OF_ALL : PAGE);
  let request: HistoryRequest = {
    ...(task === undefined ? {} : taskRef(task, options.key)),
    ...(options.state === undefined ? {} : { state: options.state }),
    ...(options.before === undefined ? {} : { before: instantFlag('before', options.before, cli.clock.utc) }),
    limit,
  };
  let shown = 0;
  let atBoundary: ReadonlySet<string> = new Set();
  for (;;) {
    const page = await client.history(request);
    if (cli.json && !options.all) return cli.out.json(page);
    const fresh = page.items.filter((item) => !atBoundary.has(item.execution));
    show(cli, fresh, shown);
    shown += fresh.length;
    const next = nextBefore(page, limit);
    if (!options.all || next === undefined) {
      if (!cli.json) closing(cli, page, shown, next);
      return;
    }
    if (next.crowded)
      cli.out.note(`more than ${limit} executions at ${next.instant}; the others of them are not shown`);
    atBoundary = next.seen;
    request = { ...request, before: next.before };
  }
}

/** Where the next page begins. Pages overlap by one millisecond, so that fires at the same instant aren't lost between them. */
function nextBefore(page: HistoryReply, limit: number) {
  const last = page.items.at(-1);
  if (last === undefined || page.items.length < limit) return undefined;
  const instant = last.scheduledAt;
  const crowded = page.items[0]?.scheduledAt === instant;
  const seen = new Set(page.items.filter((item) => item.scheduledAt === instant).map((item) => item.execution));
  return { before: Date.parse(instant) + (crowded ? 0 : 1), seen, crowded, instant };
}

function show(cli: Cli, items: readonly ExecutionView[], before: number): void {
  if (cli.json) for (const execution of items) cli.out.json(execution);
  else if (items.length > 0) {
    for (const line of executionTable(cli, items).slice(before > 0 ? 1 : 0)) cli.out.line(line);
  }
}

function closing(cli: Cli, page: HistoryReply, shown: number, next: { before: number } | undefined): void {
  if (shown === 0) cli.out.note(`no executions, as of ${instantAndDistance(page.asOf, cli.clock, cli.now())}`);
  if (next !== undefined) cli.out.note(`more: --before ${new Date(next.before).toISOString()}, or --all`);
}
