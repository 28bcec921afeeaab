import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

import type { ServerProcess } from './server-process.ts';

/**
 * The keeper outlives us by a moment. It is a shell that reads from a pipe whose other end only this process holds;
 * when the pipe closes, however this process ended (kill -9 too), it stops the servers that it was told of.
 *
 * Lines in: `watch <pid> <signal>`, `forget <pid>`. It ignores the terminal's signals, for it has its own session.
 */
const SCRIPT = `
trap '' INT TERM HUP QUIT
watched=
while read -r verb pid signal; do
  case $verb in
    watch) watched="$watched $pid:$signal" ;;
    forget) left=
      for one in $watched; do [ "\${one%%:*}" = "$pid" ] || left="$left $one"; done
      watched=$left ;;
  esac
done
for one in $watched; do kill -s "\${one#*:}" "\${one%%:*}" 2>/dev/null; done
for step in $(seq "$1"); do
  left=
  for one in $watched; do kill -0 "\${one%%:*}" 2>/dev/null && left="$left $one"; done
  [ -z "$left" ] && exit 0
  sleep 0.1
done
for one in $left; do kill -s KILL "\${one%%:*}" 2>/dev/null; done
`;

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

  static start(stopTimeoutMs: number): Keeper {
    const steps = String(Math.ceil(stopTimeoutMs / 100));
    const child = spawn('/bin/sh', ['-c', SCRIPT, 'belfry-keeper', steps], { cwd: '/', detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    return new Keeper(child);
  }

  watch(server: ServerProcess, signal: NodeJS.Signals): void {
    this.#tell(`watch ${server.pid} ${signal.replace(/^SIG/, '')}`);
    void server.exited.then(() => this.#tell(`forget ${server.pid}`));
  }

  unref(): void {
    this.#child.unref();
    const pipe: unknown = this.#child.stdin;
    if (pipe !== null && typeof pipe === 'object' && 'unref' in pipe && typeof pipe.unref === 'function') pipe.unref();
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
