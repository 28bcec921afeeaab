import { Option, type Command } from 'commander';

import type { ForecastOptions } from '../commands/forecast.ts';
import type { LintOptions } from '../commands/lint.ts';
import type { PreviewOptions } from '../commands/preview.ts';
import type { TzdiffOptions } from '../commands/tzdiff.ts';
import type { CommonOptions, Run } from '../main.ts';
import { wholeNumber, withCommon } from '../program.ts';
import { withScheduleFlags } from './schedule-flags.ts';

const MOST_FIRES = 10_000;

const PREVIEW_HELP = `
Examples:
  belfry schedule preview --cron '30 2 * * *' --timezone Europe/Berlin --after 2027-03-27T00:00:00Z
  belfry schedule preview --every 1mo --anchor 2027-01-31T09:00:00Z --count 12 --json
  belfry schedule preview --batch < schedules.ndjson

--batch reads one JSON object a line, {"id", "after", "count", …} with the fields of a schedule (docs/schedules.md),
and prints {"id", "next"} or {"id", "error"} for each. "calendars" takes definitions in place of names. No server is needed.`;

const LINT_HELP = `
Examples:
  belfry schedule lint --cron '0 0 31 * *'
  belfry schedule lint --cron '30 2 * * *' --timezone America/New_York --json

Exit code 5 when there are warnings. No server is needed.`;

/** What can be asked about schedules before they are anybody's. */
export function addAboutSchedules(schedule: Command, run: Run): void {
  schedule.enablePositionalOptions();
  const preview = withScheduleFlags(schedule.command('preview').description('the next fires of a schedule'), true)
    .optionsGroup('Which fires:')
    .option('--after <instant>', 'those after it (default: now)')
    .option('--count <n>', 'so many (default 10; 5 with --batch)', wholeNumber(1, MOST_FIRES))
    .option('--batch', 'schedules from stdin, one JSON object a line; one answer a line')
    .addHelpText('after', PREVIEW_HELP);
  withCommon(preview).action((_options, command: Command) => {
    const options = command.optsWithGlobals<PreviewOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/preview.ts')).preview(cli, options));
  });
  const forecast = schedule
    .command('forecast')
    .description('how many fires of all stored tasks are to come, and when')
    .addOption(
      new Option(
        '--window <length>',
        'by second for an hour, by minute for a day (default), by hour for 31 days',
      ).choices(['hour', 'day', 'month']),
    )
    .addHelpText('after', '\nExamples:\n  belfry schedule forecast\n  belfry schedule forecast --window hour --json');
  withCommon(forecast).action((_options, command: Command) => {
    const options = command.optsWithGlobals<ForecastOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/forecast.ts')).forecast(cli, options));
  });
  const tzdiff = schedule
    .command('tzdiff')
    .description('tasks whose fires move with the time-zone data, after an upgrade of it')
    .option('--from <version>', 'compare with this recorded version (default: the latest other than the present)')
    .addHelpText('after', '\nExamples:\n  belfry schedule tzdiff\n  belfry schedule tzdiff --from 2026b --json');
  withCommon(tzdiff).action((_options, command: Command) => {
    const options = command.optsWithGlobals<TzdiffOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/tzdiff.ts')).tzdiff(cli, options));
  });
  const lint = withScheduleFlags(
    schedule.command('lint').description('what may not be meant as it stands in a schedule'),
    true,
  ).addHelpText('after', LINT_HELP);
  withCommon(lint).action((_options, command: Command) => {
    const options = command.optsWithGlobals<LintOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/lint.ts')).lint(cli, options));
  });
}
