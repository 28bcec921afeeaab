import { envelopeOf, LIMITS, type ResultRecord } from '@belfry/protocol';

import { Adrift } from './adrift.ts';
import type { Demand } from './demand.ts';
import { pause, type Environment } from './environment.ts';
import type { HostedShard } from './hosted-shard.ts';
import { StreamAudit } from './stream-audit.ts';

/** What the work stream needs of its node. */
export interface StreamUser {
  readonly hosted: () => ReadonlyMap<number, HostedShard>;
  /** Writes everything that has changed, as far as the store is there, then forgets these shards. */
  readonly forget: (hosts: readonly HostedShard[]) => Promise<void>;
  /** Takes over what the node shall own. Resolves when that has been tried, also where a takeover was under way. */
  readonly takeOver: () => Promise<void>;
  /** Whether the inbox is not read on at the moment: results may stand in it. */
  readonly isHeld: () => boolean;
}

interface Unsent {
  readonly epoch: number;
  readonly executions: ReadonlySet<string>;
}

/**
 * The work stream as a node knows it: which one it is, its loss, and the executions that have no message in it.
 *
 * W1. Losing the stream is a takeover of every shard: what was dispatched since its last checkpoint is written before it is forgotten, since
 *     the stream no longer tells it.
 * W2. An execution that is known to have been in no stream is given back at once, unless its shard had another owner since, which may have
 *     dispatched it; one that a worker may run when no worker has spoken for it for as long as it may rely on its lease (`Adrift`).
 *     Time in which the broker does not answer, or the inbox is not read on, is no silence: it is not known who speaks.
 * W3. Who makes the stream anew makes its consumers too, with the leases that workers rely on, also those that are silent at the moment: of
 *     the workers, each asks for its own only, and the leader may be cut off.
 */
export class WorkStream {
  readonly #env: Environment;
  readonly #demand: Demand;
  readonly #node: StreamUser;
  readonly #adrift: Adrift;
  readonly #audit: StreamAudit;
  /** Of the stream that was lost: what was not in it, by the shards as they were. */
  #unsent: ReadonlyMap<number, Unsent> = new Map();
  /** 0 while none is known. */
  #incarnation = 0;
  /** When the broker last answered, monotonic. */
  #answeredAt = -Infinity;
  #stopped = false;

  constructor(env: Environment, demand: Demand, node: StreamUser) {
    this.#env = env;
    this.#demand = demand;
    this.#adrift = new Adrift((queue, nowMs) => demand.leaseMs(queue, nowMs));
    this.#node = node;
    this.#audit = new StreamAudit(env.work, env.log, (host) => this.#setAdrift(host, new Set()));
  }

  async start(): Promise<void> {
    this.#incarnation = await this.#ensure();
  }

  stop(): void {
    this.#stopped = true;
  }

  /** A shard was taken over: what it has dispatched, and the stream does not hold, is adrift (W2). */
  taken(host: HostedShard): void {
    const { shard, epoch } = host.core;
    const unsent = this.#unsent.get(shard);
    this.#setAdrift(host, unsent?.epoch === epoch - 1 ? unsent.executions : new Set());
  }

  /** A worker says that it runs these executions. */
  reported(executions: readonly string[], nowMs: number): void {
    this.#adrift.reported(executions, nowMs);
  }

  /** Looks whether it is still the same stream. Never rejects. */
  async check(): Promise<void> {
    try {
      const incarnation = await this.#env.work.incarnation();
      this.#answeredAt = this.#env.clock.monotonic();
      if (incarnation !== this.#incarnation) this.lost();
    } catch (error) {
      this.#env.log.warn('the work stream cannot be asked', { error: String(error) });
    }
  }

  everySecond(nowMs: number): void {
    const isCutOff = nowMs - this.#answeredAt > LIMITS.workerSilentMs;
    if (isCutOff || this.#node.isHeld()) return;
    const hosted = this.#node.hosted();
    void this.#giveBack(this.#adrift.expire(nowMs, (core) => hosted.get(core.shard)?.core === core));
    if (this.#incarnation > 0) void this.#audit.round([...hosted.values()]);
  }

  /** W1. */
  lost(): void {
    if (this.#incarnation === 0 || this.#stopped) return;
    this.#incarnation = 0;
    this.#env.log.warn('the work stream was lost: taking all shards over again');
    const hosts = [...this.#node.hosted().values()];
    for (const host of hosts) host.leaving = true;
    this.#unsent = new Map(
      hosts.map((host) => [host.core.shard, { epoch: host.core.epoch, executions: new Set(host.unsent()) }]),
    );
    void this.#afterLoss(hosts);
  }

  async #afterLoss(hosts: readonly HostedShard[]): Promise<void> {
    const unsent = this.#unsent;
    await this.#node.forget(hosts);
    // A takeover under way may be waiting for the stream.
    for (let attempt = 1; this.#incarnation === 0 && !this.#stopped; attempt++) {
      try {
        this.#incarnation = await this.#ensure();
      } catch (error) {
        if (attempt === 3) this.#env.log.warn('the work stream cannot be made yet', { error: String(error) });
        await pause(this.#env.timers, attempt);
      }
    }
    const incarnation = this.#incarnation;
    const queues = new Set(this.#demand.leasedQueues(this.#env.clock.monotonic()));
    await this.#makeConsumers(queues);
    await this.#node.takeOver();
    if (this.#unsent === unsent) this.#unsent = new Map();
    for (let attempt = 1; queues.size > 0 && this.#incarnation === incarnation && !this.#stopped; attempt++) {
      await pause(this.#env.timers, attempt);
      await this.#makeConsumers(queues);
    }
  }

  /** W3. Leaves those that could not be made. */
  async #makeConsumers(queues: Set<string>): Promise<void> {
    const incarnation = this.#incarnation;
    let failure: unknown;
    for (const queue of queues) {
      const [namespace, name] = queue.split('.') as [string, string];
      try {
        const leaseMs = this.#demand.leaseMs(queue, this.#env.clock.monotonic());
        await this.#env.work.ensureConsumer(namespace, name, leaseMs);
        queues.delete(queue);
      } catch (error) {
        failure = error;
      }
      if (this.#incarnation !== incarnation) return;
    }
    if (queues.size > 0)
      this.#env.log.warn('consumers cannot be made yet', { queues: queues.size, error: String(failure) });
  }

  #ensure(): Promise<number> {
    return this.#env.work.ensure(() => this.#env.store.nextFirstSeq());
  }

  #setAdrift({ core }: HostedShard, unsent: ReadonlySet<string>): void {
    this.#adrift.add(core, this.#env.clock.monotonic(), unsent);
  }

  /** Not repeated: its shard may be another's by then. What is adrift still is given back again. */
  async #giveBack(records: readonly { readonly shard: number; readonly record: ResultRecord }[]): Promise<void> {
    for (let from = 0; from < records.length; from += LIMITS.batchMessages) {
      const messages = records
        .slice(from, from + LIMITS.batchMessages)
        .map(({ shard, record }) => ({ shard, body: envelopeOf([record]) }));
      const outcome = await this.#env.inbox.append(messages);
      if (outcome.kind !== 'ok')
        return this.#env.log.warn('what was lost with the work stream is not given back yet', {
          executions: records.length - from,
        });
    }
  }
}
