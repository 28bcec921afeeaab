import { EVENT_TYPES, EXECUTION_STATES, LIMITS } from '@belfry/protocol';
import { type Command, Option } from 'commander';

import type { CommonOptions, Run } from '../main.ts';
import { wholeNumber, withCommon } from '../program.ts';
import type { EventsOptions } from '../commands/events.ts';
import type { ExplainOptions } from '../commands/explain.ts';
import type { HistoryOptions } from '../commands/history.ts';
import type { RejectedOptions } from '../commands/rejected.ts';

export function addRuns(belfry: Command, run: Run): void {
  const history = belfry
    .command('history')
    .description('executions, latest first, of one task or of all')
    .argument('[task]', 'id or key')
    .option('--key', 'take the argument as a key, whatever it looks like')
    .addOption(new Option('--state <state>', 'in this state').choices(EXECUTION_STATES))
    .option('--limit <n>', 'executions a page (default 20)', wholeNumber(1, 1_000))
    .option('--before <instant>', 'only fires before this')
    .option('--cursor <cursor>', 'go on after the last page')
    .option('--all', 'every page; with --json one execution a line')
    .addHelpText(
      'after',
      '\nExamples:\n  belfry history\n  belfry history daily-report --state dead\n  belfry history --all --json | jq .latenessMs',
    );
  withCommon(history).action((task: string | undefined, _options, command: Command) => {
    const options = command.optsWithGlobals<HistoryOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/history.ts')).history(cli, task, options));
  });

  const trace = belfry
    .command('trace')
    .description('the hops of one fire with their times, as a waterfall')
    .argument('<execution>', 'execution id; or a task (id or key): its latest fire')
    .addHelpText(
      'after',
      '\nExamples:\n  belfry trace "$(belfry history --limit 1 --json | jq -r .items[0].execution)"\n  belfry trace daily-report',
    );
  withCommon(trace).action((execution: string, _options, command: Command) =>
    run(command.optsWithGlobals<CommonOptions>(), async (cli) =>
      (await import('../commands/trace.ts')).trace(cli, execution),
    ),
  );

  const explain = belfry
    .command('explain')
    .description('why a task did or did not run, at an instant or in a span of time')
    .argument('<task>', 'id or key')
    .option('--key', 'take the argument as a key, whatever it looks like')
    .option('--at <instant>', 'one instant; a whole second stands for all of it')
    .option('--from <instant>', 'from then on (default: a day before --to)')
    .option('--to <instant>', 'up to then (default: now)')
    .option('--limit <n>', 'fires to tell, the latest of more (default 20)', wholeNumber(1, LIMITS.explainFires))
    .addHelpText(
      'after',
      '\nExamples:\n  belfry explain daily-report\n  belfry explain daily-report --at "2026-11-27 06:00"\n  belfry explain daily-report --from 2026-11-20 --to 2026-11-27 --json | jq \'.fires[] | select(.verdict != "ran")\'',
    );
  withCommon(explain).action((task: string, _options, command: Command) => {
    const options = command.optsWithGlobals<ExplainOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/explain.ts')).explain(cli, task, options));
  });

  const rejected = belfry
    .command('rejected')
    .description('messages that durable ingest refused, oldest first, with the reasons')
    .option('--limit <n>', 'messages a page (default 50)', wholeNumber(1, 1_000))
    .option('--after <sequence>', 'go on after the last page', wholeNumber(0, Number.MAX_SAFE_INTEGER))
    .option('--all', 'every page; with --json one message a line');
  withCommon(rejected).action((_options, command: Command) => {
    const options = command.optsWithGlobals<RejectedOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/rejected.ts')).rejected(cli, options));
  });

  const events = belfry
    .command('events')
    .description('follow lifecycle events as they happen; Ctrl-C ends it')
    .addOption(new Option('--type <type>', 'only this type').choices(EVENT_TYPES))
    .option('--task <task>', 'only of this task (id or key)')
    .option('--count <n>', 'end after this many', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .addHelpText('after', '\nExamples:\n  belfry events\n  belfry events --type dead --json');
  withCommon(events).action((_options, command: Command) => {
    const options = command.optsWithGlobals<EventsOptions & CommonOptions>();
    return run(options, async (cli) => (await import('../commands/events.ts')).events(cli, options));
  });
}
