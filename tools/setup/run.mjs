// Runs what package.json's scripts ask for, after making sure that it can run: dependencies as in package-lock.json,
// and the Node that the project asks for. Plain JavaScript without dependencies, for any Node from 20 on, because at
// the first start there is nothing else yet.
//
//   node tools/setup/run.mjs <name> [arguments]

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { ensureDependencies, ensureNode, SetupError } from './ensure.mjs';

const ROOT = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));
const BIN = path.join(ROOT, 'node_modules', '.bin');
const PROGRAM = 'apps/belfry/src/main.ts';

/**
 * What each name runs, step by step, under the project's Node; a failing step ends it. The first word is a file of the
 * repository or a program of the dependencies. Arguments of the caller go to the last step.
 *
 * @type {Record<string, string[][]>}
 */
const COMMANDS = {
  start: [[PROGRAM, 'dev']],
  belfry: [[PROGRAM]],
  bench: [['tools/bench/main.ts']],
  sim: [['tools/sim/main.ts']],
  chaos: [['tools/chaos/main.ts']],
  test: [
    ['tsc', '-p', 'tsconfig.json'],
    ['eslint', '.'],
    ['prettier', '--check', '--log-level', 'warn', '.'],
    ['vitest', 'run'],
  ],
};

/** @param {string} name @param {string[]} rest */
async function main(name, rest) {
  const steps = COMMANDS[name];
  if (steps === undefined)
    throw new SetupError(`no such command: ${name} (there are ${Object.keys(COMMANDS).join(', ')})`);
  const say = (/** @type {string} */ line) => process.stderr.write(`${line}\n`);
  await ensureDependencies(ROOT, say);
  const node = await ensureNode(ROOT, say);
  for (const [index, [program = '', ...args]] of steps.entries()) {
    const last = index === steps.length - 1;
    const end = await runToEnd(node, [fileOf(program), ...args, ...(last ? rest : [])]);
    if (end.signal !== null) return endBy(end.signal);
    if (end.code !== 0) return (process.exitCode = end.code ?? 1);
  }
}

/** @param {string} program */
function fileOf(program) {
  return path.join(program.includes('/') ? ROOT : BIN, program);
}

/**
 * Runs a program in our place: our terminal, our signals, its exit code.
 *
 * @param {string} command @param {string[]} args
 * @returns {Promise<{ code: number | null, signal: NodeJS.Signals | null }>}
 */
function runToEnd(command, args) {
  const child = spawn(command, args, {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${BIN}${path.delimiter}${process.env['PATH'] ?? ''}` },
  });
  // A terminal sends its signals to every process of the group: the child has them already.
  const fromTerminal = process.stdin.isTTY === true || process.stdout.isTTY === true;
  const forward = (/** @type {NodeJS.Signals} */ signal) => {
    if (signal !== 'SIGINT' || !fromTerminal) child.kill(signal);
  };
  const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);
  for (const signal of signals) process.on(signal, forward);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      for (const one of signals) process.off(one, forward);
      resolve({ code, signal });
    });
  });
}

/** Ends as the child ended, so that our caller sees the same. @param {NodeJS.Signals} signal */
function endBy(signal) {
  process.exitCode = 128 + constants.signals[signal];
  process.kill(process.pid, signal);
}

const [name = '', ...rest] = process.argv.slice(2);
try {
  await main(name, rest);
} catch (error) {
  process.stderr.write(
    `${error instanceof SetupError ? error.message : error instanceof Error ? error.stack : String(error)}\n`,
  );
  process.exitCode = 1;
}
