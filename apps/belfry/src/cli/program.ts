import { Command, InvalidArgumentError, Option } from 'commander';

import { addCalendars } from './define/calendars.ts';
import { addImport } from './define/import.ts';
import { addOperators } from './define/operators.ts';
import { addRuns } from './define/runs.ts';
import { addServers } from './define/servers.ts';
import { addTasks } from './define/tasks.ts';
import type { Run } from './main.ts';
import { VERSION } from '../server/version.ts';

const HELP = `
Examples:
  belfry dev                                                     everything on this machine
  belfry schedule --handler echo --in 10s --payload '"hello"'    a task
  belfry import crontab /etc/crontab --system --dry-run          what your crontab would become
  belfry history                                                 what ran

Exit codes: 0 ok, 1 refused, 2 wrong usage, 3 cannot connect, 4 not found, 5 warnings, 130 interrupted.
`;

/** The options that every command takes; on the program too, so that they may stand before the command. */
export function withCommon(command: Command): Command {
  return command
    .optionsGroup('Common options:')
    .addOption(new Option('--json', 'answer with JSON, for programs'))
    .addOption(new Option('--namespace <name>', 'namespace (else BELFRY_NAMESPACE, else default)'))
    .addOption(
      new Option('--url <nats url>', 'address of NATS (else BELFRY_NATS_URL, else the nearest .belfry/dev.json)'),
    )
    .addOption(new Option('--utc', "times in UTC instead of this machine's zone"));
}

export function wholeNumber(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || !Number.isInteger(value) || value < low || value > high) {
      throw new InvalidArgumentError(`It must be a whole number from ${low} to ${high}.`);
    }
    return value;
  };
}

/** A flag that may be given again. */
export function texts(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

/** `02:00-04:00`. Whether these are times is the schedule engine's to say. */
export function dayWindow(text: string): readonly [string, string] {
  const [from, to, more] = text.split('-');
  if (from === undefined || to === undefined || more !== undefined)
    throw new InvalidArgumentError('It must look like 02:00-04:00.');
  return [from, to];
}

/** `--label a=1 --label b=2` as an object. */
export function labels(
  text: string,
  before: { readonly [label: string]: string } = {},
): { readonly [label: string]: string } {
  const split = text.indexOf('=');
  if (split < 1) throw new InvalidArgumentError('It must look like name=value.');
  return { ...before, [text.slice(0, split)]: text.slice(split + 1) };
}

/** Every command with its flags; what they do is loaded when they run, so that help is quick. */
export function program(run: Run, json: boolean): Command {
  const belfry = new Command('belfry')
    .description('Belfry: a distributed task scheduler. It fires tasks at their time and keeps what happened.')
    .version(VERSION, '-V, --version')
    .helpOption('-h, --help', 'help')
    .helpCommand('help [command]', 'help for a command')
    .enablePositionalOptions()
    .showHelpAfterError('Try --help.')
    .addHelpText('after', HELP)
    .configureOutput({
      outputError: (text, write) => {
        if (!json) write(text.replace(/^error: /, 'error usage: '));
      },
    });
  if (json) belfry.showHelpAfterError(false);
  withCommon(belfry);
  belfry.exitOverride();
  belfry.commandsGroup('Tasks:');
  addTasks(belfry, run);
  addCalendars(belfry, run);
  addImport(belfry, run);
  belfry.commandsGroup('What happened:');
  addRuns(belfry, run);
  belfry.commandsGroup('Operators:');
  addOperators(belfry, run);
  belfry.commandsGroup('Processes:');
  addServers(belfry, run);
  return belfry;
}
