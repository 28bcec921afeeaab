import type { InboxUsage } from '@belfry/ports';
import {
  LIMITS,
  wireError,
  type Answer,
  type CalendarRecord,
  type ErrorCode,
  type Replies,
  type WireError,
} from '@belfry/protocol';

import { Admission, type Kind } from './admission.ts';
import type { Addressed } from './changes.ts';
import { createRecord, isRefused, type CheckedItems } from './creates.ts';
import type { GatewayEnvironment, GatewayMetrics } from './environment.ts';
import { GroupCommit } from './group-commit.ts';
import { Pending, type Batch } from './pending.ts';
import type { CheckedResult } from './results.ts';

const DECODER = new TextDecoder();
const NO_ANSWER = 'a late answer of a shard refuses what was already answered for';
const STOPPED = wireError('unavailable', 'this gateway has stopped; try again with the same commandId');
/** Refusals that come late as a matter of course: of what was sent twice. */
const EXPECTED_LATE: ReadonlySet<ErrorCode> = new Set([
  'execution_over',
  'delivered_again',
  'unknown_execution',
  'not_found',
]);

export interface SubmissionsOptions extends Pick<
  GatewayEnvironment,
  'clock' | 'log' | 'inbox' | 'gatewayId' | 'shards'
> {
  readonly metrics: GatewayMetrics;
  /** Resolves after so many ms. */
  readonly wait: (ms: number) => Promise<void>;
  readonly defer: (run: () => void) => void;
}

/**
 * What goes through the inbox: admitted while there is room, group-committed, and answered by its shard.
 *
 * U1. What was admitted has an answer within `LIMITS.answerMs` and a tick, whatever becomes of its shard.
 * U2. It is answered `ok` only by its shard; a result, and a patient create, also once it is on disk for long enough.
 */
export class Submissions {
  readonly #options: SubmissionsOptions;
  readonly #pending = new Pending();
  readonly #admission = new Admission();
  readonly #commits: GroupCommit;

  constructor(options: SubmissionsOptions) {
    this.#options = options;
    this.#commits = new GroupCommit(options);
  }

  /** Items that wait for answers, and records that are not yet on disk. */
  get load(): { readonly items: number; readonly records: number; readonly bytes: number } {
    return { items: this.#pending.items, records: this.#commits.records, bytes: this.#commits.bytes };
  }

  /** @throws Refused when there is no room for so much more */
  admit(kind: Kind, count: number, bytes: number): void {
    this.#admission.admit(kind, count, bytes, this.load);
  }

  /** Of what was admitted; the answers in the same order. `patient`: what is on disk when the time is up counts as accepted (U2). */
  creates(items: CheckedItems, patient: boolean): Promise<readonly Answer[]> {
    if (items.length === 0) return Promise.resolve([]);
    const deadlineMs = this.#deadlineMs();
    const batch = this.#pending.open({
      size: items.length,
      deadlineMs,
      storedWillDoMs: patient ? deadlineMs : undefined,
    });
    items.forEach((item, index) => {
      if (isRefused(item)) batch.refuse(index, item);
      else this.#commits.add(item.shard, createRecord(item, batch.correlation + index), batch, index, item.version);
    });
    return this.#settled('tasks.create', batch);
  }

  /** Of what was admitted; the answers in the same order (U2). */
  results(items: readonly (CheckedResult | WireError)[]): Promise<readonly Answer[]> {
    const nowMs = this.#options.clock.monotonic();
    const batch = this.#pending.open({
      size: items.length,
      deadlineMs: nowMs + LIMITS.answerMs,
      storedWillDoMs: nowMs + LIMITS.resultAnswerMs,
    });
    items.forEach((item, index) => {
      if (isRefused(item)) batch.refuse(index, item);
      else this.#add(item, batch, index);
    });
    return this.#settled('executions.finish', batch);
  }

  /** One record, and its answer. @throws Refused when there is no room */
  async one(op: string, addressed: Addressed<object>, bytes: number): Promise<Answer> {
    this.admit('other', 1, bytes);
    const batch = this.#pending.open({ size: 1, deadlineMs: this.#deadlineMs() });
    this.#add(addressed, batch, 0);
    const [answer] = await this.#settled(op, batch);
    return answer as Answer;
  }

  /** One record for each shard, and all their answers. @throws Refused when there is no room */
  async toAllShards(op: string, record: Omit<CalendarRecord, 'c'>, bytes: number): Promise<readonly Answer[]> {
    const { shards } = this.#options;
    this.admit('create', shards, bytes * shards);
    const batches: Batch[] = [];
    for (let from = 0; from < shards; from += LIMITS.batchItems) {
      const size = Math.min(LIMITS.batchItems, shards - from);
      const batch = this.#pending.open({ size, deadlineMs: this.#deadlineMs() });
      for (let index = 0; index < size; index++) this.#add({ shard: from + index, record }, batch, index);
      batches.push(batch);
    }
    return (await Promise.all(batches.map((batch) => this.#settled(op, batch)))).flat();
  }

  /** A message of one scheduler node: its shards' answers. */
  onReplies(data: Uint8Array): void {
    const { log } = this.#options;
    try {
      for (const [correlation, answer] of readReplies(data)) {
        const known = this.#pending.answer(correlation, answer);
        if (!known && !answer.ok && !EXPECTED_LATE.has(answer.error.code)) log.warn(NO_ANSWER, { ...answer.error });
      }
    } catch (error) {
      log.error('answers of a shard cannot be read', { error: String(error) });
    }
  }

  /** How full the inbox is. */
  onInboxUsage(usage: Pick<InboxUsage, 'bytes' | 'maxBytes'>): void {
    const before = this.#admission.inboxIsFilling;
    this.#admission.onInboxUsage(usage);
    if (before === this.#admission.inboxIsFilling) return;
    const message = before ? 'creates are taken again' : 'the inbox is filling up: creates are refused';
    this.#options.log.warn(message, { ...usage });
  }

  /** Deadlines (U1). */
  tick(nowMs: number): void {
    this.#pending.tick(nowMs);
  }

  /** Admits nothing more; resolves when all that was admitted has its answer. */
  async drain(): Promise<void> {
    this.#admission.close();
    await Promise.all([this.#pending.idle(), this.#commits.idle()]);
  }

  /** Answers everything that still waits with `unavailable`. Idempotent. */
  stop(): void {
    this.#admission.close();
    this.#commits.stop();
    this.#pending.abandonAll(STOPPED);
  }

  #deadlineMs(): number {
    return this.#options.clock.monotonic() + LIMITS.answerMs;
  }

  #add({ shard, record }: Addressed<object>, batch: Batch, index: number): void {
    this.#commits.add(shard, JSON.stringify({ c: batch.correlation + index, ...record }), batch, index);
  }

  /** The batch's answers, counted. */
  async #settled(op: string, batch: Batch): Promise<readonly Answer[]> {
    const { metrics } = this.#options;
    const answers = await batch.settled;
    if (batch.unansweredStored > 0) metrics.unanswered(op, true, batch.unansweredStored);
    if (batch.unansweredLost > 0) metrics.unanswered(op, false, batch.unansweredLost);
    for (const answer of answers) if (!answer.ok) metrics.refused(op, answer.error.code, 1);
    return answers;
  }
}

function readReplies(data: Uint8Array): Replies['a'] {
  const { v, a } = JSON.parse(DECODER.decode(data)) as Replies;
  if (v !== 1) throw new Error(`version 1 is known here, not ${String(v)}`);
  return a;
}
