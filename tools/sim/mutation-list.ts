/** A deliberate bug: in `file`, `find` stands exactly once and is replaced. */
export interface Mutation {
  readonly name: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const SHARD = 'libs/actors/shard/src';
const SCHEDULER = 'libs/scheduler/src';

/** Bugs that the simulator must find. What is in the ports' versions in memory stands for the same in the broker and in Postgres. */
export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'a dispatch is not checked against the fence',
    file: 'libs/ports/src/memory-work-queue.ts',
    find: 'if (held.seq !== fence.seq) return',
    replace: 'if (false) return',
  },
  {
    name: 'a checkpoint is not checked against the epoch',
    file: 'libs/ports/src/memory-checkpoint-store.ts',
    find: 'if (delta.epoch !== head.epoch || head.seq',
    replace: 'if (head.seq',
  },
  {
    name: 'a checkpoint whose fate is unknown counts as written',
    file: `${SCHEDULER}/checkpointer.ts`,
    find: "if (!('kind' in outcome)) return await this.#isolate(deltas, outcome.error);",
    replace: "if (!('kind' in outcome) || outcome.kind === 'retry') return [];",
  },
  {
    name: 'a checkpoint claims a message more than it has',
    file: `${SCHEDULER}/checkpointer.ts`,
    find: 'return isRead && cell.waiting === 0 ? this.#node.readSeq() : 0;',
    replace: 'return isRead && cell.waiting === 0 ? this.#node.readSeq() + 1 : 0;',
  },
  {
    name: 'a replay begins one message late',
    file: `${SCHEDULER}/takeover.ts`,
    find: 'if (seq > core.seq && !failed.has(shard)) {',
    replace: 'if (seq > core.seq + 1 && !failed.has(shard)) {',
  },
  {
    name: 'the backlog is lost at a handover',
    file: `${SHARD}/shard.ts`,
    find: 'pointers: [...changes.pointers].map(([task, next]) => ({ task, next })),',
    replace: 'pointers: [],',
  },
  {
    name: 'fires of the last second before a takeover are passed over',
    file: `${SHARD}/load.ts`,
    find: 'return state.nextAfter(slot, Math.max(state.watermark, effectiveFrom));',
    replace: 'return state.nextAfter(slot, Math.max(state.watermark + 1_000, effectiveFrom));',
  },
  {
    name: 'timers fire half a second early',
    file: `${SCHEDULER}/turns.ts`,
    find: 'host.core.advance(nowMs, TIMERS_A_TURN)',
    replace: 'host.core.advance(nowMs + 500, TIMERS_A_TURN)',
  },
  {
    name: 'a retry keeps the attempt of before',
    file: `${SHARD}/fires.ts`,
    find: 'execution.attempt++;\n    state.enqueue(execution);',
    replace: 'state.enqueue(execution);',
  },
  {
    name: 'the result of an earlier attempt is accepted',
    file: `${SHARD}/results.ts`,
    find: 'if (record.a < first) return over(',
    replace: 'if (record.a < 0) return over(',
  },
  {
    name: 'an execution is dead after its first failure',
    file: `${SHARD}/results.ts`,
    find: 'execution.failures >= execution.target.retry.attempts',
    replace: 'execution.failures >= 1',
  },
  {
    name: 'a cancel forgets what waits for a retry',
    file: `${SHARD}/definitions.ts`,
    find: "closeAs(state, execution, 'cancelled', timestamp);",
    replace: '',
  },
  {
    name: 'an update drops the fires that are due by then',
    file: `${SHARD}/definitions.ts`,
    find: 'if (state.isRecurring(slot)) enqueueAtChange(state, slot, timestamp, 1);',
    replace: '',
  },
  {
    name: 'after the loss of the work stream, what runs is dispatched again',
    file: `${SHARD}/fires.ts`,
    find: "if (execution.state !== 'dispatched') continue;\n    state.move(execution, 'adrift');",
    replace: 'continue;',
  },
  {
    name: 'what workers say of what is adrift is not heard',
    file: `${SCHEDULER}/adrift.ts`,
    find: 'if (entry !== undefined) entry.until = this.#silentAt(entry.queue, nowMs);',
    replace: '',
  },
  {
    name: 'a worker runs what is delivered again without asking',
    file: 'libs/actors/worker/src/holding.ts',
    find: "this.phase = from.deliveries > 1 ? 'asking' : 'ready';",
    replace: "this.phase = 'ready';",
  },
  {
    name: 'a worker takes what has waited in its socket for just delivered',
    file: 'libs/actors/worker/src/holding.ts',
    find: 'this.leasedAt = from.leasedAt;',
    replace: 'this.leasedAt = now;',
  },
  {
    name: 'a worker acknowledges before its result is taken',
    file: 'libs/actors/worker/src/worker-core.ts',
    find: "const verdict = verdicts?.[i] ?? 'retry';",
    replace: "const verdict = verdicts?.[i] ?? 'accepted';",
  },
  {
    name: 'a gateway takes an append without an answer for done',
    file: 'libs/gateway/src/group-commit.ts',
    find: "if (outcome.kind === 'ok') {",
    replace: "if (outcome.kind !== 'refused') {",
  },
  {
    name: 'a body of before an update stays in the cache',
    file: `${SCHEDULER}/bodies.ts`,
    find: 'this.#drop(patch.id);',
    replace: '',
  },
  {
    name: 'a silent node keeps its shards',
    file: 'libs/actors/supervisor/src/supervisor.ts',
    find: 'if (nowMs - known.seenAt > LIMITS.nodeSilentMs) this.#giveUp(node, known, nowMs);',
    replace: 'if (false) this.#giveUp(node, known, nowMs);',
  },
  {
    name: 'a shard that was loaded ahead misses what a checkpoint under way writes',
    file: `${SHARD}/shard.ts`,
    find: 'if (this.#unsettled !== undefined) changes.note(this.#unsettled);',
    replace: '',
  },
  {
    name: 'a shard that was loaded ahead keeps the fires that have passed meanwhile',
    file: `${SHARD}/load.ts`,
    find: 'if (state.isRecurring(slot)) rearm(',
    replace: 'if (false) rearm(',
  },
  {
    name: 'a node answers for shards that are no longer its own',
    file: `${SCHEDULER}/shard-queries.ts`,
    find: 'if (held === epoch && !host.gone) return reply; // Q2',
    replace: 'return reply;',
  },
  {
    name: 'of missed fires, the latest is skipped, too',
    file: `${SHARD}/catch-up.ts`,
    find: 'return lastFire(next, fromMs, gap.untilMs);',
    replace: 'return next(gap.untilMs);',
  },
  {
    name: 'fires count as missed when they are ten seconds late',
    file: `${SHARD}/gaps.ts`,
    find: 'const untilMs = nowMs - LIMITS.catchUpAfterMs;',
    replace: 'const untilMs = nowMs - 10_000;',
  },
];
