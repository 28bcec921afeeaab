import { type Command, Option } from 'commander';

import { dayWindow, texts, wholeNumber } from '../program.ts';

/** The flags that make a schedule. */
export function withScheduleFlags(command: Command, makes: boolean): Command {
  // What an update is not given stays: it has no defaults.
  const byDefault = (value: string): string => (makes ? ` (default ${value})` : '');
  return command
    .optionsGroup('When (one of these):')
    .option('--at <instant>', "once: RFC 3339, or without an offset in this machine's zone")
    .option('--in <duration>', 'once, from now: 30s, 10m, 1h30m, 2d')
    .option('--every <interval>', 'again and again: 90s, 15m, 2h, 1d, 1mo or an ISO 8601 duration')
    .option(
      '--cron <expression>',
      'five fields, six with seconds first, or @daily and the like; may be given again',
      texts,
    )
    .optionsGroup('More about when (docs/schedules.md):')
    .option('--timezone <zone>', `IANA zone of --cron, --between, and days and longer of --every${byDefault('UTC')}`)
    .option('--anchor <instant>', `where the grid of --every begins${byDefault('when the task is made')}`)
    .option('--start-at <instant>', 'no fire before it')
    .option('--end-at <instant>', 'no fire after it')
    .option('--limit <n>', 'so many instants of the schedule', wholeNumber(1, 1_000_000_000))
    .addOption(new Option('--gap <rule>', 'wall times that a change of the clock skips').choices(['next', 'skip']))
    .addOption(new Option('--fold <rule>', 'wall times that it repeats').choices(['first', 'last', 'both']))
    .option('--calendar <name>', 'calendar whose exclusions hold; may be given again', texts)
    .addOption(new Option('--on-excluded <rule>', `leave out or move${byDefault('skip')}`).choices(['skip', 'next']))
    .option('--jitter <duration>', "spread: each task's fires are moved by an amount of its own up to this")
    .option('--between <from-to>', 'once a day, at a minute that is chosen: 02:00-04:00', dayWindow);
}
