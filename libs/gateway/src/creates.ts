import {
  readTaskSpec,
  shardOf,
  taskIdOfCommand,
  taskIdOfKey,
  wireError,
  type Answer,
  type CreateResult,
  type TaskDraft,
  type WireError,
} from '@belfry/protocol';
import { hash53 } from '@belfry/timing';

import { readCatchUp } from './catch-up.ts';
import { bounded } from './fields.ts';
import type { Schedules } from './schedules.ts';
import type { Targets } from './targets.ts';
import { iso } from './views.ts';

/** A create that was checked, but for the correlation that its record still needs. */
export interface CheckedCreate {
  readonly id: string;
  readonly shard: number;
  /** The record as JSON text without `{"c":…,`. */
  readonly tail: string;
  /** Of the envelopes that may hold the record; a later one may too. */
  readonly version: 1 | 2;
}

/** What all creates of one request have in common. */
export interface CreateContext {
  readonly namespace: string;
  readonly commandId: string;
  /** Decides whether an `at` is too old: the clock, or when ingest had the message. */
  readonly nowMs: number;
  readonly traceparent: string | undefined;
  readonly shards: number;
  /** At which records may be written (`LEVELS`). */
  readonly level: number;
}

/** In the order of the request; a `WireError` for what is refused here. */
export type CheckedItems = readonly (CheckedCreate | WireError)[];

/** Checks the tasks of a create request, each for itself. `single`: the paths of errors are those of a bare task. */
export function checkCreates(
  values: readonly unknown[],
  single: boolean,
  context: CreateContext,
  schedules: Schedules,
  targets: Targets,
): CheckedItems {
  const { namespace, commandId, traceparent } = context;
  const trace = traceparent === undefined ? '' : `,"tp":"${traceparent}"`;
  const keys = new Set<string>();
  /** The version of the envelopes that may hold a create without metadata, as it is written at this level. */
  const bare = context.level >= 2 ? 2 : 1;
  return values.map((value, index): CheckedCreate | WireError => {
    const path = single ? '' : `items[${index}].`;
    const reading = readTaskSpec(value, path);
    if (!reading.ok) return bounded(reading.error);
    const draft = reading.value;
    const schedule = schedules.read(draft.schedule ?? {}, context.nowMs, namespace, path);
    if (!schedule.ok) return bounded(schedule.error);
    const catchUp = readCatchUp(draft, path);
    if (isRefused(catchUp)) return catchUp;
    const { key } = draft;
    if (key !== undefined) {
      if (keys.has(key)) return wireError('duplicate_key', 'stands in this batch before', `${path}key`);
      keys.add(key);
    }
    const id = key === undefined ? taskIdOfCommand(namespace, commandId, index) : taskIdOfKey(namespace, key);
    const tail = recordTail(
      id,
      hashOfCommand(namespace, 'create', commandId, id),
      draft,
      schedule.open === undefined ? schedule.json : JSON.stringify(schedules.textFor(schedule, id, context.nowMs)),
      targets.jsonOf(namespace, draft, catchUp),
      trace,
      bare,
    );
    return { id, shard: shardOf(id, context.shards), tail, version: draft.metadata === undefined ? bare : 1 };
  });
}

/** A `CreateRecord`, written by hand: it is the one that has to be cheap, and most of its parts are JSON strings already. */
function recordTail(
  id: string,
  hash: number,
  draft: TaskDraft,
  scheduleJson: string,
  targetJson: string,
  trace: string,
  bare: 1 | 2,
): string {
  const key = draft.key === undefined ? '' : `"key":${JSON.stringify(draft.key)},`;
  const payload = draft.payload === undefined ? '"null"' : JSON.stringify(draft.payload);
  const metadata =
    draft.metadata === undefined ? (bare === 1 ? ',"d":"{}"' : '') : `,"d":${JSON.stringify(draft.metadata)}`;
  return (
    `"k":"create","m":${hash},"id":"${id}",${key}"s":${scheduleJson},"t":${targetJson},` +
    `"p":${payload}${metadata}${trace}}`
  );
}

export function createRecord({ tail }: CheckedCreate, correlation: number): string {
  return `{"c":${correlation},${tail}`;
}

export function isRefused(item: object | undefined): item is WireError {
  return item !== undefined && 'code' in item;
}

/**
 * A 53-bit identity of what a command does to one thing, a task or a calendar: the same command id for another thing, under another operation
 * or in another namespace is another command.
 */
export function hashOfCommand(namespace: string, op: string, commandId: string, of: string): number {
  return hash53(`${op}\0${namespace}\0${of}\0${commandId}`);
}

/** What a shard answered to a create or update, for the client. */
export function definitionResult(id: string, answer: Answer, path?: string): CreateResult {
  if (!answer.ok) return { error: withPath(answer.error, path) };
  if (answer.status !== 'created' && answer.status !== 'updated' && answer.status !== 'unchanged')
    return { error: wireError('internal', `a shard answered ${answer.status} to a definition`) };
  const { status, next } = answer;
  return { id, status, created: status === 'created', next: next.map(iso) };
}

/** Shards name an unknown calendar; where it stands in the request is known here. `at` stands before the path. */
export function locateCalendar(answer: Answer, spec: unknown, at: string): Answer {
  if (answer.ok || answer.error.path?.startsWith('calendars.') !== true) return answer;
  const name = answer.error.path.slice('calendars.'.length);
  const { calendars } = spec as { readonly calendars?: readonly unknown[] };
  return { ok: false, error: { ...answer.error, path: `${at}calendars[${calendars?.indexOf(name) ?? 0}]` } };
}

/** Shards don't know which field of the request named what they refuse. */
export function withPath(error: WireError, path: string | undefined): WireError {
  return path === undefined || error.path !== undefined || error.retryable === true ? error : { ...error, path };
}
