import { hash } from 'node:crypto';

/** A task's id: 32 lower-case hex digits (16 bytes); UUIDs with dashes are read too. */
export type TaskId = string;
/** An execution's id: `<task id>-<scheduledAt in ms, base 36>`: the identity of a fire. */
export type ExecutionId = string;

const TASK_ID = /^[0-9a-f]{32}$/;

/** Reads a task id, with or without dashes, in either case; undefined if it is none. */
export function parseTaskId(text: unknown): TaskId | undefined {
  if (typeof text !== 'string' || text.length > 36) return undefined;
  const plain = text.replaceAll('-', '').toLowerCase();
  return TASK_ID.test(plain) ? plain : undefined;
}

const HEX_VALUES = new Uint8Array(128);
for (let digit = 0; digit < 16; digit++) HEX_VALUES[digit.toString(16).charCodeAt(0)] = digit;

/** The number that lower-case hex digits are, at most 13 of them, without a slice for `parseInt`. */
function hexDigits(hex: string, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) value = value * 16 + (HEX_VALUES[hex.charCodeAt(at) & 127] as number);
  return value;
}

function digest(parts: string): TaskId {
  const hex = hash('sha256', parts);
  // The bits of a UUID, version 8 (RFC 9562), so that every tool reads it as one.
  const variant = '89ab'[hexDigits(hex, 16, 17) & 3] as string;
  return `${hex.slice(0, 12)}8${hex.slice(13, 16)}${variant}${hex.slice(17, 32)}`;
}

/** The same key is the same task. */
export function taskIdOfKey(namespace: string, key: string): TaskId {
  return digest(`key\0${namespace}\0${key}`);
}

/** A task without a key takes its id from the command that made it, so that a retried command is the same task. */
export function taskIdOfCommand(namespace: string, commandId: string, index: number): TaskId {
  return digest(`command\0${namespace}\0${commandId}\0${index}`);
}

/** The shard of a task: the first 32 bits of its id, modulo. Fixed at installation with the number of shards. */
export function shardOf(id: TaskId, shards: number): number {
  return hexDigits(id, 0, 8) % shards;
}

/** 52 bits of a task id, all of them random: the version and variant of a UUID stand before them. A collision would swallow a task. */
export function idHash(id: TaskId): number {
  return hexDigits(id, 19, 32);
}

export function executionId(taskId: TaskId, scheduledAt: number): ExecutionId {
  return `${taskId}-${scheduledAt.toString(36)}`;
}

/** The fire that an execution id names; undefined if it is none. */
export function parseExecutionId(text: unknown): { taskId: TaskId; scheduledAt: number } | undefined {
  if (typeof text !== 'string' || text.length < 34 || text.length > 44 || text[32] !== '-') return undefined;
  const taskId = text.slice(0, 32);
  const base36 = text.slice(33);
  const scheduledAt = parseInt(base36, 36);
  if (!TASK_ID.test(taskId) || !Number.isSafeInteger(scheduledAt) || scheduledAt.toString(36) !== base36)
    return undefined;
  return { taskId, scheduledAt };
}

/** With dashes, as Postgres and people write it. */
export function formatTaskId(id: TaskId): string {
  return `${id.slice(0, 8)}-${id.slice(8, 12)}-${id.slice(12, 16)}-${id.slice(16, 20)}-${id.slice(20)}`;
}
