import {
  checkpointStoreConformance,
  inboxConformance,
  leaseStoreConformance,
  placementStoreConformance,
  workQueueConformance,
  type PulledWork,
} from '@belfry/ports/testing';
import { LIMITS } from '@belfry/protocol';

import { Network } from './network.ts';
import type { Observer } from './observer.ts';
import { Process } from './process.ts';
import { Random } from './random.ts';
import { Services } from './services.ts';
import { VirtualTime } from './virtual-time.ts';

const SHARDS = 8;
/** What happens later than this from now happens only when time has passed by something else: leases do not run out by themselves. */
const FAR_MS = 5_000;

const NOBODY: Observer = {
  appending: () => undefined,
  appended: () => undefined,
  epochsTaken: () => undefined,
  fenceTaken: () => undefined,
  published: () => undefined,
  leaseExpired: () => undefined,
  acknowledged: () => undefined,
  workStreamLost: () => undefined,
  committed: () => undefined,
};

/** The simulated servers behind their network, in good weather, while virtual time goes on. */
class World {
  readonly time = new VirtualTime();
  readonly services: Services;
  readonly #processes: [Process, Process];
  #isOver = false;
  readonly #ended: Promise<void>;

  constructor(maxBytes?: number) {
    const random = new Random(17);
    const network = new Network(this.time, random);
    this.services = new Services(SHARDS, this.time, network, random, NOBODY, () => undefined, maxBytes);
    this.#processes = [new Process('one', this.time), new Process('other', this.time)];
    this.#ended = this.#goOn();
  }

  get process(): Process {
    return this.#processes[0];
  }

  get other(): Process {
    return this.#processes[1];
  }

  readonly dispose = async (): Promise<void> => {
    this.#isOver = true;
    await this.#ended;
  };

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= FAR_MS / 2)
      await new Promise<void>((resolve) => void this.time.after(Math.min(left, FAR_MS / 2), resolve));
  }

  /** What a worker gets that asks for so many messages, however many executions they carry. */
  pull(namespace: string, queue: string, count: number): Promise<PulledWork[]> {
    const { work } = this.services;
    const pulled: PulledWork[] = [];
    return new Promise((resolve) => {
      const puller = {
        process: new Process('worker', this.time),
        ...{
          namespace,
          queue,
          window: 1,
          leaseMs: LIMITS.ackWaitMs,
          pullMs: Infinity,
          askedAt: 0,
          sentAt: 0,
          isBound: true,
          wanted: 0,
        },
        receive: ({ work: got }: { readonly work: PulledWork }): void => {
          pulled.push({ ...got, ack: () => work.acknowledge(got) });
          const executions = pulled.reduce((sum, { ref }) => sum + ref.attempts.length, 0);
          if (pulled.length < count) return work.setWindow(puller, executions + 1, 0);
          work.leave(puller.process);
          resolve(pulled);
        },
        onGone: () => undefined,
      };
      work.pull(puller);
    });
  }

  async #goOn(): Promise<void> {
    while (!this.#isOver) {
      await this.time.run(() => this.#isOver || (this.time.nextMs ?? Infinity) > this.time.nowMs + FAR_MS);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

inboxConformance('simulated', ({ maxBytes }) => {
  const world = new World(maxBytes);
  return Promise.resolve({ inbox: world.services.inbox.of(world.process), dispose: world.dispose });
});

workQueueConformance('simulated', ({ maxBytes }) => {
  const world = new World(maxBytes);
  const { work } = world.services;
  let counter = 0;
  return Promise.resolve({
    queue: work.of(world.process),
    other: work.of(world.other),
    firstSeq: () => Promise.resolve((counter += 1_000_000)),
    pull: (namespace, queue, count) => world.pull(namespace, queue, count),
    lose: () => Promise.resolve(work.lose()),
    dispose: world.dispose,
  });
});

checkpointStoreConformance('simulated', () => {
  const world = new World();
  const { store } = world.services;
  const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
  return Promise.resolve({
    store: store.of(world.process),
    other: store.of(world.other),
    history: (task) =>
      Promise.resolve(shards.flatMap((shard) => store.stored.history(shard)).filter((row) => row.task === task)),
    dispose: world.dispose,
  });
});

leaseStoreConformance('simulated', () => {
  const world = new World();
  return Promise.resolve({
    store: world.services.leases(world.process),
    expire: () => world.pass(LIMITS.leaseTtlMs),
    dispose: world.dispose,
  });
});

placementStoreConformance('simulated', () => {
  const world = new World();
  return Promise.resolve({ store: world.services.placements(world.process), dispose: world.dispose });
});
