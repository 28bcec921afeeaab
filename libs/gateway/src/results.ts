import {
  isDeeperThan,
  LIMITS,
  parseExecutionId,
  shardOf,
  wireError,
  type Answer,
  type FinishResult,
  type RedeliveredRecord,
  type RedeliveredReply,
  type Reply,
  type ResultRecord,
  type WireError,
} from '@belfry/protocol';

import type { Addressed } from './changes.ts';
import { withPath } from './creates.ts';
import { bounded, nameOf, objectOf, oneOf, Refused, refuse, wholeOf, type Fields } from './fields.ts';

/** What a worker may report; `cancelled` and `lost` are the shards' to say. */
const REPORTED = ['succeeded', 'failed', 'timed_out', 'returned'] as const;
const FINISH_FIELDS = [
  'execution',
  'attempt',
  'worker',
  'outcome',
  'deliveredAt',
  'startedAt',
  'finishedAt',
  'error',
  'fatal',
  'result',
];
/** Retries and lost workers are few, but an attempt may be given back any number of times: what a column holds is the limit. */
const MOST_ATTEMPTS = 2 ** 31 - 1;

export type CheckedResult = Addressed<ResultRecord>;

/** Checks the results of a finish request, each for itself. */
export function checkResults(
  values: readonly unknown[],
  single: boolean,
  namespace: string,
  shards: number,
): (CheckedResult | WireError)[] {
  return values.map((value, index) => {
    try {
      return checkResult(value, single ? '' : `items[${index}].`, namespace, shards);
    } catch (error) {
      if (error instanceof Refused) return bounded(error.wire);
      throw error;
    }
  });
}

function checkResult(value: unknown, at: string, namespace: string, shards: number): CheckedResult {
  const fields = objectOf(value, FINISH_FIELDS, at);
  const { execution, shard } = executionOf(fields, at, shards);
  const { fatal } = fields;
  if (fatal !== undefined && typeof fatal !== 'boolean') refuse('invalid_field', 'must be true or false', `${at}fatal`);
  const result = resultOf(fields['result']);
  const error = errorOf(fields['error'], result.dropped, at);
  const record: Omit<ResultRecord, 'c'> = {
    k: 'result',
    x: execution,
    ns: namespace,
    a: wholeOf(fields['attempt'], `${at}attempt`, 1, MOST_ATTEMPTS),
    o: oneOf(fields['outcome'], REPORTED, `${at}outcome`),
    w: nameOf(fields['worker'], `${at}worker`),
    dl: instantOf(fields, 'deliveredAt', at),
    st: instantOf(fields, 'startedAt', at),
    fi: instantOf(fields, 'finishedAt', at),
    ...(error === undefined ? {} : { e: error }),
    ...(fatal === true ? { f: true } : {}),
    ...(result.text === undefined ? {} : { v: result.text }),
  };
  return { shard, record };
}

function executionOf(fields: Fields, at: string, shards: number): { execution: string; shard: number } {
  const { execution } = fields;
  if (execution === undefined) refuse('missing_field', 'is required', `${at}execution`);
  const fire = parseExecutionId(execution);
  if (fire === undefined)
    refuse('invalid_field', 'must be an execution id, as the work message has it', `${at}execution`);
  return { execution: execution as string, shard: shardOf(fire.taskId, shards) };
}

/** Milliseconds since 1970 on the worker's clock; 0 when it is not said. */
function instantOf(fields: Fields, name: string, at: string): number {
  return wholeOf(fields[name], at + name, 0, LIMITS.latestMs, 0);
}

/** A result that is too large to keep is dropped, and the error says so: its execution succeeded all the same. */
function resultOf(value: unknown): { readonly text?: string; readonly dropped?: string } {
  if (value === undefined) return {};
  if (isDeeperThan(value, LIMITS.jsonDepth))
    return { dropped: `the result was not kept: it has more than ${LIMITS.jsonDepth} levels of arrays and objects` };
  const text = JSON.stringify(value);
  const bytes = Buffer.byteLength(text);
  if (bytes <= LIMITS.resultBytes) return { text };
  return { dropped: `the result was not kept: ${bytes} bytes; the limit is ${LIMITS.resultBytes}` };
}

function errorOf(value: unknown, dropped: string | undefined, at: string): string | undefined {
  if (value === undefined) return dropped;
  if (typeof value !== 'string') refuse('invalid_field', 'must be a string', `${at}error`);
  const text = dropped === undefined ? value : `${dropped}\n${value}`;
  // As Postgres can hold it; a cut may leave half a surrogate pair.
  return text.slice(0, LIMITS.errorChars).replaceAll('\0', '\ufffd').toWellFormed();
}

export function finishResult(answer: Answer, path: string): FinishResult {
  return answer.ok ? { ok: true } : { error: withPath(answer.error, path) };
}

/** `{"execution", "attempt", "worker", "deliveries"?, "parcel"?}`. @throws Refused */
export function checkRedelivered(value: unknown, namespace: string, shards: number): Addressed<RedeliveredRecord> {
  const fields = objectOf(value, ['execution', 'attempt', 'worker', 'deliveries', 'parcel']);
  const { execution, shard } = executionOf(fields, '', shards);
  const { deliveries, parcel = false } = fields;
  if (typeof parcel !== 'boolean') refuse('invalid_field', 'must be true or false', 'parcel');
  const record: Omit<RedeliveredRecord, 'c'> = {
    k: 'redelivered',
    x: execution,
    ns: namespace,
    a: wholeOf(fields['attempt'], 'attempt', 1, MOST_ATTEMPTS),
    w: nameOf(fields['worker'], 'worker'),
    ...(deliveries === undefined ? {} : { n: wholeOf(deliveries, 'deliveries', 2, MOST_ATTEMPTS) }),
    ...(parcel ? { p: true } : {}),
  };
  return { shard, record };
}

export function redeliveredReply(answer: Answer): Reply<RedeliveredReply> {
  if (!answer.ok) return { error: withPath(answer.error, 'execution') };
  if (answer.status === 'run') return { run: true, attempt: answer.attempt };
  if (answer.status === 'skip') return { run: false, reason: answer.reason };
  return { error: wireError('internal', `a shard answered ${answer.status} to a redelivery`) };
}
