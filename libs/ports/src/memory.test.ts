import { inboxConformance } from './inbox.conformance.ts';
import { leaseStoreConformance, placementStoreConformance } from './lease-store.conformance.ts';
import { MemoryInbox } from './memory-inbox.ts';
import { MemoryLeaseStore, MemoryPlacementStore } from './memory-lease-store.ts';
import { MemoryWorkQueue } from './memory-work-queue.ts';
import { workQueueConformance } from './work-queue.conformance.ts';

const dispose = (): Promise<void> => Promise.resolve();

inboxConformance('memory', ({ maxBytes }) => {
  let now = 1_700_000_000_000;
  return Promise.resolve({ inbox: new MemoryInbox({ now: () => now++, maxBytes }), dispose });
});

workQueueConformance('memory', ({ maxBytes }) => {
  const queue = new MemoryWorkQueue({ maxBytes });
  let counter = 0;
  return Promise.resolve({
    queue,
    other: queue,
    firstSeq: () => Promise.resolve((counter += 1_000_000)),
    pull: (namespace, name, count) => Promise.resolve(queue.pull(namespace, name, count)),
    lose: () => Promise.resolve(queue.lose()),
    dispose,
  });
});

leaseStoreConformance('memory', () => {
  let now = 0;
  return Promise.resolve({
    store: new MemoryLeaseStore({ now: () => now, ttlMs: 1_000 }),
    expire: () => Promise.resolve(void (now += 1_000)),
    dispose,
  });
});

placementStoreConformance('memory', () => Promise.resolve({ store: new MemoryPlacementStore(), dispose }));
