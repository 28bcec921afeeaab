import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';

import type { Command } from 'commander';
import { expect, it } from 'vitest';

import { program } from './program.ts';

const ROOT = path.join(import.meta.dirname, '../../../..');

/** Whether the program takes these words: what they would do is not done. */
async function parse(words: readonly string[]): Promise<unknown> {
  const belfry = program(async () => undefined, true);
  return await belfry.parseAsync(words, { from: 'user' }).then(
    () => undefined,
    (error: unknown) => ((error as { code?: string }).code?.startsWith('commander.help') === true ? undefined : error),
  );
}

/** The words that a shell makes of a line, up to a pipe or a redirection, without variables before the command. */
function wordsOf(line: string): string[] {
  const words = [...line.matchAll(/'([^']*)'|"((?:\$\([^)]*\)|[^"])*)"|(\$\([^)]*\)|[^\s'"]+)/g)].map(
    ([, single, double, bare]) => single ?? double ?? bare ?? '',
  );
  const end = words.findIndex((word) => /^([|<>&;#]|<<<)/.test(word));
  return (end < 0 ? words : words.slice(0, end)).filter((word) => !/^BELFRY_[A-Z_]+=/.test(word));
}

function* commandsOf(command: Command): Generator<Command> {
  yield command;
  for (const child of command.commands) yield* commandsOf(child);
}

/** Lines of help that begin with `belfry`, up to the words of explanation that two blanks set apart. */
function examplesOfHelp(): string[] {
  return [...commandsOf(program(async () => undefined, true))].flatMap((command) => {
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    return [...help.matchAll(/^ {2}(?:BELFRY_\S+ )*belfry (.*)$/gm)].map(
      ([, rest = '']) => rest.split('   ')[0] as string,
    );
  });
}

/** What stands after `belfry` or `npm run belfry --` in lines of code and in the code spans of README and docs. */
function examplesOfPages(): string[] {
  const pages = ['README.md', ...globSync('docs/*.md', { cwd: ROOT })];
  const texts = pages.map((page) => readFileSync(path.join(ROOT, page), 'utf8'));
  return texts
    .flatMap((text) => [
      ...text.matchAll(/^(?:\$ )?(?:npm run belfry --|belfry) ([a-z].*)$/gm),
      ...text.matchAll(/`(?:npm run belfry -- |belfry )([a-z][^`|…<]*)`/g),
    ])
    .map(([, rest = '']) => rest);
}

it('each example of the help is what the program takes', async () => {
  const examples = examplesOfHelp();
  expect(examples.length).toBeGreaterThan(50);
  for (const example of examples) expect(await parse(wordsOf(example)), example).toBeUndefined();
});

it('each example of README and docs is what the program takes', async () => {
  const examples = examplesOfPages();
  expect(examples.length).toBeGreaterThan(30);
  for (const example of examples) expect(await parse(wordsOf(example)), example).toBeUndefined();
});
