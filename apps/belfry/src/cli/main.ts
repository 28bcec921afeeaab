import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { CommanderError } from 'commander';

import type { Cli, CommandResult } from './cli.ts';
import type { CliClient } from './client.ts';
import type { Operators } from './operators.ts';
import { findNatsUrl, isAlive } from './connection.ts';
import { errorJson, errorText, EXIT, interrupted, reportOf } from './exit.ts';
import { outputTo, paintFor } from './output.ts';
import { program } from './program.ts';
import { clockFor } from './time.ts';

/** Flags that every command takes. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly namespace?: string;
  readonly url?: string;
  readonly utc?: boolean;
}

/** Runs one command with what it needs. `handlesSignals`: it stops by itself at SIGINT and SIGTERM. */
export type Run = (
  common: CommonOptions,
  command: (cli: Cli) => CommandResult,
  handlesSignals?: boolean,
) => Promise<void>;

const USAGE_CODES_OK: ReadonlySet<string> = new Set(['commander.help', 'commander.helpDisplayed', 'commander.version']);

/** A closed pipe (`belfry list | head`) is the reader's way to say that it has enough. */
function endQuietlyOnClosedPipe(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.refused);
    });
  }
}

/** The first interrupt aborts the signal and lets the command end; the second, or 3 s, ends the program. */
function interrupts(): AbortSignal {
  const controller = new AbortController();
  const stop = () => {
    if (controller.signal.aborted) process.exit(EXIT.interrupted);
    controller.abort(interrupted());
    setTimeout(() => process.exit(EXIT.interrupted), 3_000).unref();
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  return controller.signal;
}

function rejectOn(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

async function readStdin(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

async function runCommand(
  common: CommonOptions,
  command: (cli: Cli) => CommandResult,
  signal: AbortSignal,
): Promise<number> {
  const namespace = common.namespace ?? process.env['BELFRY_NAMESPACE'] ?? 'default';
  const natsUrl = () => findNatsUrl(common.url, { cwd: process.cwd(), env: process.env, alive: isAlive });
  let client: Promise<CliClient> | undefined;
  let operators: Promise<Operators> | undefined;
  const cli: Cli = {
    out: outputTo(process.stdout, process.stderr),
    paint: paintFor(process.stdout, process.env),
    json: common.json ?? false,
    namespace,
    clock: clockFor(common.utc ?? false),
    now: () => Date.now(),
    natsUrl,
    connect: async () => {
      const url = natsUrl();
      client ??= import('./open-client.ts').then(({ openClient }) => openClient(url, namespace));
      return client;
    },
    operators: () => {
      operators ??= import('./open-operators.ts').then(({ openOperators }) => openOperators(natsUrl()));
      return operators;
    },
    stdin: readStdin,
    stdinChunks: () => process.stdin as AsyncIterable<Buffer>,
    pour: (texts) => pipeline(Readable.from(texts, { objectMode: false }), process.stdout, { end: false }),
    signal,
  };
  try {
    const result = await Promise.race([command(cli), rejectOn(signal)]);
    return result ?? EXIT.ok;
  } finally {
    cli.out.progress('');
    for (const opened of [client, operators]) await opened?.then((one) => one.close()).catch(() => undefined);
  }
}

/** Runs the program; gives its exit code. Never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  endQuietlyOnClosedPipe();
  const json = argv.includes('--json');
  let exit: number = EXIT.ok;
  const run: Run = async (common, command, handlesSignals = false) => {
    exit = await runCommand(common, command, handlesSignals ? new AbortController().signal : interrupts());
  };
  try {
    await program(run, json).parseAsync(argv, { from: 'user' });
  } catch (error) {
    exit = tell(error, json);
  }
  return exit;
}

function tell(error: unknown, json: boolean): number {
  if (error instanceof CommanderError) {
    if (USAGE_CODES_OK.has(error.code) && error.exitCode === 0) return EXIT.ok;
    if (json) {
      const message = error.message.replace(/^error: /, '').trim();
      process.stderr.write(errorJson({ exit: EXIT.usage, code: 'usage', message }) + '\n');
    }
    return EXIT.usage;
  }
  const report = reportOf(error);
  if (process.env['BELFRY_DEBUG'] && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
  const paint = paintFor(process.stderr, process.env);
  process.stderr.write((json ? errorJson(report) : paint('red', errorText(report))) + '\n');
  return report.exit;
}
