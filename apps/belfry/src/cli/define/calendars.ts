import type { Command } from 'commander';

import type { CommonOptions, Run } from '../main.ts';
import { withCommon } from '../program.ts';

const SET_HELP = `
The file is JSON, in the shape of docs/protocol.md:
  {"timezone": "Europe/Berlin", "exclude": ["12-25", {"from": "2026-12-20", "to": "2027-01-02"}, {"weekdays": ["SAT", "SUN"]}]}

Examples:
  belfry calendar set holidays holidays.json
  echo '{"exclude": ["12-25", "12-26"]}' | belfry calendar set christmas -
  belfry calendar set freeze - <<< '{}'                      excludes nothing any more
  belfry schedule --handler report --cron '0 7 * * *' --calendar holidays`;

export function addCalendars(belfry: Command, run: Run): void {
  const calendar = belfry
    .command('calendar')
    .description('calendars: dates and windows that schedules leave out')
    .showHelpAfterError('Try --help.');
  const set = calendar
    .command('set')
    .description('make a calendar, or replace the one of this name')
    .argument('<name>', 'its name')
    .argument('<file>', 'its definition as JSON; - for stdin')
    .addHelpText('after', SET_HELP);
  withCommon(set).action((name: string, file: string, _options, command: Command) =>
    run(command.optsWithGlobals<CommonOptions>(), async (cli) =>
      (await import('../commands/calendar.ts')).setCalendar(cli, name, file),
    ),
  );
  const get = calendar.command('get').description('the definition of a calendar').argument('<name>', 'its name');
  withCommon(get).action((name: string, _options, command: Command) =>
    run(command.optsWithGlobals<CommonOptions>(), async (cli) =>
      (await import('../commands/calendar.ts')).getCalendar(cli, name),
    ),
  );
  const list = calendar.command('list').description('the calendars of the namespace');
  withCommon(list).action((_options, command: Command) =>
    run(command.optsWithGlobals<CommonOptions>(), async (cli) =>
      (await import('../commands/calendar.ts')).listCalendars(cli),
    ),
  );
}
