import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';

import type { ServerProcess } from './server-process.ts';

const SCRIPT = fileURLToPath(new URL('keeper.sh', import.meta.url));

/**
 * A shell process that outlives us by a moment and stops the servers if we did not, however we ended (`keeper.sh`).
 * It has a session of its own, so it does not get what kills our process group or comes from the terminal.
 */
export class Keeper {
  readonly pid: number | undefined;
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid;
    this.#exited = new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    child.stdin?.on('error', () => undefined); // a keeper that was killed costs us the safety net, nothing else
  }

  /** `removeFolder` goes with it at the end. */
  static start(stopTimeoutMs: number, removeFolder?: string): Keeper {
    const tenths = String(Math.ceil(stopTimeoutMs / 100));
    return new Keeper(
      spawn('/bin/sh', [SCRIPT, tenths, removeFolder ?? ''], {
        cwd: '/',
        detached: true,
        stdio: ['pipe', 'ignore', 'ignore'],
      }),
    );
  }

  watch(server: ServerProcess, signal: NodeJS.Signals): void {
    this.#tell(`watch ${server.pid} ${signal.replace(/^SIG/, '')}`);
    void server.exited.then(() => this.#tell(`forget ${server.pid}`));
  }

  /** Lets this process end although the keeper runs: that is what it waits for. */
  unref(): void {
    this.#child.unref();
    if (this.#child.stdin instanceof Socket) this.#child.stdin.unref();
  }

  /** Ends the keeper; the servers that it still watches, if any, are stopped by it. */
  async stop(): Promise<void> {
    this.#child.ref();
    this.#child.stdin?.end();
    await this.#exited;
  }

  #tell(line: string): void {
    if (this.#child.stdin?.writable === true) this.#child.stdin.write(`${line}\n`);
  }
}
