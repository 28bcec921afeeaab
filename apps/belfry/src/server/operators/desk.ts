import type { Messenger } from '@belfry/actor-runtime';
import { levelOf, type Placement } from '@belfry/ports';
import {
  isName,
  isObject,
  LEVELS,
  subjects,
  wireError,
  type ClusterReply,
  type DrainReply,
  type MoveReply,
  type NodeView,
  type WireError,
} from '@belfry/protocol';
import type { Log } from '@belfry/scheduler';
import { Workers, type Order, type Takes } from '@belfry/supervisor';
import { ProcessTable } from './process-table.ts';

/** What the desk needs of the leader. */
export interface DeskLeader {
  readonly node: string;
  readonly term: number;
  readonly placement: Placement | undefined;
  nodes(): readonly { readonly node: string; readonly takes: Takes }[];
  /** Resolves when the order is written; with an error, when it is refused or could not be written. */
  order(order: Order): Promise<WireError | undefined>;
}

export interface OperatorsDeskOptions {
  readonly shards: number;
  readonly messenger: Messenger;
  readonly monotonic: () => number;
  readonly log: Log;
  /** Each heartbeat of a worker, as it was parsed, while the desk is open. */
  readonly onWorker?: (namespace: string, beat: unknown) => void;
}

/**
 * What the leading supervisor does for operators: tells about the cluster, and takes orders.
 *
 * O1. Only a leader's desk is open. What two leaders would write is decided by their terms.
 * O2. Every request gets one reply, whatever it is.
 */
export class OperatorsDesk {
  readonly processes = new ProcessTable();
  readonly #options: OperatorsDeskOptions;
  readonly #workers = new Workers();
  readonly #decoder = new TextDecoder();
  #close: (() => void)[] = [];

  constructor(options: OperatorsDeskOptions) {
    this.#options = options;
  }

  open(leader: DeskLeader): void {
    this.close();
    const { messenger, monotonic } = this.#options;
    const serve = (op: 'cluster' | 'move' | 'drain', answer: (body: unknown) => unknown): (() => void) =>
      messenger.serve(subjects.operators(op), (body) => this.#answer(op, body, answer));
    this.#close = [
      // One subject for all namespaces: some thousands a second are a matter of course.
      messenger.listen(subjects.workers('*', 'heartbeat'), (body, subject) =>
        this.#onWorker(body, subject, monotonic()),
      ),
      serve('cluster', () => this.#cluster(leader)),
      serve('move', (body) => this.#move(leader, body)),
      serve('drain', (body) => this.#drain(leader, body)),
    ];
  }

  close(): void {
    for (const close of this.#close.splice(0)) close();
  }

  #onWorker(body: Uint8Array, subject: string, nowMs: number): void {
    const namespace = subject.slice('belfry.v1.'.length, subject.indexOf('.', 'belfry.v1.'.length));
    try {
      const beat: unknown = JSON.parse(this.#decoder.decode(body));
      this.#workers.heartbeat(namespace, beat, nowMs);
      this.#options.onWorker?.(namespace, beat);
    } catch {
      // The schedulers tell it.
    }
  }

  async #answer(op: string, body: Uint8Array, answer: (body: unknown) => unknown): Promise<string> {
    let request: unknown;
    try {
      request = body.length === 0 ? {} : JSON.parse(this.#decoder.decode(body));
    } catch {
      return JSON.stringify({ error: wireError('malformed', 'is not JSON') });
    }
    if (!isObject(request)) return JSON.stringify({ error: wireError('malformed', 'must be an object') });
    const reply = await answer(request);
    this.#options.log.info('an operator asked', { op, request, reply: op === 'cluster' ? 'told' : reply });
    return JSON.stringify(reply);
  }

  #cluster(leader: DeskLeader): ClusterReply {
    const nowMs = this.#options.monotonic();
    const { term, placement } = leader;
    const takes = new Map(leader.nodes().map((known) => [known.node, known.takes]));
    const owners = ownersOf(placement, this.#options.shards);
    const nodes = this.processes.list(nowMs).map(({ beat: { v: _, ...beat }, silentMs }): NodeView => {
      const given = takes.get(beat.node);
      return {
        ...beat,
        leads: beat.node === leader.node,
        silentMs,
        ...(given === undefined ? {} : { takes: given }),
        ...(beat.roles.includes('scheduler') ? { placed: owners.filter((owner) => owner === beat.node).length } : {}),
      };
    });
    return {
      leader: leader.node,
      term,
      version: placement?.version ?? 0,
      shards: this.#options.shards,
      level: placement === undefined ? LEVELS.oldest : levelOf(placement),
      nodes,
      drained: placement?.drained ?? [],
      pins: placement?.pins ?? [],
      assignment: owners,
      workers: this.#workers.sums(nowMs),
    };
  }

  async #move(leader: DeskLeader, body: unknown): Promise<MoveReply | { readonly error: WireError }> {
    const { error: unknown, fields } = read(body, ['shard', 'to', 'unpin']);
    if (unknown !== undefined) return { error: unknown };
    const { shard, to, unpin } = fields;
    if (typeof shard !== 'number') return { error: wireError('invalid_field', 'must be a number', 'shard') };
    if (to !== undefined && !isName(to)) return { error: wireError('invalid_name', 'must be a name', 'to') };
    if (unpin !== undefined && (unpin !== true || to !== undefined))
      return { error: wireError('invalid_field', 'must be true, and without `to`', 'unpin') };
    const { shards } = this.#options;
    const from = ownersOf(leader.placement, shards)[shard] ?? null;
    const error = await leader.order(unpin === true ? { kind: 'unpin', shard } : { kind: 'move', shard, to });
    if (error !== undefined) return { error };
    const { placement } = leader;
    return { shard, from, to: ownersOf(placement, shards)[shard] ?? null, version: placement?.version ?? 0 };
  }

  async #drain(leader: DeskLeader, body: unknown): Promise<DrainReply | { readonly error: WireError }> {
    const { error: unknown, fields } = read(body, ['node', 'undo']);
    if (unknown !== undefined) return { error: unknown };
    const { node, undo } = fields;
    if (!isName(node)) return { error: wireError('invalid_name', 'must be a name', 'node') };
    if (undo !== undefined && undo !== true) return { error: wireError('invalid_field', 'must be true', 'undo') };
    const error = await leader.order({ kind: undo === true ? 'undrain' : 'drain', node });
    if (error !== undefined) return { error };
    return { node, drained: undo !== true, version: leader.placement?.version ?? 0 };
  }
}

function ownersOf(placement: Placement | undefined, shards: number): (string | null)[] {
  return Array.from({ length: shards }, (_, shard) => placement?.nodes[placement.assignment[shard] ?? -1] ?? null);
}

function read(
  body: unknown,
  known: readonly string[],
): { readonly error: WireError | undefined; readonly fields: { readonly [field: string]: unknown } } {
  const fields = body as { readonly [field: string]: unknown };
  const other = Object.keys(fields).find((field) => !known.includes(field));
  return { error: other === undefined ? undefined : wireError('unknown_field', 'is not known', other), fields };
}
