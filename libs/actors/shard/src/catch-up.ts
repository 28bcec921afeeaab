import { catchUpOf, LIMITS, type SkipReason } from '@belfry/protocol';
import type { Gap } from './gaps.ts';
import { NEVER_MS, type ShardState } from './state.ts';

/** Fires of one task that do not run, by its policy or for another reason: from `firstMs` up to and including `lastMs`. */
export interface Skipped {
  readonly policy: SkipReason;
  readonly firstMs: number;
  readonly lastMs: number;
  /** How many; `atLeast` says that there may be more. */
  readonly count: number;
  readonly atLeast: boolean;
}

/**
 * The first of a task's fires, from its pointer on, that its policy keeps at `nowMs`; Infinity when none follows.
 *
 * K1. A fire that was kept is kept again, while its gap is known: what is decided depends on when the gap was found, not on when it is asked.
 * K2. A fire that is less than 60 s late, or came due while somebody watched, is kept.
 */
export function keptFrom(state: ShardState, slot: number, pointerMs: number, nowMs: number): number {
  if (!state.isRecurring(slot)) return keepsOnce(state, slot, pointerMs, nowMs) ? pointerMs : Infinity;
  const next = state.firesOf(slot);
  let keptMs = pointerMs;
  for (let gap = state.gaps.of(keptMs, nowMs); gap !== undefined; gap = state.gaps.of(keptMs, nowMs)) {
    const fireMs = firstKept(state, slot, keptMs, gap, next);
    if (fireMs === keptMs) break;
    keptMs = fireMs;
  }
  return keptMs;
}

/** The first fire from `fromMs` on that the policy keeps of those in a gap, or else the first one after it. */
function firstKept(
  state: ShardState,
  slot: number,
  fromMs: number,
  gap: Gap,
  next: (afterMs: number) => number,
): number {
  const { policy, windowMs } = catchUpOf(state.targetOf(slot), true);
  switch (policy) {
    case 'skip':
      return next(gap.untilMs);
    case 'latest':
      return lastFire(next, fromMs, gap.untilMs);
    case 'all':
      return gap.foundMs - windowMs <= fromMs ? fromMs : next(gap.foundMs - windowMs - 1);
  }
}

function keepsOnce(state: ShardState, slot: number, atMs: number, nowMs: number): boolean {
  // What lay in the past when the task was made was due then, and not before.
  const gap = state.gaps.of(Math.max(atMs, state.table.createdAt[slot] as number), nowMs);
  if (gap === undefined) return true;
  const { policy, windowMs } = catchUpOf(state.targetOf(slot), false);
  return policy !== 'skip' && (policy === 'latest' || atMs >= gap.foundMs - windowMs);
}

/** Whether a fire that runs does so out of catch-up: punctual ones go first. */
export function isMissed(state: ShardState, slot: number, fireMs: number, nowMs: number): boolean {
  const dueMs = state.isRecurring(slot) ? fireMs : Math.max(fireMs, state.table.createdAt[slot] as number);
  return state.gaps.of(dueMs, nowMs) !== undefined;
}

/** What is skipped when a task's next fire after `firstMs` is the one at `untilMs`, or the first after it. */
export function skippedBefore(state: ShardState, slot: number, firstMs: number, untilMs: number): Skipped {
  const recurring = state.isRecurring(slot);
  const { policy } = catchUpOf(state.targetOf(slot), recurring);
  if (!recurring) return { policy, firstMs, lastMs: firstMs, count: 1, atLeast: false };
  const next = state.firesOf(slot);
  const lastMs = lastFire(next, firstMs, Math.min(untilMs, NEVER_MS) - 1);
  return { policy, firstMs, lastMs, ...countFires(next, firstMs, lastMs, state.periodOf(slot)) };
}

/**
 * The last fire up to `untilMs`, from a fire at `firstMs` that lies before. Asks for a few fires near the end, guessing from the first
 * period, and halves what is left where the guess is wrong: some dozens of questions at most, however many fires lie between.
 */
export function lastFire(next: (afterMs: number) => number, firstMs: number, untilMs: number): number {
  let lastMs = firstMs;
  for (let step = next(firstMs) - firstMs; untilMs - step > lastMs; step *= 2) {
    const fireMs = next(untilMs - step);
    if (fireMs > untilMs) continue;
    lastMs = fireMs;
    break;
  }
  // No fire lies between those that are known and this.
  let freeMs = untilMs;
  for (let tries = 0; ; tries++) {
    const fireMs = next(lastMs);
    if (fireMs > untilMs) return lastMs;
    lastMs = fireMs;
    if (tries < 3) continue;
    const middleMs = lastMs + Math.ceil((freeMs - lastMs) / 2);
    const later = next(middleMs - 1);
    if (later <= untilMs) lastMs = later;
    else freeMs = middleMs - 1;
  }
}

/** Fires from `firstMs` to `lastMs`, which both are fires: by division where they lie at a fixed distance, else one by one up to a limit. */
function countFires(
  next: (afterMs: number) => number,
  firstMs: number,
  lastMs: number,
  periodMs: number | undefined,
): Pick<Skipped, 'count' | 'atLeast'> {
  if (periodMs !== undefined) return { count: (lastMs - firstMs) / periodMs + 1, atLeast: false };
  let count = 1;
  for (let atMs = next(firstMs); atMs <= lastMs; atMs = next(atMs)) {
    if (count === LIMITS.countedSkips) return { count, atLeast: true };
    count++;
  }
  return { count, atLeast: false };
}
