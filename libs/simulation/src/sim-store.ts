import { ok, retry, type CheckpointStore, type Outcome } from '@belfry/ports';
import { MemoryCheckpointStore } from '@belfry/ports/testing';
import type { Network } from './network.ts';
import type { Observer } from './observer.ts';
import type { Process } from './process.ts';

type Load = CheckpointStore['load'];

/** The checkpoint store as a service: the one in memory, behind the network. A commit is all or nothing. */
export class SimStore {
  readonly stored: MemoryCheckpointStore;
  readonly #network: Network;
  readonly #observer: Observer;
  readonly #crashes = new Map<string, number>();

  constructor(shards: number, network: Network, observer: Observer, now: () => number) {
    this.stored = new MemoryCheckpointStore({ shards, now });
    this.#network = network;
    this.#observer = observer;
  }

  /** The store as a process reaches it. */
  of(process: Process): CheckpointStore {
    const { stored } = this;
    const network = this.#network;
    return {
      takeEpochs: (shards, node, seen) =>
        network.outcome(process, 'store', async () => {
          const outcome = await stored.takeEpochs(shards, node, seen);
          if (outcome.kind === 'ok') this.#observer.epochsTaken(outcome.value, process);
          return outcome;
        }),
      load: (...args) => this.#load(process, ...args),
      commit: (deltas, attemptId) =>
        network.outcome(process, 'store', async () => {
          const outcome = await stored.commit(deltas, attemptId);
          if (outcome.kind === 'ok') this.#observer.committed(deltas, outcome.value.fenced, process);
          return outcome;
        }),
      bodies: (refs) => network.outcome(process, 'store', () => stored.bodies(refs)),
      nextFirstSeq: () => network.ask(process, 'store', () => stored.nextFirstSeq()),
    };
  }

  /** Counts a message that crashes its shard; returns how often it did. */
  countCrash(process: Process, shard: number, seq: number): Promise<number> {
    return this.#network.ask(process, 'store', () => {
      const times = (this.#crashes.get(`${shard}/${seq}`) ?? 0) + 1;
      this.#crashes.set(`${shard}/${seq}`, times);
      return Promise.resolve(times);
    });
  }

  /** What is read is of one instant; it comes in slices, and the connection may break between two of them. */
  async #load(
    process: Process,
    ...[shards, onActive, onCommands, onCalendars, onTasks, changed]: Parameters<Load>
  ): ReturnType<Load> {
    const calls: (() => void | Promise<void>)[] = [];
    const read = await this.#network.outcome(process, 'store', () =>
      this.stored.load(
        shards,
        (shard, rows) => void calls.push(() => onActive(shard, rows)),
        (shard, rows) => void calls.push(() => onCommands(shard, rows)),
        (shard, rows) => void calls.push(() => onCalendars(shard, rows)),
        (shard, tasks) => void calls.push(() => onTasks(shard, tasks)),
        changed,
      ),
    );
    if (read.kind !== 'ok') return read;
    for (const [at, call] of calls.entries()) {
      if (at % 16 === 8) {
        const next: Outcome<void> = await this.#network.outcome(process, 'store', () => Promise.resolve(ok(undefined)));
        if (next.kind !== 'ok') return retry(next.kind === 'retry' ? next.error : next.reason);
      }
      await call();
    }
    return ok(undefined);
  }
}
