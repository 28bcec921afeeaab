import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 10;

/**
 * Runs in place of the program, and becomes it: the process id is the program's. A helper waits for the end of a pipe that
 * only the bench holds, so a program never outlives a bench that was killed.
 */
const GUARD = '(cat <&3; kill -KILL $$) >/dev/null 2>&1 & exec "$@" 3<&-';

export interface Program {
  readonly pid: number;
  /** Settles when it has ended. */
  readonly exited: Promise<void>;
  isRunning(): boolean;
  /** Stopped by a signal, as the system has it. */
  isStopped(): boolean;
  signal(name: NodeJS.Signals): void;
  /** Asks it to end, and kills it if it doesn't within the time. */
  stop(timeoutMs?: number): Promise<void>;
  /** The end of what it has printed. */
  lastWords(): string;
}

/** Starts a program whose output goes to a file. */
export function startProgram(
  command: string,
  args: readonly string[],
  options: {
    readonly logFile: string;
    readonly env?: NodeJS.ProcessEnv;
    readonly cwd?: string;
    /** Instead of ours; only root can say so. */
    readonly user?: { readonly uid: number; readonly gid: number };
  },
): Program {
  const log = openSync(options.logFile, 'a');
  let child: ChildProcess;
  try {
    child = spawn('/bin/sh', ['-c', GUARD, 'guard', command, ...args], {
      stdio: ['ignore', log, log, 'pipe'],
      env: { ...process.env, ...options.env },
      ...(options.cwd !== undefined && { cwd: options.cwd }),
      ...options.user,
    });
  } finally {
    closeSync(log);
  }
  const isRunning = (): boolean => child.exitCode === null && child.signalCode === null && child.pid !== undefined;
  // The guard's helper goes when our end of its pipe is closed.
  const exited = once(child, 'exit').then(() => void (child.stdio[3] as Socket | null)?.destroy());
  return {
    pid: child.pid ?? 0,
    exited,
    isRunning,
    isStopped: () =>
      spawnSync('ps', ['-o', 'state=', '-p', String(child.pid)], { encoding: 'utf8' }).stdout.startsWith('T'),
    signal: (name) => void child.kill(name),
    async stop(timeoutMs = 20_000) {
      if (!isRunning()) return;
      child.kill('SIGTERM');
      await within(exited, timeoutMs);
      if (isRunning()) child.kill('SIGKILL');
      await exited;
    },
    lastWords: () => readFileSync(options.logFile, 'utf8').trimEnd().split('\n').slice(-12).join('\n'),
  };
}

async function within(promise: Promise<unknown>, timeoutMs: number): Promise<void> {
  const timer = new AbortController();
  await Promise.race([promise, delay(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined)]);
  timer.abort();
}

/** Asks again and again until the answer is yes. @throws if the program ends, or the time is up */
export async function untilReady(
  program: Program,
  what: string,
  isReady: () => Promise<boolean>,
  timeoutMs = 60_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await isReady())) {
    if (!program.isRunning()) throw new Error(`${what} has ended instead of starting:\n${program.lastWords()}`);
    if (performance.now() > deadline)
      throw new Error(`${what} was not ready after ${timeoutMs / 1_000} s:\n${program.lastWords()}`);
    await delay(POLL_MS);
  }
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
