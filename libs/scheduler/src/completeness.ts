import { LIMITS } from '@belfry/protocol';
import { MISPLACES, type MissedFire, type Shard } from '@belfry/shard';
import type { Log } from './environment.ts';
import type { HostedShard } from './hosted-shard.ts';

/** The ledgers of a node's shards, in sum. */
export interface NodeLedger {
  /** Fires that came due: all that follows is what became of them. */
  readonly expected: number;
  /** Due, and not dispatched yet. */
  readonly waiting: number;
  /** In the work stream, with workers, or between two attempts. */
  readonly dispatched: number;
  readonly succeeded: number;
  readonly dead: number;
  readonly failed: number;
  readonly cancelled: number;
  /** By catch-up policies. */
  readonly skipped: number;
  /** By updates and cancels. */
  readonly withdrawn: number;
  /** It must be 0. */
  readonly missed: number;
}

type Audited = Pick<HostedShard, 'leaving'> & {
  readonly core: Pick<Shard, 'shard' | 'audit' | 'imbalance' | 'expected' | 'waitingFires' | 'counters'>;
};

/**
 * Looks for missing fires all the time, a few tasks in each tick, and tells what it finds.
 *
 * A1. The cost of a tick is bounded by `LIMITS.auditTasks`, however many tasks there are; a round takes as long as that allows.
 * A2. What does not balance is told once for each number.
 */
export class Completeness {
  readonly #log: Log;
  /** Where each shard's audit goes on. */
  readonly #next = new WeakMap<Audited, number>();
  readonly #told = new WeakMap<Audited, number>();
  #turn = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  /** Audits some tasks of one shard; the next tick takes the next shard when that one is through, or cannot be audited now. Call it after the wheels were advanced. */
  tick<Host extends Audited>(hosts: readonly Host[], guard: (host: Host, act: () => void) => void): void {
    if (hosts.length === 0) return;
    this.#turn %= hosts.length;
    const host = hosts[this.#turn] as Host;
    if (host.leaving) this.#turn++;
    else guard(host, () => this.#audit(host));
  }

  #audit(host: Audited): void {
    const { core } = host;
    const { next, looked, found } = core.audit(this.#next.get(host) ?? 0, LIMITS.auditTasks);
    for (const fire of found) this.#tell(core.shard, fire);
    this.#next.set(host, next);
    if (next > 0 && looked > 0) return;
    this.#turn++;
    const { shard, imbalance, expected, waitingFires, counters } = host.core;
    if (imbalance === (this.#told.get(host) ?? 0)) return; // A2
    this.#told.set(host, imbalance);
    const accounts = { expected, waiting: waitingFires, ...counters };
    this.#log.error('the ledger of a shard does not balance: fires are missing, or were not expected', {
      shard,
      imbalance,
      ...accounts,
    });
  }

  #tell(shard: number, { task, scheduledAt, place }: MissedFire): void {
    this.#log.error(`a fire is missing: ${MISPLACES[place]}`, {
      shard,
      task,
      scheduledAt: new Date(scheduledAt).toISOString(),
      place,
    });
  }
}

export function nodeLedger(hosts: Iterable<Pick<Audited, 'core'>>): NodeLedger {
  const sums = {
    expected: 0,
    waiting: 0,
    dispatched: 0,
    succeeded: 0,
    dead: 0,
    failed: 0,
    cancelled: 0,
    skipped: 0,
    withdrawn: 0,
    missed: 0,
  };
  for (const { core } of hosts) {
    const { fired, finished, dead, failed, cancelled, skipped, withdrawn, missed } = core.counters;
    sums.expected += core.expected;
    sums.waiting += core.waitingFires;
    sums.dispatched += fired - finished;
    sums.succeeded += finished - dead - failed - cancelled;
    sums.dead += dead;
    sums.failed += failed;
    sums.cancelled += cancelled;
    sums.skipped += skipped;
    sums.withdrawn += withdrawn;
    sums.missed += missed;
  }
  return sums;
}
