import type { CalendarDefinition } from '@belfry/protocol';

import type { Cli, CommandResult } from '../cli.ts';
import { fields, table } from '../table.ts';
import { badJson } from '../task-file.ts';
import { readTextFile } from '../task-flags.ts';
import { instantAndDistance } from '../time.ts';

/** `file` is a path, or `-` for stdin. */
export async function setCalendar(cli: Cli, name: string, file: string): CommandResult {
  const text = file === '-' ? await cli.stdin() : readTextFile(file);
  const reply = await (await cli.connect()).calendars.set(name, parse(file, text));
  if (cli.json) return cli.out.json(reply);
  const { status, rearmed } = reply;
  for (const line of fields(
    [
      [status, reply.name],
      ['tasks', rearmed === 0 ? 'none to rearm' : `${rearmed} rearmed`],
    ],
    cli.paint,
  ))
    cli.out.line(line);
}

/** The definition, so that `get` to a file and `set` from it change nothing; with `--json`, the whole reply. */
export async function getCalendar(cli: Cli, name: string): CommandResult {
  const view = await (await cli.connect()).calendars.get(name);
  if (cli.json) return cli.out.json(view);
  cli.out.line(JSON.stringify(view.calendar, undefined, 2));
}

export async function listCalendars(cli: Cli): CommandResult {
  const reply = await (await cli.connect()).calendars.list();
  if (cli.json) return cli.out.json(reply);
  if (reply.items.length === 0)
    return cli.out.note(`no calendars, as of ${instantAndDistance(reply.asOf, cli.clock, cli.now())}`);
  const columns = [{ title: 'CALENDAR' }, { title: 'RULES' }, { title: `SET (${cli.clock.zone})` }];
  const rows = reply.items.map(({ name, rules, setAt }) => [
    name,
    String(rules),
    instantAndDistance(setAt, cli.clock, cli.now()),
  ]);
  for (const line of table(columns, rows, cli.out.columns, cli.paint)) cli.out.line(line);
}

function parse(file: string, text: string): CalendarDefinition {
  try {
    return JSON.parse(text) as CalendarDefinition;
  } catch (error) {
    throw badJson(file === '-' ? 'stdin' : file, error);
  }
}
