import { workConsumer } from '@belfry/protocol';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { DurableConsumer } from './durable-consumer.ts';
import { testInstallation, testNatsUrl } from './testing.ts';
import { NatsWorkQueue } from './work-queue.ts';

let installation: Awaited<ReturnType<typeof testInstallation>>;
let queue: NatsWorkQueue;
let consumers: DurableConsumer[];

beforeEach(async () => {
  installation = await testInstallation(testNatsUrl());
  const { link, names } = installation;
  queue = new NatsWorkQueue(link, { names, maxBytes: 1_000_000 });
  await queue.ensure(() => Promise.resolve(1));
  consumers = [];
});

afterEach(async () => {
  for (const consumer of consumers) consumer.stop();
  queue.close();
  await installation.dispose();
});

async function publish(...queues: readonly string[]): Promise<void> {
  const fence = await queue.takeFence(1, 1);
  if (fence.kind !== 'ok') throw new Error('no fence');
  const messages = queues.map((name, index) => {
    const attempts = [{ execution: `${String(index).repeat(32)}-kz12abc`, attempt: 1 }];
    return { namespace: 'acme', queue: name, attempts, body: '{}' };
  });
  const published = await queue.publish(fence.value, 'a', messages);
  expect(published.kind).toBe('ok');
}

function consume(name: string, onDelivery: (deliveries: number) => void): void {
  const consumer = workConsumer('acme', name);
  const options = { stream: installation.names.streams.work, consumer, window: 10, ensure: () => Promise.resolve() };
  consumers.push(
    new DurableConsumer(installation.link, { ...options, onDelivery: ({ deliveries }) => onDelivery(deliveries) }),
  );
}

it('gives to another, when the lease is shortened, what was delivered before', async () => {
  await queue.ensureConsumer('acme', 'mail', 3_600_000);
  const again = Promise.withResolvers<number>();
  consume('mail', (deliveries) => {
    if (deliveries > 1) again.resolve(deliveries);
    else queue.setLease({ namespace: 'acme', queue: 'mail', leaseMs: 100 }).catch(again.reject);
  });
  await publish('mail');
  expect(await again.promise).toBe(2);
});

it('leaves with its worker, when the lease is lengthened, what was delivered before', async () => {
  await queue.ensureConsumer('acme', 'mail', 1_000);
  await queue.ensureConsumer('acme', 'clock', 1_000);
  const deliveries: number[] = [];
  const later = Promise.withResolvers<void>();
  consume('mail', (count) => {
    deliveries.push(count);
    queue.setLease({ namespace: 'acme', queue: 'mail', leaseMs: 3_600_000 }).catch(later.reject);
  });
  // The same lease that is not lengthened: when it has ended three times, the other would have.
  consume('clock', (count) => count === 4 && later.resolve());
  await publish('mail', 'clock');
  await later.promise;
  expect(deliveries).toEqual([1]);
});
