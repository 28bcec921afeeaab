import { MemoryLeaseStore, MemoryPlacementStore } from '@belfry/ports/testing';
import type { LeaseStore, Placement, PlacementStore } from '@belfry/ports';
import { LIMITS } from '@belfry/protocol';
import type { Log } from '@belfry/scheduler';
import type { Network } from './network.ts';
import type { Observer } from './observer.ts';
import { T0, type Process } from './process.ts';
import type { Random } from './random.ts';
import { SimInbox } from './sim-inbox.ts';
import { SimMessages } from './sim-messages.ts';
import { SimStore } from './sim-store.ts';
import { SimWork } from './sim-work.ts';
import type { VirtualTime } from './virtual-time.ts';

const WATCH_AGAIN_MS = 500;

/** What all processes of a cluster share, and what each writes to its log. Both streams take `maxBytes`, or what they take by default. */
export class Services {
  readonly shards: number;
  readonly inbox: SimInbox;
  readonly work: SimWork;
  readonly store: SimStore;
  readonly messages: SimMessages;
  readonly #network: Network;
  readonly #time: VirtualTime;
  readonly #leases: MemoryLeaseStore;
  readonly #placements = new MemoryPlacementStore();
  readonly #onLog: (line: string) => void;

  constructor(
    shards: number,
    time: VirtualTime,
    network: Network,
    random: Random,
    observer: Observer,
    onLog: (line: string) => void,
    maxBytes?: number,
  ) {
    this.shards = shards;
    this.#time = time;
    this.#network = network;
    this.#onLog = onLog;
    this.inbox = new SimInbox(time, network, random, observer, maxBytes);
    this.work = new SimWork(time, network, observer, maxBytes);
    this.store = new SimStore(shards, network, observer, () => T0 + time.nowMs);
    this.messages = new SimMessages(network);
    this.#leases = new MemoryLeaseStore({ now: () => time.nowMs, ttlMs: LIMITS.leaseTtlMs });
  }

  log(process: Process): Log {
    const write =
      (level: string) =>
      (message: string, fields?: Record<string, unknown>): void =>
        this.#onLog(`${process.name} ${level}: ${message}${fields === undefined ? '' : ` ${JSON.stringify(fields)}`}`);
    return { info: write('info'), warn: write('warn'), error: write('error') };
  }

  /** The broker dies, with the work stream in its memory and what it has not synced. Returns how many appends that are. */
  crashBroker(): number {
    this.work.lose();
    return this.inbox.crash();
  }

  leases(process: Process): LeaseStore {
    const leases = this.#leases;
    const network = this.#network;
    return {
      acquire: (...args) => network.outcome(process, 'leases', () => leases.acquire(...args)),
      read: (name) => network.outcome(process, 'leases', () => leases.read(name)),
      renew: (...args) => network.outcome(process, 'leases', () => leases.renew(...args)),
      release: (...args) => network.ask(process, 'leases', () => leases.release(...args)),
    };
  }

  placements(process: Process): PlacementStore {
    const placements = this.#placements;
    const network = this.#network;
    return {
      read: () => network.ask(process, 'leases', () => placements.read()),
      write: (placement) => network.outcome(process, 'leases', () => placements.write(placement)),
      watch: (onPlacement) => network.ask(process, 'leases', () => this.#watch(process, onPlacement)),
    };
  }

  /** A process that is cut off learns the latest placement when it no longer is. */
  #watch(process: Process, onPlacement: (placement: Placement) => void): Promise<{ stop(): Promise<void> }> {
    let latest: Placement | undefined;
    const arrive = (): void => {
      if (this.#network.isOff(process, 'leases', 'in')) return void this.#time.after(WATCH_AGAIN_MS, arrive);
      const placement = latest;
      latest = undefined;
      if (placement !== undefined) process.happen(() => onPlacement(placement));
    };
    return this.#placements.watch((placement) => {
      latest = placement;
      this.#time.after(2, arrive);
    });
  }
}
