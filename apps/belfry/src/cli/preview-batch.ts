import { SCHEDULE_FIELDS } from '@belfry/protocol';
import {
  hash32,
  nextFires,
  parseCalendar,
  parseSchedule,
  readInstant,
  type Calendar,
  type ScheduleError,
} from '@belfry/timing';

/** A line of output for each line of input: what a program asks of `belfry schedule preview --batch`. */

const FIRES = 5;
const MOST_FIRES = 10_000;
/** Longer lines are refused, so that memory is bounded. */
const LINE_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;
/** Answers are handed on in texts of about this size, however much one chunk of input asks for. */
const TEXT_CHARS = 64 * 1024;
const INLINE = 'calendar-';
const OWN_FIELDS = ['id', 'after', 'count'];
const KNOWN: ReadonlySet<string> = new Set([...OWN_FIELDS, ...SCHEDULE_FIELDS]);

type BatchError =
  | ScheduleError
  | {
      readonly code: 'malformed' | 'unknown_field' | 'invalid_field' | 'invalid_calendar' | 'unsupported' | 'too_large';
      readonly message: string;
      readonly path?: string;
      readonly position?: number;
    };

/**
 * An answer to each line, in their order; none to an empty line. Each text holds whole lines, and the next is made when it is asked for.
 * `nowMs` stands for an `after` that is not given.
 */
export async function* answersTo(chunks: AsyncIterable<Uint8Array>, nowMs: number): AsyncGenerator<string> {
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  let lines = 0;
  const line = (): string => {
    lines++;
    const answer = bytes > LINE_BYTES ? tooLong(lines) : answerTo(Buffer.concat(pieces), lines, nowMs);
    pieces = [];
    bytes = 0;
    return answer;
  };
  const take = (piece: Uint8Array): void => {
    bytes += piece.length;
    if (bytes <= LINE_BYTES) pieces.push(piece);
    else pieces = [];
  };
  for await (const chunk of chunks) {
    let answers = '';
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, from)) {
      take(chunk.subarray(from, end));
      answers += line();
      from = end + 1;
      if (answers.length < TEXT_CHARS) continue;
      yield answers;
      answers = '';
    }
    take(chunk.subarray(from));
    if (answers !== '') yield answers;
  }
  yield line();
}

/** Leaves out a byte order mark; throws for what is no UTF-8. */
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** A refusal that cannot name the request names the line, from 1. */
function answerTo(line: Buffer, number: number, nowMs: number): string {
  let request: unknown;
  let text: string;
  try {
    text = utf8.decode(line);
    if (text.trim() === '') return '';
    request = JSON.parse(text);
  } catch (error) {
    return refusal(null, { code: 'malformed', message: `line ${number}: ${(error as Error).message}` });
  }
  if (typeof request !== 'object' || request === null || Array.isArray(request))
    return refusal(null, { code: 'malformed', message: `line ${number}: a JSON object is needed` });
  const { id = null } = request as { readonly id?: unknown };
  if (typeof id === 'object' && id !== null)
    return refusal(null, { code: 'invalid_field', path: 'id', message: `line ${number}: id is a text or a number` });
  const shown = typeof id === 'number' && !Number.isSafeInteger(id) ? asWritten(text, id) : id;
  const answer = nextOf(request as Record<string, unknown>, id, nowMs);
  return Array.isArray(answer) ? `${JSON.stringify({ id: shown, next: answer })}\n` : refusal(shown, answer);
}

/** A number of more digits than JavaScript keeps goes back as it came. */
function asWritten(text: string, id: number): unknown {
  let written: unknown = id;
  const parse = JSON.parse as (
    text: string,
    reviver: (this: unknown, key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ) => unknown;
  const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => unknown };
  parse(text, (key, value, { source }) => {
    if (key === 'id' && value === id && source !== undefined) written = rawJSON(source);
    return value;
  });
  return written;
}

function nextOf(request: Record<string, unknown>, id: unknown, nowMs: number): string[] | BatchError {
  const unknown = Object.keys(request).find((field) => !KNOWN.has(field));
  if (unknown !== undefined)
    return {
      code: 'unknown_field',
      path: unknown.slice(0, 80),
      message: `there is no field ${JSON.stringify(unknown.slice(0, 80))}; there are ${[...KNOWN].join(', ')}`,
    };
  const { id: _id, after = nowMs, count = FIRES, ...given } = request;
  const reading = readInstant(after, 'down');
  if (!reading.ok)
    return {
      code: 'invalid_field',
      path: 'after',
      message: `after: ${reading.message}`,
      ...(reading.position !== undefined && { position: reading.position }),
    };
  if (!Number.isInteger(count) || (count as number) < 1 || (count as number) > MOST_FIRES)
    return { code: 'invalid_field', path: 'count', message: `count is a whole number from 1 to ${MOST_FIRES}` };
  const inline = inlineCalendars(given['calendars']);
  if ('error' in inline) return inline.error;
  const fields = inline.calendars.size === 0 ? given : { ...given, calendars: [...inline.calendars.keys()] };
  const schedule = parseSchedule(fields, { nowMs: reading.ms });
  if (!schedule.ok) return schedule.error;
  const task = {
    createdMs: reading.ms,
    seed: hash32(typeof id === 'string' ? id : JSON.stringify(id)),
    calendars: (name: string) => inline.calendars.get(name),
  };
  return nextFires(schedule.schedule, reading.ms, count as number, task).map((ms) => new Date(ms).toISOString());
}

/** What stands in `calendars` are definitions: the names of a running Belfry's say nothing here. */
function inlineCalendars(
  given: unknown,
): { readonly calendars: ReadonlyMap<string, Calendar> } | { readonly error: BatchError } {
  const calendars = new Map<string, Calendar>();
  for (const [i, definition] of (Array.isArray(given) ? (given as unknown[]) : []).entries()) {
    const path = `calendars[${i}]`;
    if (typeof definition === 'string') {
      const message = 'names of calendars are known to a running Belfry only; give the definition in place of the name';
      return { error: { code: 'unsupported', path, message } };
    }
    const reading = parseCalendar(definition);
    if (!reading.ok) {
      const { path: within, message } = reading.error;
      return { error: { code: 'invalid_calendar', path: within === '' ? path : `${path}.${within}`, message } };
    }
    calendars.set(`${INLINE}${i}`, reading.calendar);
  }
  return { calendars };
}

function refusal(id: unknown, { code, message, path, position }: BatchError): string {
  return `${JSON.stringify({ id, error: { code, message, path, position } })}\n`;
}

function tooLong(number: number): string {
  return refusal(null, { code: 'too_large', message: `line ${number} has more than ${LINE_BYTES} bytes` });
}
