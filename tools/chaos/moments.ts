import { NatsInbox, NatsPlacementStore, NatsWorkQueue } from '@belfry/adapter-nats';
import { PostgresCheckpointStore } from '@belfry/adapter-postgres';
import { Gateway } from '@belfry/gateway';
import { Shard } from '@belfry/shard';
import { WorkerCore, type Holding } from '@belfry/worker';

/** What is about to happen at a moment, or has happened: shards, executions, nodes. */
export type About = readonly (string | number)[];

interface Call<T, M extends keyof T> {
  readonly on: T;
  readonly args: T[M] extends (...args: infer Args) => unknown ? Args : never;
}

type Result<T, M extends keyof T> = T[M] extends (...args: never[]) => infer R ? Awaited<R> : never;

/** Before or after a method does what it does. */
export interface Place {
  readonly prototype: object;
  readonly method: string;
  readonly when: 'before' | 'after';
  /** Undefined: of such calls, this one is not meant. */
  readonly about: (
    call: { readonly on: unknown; readonly args: readonly unknown[] },
    result?: unknown,
  ) => About | undefined;
}

/**
 * The worst moments of each role, by name, in the methods that a promise hangs on: those of ports, where there is one. What comes after
 * a method comes only after one that has done it.
 */
export const MOMENTS = {
  /** A gateway has, or is about to have, requests on disk; nobody was answered. A scheduler, its ownership records. */
  'ack-before': before(NatsInbox.prototype, 'append'),
  'ack-after': after(NatsInbox.prototype, 'append'),
  /** What was published durably has become tasks in the inbox; the ingest stream does not know yet. */
  'ingest-after': after(Gateway.prototype, 'handleIngest', ({ args: [{ streamSeq }] }, outcome) =>
    outcome.kind === 'done' && outcome.rejected === 0 ? [streamSeq] : undefined,
  ),
  'publish-before': before(NatsWorkQueue.prototype, 'publish'),
  'publish-after': after(NatsWorkQueue.prototype, 'publish'),
  'checkpoint-before': before(PostgresCheckpointStore.prototype, 'commit'),
  'checkpoint-after': after(PostgresCheckpointStore.prototype, 'commit'),
  /** Work messages of cancelled tasks that nobody has been given are taken back. */
  'purge-before': before(NatsWorkQueue.prototype, 'withdraw'),
  'purge-after': after(NatsWorkQueue.prototype, 'withdraw'),
  'placement-before': before(NatsPlacementStore.prototype, 'write', ({ args: [{ nodes }] }) => nodes),
  'placement-after': after(NatsPlacementStore.prototype, 'write', ({ args: [{ nodes }] }) => nodes),
  /** A takeover, between its steps. */
  'takeover-epoch': after(PostgresCheckpointStore.prototype, 'takeEpochs', ({ args: [shards] }) => shards),
  'takeover-fence': after(NatsWorkQueue.prototype, 'takeFence', ({ args: [shard] }) => [shard]),
  'takeover-replayed': after(Shard.prototype, 'reconcile', ({ on: { shard } }) => [shard]),
  /** Handlers have run to a good end. A worker has no port for that: its core has just said that the results be sent, or is to be told the answer. */
  'finish-before': after(WorkerCore.prototype, 'step', (_call, effects) =>
    succeeded(effects.flatMap((effect) => (effect.kind === 'finish' ? effect.holdings : []))),
  ),
  'finish-after': before(WorkerCore.prototype, 'step', ({ args: [input] }) =>
    input.kind === 'finished'
      ? succeeded(input.holdings.filter((_holding, at) => input.verdicts?.[at] === 'accepted'))
      : undefined,
  ),
} as const satisfies Readonly<Record<string, Place>>;

export type Moment = keyof typeof MOMENTS;

function succeeded(holdings: readonly Holding<unknown>[]): About | undefined {
  const done = holdings.filter(({ outcome }) => outcome === 'succeeded');
  return done.length === 0 ? undefined : done.map(({ execution }) => execution);
}

function before<T extends object, M extends keyof T & string>(
  prototype: T,
  method: M,
  about: (call: Call<T, M>) => About | undefined = () => [],
): Place {
  return { prototype, method, when: 'before', about: (call) => about(call as Call<T, M>) };
}

function after<T extends object, M extends keyof T & string>(
  prototype: T,
  method: M,
  about: (call: Call<T, M>, result: Result<T, M>) => About | undefined = () => [],
): Place {
  return {
    prototype,
    method,
    when: 'after',
    about: (call, result) => (isUndone(result) ? undefined : about(call as Call<T, M>, result as Result<T, M>)),
  };
}

/** An outcome of a port that says so, or that does not know. */
function isUndone(result: unknown): boolean {
  const { kind } = (result ?? {}) as { readonly kind?: unknown };
  return kind === 'retry' || kind === 'refused';
}
