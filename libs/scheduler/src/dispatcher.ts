import { LIMITS } from '@belfry/protocol';
import type { Body, WorkItem, WorkRef } from '@belfry/ports';
import type { Dispatch, Execution } from '@belfry/shard';
import { Allowance } from './allowance.ts';
import type { Bodies } from './bodies.ts';
import type { Demand } from './demand.ts';
import { pause, type Environment } from './environment.ts';
import type { HostedShard, Prepared } from './hosted-shard.ts';
import { pack } from './parcels.ts';

/** What a dispatcher needs of its node. */
export interface DispatcherNode {
  hosted(): Iterable<HostedShard>;
  ownedShare(): number;
  /** Another owner has the shard. */
  onFenced(host: HostedShard): void;
  /** Its state is no good: it must be loaded again. */
  onFault(host: HostedShard, error: unknown): void;
  /** The work stream is gone. */
  onStreamLost(): void;
}

const PRIORITIES = [0, 1, 2] as const;

type Take = (core: HostedShard['core'], queue: string, priority: 0 | 1 | 2, limit: number) => Dispatch[];

/**
 * Moves due fires from the shards' backlogs into the work stream, as many as the workers can take.
 *
 * F1. Of a queue, at most `dispatchWindow` times its workers' slots are dispatched and not over, over all nodes.
 * F2. A higher priority goes first, across all shards of the node. Missed fires go after all that is punctual, by priority among
 *     themselves, and at most `LIMITS.lateFiresASecond`.
 * F3. Nothing is dispatched while the inbox is at `LIMITS.inboxStopDispatch` of its bytes or above: what is left is for results.
 * F4. Nothing is dispatched while the clock stands still, since the wall clock was set back.
 * F5. A dispatch that may have been stored is repeated only as long as the broker knows it again. Then the shard is taken over anew, which
 *     lists what the stream holds.
 */
export class Dispatcher {
  readonly #env: Environment;
  readonly #bodies: Bodies;
  readonly #demand: Demand;
  readonly #node: DispatcherNode;
  #scheduled = false;
  readonly #lateAllowance = new Allowance(LIMITS.lateFiresASecond);
  #turn = 0;
  #inboxIsFull = false;
  stopped = false;

  constructor(env: Environment, bodies: Bodies, demand: Demand, node: DispatcherNode) {
    this.#env = env;
    this.#bodies = bodies;
    this.#demand = demand;
    this.#node = node;
  }

  /** Dispatches what can be dispatched, at the end of this turn of the event loop. */
  poke(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#env.timers.soon(() => {
      this.#scheduled = false;
      if (!this.stopped) this.round();
    });
  }

  /** Looks how full the inbox is (F3). */
  async checkInbox(): Promise<void> {
    const { inbox, log } = this.#env;
    try {
      const { bytes, maxBytes } = await inbox.usage();
      const isFull = maxBytes > 0 && bytes >= maxBytes * LIMITS.inboxStopDispatch;
      if (isFull === this.#inboxIsFull) return;
      this.#inboxIsFull = isFull;
      log.warn(isFull ? 'the inbox is nearly full: nothing is dispatched' : 'the inbox has room: dispatch goes on', {
        bytes,
      });
    } catch (error) {
      log.warn('the inbox cannot be asked', { error: String(error) });
    }
  }

  round(): void {
    if (this.#env.clock.isHeld?.() === true) return; // F4
    const all = [...this.#node.hosted()];
    const hosts = all.filter((host) => host.publishing === undefined && !host.leaving && !host.gone);
    const taken = new Map<HostedShard, Dispatch[]>();
    const nowMs = this.#env.clock.now();
    const turned = this.#turn++ % (hosts.length || 1);
    const punctual: Take = (core, queue, priority, limit) => core.take(queue, priority, limit, nowMs);
    const late: Take = (core, queue, priority, limit) => core.takeLate(queue, priority, limit);
    const left: { readonly queue: string; readonly owners: readonly HostedShard[]; readonly window: number }[] = [];
    for (const queue of this.#demand.queues()) {
      const window = this.#window(queue, all);
      if (window <= 0) continue;
      const owners = hosts.filter((host) => host.core.backlog > 0 && host.core.isReady(nowMs, queue));
      if (owners.length === 0) continue;
      owners.push(...owners.splice(0, turned % owners.length)); // none goes first always
      const used = this.#fill(queue, owners, taken, punctual, window);
      if (used < window) left.push({ queue, owners, window: window - used });
    }
    for (const { queue, owners, window } of left) {
      const allowed = Math.min(window, this.#lateAllowance.at(this.#env.clock.monotonic()));
      this.#lateAllowance.use(this.#fill(queue, owners, taken, late, allowed)); // F2
    }
    for (const [host, dispatches] of taken) this.#prepare(host, dispatches);
    for (const host of hosts) if (host.ready.length > 0 && host.publishing === undefined) this.#publish(host);
  }

  /** Takes at most `most`; returns how many. */
  #fill(
    queue: string,
    owners: readonly HostedShard[],
    taken: Map<HostedShard, Dispatch[]>,
    take: Take,
    most: number,
  ): number {
    let open = most;
    for (const priority of PRIORITIES) {
      for (const host of owners) {
        if (open <= 0) return most - open;
        if (host.core.waiting(queue, priority) === 0) continue;
        const mine = taken.get(host) ?? [];
        const limit = Math.min(open, LIMITS.dispatchBatch - mine.length - host.ready.length - host.awaitingBodies.size);
        if (limit <= 0) continue;
        const more = this.#take(host, () => take(host.core, queue, priority, limit));
        if (more.length === 0) continue;
        open -= more.length;
        taken.set(host, mine.length === 0 ? more : mine.concat(more));
      }
    }
    return most - open;
  }

  #take(host: HostedShard, take: () => Dispatch[]): Dispatch[] {
    try {
      return take();
    } catch (error) {
      this.#node.onFault(host, error);
      return [];
    }
  }

  /** How many more of a queue may be dispatched (F1). */
  #window(queue: string, hosts: readonly HostedShard[]): number {
    const slots = this.#demand.slots(queue);
    if (slots === 0 || this.#inboxIsFull) return 0; // F3
    let outstanding = 0;
    for (const { core } of hosts) outstanding += core.outstanding(queue);
    return Math.ceil(slots * LIMITS.dispatchWindow * this.#node.ownedShare()) - outstanding;
  }

  /** Joins dispatches with their bodies; those whose bodies are not at hand follow when they come. */
  #prepare(host: HostedShard, dispatches: readonly Dispatch[]): void {
    const nowMs = this.#env.clock.now();
    for (const dispatch of dispatches) {
      dispatch.execution.dispatchedAt = nowMs;
      const body = this.#bodies.peek(host.core, dispatch.execution.task);
      if (body !== undefined) host.ready.push(this.#item(dispatch, body));
      else void this.#prepareLater(host, dispatch);
    }
  }

  async #prepareLater(host: HostedShard, dispatch: Dispatch): Promise<void> {
    const { id, task } = dispatch.execution;
    host.awaitingBodies.add(id);
    const body = await this.#bodies.get(host.core, task);
    if (!host.awaitingBodies.delete(id) || host.gone) return;
    if (body === undefined) {
      // Only a task that is gone has no body; its execution ends with it at the next takeover.
      this.#env.log.error('a due task has no stored body', { execution: id });
      return;
    }
    host.ready.push(this.#item(dispatch, body));
    this.poke();
  }

  #item({ execution, attempt }: Dispatch, body: Body): Prepared {
    const span = this.#env.tracer.dispatch(execution, attempt, body.traceparent);
    execution.traceparent = span.traceparent;
    return { execution, attempt, body: workMessage(execution, attempt, body), span };
  }

  #publish(host: HostedShard): void {
    const items = host.ready.filter((item) => this.#isStillDue(host, item));
    host.ready = [];
    if (items.length === 0) return;
    host.publishing = this.#publishUntilDone(host, items)
      .catch((error: unknown) => this.#node.onFault(host, error))
      .finally(() => {
        host.publishing = undefined;
        host.unsentBatch = [];
        this.poke();
      });
  }

  /** A worker may have told its result while the body was fetched: of a dispatch that an owner before had made, and nobody knew of. */
  #isStillDue(host: HostedShard, { execution, attempt, span }: Prepared): boolean {
    if (host.core.dispatched([execution.id]).some((present) => present.attempt === attempt)) return true;
    span.end();
    return false;
  }

  async #publishUntilDone(host: HostedShard, items: readonly Prepared[]): Promise<void> {
    const { shard, epoch } = host.core;
    const messages = pack(items, (queue) => this.#demand.parcel(queue)).map((parcel) => workItem(shard, parcel));
    const batchId = `${shard}.${epoch}.${host.batches++}`;
    let unsent = true;
    const { clock } = this.#env;
    const startedMs = clock.monotonic();
    for (let attempt = 1; !host.gone; attempt++) {
      if (!unsent && clock.monotonic() - startedMs > LIMITS.dispatchRepeatMs) {
        this.#env.log.warn('whether a dispatch was stored is not known: the shard is taken over anew', {
          shard,
          epoch,
        });
        return this.#node.onFenced(host); // F5
      }
      host.unsentBatch = [];
      const outcome = await this.#env.work.publish(host.fence, batchId, messages);
      unsent &&= outcome.kind === 'refused' || (outcome.kind === 'retry' && outcome.unsent === true);
      if (unsent) host.unsentBatch = items;
      if (outcome.kind === 'ok') {
        this.#env.metrics.dispatched(items.length);
        for (const { span } of items) span.end();
        return;
      }
      if (outcome.kind === 'refused') {
        if (outcome.reason !== 'full')
          for (const { span } of items) span.end(new Error(`the dispatch was refused: ${outcome.reason}`));
        if (outcome.reason === 'lost') return this.#node.onStreamLost();
        if (outcome.reason !== 'full') {
          this.#env.log.warn('a dispatch was refused', { shard, epoch, reason: outcome.reason });
          return this.#node.onFenced(host);
        }
      }
      const error = outcome.kind === 'retry' ? outcome.error.message : 'the work stream is full';
      if (attempt === 3) this.#env.log.warn('a dispatch is being repeated', { shard, error });
      await pause(this.#env.timers, attempt);
    }
  }
}

/** Puts the body of one attempt, or of several, together with what the stream must know of them. */
function workItem(shard: number, parcel: readonly Prepared[]): WorkItem {
  const [first] = parcel as [Prepared];
  const { namespace, queue } = first.execution.target;
  const attempts = parcel.map(({ execution, attempt }) => ({ execution: execution.id, attempt }));
  const message: WorkRef = { namespace, queue, shard, attempts };
  for (const { execution } of parcel) execution.message = message;
  if (parcel.length > 1) return { ...message, body: `[${parcel.map(partBody).join(',')}]` };
  const { traceparent } = first.span;
  return { ...message, body: first.body, ...(traceparent === undefined ? {} : { traceparent }) };
}

/** Several share a message's headers, so each has its trace context in its body. */
function partBody({ body, span: { traceparent } }: Prepared): string {
  return traceparent === undefined ? body : `${body.slice(0, -1)},"traceparent":"${traceparent}"}`;
}

/** The body of a work message: payload and labels are JSON texts already. */
function workMessage(execution: Execution, attempt: number, body: Body): string {
  const { target } = execution;
  const key = body.key === undefined ? '' : `"key":${JSON.stringify(body.key)},`;
  return (
    `{"v":1,"execution":"${execution.id}","task":"${execution.task}","namespace":"${target.namespace}",${key}` +
    `"queue":"${target.queue}","handler":"${target.handler}","attempt":${attempt},"scheduledAt":${execution.scheduledAt},` +
    `"dispatchedAt":${execution.dispatchedAt ?? 0},"epoch":${execution.epoch},"timeoutMs":${target.timeoutMs},` +
    `"metadata":${body.metadata},"payload":${body.payload}}`
  );
}
