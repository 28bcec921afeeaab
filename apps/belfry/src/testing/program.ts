import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));

/** A folder that is removed at the end of the test. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'belfry-program-'));
  return { path: folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

/** The environment of a program under test: nothing of a Belfry that the developer has running. */
function cleanEnvironment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const { BELFRY_NATS_URL: _nats, BELFRY_POSTGRES_URL: _postgres, ...rest } = process.env;
  return { ...rest, ...more };
}

/** A process of the program, or of another `file`; what it writes to stderr is kept for the message of a failing test. */
class Program {
  readonly child: ChildProcess;
  #stderr = '';

  constructor(args: readonly string[], env: NodeJS.ProcessEnv, cwd?: string, file = MAIN) {
    this.child = spawn(process.execPath, [file, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env,
      ...(cwd === undefined ? {} : { cwd }),
    });
    this.child.stderr?.on('data', (chunk: Buffer) => (this.#stderr = (this.#stderr + chunk.toString()).slice(-20_000)));
  }

  get stderr(): string {
    return this.#stderr;
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  /** The first line of its output that is JSON and that `accept` takes. */
  async firstJson<T>(accept: (value: Record<string, unknown>) => boolean): Promise<T> {
    const { stdout } = this.child;
    if (stdout === null) throw new Error('no output to read');
    for await (const line of createInterface({ input: stdout })) {
      if (!line.startsWith('{')) continue;
      const value = JSON.parse(line) as Record<string, unknown>;
      if (!accept(value)) continue;
      stdout.resume();
      return value as T;
    }
    throw new Error(`the program ended before it was ready:\n${this.#stderr}`);
  }

  /** Sends the signal and waits for the end. Returns the exit code; null after a signal. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    if (this.hasEnded) return this.child.exitCode;
    const exited = once(this.child, 'exit');
    this.child.kill(signal);
    await exited;
    return this.child.exitCode;
  }
}

interface DevReady {
  readonly natsUrl: string;
  readonly postgresUrl: string;
  readonly http: number;
  /** nats, postgres, keeper, and the worker's. */
  readonly pids: { readonly [name: string]: number };
}

/** `belfry dev` in a process of its own, on free ports. */
export interface RunningDev extends DevReady, AsyncDisposable {
  readonly pid: number;
  readonly stderr: () => string;
  /** SIGKILL to everything at once: the program, its servers, its keeper, its worker. */
  killAll(): Promise<void>;
  /** SIGTERM; returns the exit code. */
  stop(): Promise<number | null>;
}

export async function startDev(dataDir: string, ...flags: readonly string[]): Promise<RunningDev> {
  const ports = ['--nats-port', '0', '--postgres-port', '0', '--http-port', '0'];
  const program = new Program(['dev', '--json', '--data-dir', dataDir, ...ports, ...flags], cleanEnvironment());
  const ready = await program.firstJson<DevReady>((value) => value['ready'] === true);
  const pid = program.child.pid as number;
  const killAll = async (): Promise<void> => {
    const exited = program.hasEnded ? undefined : once(program.child, 'exit');
    // The keeper first: it would stop the servers cleanly.
    const { keeper, ...others } = ready.pids;
    for (const one of [keeper, pid, ...Object.values(others)]) if (one !== undefined) kill(one);
    await exited;
  };
  return {
    ...ready,
    pid,
    stderr: () => program.stderr,
    killAll,
    stop: () => program.end('SIGTERM'),
    [Symbol.asyncDispose]: async () => {
      await program.end('SIGTERM');
    },
  };
}

/** A scheduler, gateway or supervisor process, or all in one, against given servers. */
export interface RunningServer extends AsyncDisposable {
  readonly pid: number;
  readonly http: number;
  readonly stderr: () => string;
  kill(signal: NodeJS.Signals): Promise<number | null>;
  /** Resolves with the exit code when it has ended by itself. */
  ended(): Promise<number | null>;
}

export async function startServerProcess(
  servers: { readonly natsUrl: string; readonly postgresUrl: string; readonly env?: NodeJS.ProcessEnv },
  ...flags: readonly string[]
): Promise<RunningServer> {
  const { natsUrl, postgresUrl, env: more } = servers;
  const env = cleanEnvironment({ BELFRY_NATS_URL: natsUrl, BELFRY_POSTGRES_URL: postgresUrl, ...more });
  const program = new Program(['server', '--json', '--http-port', '0', ...flags], env);
  const { http } = await program.firstJson<{ http: number }>((value) => value['ready'] === true);
  return {
    pid: program.child.pid as number,
    http,
    stderr: () => program.stderr,
    kill: (signal) => program.end(signal),
    ended: async () => {
      if (!program.hasEnded) await once(program.child, 'exit');
      return program.child.exitCode;
    },
    [Symbol.asyncDispose]: async () => {
      await program.end('SIGTERM');
    },
  };
}

/** Runs a command of the program to its end. */
export async function runCommand(
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  cwd?: string,
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const program = new Program(args, cleanEnvironment(env), cwd);
  let stdout = '';
  program.child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  await once(program.child, 'close');
  return { code: program.child.exitCode, stdout, stderr: program.stderr };
}

/** A program of a user, which finds its Belfry as users' programs do: from the folder that it runs in. */
export interface RunningScript extends AsyncDisposable {
  readonly stdout: () => string;
  readonly stderr: () => string;
}

export function startScript(file: string, cwd: string): RunningScript {
  const program = new Program([], cleanEnvironment(), cwd, file);
  let stdout = '';
  program.child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  return {
    stdout: () => stdout,
    stderr: () => program.stderr,
    [Symbol.asyncDispose]: async () => {
      await program.end('SIGTERM');
    },
  };
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** What `/healthz` says of a process. */
export async function healthOf(http: number): Promise<{
  readonly ok: boolean;
  readonly parts: {
    readonly nats: string;
    readonly postgres: string;
    readonly scheduler?: {
      readonly owned: readonly number[];
      readonly tasks: number;
      readonly inboxGap?: { readonly shards: readonly number[]; readonly fromSeq: number; readonly untilSeq: number };
    };
    readonly supervisor?: { readonly leads: boolean };
    readonly level: { readonly reads: number; readonly writes: number; readonly outdated: boolean };
    readonly clock: { readonly state: string; readonly standsStillMs: number };
  };
}> {
  const response = await fetch(`http://127.0.0.1:${http}/healthz`);
  return (await response.json()) as Awaited<ReturnType<typeof healthOf>>;
}
