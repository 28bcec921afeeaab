import type { TzdiffReply } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import { table } from '../table.ts';

export interface TzdiffOptions {
  readonly from?: string;
}

export async function tzdiff(cli: Cli, { from }: TzdiffOptions): CommandResult {
  const client = await cli.connect();
  const reply = await client.tzdiff(from);
  if (cli.json) return cli.out.json(reply);
  if (reply.from === undefined)
    return cli.out.note(`no time-zone data other than the present ${reply.to.version} has been recorded`);
  const columns = [
    { title: 'SCHEDULE' },
    { title: 'TASKS', align: 'right' as const },
    { title: 'WAS' },
    { title: 'IS' },
    { title: '' },
    { title: 'SOME TASKS' },
  ];
  if (reply.items.length > 0)
    for (const line of table(columns, reply.items.map(rowOf), cli.out.columns, cli.paint)) cli.out.line(line);
  const { version, recordedAt } = reply.from;
  cli.out.note(
    `${reply.moved} tasks move from ${version} (recorded ${recordedAt}) to ${reply.to.version}, up to ${reply.until}; ` +
      (reply.zones.length === 0 ? 'no clock differs' : `clocks differ in ${reply.zones.join(', ')}`) +
      (reply.leftOut === 0 ? '' : `; ${reply.leftOut} tasks were not looked at`),
  );
}

function rowOf({ schedule, tasks, ids, was, is, next }: TzdiffReply['items'][number]): string[] {
  const { timezone, ...rest } = schedule;
  const text = Object.values(rest).map((value) => (typeof value === 'string' ? value : JSON.stringify(value)));
  return [
    [...text, timezone].join(' '),
    String(tasks),
    was ?? 'never',
    is ?? 'never',
    next ? 'next fire' : 'later',
    ids.slice(0, 2).join(' '),
  ];
}
