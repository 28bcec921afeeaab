import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { closeSync, fstatSync, openSync, readSync, renameSync, statSync } from 'node:fs';

import { EmbeddedError, errnoOf } from './errors.ts';
import { until } from './processes.ts';

/** A log of a former start is kept up to here; then it makes place (one old log stays, as `<name>.1`). */
const LOG_BYTES = 8 * 1024 * 1024;
/** How much of its log an error message about a server quotes. */
const TAIL_BYTES = 2_000;

export interface Launch {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  readonly logFile: string;
  readonly stopSignal: NodeJS.Signals;
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
}

export interface ServerExit {
  readonly name: string;
  readonly pid: number;
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * A server process of ours, in a session of its own: a Ctrl-C at the terminal reaches the program, which then
 * stops its servers in the right order.
 */
export class ServerProcess {
  readonly name: string;
  readonly pid: number;
  /** Settles when the process has ended. */
  readonly exited: Promise<ServerExit>;
  readonly #child: ChildProcess;
  readonly #launch: Launch;
  readonly #logStart: number;
  #exit: ServerExit | undefined;

  private constructor(child: ChildProcess, pid: number, launch: Launch, logStart: number) {
    this.name = launch.name;
    this.pid = pid;
    this.#child = child;
    this.#launch = launch;
    this.#logStart = logStart;
    this.exited = new Promise((resolve) => {
      child.once('exit', (code, signal) => {
        this.#exit = { name: launch.name, pid, code, signal };
        resolve(this.#exit);
      });
    });
  }

  static async launch(launch: Launch): Promise<ServerProcess> {
    const log = openLog(launch.logFile);
    try {
      const logStart = fstatSync(log).size;
      const stdio: StdioOptions = ['ignore', log, log];
      const child = spawn(launch.command, launch.args, {
        cwd: launch.cwd,
        env: launch.env,
        detached: true,
        stdio,
        ...(launch.user === undefined ? {} : { uid: launch.user.uid, gid: launch.user.gid }),
      });
      await new Promise<void>((resolve, reject) => {
        child.once('spawn', resolve);
        child.once('error', (error) => {
          reject(
            new EmbeddedError('start_failed', `${launch.name} cannot be run (${launch.command}): ${error.message}`, {
              cause: error,
            }),
          );
        });
      });
      if (child.pid === undefined) throw new EmbeddedError('start_failed', `${launch.name} has no process id`);
      return new ServerProcess(child, child.pid, launch, logStart);
    } finally {
      closeSync(log);
    }
  }

  /** Waits until `ready` holds. Fails when the process ends first, or after `timeoutMs`. */
  async waitReady(ready: () => boolean | Promise<boolean>, timeoutMs: number): Promise<void> {
    const done = await until(async () => this.#exit !== undefined || (await ready()), timeoutMs);
    if (this.#exit !== undefined) {
      const how = this.#exit.signal ?? `code ${String(this.#exit.code)}`;
      throw new EmbeddedError(
        'start_failed',
        `${this.name} ended while starting (${how}); the end of ${this.#launch.logFile}:\n${this.logTail()}`,
      );
    }
    if (!done) {
      throw new EmbeddedError(
        'start_timeout',
        `${this.name} was not ready after ${timeoutMs / 1000} s; the end of ${this.#launch.logFile}:\n${this.logTail()}`,
      );
    }
  }

  /** Lets the program end although this process runs: the keeper then stops it. */
  unref(): void {
    this.#child.unref();
  }

  /** Asks it to end, waits, and kills it if it does not. Idempotent. */
  async stop(timeoutMs: number): Promise<ServerExit> {
    this.#child.ref();
    if (this.#exit !== undefined) return this.#exit;
    this.#child.kill(this.#launch.stopSignal);
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), timeoutMs);
    try {
      return await this.exited;
    } finally {
      clearTimeout(timer);
    }
  }

  /** The end of what this process has logged. */
  logTail(): string {
    const file = openSync(this.#launch.logFile, 'r');
    try {
      const size = fstatSync(file).size;
      const from = Math.max(this.#logStart, size - TAIL_BYTES);
      const bytes = Buffer.alloc(Math.max(0, size - from));
      readSync(file, bytes, 0, bytes.length, from);
      return bytes.toString('utf8').trimEnd();
    } finally {
      closeSync(file);
    }
  }
}

function openLog(file: string): number {
  try {
    if (statSync(file).size > LOG_BYTES) renameSync(file, `${file}.1`);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  return openSync(file, 'a', 0o600);
}
