/** Whether something of a stale epoch had an effect: owners, history and handlers, compared. Pure. All instants are ms since 1970, on one clock. */
import { shardOf } from '@belfry/protocol';

import { CLOCK_MS } from './booked.ts';
import { taskOf, type End, type Run } from './check.ts';

/** A node took an epoch of a shard, and wrote that down in the same transaction. */
export interface Taken {
  readonly shard: number;
  readonly epoch: number;
  readonly node: string;
  readonly atMs: number;
}

/** An end, as the history has it: of the epoch whose owner closed the execution, which may be later than that which dispatched it. */
export interface StoredEnd extends End {
  readonly epoch: number;
  /** When the transaction that wrote it was committed; undefined when that is not known. */
  readonly storedMs: number | undefined;
}

export interface Ownership {
  /** In any order. */
  readonly taken: readonly Taken[];
  /** Of each shard, under what its checkpoints are taken now. */
  readonly heads: readonly Omit<Taken, 'atMs'>[];
  /** The living nodes that say that they own a shard, by shard. */
  readonly owners: ReadonlyMap<number, string>;
}

/** The taken epochs of one shard, in order, and when the first handler started that got one of them or a later one. */
interface Line {
  readonly taken: Taken[];
  readonly startedMs: Map<number, number>;
}

/**
 * E1. A shard's checkpoints stand under the newest of its epochs, and who took that is its owner.
 * E2. A row of the history was written while its epoch was the newest of its shard. Strict: whoever takes the next one waits for the
 *     transactions of the one before, and both instants are Postgres's.
 * E3. A handler gets an epoch that was taken, by its shard's owner.
 * E4. No handler starts with an older epoch than one that started before it for the same execution.
 * E5. Nor with a newer one than that which closed its execution: what is over is not dispatched.
 * E6. What came due after a handler had started with a newer epoch of the shard does not run with an older one: that was fenced by then.
 *     (What had come due before may wait in the work stream for any time.)
 */
export function epochProblems(
  shards: number,
  { taken, heads, owners }: Ownership,
  ends: readonly StoredEnd[],
  runs: readonly Run[],
): string[] {
  const sorted = runs.toSorted((a, b) => a.startMs - b.startMs);
  const lines = Array.from({ length: shards }, (): Line => ({ taken: [], startedMs: new Map() }));
  const lineOf = ({ execution }: { readonly execution: string }): Line =>
    lines[shardOf(taskOf(execution), shards)] as Line;
  for (const one of taken.toSorted((a, b) => a.epoch - b.epoch)) (lines[one.shard] as Line).taken.push(one);
  for (const run of sorted) {
    const { startedMs } = lineOf(run);
    if (!startedMs.has(run.epoch)) startedMs.set(run.epoch, run.startMs);
  }
  const closed = new Map(ends.map(({ execution, epoch }) => [execution, epoch]));
  const newest = new Map<string, number>();
  const isOlderThanBefore = ({ execution, epoch }: Run): boolean => {
    const before = newest.get(execution) ?? 0;
    newest.set(execution, Math.max(epoch, before));
    return epoch < before;
  };
  return [
    ...told('shards have no head', missing(shards, heads), String),
    ...told(
      'shards have checkpoints of another epoch than the newest, or another owner than who took that', // E1
      heads.filter((head) => !isNewest(head, lines[head.shard] as Line, owners)),
      ({ shard, epoch, node }) =>
        `${shard}: epoch ${epoch} of ${node}, owned by ${owners.get(shard)}, last taken ${describe(lines[shard]?.taken.at(-1))}`,
    ),
    ...told(
      'rows of the history were not written while their epoch was the newest', // E2
      ends.filter((end) => !isTimely(end, lineOf(end))),
      (end) =>
        `${end.execution}: epoch ${end.epoch}, written ${instant(end.storedMs)}, ${neighbours(end, lineOf(end))}`,
    ),
    ...told(
      'handlers got an epoch that nobody has taken', // E3
      sorted.filter((run) => !lineOf(run).taken.some(({ epoch }) => epoch === run.epoch)),
      describeRun,
    ),
    ...told('handlers started with an older epoch than one before', sorted.filter(isOlderThanBefore), describeRun), // E4
    ...told(
      'handlers got a newer epoch than that which closed their execution', // E5
      sorted.filter(({ execution, epoch }) => epoch > (closed.get(execution) ?? Infinity)),
      (run) => `${describeRun(run)}, closed with ${closed.get(run.execution)}`,
    ),
    ...told(
      'handlers got an epoch that was fenced before they were due', // E6
      sorted.filter((run) => isFenced(run, lineOf(run))),
      describeRun,
    ),
  ];
}

function told<T>(what: string, wrong: readonly T[], describe: (one: T) => string): string[] {
  return wrong.length === 0 ? [] : [`${wrong.length} ${what}, as ${describe(wrong[0] as T)}`];
}

function missing(shards: number, heads: Ownership['heads']): number[] {
  const there = new Set(heads.map(({ shard }) => shard));
  return Array.from({ length: shards }, (_, shard) => shard).filter((shard) => !there.has(shard));
}

function isNewest(
  { shard, epoch, node }: Ownership['heads'][number],
  { taken }: Line,
  owners: ReadonlyMap<number, string>,
): boolean {
  const last = taken.at(-1);
  return last?.epoch === epoch && last.node === node && owners.get(shard) === node;
}

function isTimely({ epoch, storedMs = NaN }: StoredEnd, { taken }: Line): boolean {
  const at = taken.findIndex((one) => one.epoch === epoch);
  return at >= 0 && storedMs >= (taken[at] as Taken).atMs && storedMs <= (taken[at + 1]?.atMs ?? Infinity);
}

function isFenced({ execution, epoch }: Run, { startedMs }: Line): boolean {
  const dueMs = parseInt(execution.slice(execution.indexOf('-') + 1), 36);
  return [...startedMs].some(([newer, firstMs]) => newer > epoch && firstMs + CLOCK_MS < dueMs);
}

function neighbours({ epoch }: StoredEnd, { taken }: Line): string {
  const next = taken.find((one) => one.epoch > epoch);
  return `its shard’s epochs: ${describe(taken.findLast((one) => one.epoch <= epoch))}, then ${describe(next)}`;
}

function describe(taken: Taken | undefined): string {
  return taken === undefined ? 'none' : `${taken.epoch} by ${taken.node} at ${instant(taken.atMs)}`;
}

function describeRun({ execution, attempt, worker, epoch, startMs }: Run): string {
  return `${execution}: attempt ${attempt} at ${worker} with epoch ${epoch}, ${instant(startMs)}`;
}

function instant(ms: number | undefined): string {
  return ms === undefined ? 'nobody knows when' : new Date(ms).toISOString();
}
