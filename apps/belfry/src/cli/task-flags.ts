import { readFileSync } from 'node:fs';

import type { CatchUpPolicy, CatchUpSpec, Json, Precision, Priority, ScheduleFields, TaskSpec } from '@belfry/protocol';

import { usageError } from './exit.ts';
import { parseDuration, parseInstant } from './time.ts';

/** The flags that make a task. */
export interface TaskFlags {
  readonly at?: string;
  readonly in?: string;
  readonly every?: string;
  readonly cron?: readonly string[];
  readonly timezone?: string;
  readonly anchor?: string;
  readonly startAt?: string;
  readonly endAt?: string;
  readonly limit?: number;
  readonly gap?: 'next' | 'skip';
  readonly fold?: 'first' | 'last' | 'both';
  readonly calendar?: readonly string[];
  readonly onExcluded?: 'skip' | 'next';
  readonly jitter?: string;
  readonly between?: readonly [string, string];
  readonly queue?: string;
  readonly handler?: string;
  readonly payload?: string;
  readonly priority?: Priority;
  readonly attempts?: number;
  readonly timeout?: string;
  readonly precision?: Precision;
  readonly catchUp?: CatchUpPolicy;
  readonly catchUpWindow?: string;
  readonly label?: { readonly [label: string]: string };
}

/** What flags are read with: the time that `--in` counts from, the zone of instants without an offset, and the texts outside. */
export interface FlagReading {
  readonly now: number;
  readonly utc: boolean;
  readonly file: (path: string) => string;
  readonly stdin: () => Promise<string>;
}

export function readTextFile(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw usageError(`${path}: ${fileTrouble(error as NodeJS.ErrnoException)}`);
  }
}

const FILE_TROUBLES: { readonly [code: string]: string } = {
  ENOENT: 'no such file',
  EACCES: 'not allowed to read it',
  EISDIR: 'is a folder',
};

export function fileTrouble({ code, message }: NodeJS.ErrnoException): string {
  return FILE_TROUBLES[code ?? ''] ?? message;
}

export function durationFlag(name: string, text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw usageError(`--${name} ${text}: not a duration`, 'It looks like 30s, 10m, 1h30m or 2d.');
  return ms;
}

export function instantFlag(name: string, text: string, utc: boolean): string {
  const ms = parseInstant(text, utc);
  if (ms === undefined) {
    throw usageError(
      `--${name} ${text}: not an instant`,
      'It looks like 2030-01-31T08:00:00Z, or 2030-01-31 08:00 in local time.',
    );
  }
  return new Date(ms).toISOString();
}

async function payloadFlag(text: string, from: FlagReading): Promise<Json> {
  const source = text === '-' ? 'stdin' : text.startsWith('@') ? text.slice(1) : undefined;
  const json = text === '-' ? await from.stdin() : text.startsWith('@') ? from.file(text.slice(1)) : text;
  try {
    return JSON.parse(json) as Json;
  } catch (error) {
    const hint =
      source === undefined ? `A string needs its quotes: --payload '"${text.replaceAll('"', '')}"'.` : undefined;
    throw usageError(
      `--payload${source === undefined ? '' : ` (${source})`}: not JSON: ${(error as Error).message}`,
      hint,
    );
  }
}

/** Flags that say more of a schedule, and what each is called on the wire. */
function moreOfSchedule(flags: TaskFlags, utc: boolean): Partial<ScheduleFields> {
  const { timezone, limit, gap, fold, calendar, onExcluded, jitter, between } = flags;
  const instant = (name: string, text: string | undefined): string | undefined =>
    text === undefined ? undefined : instantFlag(name, text, utc);
  const fields = {
    timezone,
    anchor: instant('anchor', flags.anchor),
    startAt: instant('start-at', flags.startAt),
    endAt: instant('end-at', flags.endAt),
    limit,
    gap,
    fold,
    calendars: calendar,
    onExcluded,
    jitter,
    between,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

export function scheduleFields(flags: TaskFlags, from: Pick<FlagReading, 'now' | 'utc'>): ScheduleFields {
  const kinds = (['at', 'in', 'every', 'cron'] as const).filter((kind) => flags[kind] !== undefined);
  if (kinds.length > 1)
    throw usageError(`only one of --at, --in, --every and --cron: here are --${kinds.join(' and --')}`);
  const more = moreOfSchedule(flags, from.utc);
  const [kind] = kinds;
  const [stray] = Object.keys(more);
  if (stray !== undefined && (kind === undefined || kind === 'at' || kind === 'in'))
    throw usageError(
      `--${kebab(stray)} goes with --every and --cron${kind === undefined ? '' : `, not with --${kind}`}`,
    );
  if (flags.anchor !== undefined && kind !== 'every') throw usageError('--anchor goes with --every only');
  if (flags.at !== undefined) return { at: instantFlag('at', flags.at, from.utc) };
  if (flags.in !== undefined) {
    const at = from.now + durationFlag('in', flags.in);
    if (at > 8.64e15) throw usageError(`--in ${flags.in}: beyond the end of time`);
    return { at: new Date(at).toISOString() };
  }
  if (flags.every !== undefined) return { every: flags.every, ...more };
  const [first, second] = flags.cron ?? [];
  if (flags.cron === undefined || first === undefined) return {};
  return { cron: second === undefined ? first : flags.cron, ...more };
}

function kebab(name: string): string {
  const flag = name === 'calendars' ? 'calendar' : name;
  return flag.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

function catchUpField({ catchUp, catchUpWindow }: TaskFlags): { readonly catchUp?: CatchUpSpec } {
  if (catchUpWindow === undefined) return catchUp === undefined ? {} : { catchUp };
  if (catchUp !== 'all') throw usageError('--catch-up-window goes with --catch-up all only');
  return { catchUp: { policy: catchUp, window: durationFlag('catch-up-window', catchUpWindow) } };
}

/** What the flags say of a task, and nothing that they don't say. */
export async function taskFields(flags: TaskFlags, from: FlagReading): Promise<Partial<TaskSpec>> {
  const { queue, handler, priority, attempts, timeout, precision, label } = flags;
  return {
    ...scheduleFields(flags, from),
    ...(queue === undefined ? {} : { queue }),
    ...(handler === undefined ? {} : { handler }),
    ...(flags.payload === undefined ? {} : { payload: await payloadFlag(flags.payload, from) }),
    ...(priority === undefined ? {} : { priority }),
    ...(attempts === undefined ? {} : { retry: { attempts } }),
    ...(timeout === undefined ? {} : { timeoutMs: durationFlag('timeout', timeout) }),
    ...(precision === undefined ? {} : { precision }),
    ...catchUpField(flags),
    ...(label === undefined ? {} : { metadata: label }),
  };
}
