import { CATCH_UP_POLICIES, PRECISIONS } from '@belfry/protocol';
import { type Command, Option } from 'commander';

import type { CommonOptions, Run } from '../main.ts';
import { addAboutSchedules } from './about-schedules.ts';
import { withScheduleFlags } from './schedule-flags.ts';
import { labels, wholeNumber, withCommon } from '../program.ts';
import type { ListOptions } from '../commands/list.ts';
import type { RefOptions } from '../commands/get.ts';
import type { ScheduleOptions } from '../commands/schedule.ts';
import type { UpdateOptions } from '../commands/update.ts';

const SCHEDULE_HELP = `
Examples:
  belfry schedule --handler echo --in 10m --payload '{"to":"ann"}'
  belfry schedule --handler report --cron '0 7 * * MON-FRI' --timezone Europe/Berlin --key daily-report
  belfry schedule --handler sync --every 90s --queue sync --attempts 5 --payload @sync.json
  belfry schedule --file tasks.ndjson            one task a line, in the shape of docs/protocol.md
  generate | belfry schedule --file -

The same --key is the same task: the same again changes nothing, something else updates it.`;

/** The flags that make a task: of `schedule` and `update`. */
function withTaskFlags(command: Command, makes: boolean): Command {
  const byDefault = (value: string): string => (makes ? ` (default ${value})` : '');
  const whole = makes ? '' : '; the new labels take the place of all old ones';
  return withScheduleFlags(command, makes)
    .optionsGroup('What:')
    .option('--queue <name>', `line of work${byDefault('default')}`)
    .option('--handler <name>', 'handler that runs it')
    .option('--payload <json>', 'JSON, @file, or - for stdin')
    .optionsGroup('How:')
    .addOption(
      new Option('--priority <priority>', `which goes first${byDefault('medium')}`).choices(['high', 'medium', 'low']),
    )
    .option(
      '--attempts <n>',
      `attempts in all${byDefault('3')}${makes ? '' : '; the rest of the retry policy goes back to its defaults'}`,
      wholeNumber(1, 100),
    )
    .option('--timeout <duration>', `how long one attempt may run${byDefault('5m')}`)
    .addOption(
      new Option(
        '--precision <tier>',
        `how exact its instants are: ±100 ms, ±1 s, ±10 s${byDefault('normal')}`,
      ).choices(PRECISIONS),
    )
    .addOption(
      new Option(
        '--catch-up <policy>',
        `which of the fires run that were missed by 60 s or more${byDefault('latest; all of a one-time task')}`,
      ).choices(CATCH_UP_POLICIES),
    )
    .option('--catch-up-window <duration>', 'of --catch-up all: how old a missed fire may be (default 1h)')
    .option('--label <name=value>', `label; may be given again${whole}`, labels);
}

export function addTasks(belfry: Command, run: Run): void {
  const schedule = withTaskFlags(belfry.command('schedule').description('schedule a task, or many from a file'), true)
    .option('--key <key>', 'idempotency key: the same key is the same task')
    .optionsGroup('Many:')
    .option('--file <path>', 'tasks from a file: a JSON array, or one JSON object a line; - for stdin')
    .addHelpText('after', SCHEDULE_HELP);
  withCommon(schedule).action((_options, command: Command) => {
    const options = command.optsWithGlobals<ScheduleOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/schedule.ts')).schedule(cli, options));
  });
  addAboutSchedules(schedule, run);

  const get = belfry
    .command('get')
    .description('one task: its schedule, state and next fires')
    .argument('<task>', 'id or key')
    .option('--key', 'take the argument as a key, whatever it looks like')
    .addHelpText('after', '\nExamples:\n  belfry get daily-report\n  belfry get 6f1c9a52-… --json');
  withCommon(get).action((task: string, _options, command: Command) => {
    const options = command.optsWithGlobals<RefOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/get.ts')).get(cli, task, options));
  });

  addList(belfry, run);

  const update = withTaskFlags(
    belfry.command('update').description('change a task; what is not given stays').argument('<task>', 'id or key'),
    false,
  )
    .option('--key', 'take the argument as a key, whatever it looks like')
    .addHelpText(
      'after',
      "\nExamples:\n  belfry update daily-report --cron '0 8 * * MON-FRI' --timezone Europe/Berlin\n  belfry update 6f1c9a52-… --priority high",
    );
  withCommon(update).action((task: string, _options, command: Command) => {
    const options = command.optsWithGlobals<UpdateOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/update.ts')).update(cli, task, options));
  });

  const cancel = belfry
    .command('cancel')
    .description("cancel tasks; executions in workers' hands run on")
    .argument('<task...>', 'ids or keys')
    .option('--key', 'take the arguments as keys, whatever they look like')
    .addHelpText(
      'after',
      '\nExamples:\n  belfry cancel daily-report\n  belfry list --queue mail --all --json | jq -r .id | xargs belfry cancel',
    );
  withCommon(cancel).action((tasks: string[], _options, command: Command) => {
    const options = command.optsWithGlobals<RefOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/cancel.ts')).cancel(cli, tasks, options));
  });
}

function addList(belfry: Command, run: Run): void {
  const list = belfry
    .command('list')
    .description('tasks, newest first')
    .option('--queue <name>', 'of this queue')
    .option('--handler <name>', 'of this handler')
    .addOption(new Option('--state <state>', 'still to fire, or over').choices(['active', 'ended']))
    .option('--label <name=value>', 'with this label; may be given again', labels)
    .option('--limit <n>', 'tasks a page (default 50)', wholeNumber(1, 1_000))
    .option('--cursor <cursor>', 'go on after the last page')
    .option('--all', 'every page; with --json one task a line')
    .addHelpText(
      'after',
      '\nExamples:\n  belfry list --queue shell --state active\n  belfry list --label team=mail --all --json | jq -r .id',
    );
  withCommon(list).action((_options, command: Command) => {
    const options = command.optsWithGlobals<ListOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/list.ts')).list(cli, options));
  });
}
