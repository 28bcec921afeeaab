import { wireError, type WireError } from './errors.ts';
import { LIMITS } from './limits.ts';
import { isName } from './names.ts';

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export const PRIORITIES = ['high', 'medium', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** How exact the instant of a dispatch is promised to be: high ±100 ms, normal ±1 s, low ±10 s. Never early. */
export const PRECISIONS = ['high', 'normal', 'low'] as const;
export type Precision = (typeof PRECISIONS)[number];

/** What becomes of fires that nobody saw come due for 60 s or longer: downtime, a pause, a clock that leapt. */
export const CATCH_UP_POLICIES = ['skip', 'latest', 'all'] as const;
export type CatchUpPolicy = (typeof CATCH_UP_POLICIES)[number];
/** Why fires were skipped: the task's policy, or that very many waited when its schedule changed. */
export type SkipReason = CatchUpPolicy | 'crowded_out';

/**
 * `skip`: none of the missed fires runs. `latest`: the last of them. `all`: those of the last `window` before they were found missed (a
 * duration or ms, from 60 s to 30 d; default 1 h for recurring tasks, without end for one-time ones).
 */
export type CatchUpSpec = CatchUpPolicy | { readonly policy: CatchUpPolicy; readonly window?: string | number };

/** When to run again after a failed or timed-out attempt. */
export interface RetrySpec {
  /** Attempts in all, the first included: 1 to 100. Default 3. */
  readonly attempts?: number;
  /** Wait before the second attempt. Default 1,000. */
  readonly initialMs?: number;
  /** Growth of the wait per attempt: 1 to 10. Default 2. */
  readonly factor?: number;
  /** Ceiling of the wait. Default 3,600,000. */
  readonly maxMs?: number;
  /** Share of each wait that is spread at random (a hash, so the same at every replay): 0 to 1. Default 0.2. */
  readonly jitter?: number;
}

/** Exactly one of `at`, `every` and `cron`. */
export interface ScheduleFields {
  /** One-time: RFC 3339 with an offset, or milliseconds since 1970. */
  readonly at?: string | number;
  /** Interval: `90s`, `15m`, `2h`, `1d`, an ISO 8601 duration, or milliseconds. */
  readonly every?: string | number;
  /** Where an interval's grid begins; default is the task's creation. */
  readonly anchor?: string | number;
  /** Cron: 5 fields, or 6 with seconds first, or a macro; or up to ten of these. */
  readonly cron?: string | readonly string[];
  /** IANA time zone of `cron`, of `between`, and of an interval's days, weeks, months and years. Default UTC. */
  readonly timezone?: string;
  /** No fire is before it, and none after it. Instants as in `at`. */
  readonly startAt?: string | number;
  readonly endAt?: string | number;
  /** So many instants of the schedule, 1 to 10,000, from `startAt` or from its creation on. */
  readonly limit?: number;
  /** A wall time that a change of the clock skips: runs after the gap, or not. One that it repeats: runs in which pass. */
  readonly gap?: 'next' | 'skip';
  readonly fold?: 'first' | 'last' | 'both';
  /** Names of calendars of the namespace: what one of them excludes is left out (`skip`, the default), or moved (`next`). */
  readonly calendars?: readonly string[];
  readonly onExcluded?: 'skip' | 'next';
  /** Each task's fires are moved by an amount of its own up to this. */
  readonly jitter?: string | number;
  /** Once a day, at a minute of this window that the scheduler chooses: `["02:00", "04:00"]`. */
  readonly between?: readonly [string, string];
}

/** A task as clients state it. */
export interface TaskSpec extends ScheduleFields {
  /** The line of work that runs it. */
  readonly queue: string;
  /** The handler's name, known to the queue's workers. */
  readonly handler: string;
  /** JSON, at most 256 KiB. Default null. */
  readonly payload?: Json;
  /** Default medium. */
  readonly priority?: Priority;
  /** Idempotency key: the same key is the same task. */
  readonly key?: string;
  readonly retry?: RetrySpec;
  /** How long one attempt may run, from the handler's start. Default 300,000. */
  readonly timeoutMs?: number;
  /** Default normal. */
  readonly precision?: Precision;
  /** Default: a one-time task runs however late, of a recurring one's missed fires the last. */
  readonly catchUp?: CatchUpSpec;
  /** Labels. */
  readonly metadata?: { readonly [label: string]: string };
}

export type Retry = Required<RetrySpec>;
export const DEFAULT_RETRY: Retry = { attempts: 3, initialMs: 1_000, factor: 2, maxMs: 3_600_000, jitter: 0.2 };
export const DEFAULT_TIMEOUT_MS = 300_000;

/** What a checked spec becomes: the parts that shards intern, and the parts that they only carry. */
export interface TaskDraft {
  readonly key: string | undefined;
  readonly schedule: ScheduleFields | undefined;
  readonly queue: string | undefined;
  readonly handler: string | undefined;
  readonly priority: Priority | undefined;
  readonly retry: Retry | undefined;
  readonly timeoutMs: number | undefined;
  readonly precision: Precision | undefined;
  /** The window is checked by the reader of durations, not here. */
  readonly catchUp: Exclude<CatchUpSpec, string> | undefined;
  /** JSON text. */
  readonly payload: string | undefined;
  /** JSON text with sorted labels. */
  readonly metadata: string | undefined;
}

export type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: WireError };

/** The fields of `ScheduleFields`. */
export const SCHEDULE_FIELDS = [
  'at',
  'every',
  'anchor',
  'cron',
  'timezone',
  'startAt',
  'endAt',
  'limit',
  'gap',
  'fold',
  'calendars',
  'onExcluded',
  'jitter',
  'between',
] as const;
const TASK_FIELDS: ReadonlySet<string> = new Set([
  ...SCHEDULE_FIELDS,
  'queue',
  'handler',
  'payload',
  'priority',
  'key',
  'retry',
  'timeoutMs',
  'precision',
  'catchUp',
  'metadata',
]);
const RETRY_LIMITS: { readonly [K in keyof Retry]: readonly [number, number, boolean] } = {
  attempts: [1, LIMITS.retryAttempts, true],
  initialMs: [0, LIMITS.retryDelayMs, true],
  factor: [1, 10, false],
  maxMs: [0, LIMITS.retryDelayMs, true],
  jitter: [0, 1, false],
};

/** Thrown inside this file only, and caught by its two doors. */
class Refusal extends Error {
  readonly wire: WireError;
  constructor(wire: WireError) {
    super(wire.message);
    this.wire = wire;
  }
}

function refuse(code: WireError['code'], message: string, path: string): never {
  throw new Refusal(wireError(code, message, path));
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function own(fields: Record<string, unknown>, known: ReadonlySet<string>, at: string): void {
  for (const name of Object.keys(fields)) {
    if (!known.has(name))
      refuse('unknown_field', `no field of this name is known here; known: ${[...known].join(', ')}`, at + name);
  }
}

function nameField(value: unknown, path: string): string | undefined {
  if (value === undefined) return undefined;
  if (!isName(value)) refuse('invalid_name', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -', path);
  return value;
}

function numberField(value: unknown, path: string, [low, high, whole]: readonly [number, number, boolean]): number {
  if (
    typeof value !== 'number' ||
    !Number.isFinite(value) ||
    (whole && !Number.isInteger(value)) ||
    value < low ||
    value > high
  ) {
    refuse('invalid_field', `must be a ${whole ? 'whole ' : ''}number from ${low} to ${high}`, path);
  }
  return value;
}

function readRetry(value: unknown, at: string): Retry {
  if (!isObject(value)) refuse('invalid_field', 'must be an object such as {"attempts": 5}', at + 'retry');
  own(value, new Set(Object.keys(RETRY_LIMITS)), at + 'retry.');
  const retry: { -readonly [K in keyof Retry]: number } = { ...DEFAULT_RETRY };
  for (const name of Object.keys(RETRY_LIMITS) as (keyof Retry)[]) {
    if (value[name] !== undefined) retry[name] = numberField(value[name], `${at}retry.${name}`, RETRY_LIMITS[name]);
  }
  if (retry.maxMs < retry.initialMs) {
    if (value['maxMs'] !== undefined) refuse('invalid_field', 'must not be less than initialMs', at + 'retry.maxMs');
    retry.maxMs = retry.initialMs;
  }
  return retry;
}

function choiceField<T extends string>(value: unknown, path: string, choices: readonly T[]): T | undefined {
  if (value === undefined || choices.includes(value as T)) return value as T | undefined;
  refuse('invalid_field', `must be ${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`, path);
}

function readCatchUp(value: unknown, at: string): TaskDraft['catchUp'] {
  if (value === undefined) return undefined;
  if (!isObject(value)) return { policy: choiceField(value, `${at}catchUp`, CATCH_UP_POLICIES) as CatchUpPolicy };
  own(value, new Set(['policy', 'window']), `${at}catchUp.`);
  const policy = choiceField(value['policy'], `${at}catchUp.policy`, CATCH_UP_POLICIES);
  if (policy === undefined) refuse('missing_field', 'is required', `${at}catchUp.policy`);
  const { window } = value;
  if (window === undefined) return { policy };
  if (policy !== 'all') refuse('invalid_field', 'goes with the policy "all" only', `${at}catchUp.window`);
  if (typeof window !== 'string' && typeof window !== 'number')
    refuse('invalid_field', 'must be a duration such as "1h", or a number of milliseconds', `${at}catchUp.window`);
  return { policy, window };
}

function readMetadata(value: unknown, at: string): string {
  if (!isObject(value)) refuse('invalid_field', 'must be an object of strings', at + 'metadata');
  const labels = Object.keys(value).sort();
  if (labels.length > LIMITS.metadataLabels)
    refuse('too_large', `more than ${LIMITS.metadataLabels} labels`, at + 'metadata');
  // Without a prototype, so that a label may be called __proto__.
  const sorted = Object.create(null) as Record<string, string>;
  for (const label of labels) {
    const text = value[label];
    if (!isName(label))
      refuse('invalid_name', 'a label is 1 to 64 characters of A-Z, a-z, 0-9, _ and -', `${at}metadata.${label}`);
    if (typeof text !== 'string' || text.length > LIMITS.labelValueChars || !isStorable(text)) {
      refuse(
        'invalid_field',
        `must be a string of at most ${LIMITS.labelValueChars} characters, without NUL or half surrogate pairs`,
        `${at}metadata.${label}`,
      );
    }
    sorted[label] = text;
  }
  const text = JSON.stringify(sorted);
  if (Buffer.byteLength(text) > LIMITS.metadataBytes)
    refuse('too_large', `more than ${LIMITS.metadataBytes} bytes`, at + 'metadata');
  return text;
}

/** Whether Postgres can hold a text, also as JSON; half a surrogate pair or NUL it cannot. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

/** Whether arrays and objects stand within one another more than `levels` deep. */
export function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  for (const member of Array.isArray(value) ? (value as unknown[]) : Object.values(value)) {
    if (typeof member === 'object' && isDeeperThan(member, levels - 1)) return true;
  }
  return false;
}

/** Whether a number stands somewhere that JSON text may have, and a double not, such as 1e400: it would become null. */
function hasInfinity(value: unknown): boolean {
  if (typeof value === 'number') return !Number.isFinite(value);
  return typeof value === 'object' && value !== null && Object.values(value).some(hasInfinity);
}

function readPayload(value: unknown, at: string): string {
  if (isDeeperThan(value, LIMITS.jsonDepth))
    refuse('too_large', `more than ${LIMITS.jsonDepth} levels of arrays and objects`, at + 'payload');
  const text = JSON.stringify(value);
  if (text.includes('null') && hasInfinity(value))
    refuse('invalid_field', 'has a number that is too large: numbers are doubles, up to 1.8e308', at + 'payload');
  // One character is at most three bytes, so short texts need no count.
  if (text.length * 3 > LIMITS.payloadBytes && Buffer.byteLength(text) > LIMITS.payloadBytes) {
    refuse('too_large', `${Buffer.byteLength(text)} bytes; the limit is ${LIMITS.payloadBytes}`, at + 'payload');
  }
  return text;
}

/** Shapes and sizes only: what the fields say, and which go together, is the schedule engine's to judge. */
function readSchedule(value: Record<string, unknown>, at: string): ScheduleFields | undefined {
  const fields: Record<string, unknown> = {};
  let kind: string | undefined;
  let stray: string | undefined;
  for (const name of SCHEDULE_FIELDS) {
    const field = value[name];
    if (field === undefined) continue;
    if (name === 'at' || name === 'every' || name === 'cron') {
      if (kind !== undefined)
        refuse('invalid_schedule', `only one of at, every and cron may stand; here are ${kind} and ${name}`, at + name);
      kind = name;
    } else stray ??= name;
    checkScheduleField(name, field, at);
    fields[name] = field;
  }
  if (kind !== undefined) return fields;
  if (stray !== undefined) refuse('invalid_schedule', 'goes with at, every or cron', at + stray);
  return undefined;
}

/** Fields that are texts, numbers of milliseconds, or lists of texts; a field may be several of these. */
const TEXTS: ReadonlySet<string> = new Set(
  SCHEDULE_FIELDS.filter((name) => !['limit', 'calendars', 'between'].includes(name)),
);
const NUMBERS: ReadonlySet<string> = new Set(['at', 'every', 'anchor', 'startAt', 'endAt', 'limit', 'jitter']);
const LISTS: ReadonlySet<string> = new Set(['cron', 'calendars', 'between']);

function checkScheduleField(name: string, field: unknown, at: string): void {
  const isList = Array.isArray(field) && LISTS.has(name);
  const isRight =
    isList || (typeof field === 'string' && TEXTS.has(name)) || (typeof field === 'number' && NUMBERS.has(name));
  if (!isRight) refuse('invalid_field', `must be ${wanted(name)}`, at + name);
  if (isList && field.length > LIMITS.scheduleItems)
    refuse('too_large', `more than ${LIMITS.scheduleItems} items`, at + name);
  for (const [i, text] of (isList ? (field as unknown[]) : [field]).entries()) {
    const path = isList ? `${at}${name}[${i}]` : at + name;
    if (isList && typeof text !== 'string') refuse('invalid_field', 'must be a string', path);
    if (typeof text === 'string' && text.length > LIMITS.cronChars)
      refuse('too_large', `more than ${LIMITS.cronChars} characters`, path);
  }
}

function wanted(name: string): string {
  if (name === 'limit') return 'a number';
  const kinds = [
    ...(TEXTS.has(name) ? ['a string'] : []),
    ...(NUMBERS.has(name) ? ['a number of milliseconds'] : []),
    ...(LISTS.has(name) ? ['a list of strings'] : []),
  ];
  return kinds.join(' or ');
}

function readKey(value: unknown, at: string): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value.length === 0 || value.length > LIMITS.keyChars || !isStorable(value)) {
    refuse(
      'invalid_field',
      `must be a string of 1 to ${LIMITS.keyChars} characters, without NUL or half surrogate pairs`,
      at + 'key',
    );
  }
  return value;
}

function readDraft(value: unknown, at: string): TaskDraft {
  if (!isObject(value)) refuse('malformed', 'a task must be a JSON object', at.replace(/\.$/, ''));
  own(value, TASK_FIELDS, at);
  return {
    key: readKey(value['key'], at),
    schedule: readSchedule(value, at),
    queue: nameField(value['queue'], at + 'queue'),
    handler: nameField(value['handler'], at + 'handler'),
    priority: choiceField(value['priority'], at + 'priority', PRIORITIES),
    retry: value['retry'] === undefined ? undefined : readRetry(value['retry'], at),
    timeoutMs:
      value['timeoutMs'] === undefined
        ? undefined
        : numberField(value['timeoutMs'], at + 'timeoutMs', [1, LIMITS.timeoutMs, true]),
    precision: choiceField(value['precision'], at + 'precision', PRECISIONS),
    catchUp: readCatchUp(value['catchUp'], at),
    payload: value['payload'] === undefined ? undefined : readPayload(value['payload'], at),
    metadata: value['metadata'] === undefined ? undefined : readMetadata(value['metadata'], at),
  };
}

/**
 * Reads a whole task from untrusted JSON. The schedule's text is checked by the schedule engine, not here.
 * `at` is put before the paths of errors, such as `items[3].`.
 */
export function readTaskSpec(value: unknown, at = ''): Read<TaskDraft> {
  return attempt(() => {
    const draft = readDraft(value, at);
    if (draft.queue === undefined) refuse('missing_field', 'is required', at + 'queue');
    if (draft.handler === undefined) refuse('missing_field', 'is required', at + 'handler');
    if (draft.schedule === undefined) refuse('missing_field', 'one of at, every and cron is required', at + 'at');
    return draft;
  });
}

/** Reads a schedule alone. Its texts are checked by the schedule engine, not here. */
export function readScheduleFields(value: unknown, at = ''): Read<ScheduleFields> {
  return attempt(() => {
    if (!isObject(value)) refuse('malformed', 'a schedule must be a JSON object', at.replace(/\.$/, ''));
    own(value, new Set(SCHEDULE_FIELDS), at);
    const fields = readSchedule(value, at);
    if (fields === undefined) refuse('missing_field', 'one of at, every and cron is required', at + 'at');
    return fields;
  });
}

/** Reads the changes of an update: the same fields, all optional, without `key`. */
export function readTaskPatch(value: unknown, at = ''): Read<TaskDraft> {
  return attempt(() => {
    const draft = readDraft(value, at);
    if (draft.key !== undefined) refuse('invalid_field', 'a key cannot be changed', at + 'key');
    return draft;
  });
}

function attempt<T>(read: () => T): Read<T> {
  try {
    return { ok: true, value: read() };
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, error: error.wire };
    throw error;
  }
}
