import { LIMITS, subjects, type ShardsReply, type ShardView } from '@belfry/protocol';
import type { InboxMessage, Placement } from '@belfry/ports';
import { Supervision } from '@belfry/actor-core';
import { Interned, type Reply, type Shard } from '@belfry/shard';
import { loadAhead, type LoadedAhead } from './ahead.ts';
import { askForRelease, askOwners, handOverGroups } from './arrivals.ts';
import { Bodies } from './bodies.ts';
import { isCancelWithRunning, takeBack } from './cancels.ts';
import { Checkpointer } from './checkpointer.ts';
import { Completeness, nodeLedger, type NodeLedger } from './completeness.ts';
import { Demand } from './demand.ts';
import { Departures } from './departures.ts';
import { Dispatcher } from './dispatcher.ts';
import { eventMessage } from './event-message.ts';
import { pause, type Environment } from './environment.ts';
import { HostedShard } from './hosted-shard.ts';
import { InboxReader } from './inbox-reader.ts';
import { ReplyOutbox } from './replies.ts';
import { Loads } from './loads.ts';
import { ShardQueries } from './shard-queries.ts';
import { countCrash, outlookOf, takeOver, type Crashes, type InboxGap, type Outlook } from './takeover.ts';
import { Tallies } from './tallies.ts';
import { Turns } from './turns.ts';
import { warmUp } from './warm-up.ts';
import { WorkStream } from './work-stream.ts';

const DEFAULT_TICK_MS = 2;
/** What is due this soon after its rows were loaded waits for its payload when the takeover is over, unless that was asked for. */
const TAKEOVER_MS = 1_000;

/** What a node tells about itself. */
export interface NodeStatus {
  readonly node: string;
  readonly owned: readonly number[];
  readonly tasks: number;
  readonly underWay: number;
  readonly backlog: number;
  readonly workers: number;
  readonly waitingRows: number;
  readonly memoryBytes: number;
  readonly ledger: NodeLedger;
  /** The last one that this process has found, in a takeover or while it read on. */
  readonly inboxGap?: InboxGap;
}

/** The shards of a node, one by one. */
export type NodeShards = Omit<ShardsReply, 'node'> & { readonly items: readonly ShardView[] };

/**
 * A scheduler node: hosts the shards that the placement gives it.
 *
 * O1. A shard is dispatched for, and answers queries, only between the end of its takeover and its release or loss.
 * O2. What this node no longer owns is dropped at the first word of it: a refused batch, a refused checkpoint, a newer ownership.
 */
export class SchedulerNode {
  readonly #env: Environment;
  readonly #interned = new Interned();
  readonly #hosted = new Map<number, HostedShard>();
  readonly #demand: Demand;
  readonly #bodies: Bodies;
  readonly #checkpointer: Checkpointer;
  readonly #dispatcher: Dispatcher;
  readonly #reader: InboxReader;
  readonly #replies: ReplyOutbox;
  readonly #stream: WorkStream;
  readonly #turns: Turns;
  readonly #departures: Departures;
  readonly #completeness: Completeness;
  readonly #queries: ShardQueries;
  readonly #crashes: Crashes;
  readonly #supervision = new Map<number, Supervision>();
  /** Shards that are not loaded again yet, since they crash. */
  readonly #resting = new Set<number>();
  readonly #epochsSeen = new Map<number, number>();
  readonly #stopListening: (() => void)[] = [];
  #wanted: ReadonlySet<number> = new Set();
  #working: Promise<void> = Promise.resolve();
  #settling = false;
  #resettle = false;
  #prefetchedTo = 0;
  /** Groups of shards that living owners have handed over to it. */
  #groupsTaken = 0;
  #inboxGap: InboxGap | undefined;
  #stopTimers: (() => void)[] = [];
  #stopping = false;
  #stopped = false;

  constructor(env: Environment, crashes: Crashes) {
    this.#env = env;
    this.#crashes = crashes;
    this.#demand = new Demand(env.clock.monotonic());
    this.#bodies = new Bodies(env.store, env.log, env.timers);
    this.#replies = new ReplyOutbox(env.messenger, env.timers);
    this.#turns = new Turns(env.clock);
    this.#stream = new WorkStream(env, this.#demand, {
      hosted: () => this.#hosted,
      forget: async (hosts) => {
        await this.#checkpointer.write();
        for (const host of hosts) this.#forget(host);
      },
      takeOver: async () => {
        await this.settle(); // what is under way ends with its present group
        await this.settled();
      },
      isHeld: () => this.#checkpointer.holdsBack,
    });
    this.#completeness = new Completeness(env.log);
    const tallies = new Tallies(env, () => this.#hosted.values());
    this.#queries = new ShardQueries(env, this.#bodies, tallies, (host) => this.#lose(host));
    const node = {
      hosted: () => this.#hosted.values(),
      ownedShare: () => this.#hosted.size / env.shards,
      readSeq: () => this.#reader.seq,
      onFenced: (host: HostedShard) => this.#lose(host),
      onFault: (host: HostedShard, error: unknown) => this.#onFault(host, error),
      onStreamLost: () => this.#stream.lost(),
    };
    this.#departures = new Departures(env, (hosts) => this.#handOver(hosts));
    this.#checkpointer = new Checkpointer(env, this.#bodies, node);
    this.#dispatcher = new Dispatcher(env, this.#bodies, this.#demand, node);
    this.#reader = new InboxReader(env.inbox, env.log, env.timers, {
      hosted: this.#hosted,
      pressure: () => this.#checkpointer.pressure(),
      now: () => env.clock.now(),
      onGap: (gap) => void (this.#inboxGap = gap),
    });
  }

  async start(): Promise<void> {
    const env = this.#env;
    await this.#stream.start();
    this.#stopListening.push(
      env.messenger.listen(subjects.workers('*', 'heartbeat'), (body, subject) => this.#onHeartbeat(body, subject)),
    );
    this.#checkpointer.start();
    this.#stopTimers = [
      env.timers.every(env.tickMs ?? DEFAULT_TICK_MS, () => this.#tick()),
      env.timers.every(1_000, () => this.#everySecond()),
      env.timers.every(2_000, () => void this.#stream.check()),
    ];
  }

  /** The shards that this node shall own from now on; those that it has and shall not are handed over when their new owners come. */
  place(placement: Placement): void {
    this.#departures.follow(placement);
    const me = placement.nodes.indexOf(this.#env.node);
    this.#wanted = new Set(placement.assignment.flatMap((node, shard) => (node === me && me >= 0 ? [shard] : [])));
    void this.settle();
  }

  /** Resolves when the node owns what it shall, as far as that can be reached now. */
  settle(): Promise<void> {
    if (this.#settling) {
      this.#resettle = true;
      return this.#working;
    }
    this.#settling = true;
    this.#working = this.#settle()
      .catch((error: unknown) => this.#env.log.error('placement could not be followed', { error: String(error) }))
      .finally(() => {
        this.#settling = false;
        if (this.#resettle) {
          this.#resettle = false;
          void this.settle();
        }
      });
    return this.#working;
  }

  /** Resolves when it owns what it shall, as far as that can be reached now; begins nothing anew that is under way. */
  async settled(): Promise<void> {
    if (!this.#settling) return await this.settle();
    while (this.#settling) await this.#working;
  }

  status(): NodeStatus {
    const hosts = [...this.#hosted.values()];
    const sum = (of: (host: HostedShard) => number): number => hosts.reduce((total, host) => total + of(host), 0);
    return {
      node: this.#env.node,
      owned: [...this.#hosted.keys()].sort((a, b) => a - b),
      tasks: sum(({ core }) => core.tasks),
      underWay: sum(({ core }) => core.underWay),
      backlog: sum(({ core }) => core.backlog),
      workers: this.#demand.workers,
      waitingRows: this.#checkpointer.waitingRows(),
      memoryBytes: sum(({ core }) => core.memoryBytes) + this.#bodies.bytes,
      ledger: nodeLedger(hosts),
      ...(this.#inboxGap === undefined ? {} : { inboxGap: this.#inboxGap }),
    };
  }

  shards(): NodeShards {
    const items = Array.from(this.#hosted.values(), ({ core, cell, leaving, checkpointedSeq }): ShardView => {
      const { shard, epoch, tasks, backlog, underWay, seq } = core;
      return {
        shard,
        node: this.#env.node,
        epoch,
        tasks,
        backlog,
        underWay,
        waiting: cell.waiting,
        seq,
        checkpointSeq: checkpointedSeq,
        leaving,
      };
    });
    return { unread: this.#reader.unread, items: items.sort((a, b) => a.shard - b.shard) };
  }

  /** Hands everything over, and stops. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopping = true;
    this.#wanted = new Set();
    await this.settle();
    await this.#working;
    await this.#departures.awaitSuccessors(this.#hosted);
    this.#stopped = true;
    this.#dispatcher.stopped = true;
    this.#stream.stop();
    for (const stop of [...this.#stopTimers, ...this.#stopListening]) stop();
    await this.#release([...this.#hosted.values()]);
    await this.#checkpointer.stop();
    await this.#reader.stop();
    this.#replies.flush();
  }

  // — Ownership

  async #settle(): Promise<void> {
    const leaving = [...this.#hosted.values()].filter(
      (host) => !this.#wanted.has(host.core.shard) && !this.#departures.hasSuccessor(host),
    );
    if (leaving.length > 0) await this.#release(leaving);
    const missing = this.#missing();
    if (missing.length === 0 || this.#stopping) return;
    const { free, owned } = await askOwners(this.#env, missing);
    if (free.length > 0) await this.#acquire(await outlookOf(this.#env, free));
    const groups = handOverGroups(owned, this.#groupsTaken);
    const isMore = (): boolean => this.#resettle || this.#stopping; // a newer placement, or none of its own any more
    if (groups.length > 0) await warmUp(this.#env, owned, this.#groupsTaken === 0, isMore);
    for (const group of groups) {
      if (isMore()) return;
      // What else there is to do waits for the group, as it does while it is taken over.
      const isMine = (): boolean => !this.#stopping && group.every((shard) => this.#wanted.has(shard));
      const ahead = await loadAhead(this.#env, this.#interned, group, isMine);
      if (!isMine()) return;
      const outlook = await outlookOf(this.#env, group);
      const isGone = await this.#askForRelease(group, ahead);
      await this.#acquire(outlook, ahead);
      this.#groupsTaken++;
      if (isGone) this.#resettle = true; // all that it had is taken together
      // What was due in these shards goes out before the next ones stand still.
      await new Promise<void>((resolve) => void this.#env.timers.after(LIMITS.handOverRestMs, resolve));
    }
  }

  #missing(): number[] {
    return [...this.#wanted].filter((shard) => !this.#hosted.has(shard) && !this.#resting.has(shard));
  }

  /** Resolves when the group's owners have let go of it, with whether one of them is gone. */
  async #askForRelease(group: readonly number[], ahead: ReadonlyMap<number, LoadedAhead>): Promise<boolean> {
    const served = await Promise.all(
      group.map(async (shard) => {
        const loaded = ahead.get(shard);
        const { isServed, since } = await askForRelease(this.#env, shard, loaded?.watched.number);
        if (loaded !== undefined && since !== undefined) loaded.since = since;
        return isServed;
      }),
    );
    return served.includes(false);
  }

  async #acquire(outlook: Outlook, ahead?: Map<number, LoadedAhead>): Promise<void> {
    const env = this.#env;
    const startedAt = env.clock.monotonic();
    const onLoaded = (core: Shard): void => {
      const nowMs = env.clock.now();
      this.#fetchBodies(core, nowMs - LIMITS.payloadAheadMs, nowMs + TAKEOVER_MS);
    };
    const loads = new Loads(env, this.#interned, onLoaded, ahead);
    const { taken, again, faulty, gap } = await takeOver(env, loads, outlook, this.#crashes, this.#epochsSeen);
    if (gap !== undefined) this.#inboxGap = gap;
    for (const [shard, error] of faulty) this.#rest(shard, error);
    for (const { core, fence, checkpointedSeq } of taken) {
      const host = new HostedShard(
        core,
        fence,
        (replies) => {
          for (const reply of replies) this.#answer(host, reply);
          if (core.backlog > 0) this.#dispatcher.poke();
        },
        (error, message) => void this.#onCrash(host, error, message),
        () => this.#lose(host),
        env.reads,
      );
      host.lastDeltaSeq = host.checkpointedSeq = checkpointedSeq;
      this.#hosted.set(core.shard, host);
      host.unserve = env.messenger.serve(subjects.shard(core.shard, '*'), (body, subject) =>
        this.#serve(host, body, subject),
      );
      this.#stream.taken(host);
    }
    await this.#reader.read();
    const durationMs = Math.round(env.clock.monotonic() - startedAt);
    env.metrics.takeover(taken.length, durationMs);
    env.log.info('shards taken over', { shards: taken.length, durationMs, tasks: this.status().tasks });
    this.#tick();
    // What the regular look ahead has passed over; behind what is due already, which the tick has asked for.
    const nowMs = env.clock.now();
    for (const { core } of taken) {
      const host = this.#hosted.get(core.shard);
      if (host?.core === core) this.#prefetchOf(host, nowMs, this.#prefetchedTo);
    }
    if (again.length > 0) {
      await pause(env.timers, 3);
      this.#resettle = true;
    }
  }

  #answer(host: HostedShard, reply: Reply): void {
    if (isCancelWithRunning(reply)) void takeBack(this.#env, host, reply).then((settled) => this.#replies.add(settled));
    else this.#replies.add(reply);
  }

  /** As `#release`, of shards whose next owners wait: it is quick, since what there is to write is written before they stand still. */
  async #handOver(hosts: readonly HostedShard[]): Promise<void> {
    await this.#checkpointer.writeTwice(hosts, () => this.#standStill(hosts));
    this.#forgetWritten(hosts);
  }

  /** Ends dispatching, writes the last checkpoint, and forgets the shards. What waits for its body is the next owner's to dispatch. */
  async #release(hosts: readonly HostedShard[]): Promise<void> {
    await this.#standStill(hosts);
    await this.#checkpointer.writeOf(hosts);
    this.#forgetWritten(hosts);
    await this.#reader.read();
  }

  async #standStill(hosts: readonly HostedShard[]): Promise<void> {
    for (const host of hosts) host.leaving = true;
    for (const host of hosts) await host.publishing;
  }

  #forgetWritten(hosts: readonly HostedShard[]): void {
    for (const host of hosts) {
      if (host.gone) continue;
      this.#tellEvents(host);
      host.isHandedOver = true;
      this.#forget(host);
    }
  }

  #forget(host: HostedShard): void {
    host.gone = true;
    host.unserve();
    host.cell.close();
    if (this.#hosted.get(host.core.shard) === host) this.#hosted.delete(host.core.shard);
    this.#departures.gone();
  }

  /** Somebody else owns it, as a fence or a checkpoint said (O2). */
  #lose(host: HostedShard): void {
    if (host.gone) return;
    this.#env.log.warn('a shard is lost: it has a newer owner, or its stored state was put back', {
      shard: host.core.shard,
      epoch: host.core.epoch,
    });
    this.#forget(host);
  }

  async #onCrash(host: HostedShard, error: unknown, message: InboxMessage): Promise<void> {
    this.#forget(host);
    const quarantined = await countCrash(this.#env, this.#crashes, message, error);
    this.#rest(message.shard, error, { seq: message.seq, quarantined });
  }

  #onFault(host: HostedShard, error: unknown): void {
    if (host.gone) return;
    this.#forget(host);
    this.#rest(host.core.shard, error);
  }

  /** What goes wrong in a shard costs that shard alone. */
  #guard(host: HostedShard, act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#onFault(host, error);
    }
  }

  /** Loads a shard again, later each time that it comes to this. */
  #rest(shard: number, error: unknown, at: { readonly seq?: number; readonly quarantined?: boolean } = {}): void {
    const supervision = this.#supervision.get(shard) ?? new Supervision();
    this.#supervision.set(shard, supervision);
    const crashes = at.quarantined === true ? LIMITS.crashesBeforeQuarantine : 1;
    const { delayMs } = supervision.onCrash(this.#env.clock.monotonic(), crashes);
    this.#env.log.error('a shard crashed', { shard, ...at, restartInMs: delayMs, error: String(error) });
    this.#resting.add(shard);
    this.#env.timers.after(delayMs, () => {
      this.#resting.delete(shard);
      void this.settle();
    });
  }

  // — Messages

  #onHeartbeat(body: Uint8Array, subject: string): void {
    let beat: unknown;
    try {
      beat = JSON.parse(new TextDecoder().decode(body));
    } catch {
      return this.#env.log.warn('a heartbeat that is no JSON', { subject });
    }
    const nowMs = this.#env.clock.monotonic();
    const running = this.#demand.heartbeat(subject.split('.')[2] as string, beat, nowMs);
    if (running === undefined) return this.#env.log.warn('a heartbeat that cannot be read', { subject });
    this.#stream.reported(running, nowMs);
    this.#dispatcher.poke();
  }

  #serve(host: HostedShard, body: Uint8Array, subject: string): Promise<string> {
    if (subject.endsWith('.prepare')) return Promise.resolve(this.#departures.prepared(host, body));
    if (subject.endsWith('.release')) return this.#departures.asked(host, body);
    return this.#queries.answer(host, body, subject);
  }

  // — Time

  #tick(): void {
    const nowMs = this.#env.clock.now();
    const hosts = [...this.#hosted.values()];
    if (this.#env.clock.isHeld?.() !== true) this.#turns.take(hosts, nowMs, (host, act) => this.#guard(host, act));
    let due = false;
    for (const host of hosts) {
      if (host.leaving) continue;
      if (host.ready.length > 0 || (host.core.backlog > 0 && host.core.isReady(nowMs))) due = true;
      this.#tellEvents(host);
    }
    if (due) this.#dispatcher.round();
    this.#completeness.tick([...this.#hosted.values()], (host, act) => this.#guard(host, act));
  }

  #tellEvents({ core }: HostedShard): void {
    for (const event of core.takeEvents()) {
      if (event.skipped !== undefined) this.#env.metrics.skipped(event.skipped.policy, event.skipped.count);
      this.#env.messenger.tell(...eventMessage(event));
    }
  }

  #everySecond(): void {
    const nowMs = this.#env.clock.monotonic();
    this.#demand.expire(nowMs);
    void this.#dispatcher.checkInbox();
    this.#prefetch();
    this.#stream.everySecond(nowMs);
    if (!this.#settling && this.#missing().length > 0) void this.settle();
    if (this.#reader.isTooWide) void this.#reader.read();
  }

  #prefetch(): void {
    const to = this.#env.clock.now() + LIMITS.payloadAheadMs;
    const from = Math.max(this.#prefetchedTo, to - LIMITS.payloadAheadMs);
    this.#prefetchedTo = to;
    for (const host of this.#hosted.values()) this.#prefetchOf(host, from, to);
  }

  #prefetchOf(host: HostedShard, from: number, to: number): void {
    this.#guard(host, () => this.#fetchBodies(host.core, from, to));
  }

  #fetchBodies(core: Shard, from: number, to: number): void {
    core.upcoming(from, to, (id) => this.#bodies.prefetch(core, id));
  }
}
