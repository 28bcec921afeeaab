import type { CrontabEntry, CrontabFormat, CrontabProblem } from './parse.ts';

/** First words that stand for a user in a system crontab far more often than for a program. */
const USERS = new Set([
  'root',
  'www-data',
  'nobody',
  'daemon',
  'postgres',
  'mysql',
  'backup',
  'mail',
  'news',
  'man',
  'nginx',
  'apache',
  'git',
  'ubuntu',
  'debian',
]);
const TIME_FIELD = /^(\*|\d+)([-,/]\d+)*$|^\*\/\d+$/;
const NAMES = ['minute', 'hour', 'day of month', 'month', 'day of week'] as const;
/** How many values each field counts through. */
const SPANS = [60, 24, 31, 12, 7] as const;

type Warn = (column: number, message: string) => void;

/** What in this line is legal, and most likely not meant. */
export function warningsOf(entry: CrontabEntry, format: CrontabFormat): CrontabProblem[] {
  const found: CrontabProblem[] = [];
  const warn: Warn = (column, message) => found.push({ severity: 'warning', line: entry.line, column, message });
  if (entry.fields.length > 1) timeWarnings(entry, format, warn);
  commandWarnings(entry, format, warn);
  return found;
}

function timeWarnings(entry: CrontabEntry, format: CrontabFormat, warn: Warn): void {
  const fields = format.seconds ? entry.fields.slice(1) : entry.fields;
  const [minute, hour, day, month, weekday] = fields.map((field) => field.text) as [
    string,
    string,
    string,
    string,
    string,
  ];
  const columnOf = (i: number) => fields[i]?.column ?? 1;
  const free = (field: string) => field.startsWith('*') || field === '?';
  if (!format.seconds && minute === '*' && /^\d+$/.test(hour)) {
    warn(columnOf(0), `every minute of hour ${hour}: 60 runs; once would be 0 ${hour}`);
  }
  if (!free(day) && !free(weekday)) {
    warn(columnOf(2), 'both days are set, and either is enough: it also runs on each of these weekdays');
  }
  for (const [i, field] of fields.entries()) stepWarning(field.text, i, field.column, warn);
  const days = day.split(',').map(Number);
  if (month === '*' && free(weekday) && days.length > 0 && days.every((n) => n >= 29)) {
    warn(columnOf(2), `not every month has a day ${day}: those are left out`);
  }
}

function stepWarning(field: string, index: number, column: number, warn: Warn): void {
  const step = Number(/^\*\/(\d+)$/.exec(field)?.[1]);
  const span = SPANS[index] as number;
  if (!Number.isInteger(step) || step < 1 || index > 1) return;
  if (step >= span) {
    warn(
      column,
      `${field} in the ${NAMES[index]} field is the same as 0: it counts within one ${index === 0 ? 'hour' : 'day'}`,
    );
  } else if (span % step !== 0) {
    const last = Math.floor((span - 1) / step) * step;
    warn(column, `${field} is not even: after ${last} comes 0, ${span - last} later instead of ${step}`);
  }
}

function commandWarnings(entry: CrontabEntry, format: CrontabFormat, warn: Warn): void {
  const { command, commandColumn } = entry;
  const word = command.split(/\s/, 1)[0] as string;
  if (!format.system && USERS.has(word) && command.length > word.length) {
    warn(commandColumn, `the command begins with ${word}: is this a system crontab (--system)?`);
  }
  if (!format.seconds && entry.fields.length === 5 && TIME_FIELD.test(word) && !format.system) {
    warn(commandColumn, `the command begins with ${word}: are there six time fields (--seconds)?`);
  }
  if (entry.percentColumn !== undefined && /\bdate\b[^|;&]*\+\S*$/.test(command)) {
    warn(entry.percentColumn, 'this % ends the command, and the rest becomes its input; \\% is a percent sign');
  }
  if (command.endsWith('\\')) {
    warn(commandColumn + command.length - 1, 'a crontab line does not go on after a backslash at its end');
  }
}
