import {
  PRIORITIES,
  readTaskPatch,
  shardOf,
  wireError,
  type Answer,
  type CancelRecord,
  type CancelReply,
  type Reply,
  type TaskDraft,
  type UpdateRecord,
} from '@belfry/protocol';

import { readCatchUp } from './catch-up.ts';
import { hashOfCommand, isRefused, withPath } from './creates.ts';
import { commandIdOf, objectOf, Refused, referenceOf, refuse } from './fields.ts';
import type { Schedules } from './schedules.ts';

/** One record on its way to one shard, but for its correlation. */
export interface Addressed<R> {
  readonly shard: number;
  readonly record: Omit<R, 'c'>;
}

export interface CheckedChange<R> extends Addressed<R> {
  readonly id: string;
  /** The field that named the task. */
  readonly path: 'id' | 'key';
}

/** `{"id" | "key", "set": {…}, "commandId"?}`. @throws Refused */
export function checkUpdate(
  value: unknown,
  namespace: string,
  nowMs: number,
  shards: number,
  schedules: Schedules,
): CheckedChange<UpdateRecord> {
  const fields = objectOf(value, ['id', 'key', 'set', 'commandId']);
  const { taskId, path } = referenceOf(namespace, fields);
  if (fields['set'] === undefined) refuse('missing_field', 'the fields to change are required', 'set');
  const reading = readTaskPatch(fields['set'], 'set.');
  if (!reading.ok) throw new Refused(reading.error);
  const draft = reading.value;
  if (Object.values(draft).every((field) => field === undefined))
    refuse('missing_field', 'at least one field to change is required', 'set');
  const commandId = commandIdOf(fields['commandId']);
  const target = targetChange(draft);
  const record: Omit<UpdateRecord, 'c'> = {
    k: 'update',
    m: hashOfCommand(namespace, 'update', commandId, taskId),
    id: taskId,
    ns: namespace,
    ...(draft.schedule === undefined ? {} : { s: scheduleOf(draft.schedule, nowMs, namespace, taskId, schedules) }),
    ...(Object.keys(target).length === 0 ? {} : { t: target }),
    ...(draft.payload === undefined ? {} : { p: draft.payload }),
    ...(draft.metadata === undefined ? {} : { d: draft.metadata }),
  };
  return { id: taskId, path, shard: shardOf(taskId, shards), record };
}

function scheduleOf(
  fields: NonNullable<TaskDraft['schedule']>,
  nowMs: number,
  namespace: string,
  taskId: string,
  schedules: Schedules,
): string {
  const schedule = schedules.read(fields, nowMs, namespace, 'set.');
  if (!schedule.ok) throw new Refused(schedule.error);
  return schedules.textFor(schedule, taskId, nowMs);
}

function targetChange(draft: TaskDraft): NonNullable<UpdateRecord['t']> {
  const { queue, handler, priority, retry, timeoutMs, precision } = draft;
  const catchUp = readCatchUp(draft, 'set.');
  if (isRefused(catchUp)) throw new Refused(catchUp);
  return {
    ...(queue === undefined ? {} : { queue }),
    ...(handler === undefined ? {} : { handler }),
    ...(priority === undefined ? {} : { priority: PRIORITIES.indexOf(priority) as 0 | 1 | 2 }),
    ...(retry === undefined ? {} : { retry }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(precision === undefined ? {} : { precision }),
    ...(catchUp === undefined ? {} : { catchUp }),
  };
}

/** `{"id" | "key", "commandId"?}`. @throws Refused */
export function checkCancel(value: unknown, namespace: string, shards: number): CheckedChange<CancelRecord> {
  const fields = objectOf(value, ['id', 'key', 'commandId']);
  const { taskId, path } = referenceOf(namespace, fields);
  const m = hashOfCommand(namespace, 'cancel', commandIdOf(fields['commandId']), taskId);
  return { id: taskId, path, shard: shardOf(taskId, shards), record: { k: 'cancel', m, id: taskId, ns: namespace } };
}

export function cancelReply(id: string, answer: Answer, path: string): Reply<CancelReply> {
  if (!answer.ok) return { error: withPath(answer.error, path) };
  if (answer.status !== 'cancelled')
    return { error: wireError('internal', `a shard answered ${answer.status} to a cancel`) };
  return { id, status: 'cancelled', running: answer.running };
}
