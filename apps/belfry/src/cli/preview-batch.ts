import { SCHEDULE_FIELDS } from '@belfry/protocol';
import { hash32, nextFires, parseSchedule, readInstant, type ScheduleError } from '@belfry/timing';

/** A line of output for each line of input: what a program asks of `belfry schedule preview --batch`. */

const FIRES = 5;
const MOST_FIRES = 10_000;
/** Longer lines are refused, so that memory is bounded. */
const LINE_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;
const OWN_FIELDS = ['id', 'after', 'count'];
const KNOWN: ReadonlySet<string> = new Set([...OWN_FIELDS, ...SCHEDULE_FIELDS]);

type BatchError =
  | ScheduleError
  | {
      readonly code: 'malformed' | 'unknown_field' | 'invalid_field' | 'unsupported' | 'too_large';
      readonly message: string;
      readonly path?: string;
      readonly position?: number;
    };

/** The answers to one chunk of input are one text. `nowMs` stands for an `after` that is not given. */
export async function* answersTo(chunks: AsyncIterable<Uint8Array>, nowMs: number): AsyncGenerator<string> {
  let pieces: Uint8Array[] = [];
  let bytes = 0;
  const line = (): string => {
    const answer = bytes > LINE_BYTES ? tooLong() : answerTo(Buffer.concat(pieces), nowMs);
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
    }
    take(chunk.subarray(from));
    if (answers !== '') yield answers;
  }
  yield line();
}

/** Nothing to an empty line. */
function answerTo(line: Buffer, nowMs: number): string {
  const text = line.toString('utf8');
  if (text.trim() === '') return '';
  let request: unknown;
  try {
    request = JSON.parse(text);
  } catch (error) {
    return refusal(null, { code: 'malformed', message: (error as Error).message });
  }
  if (typeof request !== 'object' || request === null || Array.isArray(request))
    return refusal(null, { code: 'malformed', message: 'a JSON object is needed' });
  const { id = null } = request as { readonly id?: unknown };
  const answer = nextOf(request as Record<string, unknown>, id, nowMs);
  return Array.isArray(answer) ? `${JSON.stringify({ id, next: answer })}\n` : refusal(id, answer);
}

function nextOf(request: Record<string, unknown>, id: unknown, nowMs: number): string[] | BatchError {
  const unknown = Object.keys(request).find((field) => !KNOWN.has(field));
  if (unknown !== undefined)
    return { code: 'unknown_field', path: unknown, message: `there is no field ${JSON.stringify(unknown)}` };
  const { id: _id, after = nowMs, count = FIRES, ...given } = request;
  const reading = readInstant(after);
  if (!reading.ok) return { code: 'invalid_field', path: 'after', message: `after: ${reading.message}` };
  if (!Number.isInteger(count) || (count as number) < 1 || (count as number) > MOST_FIRES)
    return { code: 'invalid_field', path: 'count', message: `count is a whole number from 1 to ${MOST_FIRES}` };
  if (given['calendars'] !== undefined)
    return { code: 'unsupported', path: 'calendars', message: 'calendars are known to a running Belfry only' };
  const schedule = parseSchedule(given, { nowMs: reading.ms });
  if (!schedule.ok) return schedule.error;
  const task = { createdMs: reading.ms, seed: hash32(typeof id === 'string' ? id : JSON.stringify(id)) };
  return nextFires(schedule.schedule, reading.ms, count as number, task).map((ms) => new Date(ms).toISOString());
}

function refusal(id: unknown, { code, message, path, position }: BatchError): string {
  return `${JSON.stringify({ id, error: { code, message, path, position } })}\n`;
}

function tooLong(): string {
  return refusal(null, { code: 'too_large', message: `the line has more than ${LINE_BYTES} bytes` });
}
