/**
 * Reads crontabs as cron does (Vixie cron, cronie, Debian's): what a line means, not whether its times make sense,
 * which `check.ts` asks the schedule engine.
 */

export interface CrontabFormat {
  /** A user name stands before the command, as in /etc/crontab. */
  readonly system: boolean;
  /** Six fields, seconds first. */
  readonly seconds: boolean;
}

/** A piece of a line and where it begins: columns count characters from 1. */
export interface Piece {
  readonly text: string;
  readonly column: number;
}

export interface CrontabEntry {
  readonly line: number;
  /** Cron expression or macro, single spaces between the fields. */
  readonly schedule: string;
  /** The fields, or the macro alone. */
  readonly fields: readonly Piece[];
  /** From CRON_TZ. */
  readonly timezone?: string;
  readonly user?: string;
  readonly command: string;
  readonly commandColumn: number;
  /** What follows the first unescaped %, with its line feeds. */
  readonly stdin?: string;
  /** Where that % stands. */
  readonly percentColumn?: number;
  /** From SHELL. */
  readonly shell?: string;
  /** Every other assignment above the line. */
  readonly env: { readonly [name: string]: string };
}

export interface CrontabProblem {
  readonly severity: 'error' | 'warning';
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

export interface Crontab {
  readonly entries: readonly CrontabEntry[];
  readonly problems: readonly CrontabProblem[];
}

export const MACROS = ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'] as const;

const ASSIGNMENT = /^([ \t]*)(?:"([^"]*)"|'([^']*)'|([^\s="'#][^\s=]*))[ \t]*=[ \t]*(.*?)[ \t]*$/;
/** Assignments that steer cron itself. Mail has no place here: output stands in the history. */
const MAIL = new Set(['MAILTO', 'MAILFROM']);

/** What the assignments above a line have set. */
interface Settings {
  timezone: string | undefined;
  shell: string | undefined;
  readonly env: Map<string, string>;
}

class LineError extends Error {
  readonly column: number;
  constructor(column: number, message: string) {
    super(message);
    this.column = column;
  }
}

/** Reads a whole crontab; a line that is wrong becomes a problem, and the others go on. */
export function parseCrontab(text: string, format: CrontabFormat): Crontab {
  const settings: Settings = { timezone: undefined, shell: undefined, env: new Map() };
  const entries: CrontabEntry[] = [];
  const problems: CrontabProblem[] = [];
  for (const [index, raw] of text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    const line = index + 1;
    const content = raw.replace(/\r$/, '');
    if (/^[ \t]*(#|$)/.test(content)) continue;
    try {
      if (content.includes('\0')) throw new LineError(content.indexOf('\0') + 1, 'a NUL character');
      if (content.includes('\uFFFD')) throw new LineError(content.indexOf('\uFFFD') + 1, 'not UTF-8 from here on');
      const assignment = ASSIGNMENT.exec(content);
      if (assignment) {
        const warning = assign(assignment, settings);
        if (warning !== undefined) problems.push({ severity: 'warning', line, column: 1, message: warning });
      } else {
        entries.push(readEntry(content, line, format, settings));
      }
    } catch (error) {
      if (!(error instanceof LineError)) throw error;
      problems.push({ severity: 'error', line, column: error.column, message: error.message });
    }
  }
  return { entries, problems };
}

function unquote(value: string): string {
  const quote = value[0];
  return value.length >= 2 && (quote === '"' || quote === "'") && value.endsWith(quote) ? value.slice(1, -1) : value;
}

/** Takes an assignment in; gives a warning, if there is one. */
function assign(match: RegExpExecArray, settings: Settings): string | undefined {
  const name = match[2] ?? match[3] ?? match[4] ?? '';
  const value = unquote(match[5] as string);
  if (name === 'CRON_TZ') {
    settings.timezone = value === '' ? undefined : value;
  } else if (name === 'SHELL') {
    settings.shell = value === '' ? undefined : value;
  } else if (MAIL.has(name)) {
    if (value !== '') return `${name} sends nothing: what a command prints stands in its history`;
  } else {
    settings.env.set(name, value);
    if (name === 'TZ')
      return 'TZ sets the zone of the commands only, as with cron; CRON_TZ sets the zone of the schedules';
  }
  return undefined;
}

function readEntry(content: string, line: number, format: CrontabFormat, settings: Settings): CrontabEntry {
  const words = wordsOf(content);
  const first = words.at(0) as Piece;
  const times = first.text.startsWith('@') ? [checkMacro(first)] : readFields(words, format, content);
  let rest = words.slice(times.length);
  let user: Piece | undefined;
  if (format.system) {
    user = rest[0];
    if (user === undefined) throw new LineError(content.length + 1, 'no user name and no command after the schedule');
    if (user.text.startsWith('/')) {
      throw new LineError(
        user.column,
        `expected a user name, found ${user.text}; is it a user's crontab (without --system)?`,
      );
    }
    rest = rest.slice(1);
  }
  const start = rest[0];
  if (start === undefined) throw new LineError(content.length + 1, 'no command after the schedule');
  const { command, stdin, percentAt } = splitPercent(content.slice(start.column - 1));
  if (command.trim() === '') throw new LineError(start.column, 'no command before the %');
  return {
    line,
    schedule: times.map((piece) => piece.text).join(' '),
    fields: times,
    ...(settings.timezone === undefined ? {} : { timezone: settings.timezone }),
    ...(user === undefined ? {} : { user: user.text }),
    command,
    commandColumn: start.column,
    ...(stdin === undefined ? {} : { stdin, percentColumn: start.column + (percentAt as number) }),
    ...(settings.shell === undefined ? {} : { shell: settings.shell }),
    env: Object.fromEntries(settings.env),
  };
}

function wordsOf(content: string): Piece[] {
  const words: Piece[] = [];
  for (const match of content.matchAll(/[^ \t]+/g)) words.push({ text: match[0], column: match.index + 1 });
  // A leading minus tells cronie and SUSE's cron not to log the line.
  const first = words[0];
  if (first && /^-[\d*@]/.test(first.text)) words[0] = { text: first.text.slice(1), column: first.column + 1 };
  return words;
}

function checkMacro(macro: Piece): Piece {
  const name = macro.text.toLowerCase();
  if (name === '@reboot') {
    throw new LineError(
      macro.column,
      "@reboot has no time of its own: Belfry has no boot to wait for. Use the machine's init system",
    );
  }
  if (!(MACROS as readonly string[]).includes(name)) {
    throw new LineError(macro.column, `${macro.text} is not known; known: ${MACROS.join(', ')}`);
  }
  return { text: name, column: macro.column };
}

function readFields(words: readonly Piece[], format: CrontabFormat, content: string): Piece[] {
  const count = format.seconds ? 6 : 5;
  const fields = words.slice(0, count);
  const strange = fields.find((field) => !/^[\w*,/?#~-]+$/.test(field.text));
  if (strange !== undefined) {
    const nth = fields.indexOf(strange) + 1;
    throw new LineError(strange.column, `${strange.text}: not a time; field ${nth} of ${count} was expected here`);
  }
  if (fields.length < count) {
    throw new LineError(content.length + 1, `${fields.length} of ${count} time fields, then the line ends`);
  }
  return fields;
}

/** The first unescaped % ends the command and begins its stdin; later ones are line feeds; `\%` is a %. */
function splitPercent(text: string): { command: string; stdin?: string; percentAt?: number } {
  const parts: string[] = [''];
  let percentAt: number | undefined;
  for (let i = 0; i < text.length; i++) {
    const character = text[i] as string;
    if (character === '\\' && text[i + 1] === '%') {
      parts[parts.length - 1] += '%';
      i++;
    } else if (character === '%') {
      percentAt ??= i;
      parts.push('');
    } else {
      parts[parts.length - 1] += character;
    }
  }
  const [command = '', ...lines] = parts;
  if (percentAt === undefined) return { command: command.trimEnd() };
  const input = lines.join('\n');
  return { command: command.trimEnd(), stdin: input.endsWith('\n') ? input : `${input}\n`, percentAt };
}
