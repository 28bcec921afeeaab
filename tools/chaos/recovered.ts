import { setTimeout as delay } from 'node:timers/promises';

import { SYSTEM_TIMERS, type Messenger, type Timers } from '@belfry/actor-runtime';
import { connectNats, NatsInbox, natsNames, NatsWorkQueue } from '@belfry/adapter-nats';
import { connectPostgres, type PostgresLink } from '@belfry/adapter-postgres';
import {
  ok,
  type CheckpointStore,
  type Inbox,
  type InboxMessage,
  type InboxReading,
  type ShardHead,
  type WorkQueue,
} from '@belfry/ports';
import { NO_TRACER, SchedulerNode, type Environment } from '@belfry/scheduler';
import type { Shard } from '@belfry/shard';

import { hashOf, onTakeover, stateText } from './state.ts';

const NODE = 'onlooker';
const MOST_TIMERS = 10_000;
const PATIENCE_MS = 60_000;

export interface Recovered {
  /** Inbox sequence up to which it was recovered. */
  readonly seq: number;
  readonly hashes: ReadonlyMap<number, string>;
  /** How many messages were applied to the checkpoints, and how many work messages were found. */
  readonly replayed: number;
  readonly surviving: number;
  text(shard: number): string;
}

/**
 * All shards as a new owner would find them now: a scheduler node of the production's takes them over, from checkpoint, inbox and surviving
 * work messages. Its servers are the real ones, read and not written: epochs, fences and ownership records are made up for it.
 *
 * @throws when it does not come to an end
 */
export async function recover(at: {
  readonly natsUrl: string;
  readonly postgres: { readonly url: string; sql(statement: string): Promise<readonly object[]> };
  readonly shards: number;
}): Promise<Recovered> {
  const names = natsNames();
  using timers = new EndingTimers(); // ends after the connections
  await using link = await connectNats(at.natsUrl, { name: NODE });
  const postgres = await connectPostgres(at.postgres.url);
  const inbox = new ReadInbox(new NatsInbox(link, { names, shards: at.shards }));
  try {
    const heads = new Map<number, ShardHead>();
    const work = readWork(new NatsWorkQueue(link, { names, replicas: 1 }), heads);
    const cores = new Map<number, Shard>();
    const stop = onTakeover((core) => void cores.set(core.shard, core));
    try {
      const node = new SchedulerNode(
        environment(
          inbox,
          work.queue,
          readStore(postgres, () => readHeads(at.postgres, heads)),
          at.shards,
          timers,
        ),
        {
          isQuarantined: () => false,
          count: (_shard, _seq, error) => Promise.reject(error instanceof Error ? error : new Error(String(error))),
        },
      );
      await node.start();
      node.place({ term: 1, version: 1, nodes: [NODE], assignment: new Array<number>(at.shards).fill(0) });
      const deadline = performance.now() + PATIENCE_MS;
      while (node.status().owned.length < at.shards) {
        if (performance.now() > deadline) throw new Error('the shards cannot be recovered');
        await delay(20);
      }
    } finally {
      stop();
    }
    const nowMs = Date.now();
    for (const core of cores.values()) while (core.advance(nowMs, MOST_TIMERS));
    const text = (shard: number): string => stateText(cores.get(shard) as Shard);
    const hashes = new Map([...cores.keys()].map((shard) => [shard, hashOf(text(shard))]));
    return { seq: inbox.endSeq, hashes, replayed: inbox.replayed, surviving: work.found(), text };
  } finally {
    await postgres.close();
  }
}

type Appended = Parameters<Inbox['append']>[0];

/** As it is; what is appended is not, but shows at the end of the reading, which waits for it: a takeover reads before it appends. */
class ReadInbox implements Inbox {
  readonly #inbox: Inbox;
  #onAppended: (appended: Appended) => void = () => undefined;
  /** The last sequence when the shards were "taken over". */
  endSeq = 0;
  replayed = 0;

  constructor(inbox: Inbox) {
    this.#inbox = inbox;
  }

  usage: Inbox['usage'] = () => this.#inbox.usage();
  trim: Inbox['trim'] = () => Promise.resolve();

  append: Inbox['append'] = async (messages) => {
    this.endSeq = (await this.#inbox.usage()).lastSeq;
    this.#onAppended(messages);
    return ok(messages.map(() => this.endSeq + 1));
  };

  /** What comes later is not read: nothing is appended after that reading began. */
  read: Inbox['read'] = (shards, fromSeq, onMessage) => {
    const appended = new Promise<Appended>((resolve) => (this.#onAppended = resolve));
    const over = Promise.withResolvers<void>();
    over.promise.catch(() => undefined); // whoever reads awaits it
    let reading: InboxReading | undefined;
    appended
      .then((messages) => this.#readTo(messages, shards, fromSeq, onMessage))
      .then((begun) => {
        reading = begun;
        return begun.done;
      })
      .then(over.resolve, over.reject);
    const stop = async (): Promise<void> => {
      await reading?.stop();
      over.resolve();
    };
    return Promise.resolve({ done: over.promise, stop });
  };

  /** `appended` comes last. */
  async #readTo(appended: Appended, ...[shards, fromSeq, onMessage]: Parameters<Inbox['read']>): Promise<InboxReading> {
    const { endSeq } = this;
    const end = async (): Promise<void> => {
      for (const { shard, body } of appended)
        await onMessage({ shard, seq: endSeq + 1, timestamp: Date.now(), body: Buffer.from(body) });
    };
    const { firstSeq } = await this.#inbox.usage();
    if (Math.max(firstSeq, fromSeq) > endSeq) {
      await end();
      return { done: Promise.resolve(), stop: () => Promise.resolve() };
    }
    let isOver = false;
    return await this.#inbox.read(shards, fromSeq, async (message: InboxMessage) => {
      if (message.seq <= endSeq) {
        this.replayed++;
        await onMessage(message);
      }
      if (message.seq < endSeq || message.more === true || isOver) return;
      isOver = true;
      await end();
    });
  }
}

function readWork(
  queue: WorkQueue,
  heads: ReadonlyMap<number, ShardHead>,
): { queue: WorkQueue; readonly found: () => number } {
  let found = 0;
  return {
    found: () => found,
    queue: {
      ensure: () => queue.incarnation(),
      incarnation: () => queue.incarnation(),
      fenceOf: (shard) => queue.fenceOf(shard),
      takeFence: async (shard) =>
        ok({ shard, epoch: heads.get(shard)?.epoch ?? 0, seq: 0, incarnation: await queue.incarnation() }),
      publish: () => Promise.reject(new Error('an onlooker dispatches nothing')),
      surviving: async (shard) => {
        const refs = await queue.surviving(shard);
        found += refs.length;
        return refs;
      },
      remove: () => Promise.resolve(0),
      withdraw: () => Promise.resolve([]),
      ensureConsumer: () => Promise.resolve(),
      leases: () => queue.leases(),
      setLease: () => Promise.resolve(),
    },
  };
}

function readStore(
  { checkpoints }: PostgresLink,
  readAnew: () => Promise<ReadonlyMap<number, ShardHead>>,
): CheckpointStore {
  return {
    // Anew each time: a shard that has moved meanwhile has another epoch in the log, and is tried again.
    takeEpochs: async (shards) => {
      const heads = await readAnew();
      return ok(shards.map((shard) => heads.get(shard) as ShardHead));
    },
    load: (...args) => checkpoints.load(...args),
    commit: () => Promise.reject(new Error('an onlooker writes no checkpoint')),
    bodies: (refs) => checkpoints.bodies(refs),
    nextFirstSeq: () => Promise.reject(new Error('an onlooker makes no stream')),
  };
}

/** What `takeEpochs` answers, without taking them; into `heads`. */
async function readHeads(
  postgres: { sql(statement: string): Promise<readonly object[]> },
  heads: Map<number, ShardHead>,
): Promise<ReadonlyMap<number, ShardHead>> {
  const rows = await postgres.sql(
    `SELECT shard, epoch::float8, seq::float8, watermark::float8, gaps, fired::float8, finished::float8, dead::float8, failed::float8,
       cancelled::float8, skipped::float8, withdrawn::float8, missed::float8 FROM belfry.shard`,
  );
  type Row = Omit<ShardHead, 'gaps' | 'counters'> & ShardHead['counters'] & { readonly gaps: string };
  for (const { shard, epoch, seq, watermark, gaps, ...counters } of rows as Row[])
    heads.set(shard, { shard, epoch, seq, watermark, counters, gaps: JSON.parse(gaps) as ShardHead['gaps'] });
  return heads;
}

/** The onlooker's node would try again for ever: all that it waits for ends with this. Nothing is done again and again: no dispatch, no checkpoint. */
class EndingTimers implements Timers {
  readonly #waiting = new Set<() => void>();
  #isOver = false;

  after = (ms: number, run: () => void): (() => void) => {
    if (this.#isOver) return () => undefined;
    const stop = SYSTEM_TIMERS.after(ms, () => {
      this.#waiting.delete(stop);
      run();
    });
    this.#waiting.add(stop);
    return () => {
      this.#waiting.delete(stop);
      stop();
    };
  };

  every = (): (() => void) => () => undefined;

  soon = (run: () => void): void => SYSTEM_TIMERS.soon(() => this.#isOver || run());

  [Symbol.dispose](): void {
    this.#isOver = true;
    for (const stop of this.#waiting) stop();
    this.#waiting.clear();
  }
}

function environment(
  inbox: Inbox,
  work: WorkQueue,
  store: CheckpointStore,
  shards: number,
  timers: Timers,
): Environment {
  const nothing = (): void => undefined;
  /** Nobody answers: all shards are free. */
  const messenger: Messenger = {
    tell: nothing,
    ask: () => Promise.reject(new Error('an onlooker asks nobody')),
    serve: () => nothing,
    listen: () => nothing,
  };
  return {
    ...{ node: NODE, shards, inbox, work, store, messenger, timers },
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    log: { info: nothing, warn: nothing, error: nothing },
    metrics: {
      dispatched: nothing,
      executionOver: nothing,
      skipped: nothing,
      checkpoint: nothing,
      takeover: nothing,
      quarantined: nothing,
    },
    tracer: NO_TRACER,
    renderTask: nothing,
  };
}
