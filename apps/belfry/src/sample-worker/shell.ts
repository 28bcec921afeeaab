import { spawn } from 'node:child_process';

/** What a shell task carries: a crontab line as the import reads it. */
export interface ShellPayload {
  readonly command: string;
  readonly stdin?: string;
  /** Run as `<shell> -c <command>`; default /bin/sh. */
  readonly shell?: string;
  /** Added to what a command inherits, which is as little as with cron. */
  readonly env?: { readonly [name: string]: string };
}

/** What a command that ended with exit code 0 leaves in the history. */
export interface ShellResult {
  readonly exitCode: 0;
  readonly durationMs: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Bytes that were printed in all; only the last ones are kept. */
  readonly printedBytes: number;
}

/** The command did not end well: exit code, signal or abort, with the end of its stderr. */
export class ShellError extends Error {
  readonly exitCode: number | undefined;
  constructor(message: string, exitCode?: number) {
    super(message);
    this.name = 'ShellError';
    this.exitCode = exitCode;
  }
}

/** Bytes of each stream that are kept. */
const KEPT_BYTES = 4_096;
const ERROR_CHARS = 500;
/** From SIGTERM to SIGKILL. */
const GRACE_MS = 5_000;

/** The end of a stream, and its length. */
class Tail {
  #chunks: Buffer = Buffer.alloc(0);
  bytes = 0;

  add(chunk: Buffer): void {
    this.bytes += chunk.length;
    this.#chunks = Buffer.concat([this.#chunks, chunk]).subarray(-KEPT_BYTES);
  }

  text(): string {
    const text = this.#chunks.toString('utf8');
    // A character may have been cut at the front.
    return this.bytes > KEPT_BYTES ? `…${text.replace(/^\uFFFD+/, '')}` : text;
  }
}

/** Payloads come from outside: says what is wrong with one, or gives it. */
export function readShellPayload(value: unknown): ShellPayload | string {
  if (typeof value !== 'object' || value === null) return 'the payload must be an object with a command';
  const { command, stdin, shell, env } = value as { [field: string]: unknown };
  if (typeof command !== 'string' || command.trim() === '') return 'command must be a text';
  if (stdin !== undefined && typeof stdin !== 'string') return 'stdin must be a text';
  if (shell !== undefined && (typeof shell !== 'string' || !shell.startsWith('/'))) return 'shell must be a full path';
  if (env !== undefined && !isTexts(env)) return 'env must be an object of texts';
  if ([command, shell ?? ''].some((text) => text.includes('\0'))) return 'a NUL character';
  return {
    command,
    ...(stdin === undefined ? {} : { stdin }),
    ...(shell === undefined ? {} : { shell }),
    ...(env === undefined ? {} : { env }),
  };
}

function isTexts(value: unknown): value is { [name: string]: string } {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.entries(value).every(
      ([name, text]) => name !== '' && typeof text === 'string' && !`${name}${text}`.includes('\0'),
    )
  );
}

/** What a command inherits of the worker's environment: not its credentials (BELFRY_NATS_URL). */
const INHERITED = ['PATH', 'HOME', 'USER', 'LOGNAME', 'LANG', 'TZ', 'TMPDIR'] as const;

function inherited(): { [name: string]: string } {
  const env: { [name: string]: string } = {};
  for (const name of INHERITED) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return env;
}

/** Ends the command and everything that it started. */
function killGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Runs a command in a process group of its own. When the signal aborts, the group gets SIGTERM, and SIGKILL after 5 s. */
export function runShell(payload: ShellPayload, signal: AbortSignal, graceMs = GRACE_MS): Promise<ShellResult> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new ShellError('aborted before it began'));
    const startedAt = performance.now();
    const child = spawn(payload.shell ?? '/bin/sh', ['-c', payload.command], {
      detached: true,
      env: { ...inherited(), ...payload.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const stdout = new Tail();
    const stderr = new Tail();
    child.stdout.on('data', (chunk: Buffer) => stdout.add(chunk));
    child.stderr.on('data', (chunk: Buffer) => stderr.add(chunk));
    // A command need not read its input.
    child.stdin.on('error', () => undefined);
    child.stdin.end(payload.stdin ?? '');

    let hardKill: NodeJS.Timeout | undefined;
    const abort = () => {
      if (child.pid === undefined) return;
      const { pid } = child;
      killGroup(pid, 'SIGTERM');
      hardKill = setTimeout(() => {
        killGroup(pid, 'SIGKILL');
        // A process that left the group may hold the pipes open for ever.
        child.stdout.destroy();
        child.stderr.destroy();
      }, graceMs);
    };
    signal.addEventListener('abort', abort, { once: true });
    const settle = () => {
      clearTimeout(hardKill);
      signal.removeEventListener('abort', abort);
    };
    child.once('error', (error) => {
      settle();
      reject(new ShellError(`cannot start ${payload.shell ?? '/bin/sh'}: ${error.message}`));
    });
    child.once('close', (code, killedBy) => {
      settle();
      const durationMs = Math.round(performance.now() - startedAt);
      if (code === 0 && !signal.aborted) {
        const printedBytes = stdout.bytes + stderr.bytes;
        return resolve({ exitCode: 0, durationMs, stdout: stdout.text(), stderr: stderr.text(), printedBytes });
      }
      reject(failure(code, killedBy, signal.aborted, stderr.text() || stdout.text()));
    });
  });
}

function failure(code: number | null, killedBy: NodeJS.Signals | null, aborted: boolean, printed: string): ShellError {
  const how = aborted
    ? 'stopped: its time was up, or it was cancelled'
    : code === null
      ? `ended by ${killedBy}`
      : `exit code ${code}`;
  const end = printed.trimEnd().slice(-ERROR_CHARS);
  return new ShellError(end === '' ? how : `${how}: ${end}`, code ?? undefined);
}
