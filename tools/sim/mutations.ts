import { fork } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { MUTATIONS, type Mutation } from './mutation-list.ts';

const ROOT = path.dirname(path.dirname(import.meta.dirname));
const MUTANT = path.join(import.meta.dirname, 'mutant.ts');
const MUTATE = pathToFileURL(path.join(import.meta.dirname, 'mutate.ts')).href;

/** How a run of seeds with or without a deliberate bug ended. */
export interface Finding {
  readonly seeds: number;
  /** Violations, and by which seed: of a mutation, the first alone. */
  readonly failed: readonly { readonly seed: number; readonly message: string }[];
}

/** Throws where a mutation does not match the code any more. */
export async function checkMutations(): Promise<void> {
  for (const { name, file, find } of MUTATIONS) {
    const text = await readFile(path.join(ROOT, file), 'utf8');
    const times = text.split(find).length - 1;
    if (times !== 1) throw new Error(`mutation "${name}": its text stands ${times} times in ${file}, not once`);
  }
}

/** Runs seeds but some with a mutation, in a process of its own, until one finds it. Without a mutation: the control, all of them. */
export function hunt(mutation: Mutation | undefined, passOver: readonly number[] = []): Promise<Finding> {
  return new Promise((resolve, reject) => {
    const mutant = mutation && { ...mutation, file: path.join(ROOT, mutation.file) };
    const child = fork(MUTANT, passOver.map(String), {
      execArgv: ['--import', MUTATE],
      env: { ...process.env, BELFRY_MUTATION: mutant === undefined ? '' : JSON.stringify(mutant) },
    });
    let finding: Finding | undefined;
    child.on('message', (message) => (finding = message as Finding));
    child.once('error', reject);
    child.once('exit', (code) => {
      if (finding === undefined) reject(new Error(`the run ended with ${String(code)} and said nothing`));
      else resolve(finding);
    });
  });
}

/** Applies the mutations one by one, as many at a time as there are cores; returns how many were not found. */
export async function runMutations(say: (line: string) => void, only?: string): Promise<number> {
  await checkMutations();
  const chosen = MUTATIONS.filter(({ name }) => only === undefined || name.includes(only));
  if (chosen.length === 0) throw new Error(`no mutation has "${String(only)}" in its name`);
  const control = await hunt(undefined);
  say(`without a mutation: ${control.seeds} seeds, ${control.failed.length} violations`);
  // A seed that fails by itself would find everything.
  const passOver = control.failed.map(({ seed }) => seed);
  for (const { seed, message } of control.failed) say(`  passed over from here on: seed ${seed}, ${message}`);
  let survivors = 0;
  const huntOne = async (mutation: Mutation): Promise<void> => {
    const startedMs = performance.now();
    const { seeds, failed } = await hunt(mutation, passOver);
    const [found] = failed;
    if (found === undefined) survivors++;
    const seconds = ((performance.now() - startedMs) / 1_000).toFixed(0);
    const verdict = found === undefined ? 'NOT FOUND' : `found by seed ${found.seed}: ${found.message.slice(0, 90)}`;
    say(`${mutation.name}: ${seeds} seeds, ${seconds} s, ${verdict}`);
  };
  const open = chosen.values();
  const huntOn = async (): Promise<void> => {
    for (const mutation of open) await huntOne(mutation);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, huntOn));
  say(survivors === 0 ? `all ${chosen.length} mutations were found` : `${survivors} mutations were not found`);
  return survivors;
}
