import { encodeTexts } from '@belfry/adapter-nats';
import { LIMITS, type ErrorCode, type FinishResult, type Reply, isObject } from '@belfry/protocol';
import type { Holding, Verdict } from '@belfry/worker';

import type { Run } from './run.ts';

/** Of one item besides its error and result. */
const ITEM_BYTES = 640;

/** Bytes of a run's item, at most. */
export function itemBytes(run: Run): number {
  const error = run.error === undefined ? 0 : Buffer.byteLength(run.error);
  return ITEM_BYTES + error + (run.result === undefined ? 0 : Buffer.byteLength(run.result));
}

/** The body of `executions.finish`, as encoded JSON text. */
export function finishBody(holdings: readonly Holding<Run>[], worker: string): Uint8Array {
  const items = holdings.map((holding, at) => (at === 0 ? '' : ',') + itemText(holding, worker));
  return encodeTexts(['{"items":[', ...items, ']}']);
}

function itemText(holding: Holding<Run>, worker: string): string {
  const { work: run, outcome, reason } = holding;
  let text = `{"execution":${JSON.stringify(holding.execution)},"attempt":${holding.attempt},"worker":"${worker}"`;
  text += `,"outcome":"${outcome}","deliveredAt":${run.deliveredAt}`;
  if (run.startedAt > 0) {
    // The core ended it, so its handler may run on.
    const finishedAt = reason === undefined ? run.finishedAt : Math.max(run.startedAt, Date.now());
    text += `,"startedAt":${run.startedAt},"finishedAt":${finishedAt}`;
  }
  if (holding.bare) return `${text}}`;
  if (reason !== undefined) return `${text},"error":${JSON.stringify(reason.slice(0, LIMITS.errorChars))}}`;
  if (run.error !== undefined) text += `,"error":${run.error}`;
  if (run.fatal) text += ',"fatal":true';
  if (run.result !== undefined) text += `,"result":${run.result}`;
  return `${text}}`;
}

/** What a finish request's answer says to each of its items; undefined: it is none. */
export function verdictsOf(
  answer: Reply<{ readonly items: readonly FinishResult[] }>,
  items: number,
): readonly Verdict[] | undefined {
  if (!isObject(answer)) return undefined;
  if ('error' in answer) {
    const verdict = verdictOf(answer);
    return new Array<Verdict>(items).fill(verdict);
  }
  if (!Array.isArray(answer.items) || answer.items.length !== items) return undefined;
  return answer.items.map(verdictOf);
}

/** A result that comes a second time, or too late, is settled too: the shard knows better. */
const SETTLED: ReadonlySet<ErrorCode> = new Set(['execution_over', 'unknown_execution']);

function verdictOf(result: FinishResult): Verdict {
  if (!('error' in result)) return 'accepted';
  if (SETTLED.has(result.error.code)) return 'accepted';
  if (result.error.code === 'delivered_again') return 'superseded';
  return result.error.retryable === true ? 'retry' : 'refused';
}
