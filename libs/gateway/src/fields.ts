import { randomUUID } from 'node:crypto';

import {
  isName,
  isObject,
  isStorable,
  LIMITS,
  parseTaskId,
  taskIdOfKey,
  wireError,
  type ErrorCode,
  type WireError,
} from '@belfry/protocol';
import { readInstant } from '@belfry/timing';

import { parseInPieces } from './large-json.ts';

const DECODER = new TextDecoder('utf-8', { fatal: true });
/** A path names a field of the request, and may have come with it. */
const PATH_CHARS = 200;

/** A request that is refused as a whole. Thrown by this room's readers, caught at the gateway's doors. */
export class Refused extends Error {
  readonly wire: WireError;

  constructor(wire: WireError) {
    super(wire.message);
    this.name = 'Refused';
    this.wire = wire;
  }
}

export function refuse(code: ErrorCode, message: string, path?: string): never {
  throw new Refused(wireError(code, message, path?.slice(0, PATH_CHARS)));
}

/** An error as it goes out: with a bounded path, and none for the request itself. */
export function bounded(error: WireError): WireError {
  const { path, ...rest } = error;
  if (path === undefined || (path !== '' && path.length <= PATH_CHARS)) return error;
  return path === '' ? rest : { ...rest, path: path.slice(0, PATH_CHARS) };
}

/** @throws Refused `malformed` */
export function parseJson(data: Uint8Array): unknown {
  const inPieces = parseInPieces(data);
  if (inPieces !== undefined) return inPieces;
  let text: string;
  try {
    text = DECODER.decode(data);
  } catch {
    refuse('malformed', 'the message is not UTF-8');
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    refuse('malformed', `the message is not JSON: ${(error as Error).message.slice(0, 200)}`);
  }
}

export type Fields = Readonly<Record<string, unknown>>;

/** An object with no other fields than `known`. `at` stands before paths, such as `items[3].`. @throws Refused */
export function objectOf(value: unknown, known: readonly string[], at = ''): Fields {
  if (!isObject(value)) refuse('malformed', 'must be a JSON object', at === '' ? undefined : at.slice(0, -1));
  for (const name of Object.keys(value)) {
    if (!known.includes(name))
      refuse('unknown_field', `no field of this name is known here; known: ${known.join(', ')}`, at + name);
  }
  return value;
}

/** @throws Refused */
export function nameOf(value: unknown, path: string): string {
  if (value === undefined) refuse('missing_field', 'is required', path);
  if (!isName(value)) refuse('invalid_name', 'must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -', path);
  return value;
}

/** A string that may be absent. @throws Refused */
export function textOf(value: unknown, path: string, maxChars: number): string | undefined {
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value.length === 0 || value.length > maxChars)
    refuse('invalid_field', `must be a string of 1 to ${maxChars} characters`, path);
  return value;
}

/** A whole number; `fallback` when it is absent and there is one. @throws Refused */
export function wholeOf(value: unknown, path: string, low: number, high: number, fallback?: number): number {
  if (value === undefined && fallback !== undefined) return fallback;
  if (value === undefined) refuse('missing_field', 'is required', path);
  if (typeof value !== 'number' || !Number.isInteger(value) || value < low || value > high)
    refuse('invalid_field', `must be a whole number from ${low} to ${high}`, path);
  return value;
}

/** @throws Refused */
export function oneOf<T extends string>(value: unknown, choices: readonly T[], path: string): T {
  if (value === undefined) refuse('missing_field', 'is required', path);
  if (!choices.includes(value as T)) refuse('invalid_field', `must be one of ${choices.join(', ')}`, path);
  return value as T;
}

/** An RFC 3339 instant or milliseconds since 1970. @throws Refused */
export function instantOf(value: unknown, path: string, rounding?: 'down'): number {
  const reading = readInstant(value, rounding);
  if (!reading.ok) refuse('invalid_field', 'must be an RFC 3339 instant or milliseconds since 1970', path);
  return reading.ms;
}

/** The client's command id, or a new one. @throws Refused */
export function commandIdOf(value: unknown): string {
  return textOf(value, 'commandId', LIMITS.commandIdChars) ?? randomUUID();
}

export interface Reference {
  readonly taskId: string;
  /** The field that named it, for the path of errors. */
  readonly path: 'id' | 'key';
}

/** The task that `id` or `key` names; undefined when neither stands. @throws Refused */
export function optionalReference(namespace: string, { id, key }: Fields): Reference | undefined {
  if (id !== undefined && key !== undefined) refuse('invalid_field', 'give the id or the key, not both', 'key');
  if (id !== undefined) {
    const taskId = parseTaskId(id);
    if (taskId === undefined) refuse('invalid_field', 'must be a task id: 32 hex digits, or a UUID', 'id');
    return { taskId, path: 'id' };
  }
  if (key === undefined) return undefined;
  if (typeof key !== 'string' || key.length === 0 || key.length > LIMITS.keyChars || !isStorable(key))
    refuse('invalid_field', `must be a string of 1 to ${LIMITS.keyChars} characters`, 'key');
  return { taskId: taskIdOfKey(namespace, key), path: 'key' };
}

/** @throws Refused */
export function referenceOf(namespace: string, fields: Fields): Reference {
  const reference = optionalReference(namespace, fields);
  if (reference === undefined) refuse('missing_field', 'the id or the key of a task is required', 'id');
  return reference;
}

export interface Items {
  readonly items: readonly unknown[];
  /** The request was one item itself: so is the reply. */
  readonly single: boolean;
  readonly commandId: string | undefined;
}

/** One item, an array of them, or `{"items": […]}`, where `commandId` may stand too if `withCommandId`. @throws Refused */
export function itemsOf(value: unknown, withCommandId: boolean): Items {
  if (Array.isArray(value)) return { items: limited(value), single: false, commandId: undefined };
  if (!isObject(value) || !Object.hasOwn(value, 'items')) return { items: [value], single: true, commandId: undefined };
  const { items, commandId } = objectOf(value, withCommandId ? ['items', 'commandId'] : ['items']);
  if (!Array.isArray(items)) refuse('invalid_field', 'must be an array', 'items');
  return { items: limited(items), single: false, commandId: textOf(commandId, 'commandId', LIMITS.commandIdChars) };
}

function limited(items: readonly unknown[]): readonly unknown[] {
  if (items.length > LIMITS.batchItems)
    refuse('too_large', `${items.length} items; at most ${LIMITS.batchItems} go into one request`, 'items');
  return items;
}

const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** A W3C trace context; anything else counts as none, since it must not sink the request that it came with. */
export function traceparentOf(text: string | undefined): string | undefined {
  return text !== undefined && TRACEPARENT.test(text) ? text : undefined;
}
