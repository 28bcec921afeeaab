import { printable } from './table.ts';

/** What `belfry` exits with, and how an error is told to people and to scripts (`docs/cli.md`). */
export const EXIT = {
  ok: 0,
  /** Belfry, or a file's content, refused it: a typed error stands on stderr. */
  refused: 1,
  usage: 2,
  cannotConnect: 3,
  notFound: 4,
  /** Done, and there is something to say of it (`schedule lint`). */
  warnings: 5,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** An error that ends the command, already worded for the user. */
export class CliError extends Error {
  readonly exit: ExitCode;
  readonly code: string;
  readonly path: string | undefined;
  readonly position: number | undefined;
  readonly hint: string | undefined;

  constructor(
    exit: ExitCode,
    code: string,
    message: string,
    more: { path?: string; position?: number; hint?: string } = {},
  ) {
    super(message);
    this.name = 'CliError';
    this.exit = exit;
    this.code = code;
    this.path = more.path;
    this.position = more.position;
    this.hint = more.hint;
  }
}

export function usageError(message: string, hint?: string): CliError {
  return new CliError(EXIT.usage, 'usage', message, hint === undefined ? {} : { hint });
}

export function interrupted(): CliError {
  return new CliError(EXIT.interrupted, 'interrupted', 'interrupted');
}

/** The parts of an error that are shown. */
export interface ErrorReport {
  readonly exit: ExitCode;
  readonly code: string;
  readonly message: string;
  readonly path?: string;
  /** Where in the field's text, from 0. */
  readonly position?: number;
  readonly hint?: string;
}

const NOT_FOUND: ReadonlySet<string> = new Set(['not_found', 'unknown_execution']);
const UNREACHABLE: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);
const UNREACHABLE_CLASSES: ReadonlySet<string> = new Set([
  'ConnectionError',
  'ConnectError',
  'ClosedConnectionError',
  'DrainingConnectionError',
  'AuthorizationError',
  'UserAuthenticationExpiredError',
  'TimeoutError',
  'NoRespondersError',
]);

/** These name the server and the trouble already. */
const SERVER_UNREACHABLE: ReadonlySet<string> = new Set(['NatsFailure', 'PostgresUnavailable']);

export function exitOfCode(code: string): ExitCode {
  return NOT_FOUND.has(code) ? EXIT.notFound : EXIT.refused;
}

/** A typed error of Belfry. Some say the field in their message too. */
interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly path?: string | undefined;
  readonly position?: number | undefined;
}

export function refused({ code, message, path, position }: Refusal): CliError {
  if (path === undefined) return new CliError(exitOfCode(code), code, message);
  const bare = message.startsWith(`${path}: `) ? message.slice(path.length + 2) : message;
  return new CliError(exitOfCode(code), code, bare, { path, ...(position === undefined ? {} : { position }) });
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** What a command says that found no Belfry where it looked. */
function unreachable(message: string): ErrorReport {
  const hint = 'Is it running? `belfry dev` starts one; --url or BELFRY_NATS_URL names another.';
  return { exit: EXIT.cannotConnect, code: 'cannot_connect', message, hint };
}

/** Some sockets' errors hide the reason in `cause` or `errors`. */
function* chainOf(error: unknown): Generator<{ name?: unknown; code?: unknown; message?: unknown }> {
  let current: unknown = error;
  for (let depth = 0; depth < 5 && typeof current === 'object' && current !== null; depth++) {
    yield current;
    const { cause, errors } = current as { cause?: unknown; errors?: unknown };
    current = cause ?? (Array.isArray(errors) ? errors[0] : undefined);
  }
}

/** Sorts any thrown value into what the user is told and what the program exits with. */
export function reportOf(error: unknown): ErrorReport {
  if (error instanceof CliError) {
    const { exit, code, message, path, position, hint } = error;
    return {
      ...{ exit, code, message },
      ...(path === undefined ? {} : { path }),
      ...(position === undefined ? {} : { position }),
      ...(hint === undefined ? {} : { hint }),
    };
  }
  if (typeof error === 'object' && error !== null && (error as Error).name === 'BelfryError') {
    return reportOf(refused(error as unknown as Refusal));
  }
  if (error instanceof Error && SERVER_UNREACHABLE.has(error.name)) {
    return { exit: EXIT.cannotConnect, code: 'cannot_connect', message: error.message };
  }
  for (const link of chainOf(error)) {
    if (UNREACHABLE.has(text(link.code) ?? '') || UNREACHABLE_CLASSES.has(text(link.name) ?? '')) {
      const said = text(link.message) ?? text(link.code) ?? String(link.name);
      return unreachable(link.name === 'ConnectionError' ? said : `cannot reach Belfry: ${said}`);
    }
  }
  return { exit: EXIT.refused, code: 'failed', message: error instanceof Error ? error.message : String(error) };
}

/** `error <code>: <path>: message`, most on one line, and the hint below. An interrupt is no error to who made it. */
export function errorText(report: ErrorReport): string {
  if (report.exit === EXIT.interrupted) return report.message;
  const where = report.path === undefined ? '' : `${report.path}: `;
  const lines = `error ${report.code}: ${where}${report.message}`.split('\n');
  const line = lines.map(printable).join('\n');
  return report.hint === undefined ? line : `${line}\n${report.hint}`;
}

export function errorJson(report: ErrorReport): string {
  const { code, message, path, position, hint } = report;
  return JSON.stringify({ error: { code, message, path, position, hint } });
}
