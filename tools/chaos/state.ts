import { createHash } from 'node:crypto';

import { Shard } from '@belfry/shard';

/** What differs though the state is the same: who owns it and how far it has read; what a checkpoint has of a task; where in a backlog a due fire stands. */
const HEAD = /^shard (\d+), .*$/m;
const PLACES = /^([0-9a-f]{32}) (?:waiting|due|ready|late) /gm;
const POINTER = / pointer$/gm;

/**
 * A shard's state as text, for comparison of two copies of it: its tasks by id with place, next fire, schedule and target, the executions
 * that are under way, its ledger's counts, its calendars. Whoever compares has moved both copies to the present (`Shard.advance`).
 */
export function stateText(core: Pick<Shard, 'print'>): string {
  const text = core.print().replace(HEAD, 'shard $1').replace(PLACES, '$1 open ').replace(POINTER, '');
  const backlog = text.indexOf('\nbacklog');
  return backlog < 0 ? text : text.slice(0, backlog);
}

export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 22);
}

/** The lines in which two texts differ, a few of them. */
export function differences(live: string, recovered: string): string {
  const [a, b] = [live.split('\n'), recovered.split('\n')].map((lines) => new Set(lines)) as [Set<string>, Set<string>];
  const only = (of: ReadonlySet<string>, other: ReadonlySet<string>): string[] =>
    [...of].filter((line) => !other.has(line)).slice(0, 3);
  return `live ${JSON.stringify(only(a, b))}, recovered ${JSON.stringify(only(b, a))}`;
}

/** Tells of every shard that ends its takeover in this process, until the returned function is called. */
export function onTakeover(tell: (core: Shard) => void): () => void {
  type Reconcile = (this: Shard, ...args: Parameters<Shard['reconcile']>) => ReturnType<Shard['reconcile']>;
  const methods: { reconcile: Reconcile } = Shard.prototype;
  const original = methods.reconcile;
  methods.reconcile = function (...args) {
    const survived = original.apply(this, args);
    tell(this);
    return survived;
  };
  return () => void (methods.reconcile = original);
}
