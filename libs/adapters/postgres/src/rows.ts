import type { ActiveRow, HistoryRow, LifeRow, LoadedTask, ShardDelta, TaskRow } from '@belfry/ports';
import { TooNew } from '@belfry/protocol';

import type { CopyBuffer } from './copy-buffer.ts';
import { packPayload } from './payload.ts';

/** The one-letter codes of the "char" columns, both ways. */
function codes<T extends string>(letters: { readonly [K in T]: string }): {
  readonly letter: (name: T) => string;
  readonly name: (letter: string) => T;
  readonly has: (name: string) => name is T;
} {
  const names = new Map((Object.keys(letters) as T[]).map((name) => [letters[name], name]));
  return {
    letter: (name) => letters[name],
    has: (name): name is T => Object.hasOwn(letters, name),
    name: (letter) => {
      const name = names.get(letter);
      if (name === undefined) throw new TooNew('a state', letter, [...names.keys()].join(', '));
      return name;
    },
  };
}

export const HISTORY_STATES = codes<HistoryRow['state']>({
  succeeded: 's',
  failed: 'f',
  timed_out: 't',
  cancelled: 'c',
  lost: 'l',
  dead: 'd',
  skipped: 'k',
});
export const ACTIVE_STATES = codes<ActiveRow['state']>({ dispatched: 'd', retrying: 'r' });
export const ENDED_STATES = codes<NonNullable<LoadedTask['ended']>['state']>({ finished: 'f', cancelled: 'c' });

export const TASK_COLUMNS =
  'created_at, effective_from, id, body_hash, target, shard, schedule, key, traceparent, metadata, payload, payload_packed';

export function writeTask(out: CopyBuffer, shard: number, row: TaskRow, target: number): void {
  out.row(12);
  out.int8(row.createdAt);
  out.int8OrNull(row.effectiveFrom === row.createdAt ? undefined : row.effectiveFrom);
  out.uuid(row.id);
  out.words(row.bodyHash);
  out.int4(target);
  out.int2(shard);
  out.text(row.schedule);
  out.textOrNull(row.key);
  out.textOrNull(row.traceparent);
  out.textOrNull(row.metadata === '{}' ? undefined : row.metadata);
  const payload = packPayload(row.payload);
  if (typeof payload === 'string') {
    out.text(payload);
    out.null();
  } else {
    out.null();
    out.bytes(payload);
  }
}

export const EXECUTION_COLUMNS =
  'scheduled_at, dispatched_at, delivered_at, started_at, finished_at, accepted_at, checkpointed_at, created_at, epoch, ' +
  'task, route, attempt, state, worker, traceparent, error, result, attempts';

export function writeExecution(out: CopyBuffer, row: HistoryRow, route: number, checkpointedAt: number): void {
  out.row(18);
  out.int8(row.scheduledAt);
  out.int8OrNull(row.dispatchedAt);
  out.int8OrNull(row.deliveredAt);
  out.int8OrNull(row.startedAt);
  out.int8(row.finishedAt);
  out.int8(row.acceptedAt);
  out.int8(checkpointedAt);
  out.int8(row.createdAt);
  out.int8(row.epoch);
  out.uuid(row.task);
  out.int4(route);
  out.int4(row.attempt);
  out.char(HISTORY_STATES.letter(row.state));
  out.textOrNull(row.worker);
  out.textOrNull(row.traceparent);
  out.textOrNull(row.error);
  out.textOrNull(row.result);
  out.textOrNull(row.attempts);
}

export const LIFE_KINDS = codes<LifeRow['kind']>({ rescheduled: 'r', cancelled: 'c', finished: 'f' });

export const LIFE_COLUMNS = 'at, created_at, task, kind, namespace, schedule';

export function writeLifeRow(out: CopyBuffer, row: LifeRow): void {
  out.row(6);
  out.int8(row.at);
  out.int8(row.createdAt);
  out.uuid(row.task);
  out.char(LIFE_KINDS.letter(row.kind));
  out.text(row.namespace);
  out.text(row.schedule);
}

export const COMMAND_COLUMNS = 'at, hash, shard';

export function writeCommand(out: CopyBuffer, shard: number, command: ShardDelta['commands'][number]): void {
  out.row(3);
  out.int8(command.at);
  out.int8(command.hash);
  out.int2(shard);
}
