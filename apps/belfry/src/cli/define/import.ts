import type { Command } from 'commander';

import type { ImportOptions } from '../commands/import-crontab.ts';
import type { CommonOptions, Run } from '../main.ts';
import { wholeNumber, withCommon } from '../program.ts';

const HELP = `
Each line becomes a task for a shell handler. It runs only where a worker was started with --allow-shell.
Importing the same file again changes nothing; an edited schedule updates its task; --prune cancels the tasks of
lines that are gone. Without CRON_TZ a line keeps this machine's zone, as with cron.

Examples:
  belfry import crontab examples/crontab --dry-run
  crontab -l | belfry import crontab - --source my-crontab
  belfry import crontab /etc/crontab --system --prune`;

export function addImport(belfry: Command, run: Run): void {
  const parent = belfry
    .command('import')
    .description('bring tasks over from another scheduler')
    .showHelpAfterError('Try --help.');
  const crontab = parent
    .command('crontab')
    .description('make a task of every line of a crontab')
    .argument('<file>', 'crontab; - for stdin')
    .option('--dry-run', 'show what would become of each line, and change nothing')
    .option('--system', 'the format of /etc/crontab: a user name stands before the command')
    .option('--seconds', 'six fields, seconds first')
    .option('--prune', "cancel the tasks of this file's lines that are gone")
    .option('--source <name>', "name that tasks are remembered by (default: the file's full path)")
    .option('--timezone <zone>', "zone of lines without CRON_TZ (default: this machine's)")
    .option('--queue <name>', 'queue of the shell workers', 'shell')
    .option('--handler <name>', 'handler that runs commands', 'shell')
    .option('--attempts <n>', 'attempts in all (default 1: cron does not repeat)', wholeNumber(1, 100))
    .option('--timeout <duration>', 'how long one command may run (default 1h)')
    .addHelpText('after', HELP);
  withCommon(crontab).action((file: string, _options, command: Command) => {
    const options = command.optsWithGlobals<ImportOptions & CommonOptions>();
    return run(options, async (cli) =>
      (await import('../commands/import-crontab.ts')).importCrontab(cli, file, options),
    );
  });
}
