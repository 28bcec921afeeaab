import { workConsumer } from '@belfry/protocol';
import { expect, it } from 'vitest';

import { DurableConsumer } from './durable-consumer.ts';
import { testInstallation, testNatsUrl } from './testing.ts';
import { NatsWorkQueue } from './work-queue.ts';

const LEASE = { namespace: 'acme', queue: 'mail' };

it('leases for as long as the queue says at the moment, what was delivered before that was changed, too', async () => {
  const { link, names, dispose } = await testInstallation(testNatsUrl());
  const queue = new NatsWorkQueue(link, { names, maxBytes: 1_000_000 });
  await queue.ensure(() => Promise.resolve(1));
  await queue.ensureConsumer('acme', 'mail', 3_600_000);
  const fence = await queue.takeFence(1, 1);
  if (fence.kind !== 'ok') throw new Error('no fence');
  const attempts = [{ execution: `${'0'.repeat(32)}-kz12abc`, attempt: 1 }];
  await queue.publish(fence.value, 'a', [{ ...LEASE, attempts, body: '{}' }]);
  const again = Promise.withResolvers<number>();
  const consumer = new DurableConsumer(link, {
    stream: names.streams.work,
    consumer: workConsumer('acme', 'mail'),
    window: 2,
    ensure: () => Promise.resolve(),
    onDelivery: ({ deliveries }) => {
      if (deliveries > 1) again.resolve(deliveries);
      else void queue.setLease({ ...LEASE, leaseMs: 100 });
    },
  });
  expect(await again.promise).toBe(2);
  consumer.stop();
  queue.close();
  await dispose();
});
