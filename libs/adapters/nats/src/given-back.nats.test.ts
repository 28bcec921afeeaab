import { LIMITS, workConsumer } from '@belfry/protocol';
import { expect, it } from 'vitest';

import { DurableConsumer } from './durable-consumer.ts';
import { testInstallation, testNatsUrl } from './testing.ts';
import { NatsWorkQueue } from './work-queue.ts';

const TIMES = 30;

it('delivers a message again, however often workers have given it back', async () => {
  const { link, names, dispose } = await testInstallation(testNatsUrl());
  const queue = new NatsWorkQueue(link, { names, maxBytes: 1_000_000 });
  await queue.ensure(() => Promise.resolve(1));
  await queue.ensureConsumer('acme', 'mail', LIMITS.workLeaseMs);
  const fence = await queue.takeFence(1, 1);
  if (fence.kind !== 'ok') throw new Error('no fence');
  const attempts = [{ execution: `${'0'.repeat(32)}-kz12abc`, attempt: 1 }];
  await queue.publish(fence.value, 'a', [{ namespace: 'acme', queue: 'mail', attempts, body: '{}' }]);
  const last = Promise.withResolvers<number>();
  const consumer = new DurableConsumer(link, {
    stream: names.streams.work,
    consumer: workConsumer('acme', 'mail'),
    window: 1,
    ensure: () => Promise.resolve(),
    onDelivery: (delivery) => {
      if (delivery.deliveries < TIMES) delivery.nak();
      else void delivery.ackConfirmed().then(() => last.resolve(delivery.deliveries));
    },
  });
  expect(await last.promise).toBe(TIMES);
  consumer.stop();
  expect(await queue.surviving(1)).toEqual([]);
  queue.close();
  await dispose();
});
