import type { SkipReason } from '@belfry/protocol';
import { noteDoubt, noteSkipDoubt } from './doubts.ts';
import { skippedBefore } from './catch-up.ts';
import { NEVER_MS, type ShardState } from './state.ts';

/**
 * Counts and tells the fires of a task from its pointer at `firstMs` up to `nextMs`, where its pointer is moved: they do not run (S9), by its
 * catch-up policy if there is no other reason. The task has no place meanwhile.
 */
export function skip(
  state: ShardState,
  slot: number,
  firstMs: number,
  nextMs: number,
  nowMs: number,
  why?: SkipReason,
): void {
  const skipped = skippedBefore(state, slot, firstMs, nextMs);
  noteSkipDoubt(state, slot, firstMs, skipped.lastMs);
  state.ledger.skip(skipped.count);
  const { namespace } = state.targetOf(slot);
  const told = why === undefined ? skipped : { ...skipped, policy: why };
  state.emit({ type: 'skipped', namespace, task: state.table.idOf(slot), at: nowMs, skipped: told });
}

/**
 * A command takes a task's coming fires from it: those that are due by its stored time, or wait in the backlog, are counted as withdrawn. The
 * task's place is the caller's to change.
 */
export function withdraw(state: ShardState, slot: number, timestamp: number, cancelledAt: number | undefined): void {
  noteDoubt(state, slot, timestamp, cancelledAt);
  const waits = state.isInBacklog(slot);
  const pointer = state.pointerOf(slot);
  if (!waits && pointer > timestamp) return;
  state.ledger.withdraw(skippedBefore(state, slot, pointer, Math.max(pointer, timestamp) + 1).count, waits);
}

/** The fire of a one-time task was missed, and does not run: the task ends with a row that says so. It has no place. */
export function skipOnce(state: ShardState, slot: number, atMs: number, nowMs: number): void {
  skip(state, slot, atMs, Infinity, nowMs);
  const { namespace, queue, handler, precision } = state.targetOf(slot);
  state.changes.history.push({
    task: state.table.idOf(slot),
    scheduledAt: atMs,
    namespace,
    queue,
    handler,
    state: 'skipped',
    attempt: 0,
    dispatchedAt: undefined,
    deliveredAt: undefined,
    startedAt: undefined,
    finishedAt: nowMs,
    acceptedAt: nowMs,
    worker: undefined,
    error: undefined,
    result: undefined,
    attempts: undefined,
    epoch: state.epoch,
    traceparent: undefined,
    createdAt: state.table.createdAt[slot] as number,
    precision,
  });
  state.arm(slot, NEVER_MS);
  // Nothing else would tell a load that its fire is over.
  if (state.bySlot.has(slot)) state.storePointer(slot, NEVER_MS);
  else state.endIfOver(slot, nowMs);
}
