import type { Cli, CommandResult } from '../cli.ts';
import type { RejectedMessage } from '../client.ts';
import { printable, table } from '../table.ts';
import { instantAndDistance } from '../time.ts';

export interface RejectedOptions {
  readonly limit?: number;
  readonly after?: number;
  readonly all?: boolean;
}

const PAGE = 50;

export async function rejected(cli: Cli, options: RejectedOptions): CommandResult {
  const client = await cli.connect();
  const limit = options.limit ?? (options.all ? 1_000 : PAGE);
  let after = options.after ?? 0;
  let shown = 0;
  for (;;) {
    const items = await client.rejected(limit, after);
    const last = items.at(-1);
    if (cli.json && !options.all) {
      return cli.out.json({ items, ...(items.length === limit && last ? { after: last.sequence } : {}) });
    }
    show(cli, items, shown);
    shown += items.length;
    if (!options.all || last === undefined || items.length < limit) {
      if (cli.json) return;
      if (shown === 0) cli.out.note('nothing was refused');
      else if (items.length === limit && last) cli.out.note(`more: --after ${last.sequence}, or --all`);
      return;
    }
    await cli.out.drained();
    after = last.sequence;
  }
}

function show(cli: Cli, items: readonly RejectedMessage[], before: number): void {
  if (cli.json) {
    for (const item of items) cli.out.json(item);
    return;
  }
  if (items.length === 0) return;
  const rows = items.map(({ sequence, at, error, message }) => [
    String(sequence),
    instantAndDistance(at, cli.clock, cli.now()),
    error.code,
    printable(error.path === undefined ? error.message : `${error.path}: ${error.message}`),
    printable(message),
  ]);
  const columns = [
    { title: 'SEQUENCE', align: 'right' as const },
    { title: `REFUSED (${cli.clock.zone})` },
    { title: 'CODE' },
    { title: 'REASON' },
    { title: 'MESSAGE', shrink: true },
  ];
  for (const line of table(columns, rows, cli.out.columns, cli.paint).slice(before > 0 ? 1 : 0)) cli.out.line(line);
}
