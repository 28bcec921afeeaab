import { workConsumer } from '@belfry/protocol';
import {
  inboxConformance,
  leaseStoreConformance,
  placementStoreConformance,
  workQueueConformance,
} from '@belfry/ports/testing';
import type { PulledWork } from '@belfry/ports/testing';

import { jsApi } from './api.ts';
import { readEntry } from './bucket-entry.ts';
import { DurableConsumer } from './durable-consumer.ts';
import { NatsInbox } from './inbox.ts';
import { NatsLeaseStore } from './lease-store.ts';
import { NatsPlacementStore } from './placement-store.ts';
import { ensureStreams } from './streams.ts';
import { testInstallation, testNatsUrl } from './testing.ts';
import type { TestInstallation } from './testing.ts';
import { NatsWorkQueue, workRefOf } from './work-queue.ts';

const SMALL = { inboxBytes: 1_000_000, ingestBytes: 1_000_000, rejectedBytes: 1_000_000 };

inboxConformance('NATS', async ({ maxBytes }) => {
  const test = await testInstallation(testNatsUrl());
  const { link, names } = test;
  await ensureStreams(link, names, { ...SMALL, inboxBytes: maxBytes });
  const inbox = new NatsInbox(link, { names, shards: 8 });
  return { inbox, dispose: test.dispose };
});

/** What comes first out of a queue: `count` messages, unsettled. */
function pull(test: TestInstallation, namespace: string, queue: string, count: number): Promise<PulledWork[]> {
  const { link, names } = test;
  return new Promise((resolve) => {
    const pulled: PulledWork[] = [];
    const consumer = new DurableConsumer(link, {
      stream: names.streams.work,
      consumer: workConsumer(namespace, queue),
      window: count,
      ensure: () => Promise.resolve(),
      onDelivery: (delivery) => {
        const body = new TextDecoder().decode(delivery.data);
        const ref = workRefOf(names.protocolSubject(delivery.subject), body);
        if (ref === undefined) throw new Error(`not a work subject: ${delivery.subject}`);
        pulled.push({
          ref,
          body,
          traceparent: delivery.header('traceparent'),
          ack: async () => void (await delivery.ackConfirmed()),
        });
        if (pulled.length < count) return;
        consumer.stop();
        resolve(pulled);
      },
    });
  });
}

workQueueConformance('NATS', async ({ maxBytes }) => {
  const test = await testInstallation(testNatsUrl());
  const { link, names } = test;
  const queue = new NatsWorkQueue(link, { names, maxBytes });
  let counter = 0;
  return {
    queue,
    other: new NatsWorkQueue(link, { names, maxBytes }),
    firstSeq: () => Promise.resolve((counter += 1_000_000)),
    pull: (namespace, name, count) => pull(test, namespace, name, count),
    lose: async () => void (await jsApi(link, `STREAM.DELETE.${names.streams.work}`)),
    dispose: test.dispose,
  };
});

leaseStoreConformance('NATS', async () => {
  const test = await testInstallation(testNatsUrl());
  const { link, names } = test;
  await ensureStreams(link, names, SMALL);
  return {
    store: new NatsLeaseStore(link, { names, ttlMs: 1_000 }),
    expire: async (name) => {
      // The server counts whole seconds by its own clock; its word is the signal.
      while ((await readEntry(link, { name: names.buckets.leases, replicas: 1 }, name)).kind === 'value');
    },
    dispose: test.dispose,
  };
});

placementStoreConformance('NATS', async () => {
  const test = await testInstallation(testNatsUrl());
  await ensureStreams(test.link, test.names, SMALL);
  return { store: new NatsPlacementStore(test.link, { names: test.names }), dispose: test.dispose };
});
