import { LIMITS } from '@belfry/protocol';
import type { ShardDelta } from '@belfry/ports';
import type { Bodies } from './bodies.ts';
import { breathe, pause, type Environment } from './environment.ts';
import type { HostedShard } from './hosted-shard.ts';

/** An idle shard's head is written this often, so that the inbox can be trimmed. */
const IDLE_HEAD_MS = 30_000;
/** Shards whose deltas are taken in one turn of the event loop. */
const DELTA_ROWS_A_TURN = 500;

export interface CheckpointerNode {
  hosted(): Iterable<HostedShard>;
  /** Every message up to here has been given to every shard that is read. */
  readSeq(): number;
  onFenced(host: HostedShard): void;
  /** Its state or its changes are no good: it must be loaded again. */
  onFault(host: HostedShard, error: unknown): void;
}

/**
 * Writes what has changed, one transaction at a time for all shards of the node.
 *
 * K1. A delta is committed, repeated verbatim until its fate is known, or its shard is dropped; the next one comes after it.
 * K2. Bodies of a delta stay at hand until it is committed.
 * K3. A delta that cannot be taken or written (a fault) costs its own shard only: that one is loaded again, since its changes are lost.
 * K4. Every message of a shard up to its delta's sequence is in this delta or those before; the sequence never goes back, though the
 *     node's reading does when another shard joins.
 */
export class Checkpointer {
  readonly #env: Environment;
  readonly #bodies: Bodies;
  readonly #node: CheckpointerNode;
  readonly #writer: string;
  #running: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;
  #stopTimer: () => void = () => undefined;
  #number = 0;
  /** Hand-overs under way, and whether the last regular checkpoint was put off for one. */
  #handOvers = 0;
  #putOff = false;
  #wake: (() => void)[] = [];
  stopped = false;

  constructor(env: Environment, bodies: Bodies, node: CheckpointerNode) {
    this.#env = env;
    this.#bodies = bodies;
    this.#node = node;
    this.#writer = `${env.node}.${Math.trunc(env.clock.now())}`;
  }

  start(): void {
    this.#stopTimer = this.#env.timers.every(LIMITS.checkpointMs, () => this.#regular());
  }

  /** After this, nothing is written any more; what is under way is waited for. */
  async stop(): Promise<void> {
    this.#stopTimer();
    this.stopped = true;
    await this.#running;
  }

  /** Rows that wait for a checkpoint. */
  waitingRows(): number {
    let rows = 0;
    for (const host of this.#node.hosted()) rows += host.core.changedRows;
    return rows;
  }

  #waitingChars(): number {
    let chars = 0;
    for (const host of this.#node.hosted()) chars += host.core.changedChars;
    return chars;
  }

  /** Whether reading waits for a checkpoint. */
  get holdsBack(): boolean {
    return this.#wake.length > 0;
  }

  /** Resolves when little enough waits for a checkpoint that more messages may be read; undefined when that is so already. */
  pressure(): Promise<void> | undefined {
    const rows = this.waitingRows();
    if (rows >= LIMITS.checkpointRows) void this.write();
    if (rows < LIMITS.checkpointBacklogRows && this.#waitingChars() < LIMITS.checkpointBacklogChars) return undefined;
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  /** Writes everything that has changed up to now; resolves when it is on disk. */
  write(): Promise<void> {
    if (this.stopped) return this.#running;
    if (this.#queued !== undefined) return this.#queued;
    const next = this.#running.then(() => {
      this.#queued = undefined;
      return this.#write();
    });
    this.#queued = next;
    this.#running = next.catch((error: unknown) =>
      this.#env.log.error('a checkpoint failed', { error: String(error) }),
    );
    return this.#running;
  }

  /**
   * The same for these shards alone: after what is under way, and before what is written later. `withHeads`: idle shards too, so that
   * nobody has to read the inbox from their last change on.
   */
  writeOf(hosts: readonly HostedShard[], withHeads = false): Promise<void> {
    if (this.stopped) return this.#running;
    const next = this.#running.then(() => this.#write(hosts, withHeads));
    this.#running = next.catch((error: unknown) =>
      this.#env.log.error('a checkpoint failed', { error: String(error) }),
    );
    return this.#running;
  }

  /**
   * Writes these shards, and after `standStill` what little has come since. They stand still for no regular checkpoint: that one is put
   * off, but once only, since whatever they wait for may take long.
   */
  async writeTwice(hosts: readonly HostedShard[], standStill: () => Promise<void>): Promise<void> {
    this.#handOvers++;
    try {
      await this.writeOf(hosts, true);
      await standStill();
      await this.writeOf(hosts);
    } finally {
      this.#handOvers--;
    }
  }

  #regular(): void {
    this.#putOff = this.#handOvers > 0 && !this.#putOff;
    if (!this.#putOff) void this.write();
  }

  async #write(hosts?: readonly HostedShard[], withHeads = false): Promise<void> {
    const deltas = await this.#takeDeltas(hosts ?? this.#node.hosted(), withHeads);
    for (const wake of this.#wake.splice(0)) wake();
    if (deltas.size === 0) return;
    const rows = [...deltas.values()].reduce((sum, delta) => sum + rowsOf(delta), 0);
    const startedAt = this.#env.clock.monotonic();
    const span = this.#env.tracer.checkpoint(rows);
    const written = await this.#commit(deltas);
    span.end();
    this.#env.metrics.checkpoint(rows, this.#env.clock.monotonic() - startedAt);
    this.#observe(written);
    const soonMs = this.#env.clock.now() + 2 * LIMITS.payloadAheadMs;
    this.#bodies.committed(
      Array.from(deltas, ([{ core }, delta]) => [core, delta] as const),
      soonMs,
    );
  }

  /** Commits until the fate of every delta is known (K1). Returns those that were written. */
  async #commit(deltas: ReadonlyMap<HostedShard, ShardDelta>): Promise<ShardDelta[]> {
    const id = `${this.#writer}.${this.#number++}`;
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#env.store.commit([...deltas.values()], id).catch((error: unknown) => ({ error }));
      if (!('kind' in outcome)) return await this.#isolate(deltas, outcome.error);
      if (outcome.kind === 'ok') {
        const fenced = new Set(outcome.value.fenced);
        for (const [host, { shard, seq }] of deltas) {
          if (fenced.has(shard)) this.#node.onFenced(host);
          else host.checkpointedSeq = seq;
        }
        return [...deltas.values()].filter(({ shard }) => !fenced.has(shard));
      }
      if (attempt === 2 && outcome.kind === 'retry')
        this.#env.log.warn('a checkpoint is being repeated', { error: outcome.error.message });
      await pause(this.#env.timers, attempt);
    }
  }

  /** One delta spoils the whole transaction: each is written for itself, and the one that is at fault loses its shard (K3). */
  async #isolate(deltas: ReadonlyMap<HostedShard, ShardDelta>, error: unknown): Promise<ShardDelta[]> {
    const written: ShardDelta[] = [];
    for (const [host, delta] of deltas) {
      if (deltas.size === 1) this.#node.onFault(host, error);
      else written.push(...(await this.#commit(new Map([[host, delta]]))));
    }
    return written;
  }

  async #takeDeltas(hosts: Iterable<HostedShard>, withHeads: boolean): Promise<Map<HostedShard, ShardDelta>> {
    const nowMs = this.#env.clock.monotonic();
    const deltas = new Map<HostedShard, ShardDelta>();
    let rows = 0;
    for (const host of new Set(hosts)) {
      if (host.gone) continue;
      const isIdle = nowMs - host.lastDeltaAt >= IDLE_HEAD_MS;
      const takenAt = this.#env.clock.now();
      const delta = this.#takeDelta(host, withHeads || isIdle);
      if (delta === undefined) continue;
      host.lastDeltaAt = nowMs;
      const after = host.lastDeltaSeq;
      host.lastDeltaSeq = Math.max(delta.seq, after, this.#seqWithoutMessages(host)); // K4
      const current = { ...delta, seq: host.lastDeltaSeq, after, takenAt };
      deltas.set(host, current);
      this.#bodies.committing(current);
      rows += rowsOf(delta) + 1;
      if (rows < DELTA_ROWS_A_TURN) continue;
      rows = 0;
      await breathe(this.#env.timers);
    }
    return deltas;
  }

  /** With an empty mailbox, every message that was read for the shard has been applied. */
  #seqWithoutMessages({ isRead, cell }: HostedShard): number {
    return isRead && cell.waiting === 0 ? this.#node.readSeq() : 0;
  }

  #takeDelta(host: HostedShard, idle: boolean): ShardDelta | undefined {
    try {
      return host.core.delta(idle);
    } catch (error) {
      this.#node.onFault(host, error); // K3
      return undefined;
    }
  }

  #observe(deltas: readonly ShardDelta[]): void {
    for (const { history } of deltas) {
      for (const { state, startedAt, scheduledAt, precision = 'normal' } of history) {
        if (state === 'skipped') continue;
        this.#env.metrics.executionOver(
          state,
          precision,
          startedAt === undefined ? undefined : startedAt - scheduledAt,
        );
      }
    }
  }
}

function rowsOf(delta: ShardDelta): number {
  const { inserts, patches, deletes, pointers, active, activeDone, calendars, history, life, unwatched, commands } =
    delta;
  return (
    inserts.length +
    patches.length +
    deletes.length +
    pointers.length +
    active.length +
    activeDone.length +
    calendars.length +
    history.length +
    life.length +
    unwatched.length +
    commands.length
  );
}
