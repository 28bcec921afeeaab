import { subjects } from '@belfry/protocol';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { jsApi } from './api.ts';
import { DurableConsumer, ensureDurable, type Delivery } from './durable-consumer.ts';
import { DurablePublisher } from './durable-publisher.ts';
import { ensureStreams } from './streams.ts';
import { testInstallation, testNatsUrl, type TestInstallation } from './testing.ts';

const SMALL = { inboxBytes: 1_000_000, ingestBytes: 1_000_000, rejectedBytes: 1_000_000 };

let test: TestInstallation;
beforeEach(async () => {
  test = await testInstallation(testNatsUrl());
  await ensureStreams(test.link, test.names, SMALL);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await test.dispose();
});

it('asks again when a pull is over that says nothing, as where the leader of its consumer is gone', async () => {
  const pulls: string[] = [];
  const { nc } = test.link;
  const publish = nc.publish.bind(nc);
  vi.spyOn(nc, 'publish').mockImplementation((subject, ...rest) => {
    if (subject.includes('.MSG.NEXT.') && pulls.push(subject) === 1) return; // nobody knows of the first
    publish(subject, ...rest);
  });
  const stream = test.names.streams.ingest;
  const ensure = vi.fn(() => ensureDurable(test.link, stream, 'test', { ack_policy: 'explicit' }));
  const got: string[] = [];
  const consumer = new DurableConsumer(test.link, {
    ...{ stream, consumer: 'test', window: 1, expiresMs: 500, ensure },
    onDelivery: (delivery) => {
      got.push(new TextDecoder().decode(delivery.data));
      delivery.ack();
    },
  });
  const publisher = new DurablePublisher(test.link);
  await publisher.publish(test.names.subject(subjects.ingest('acme')), 'waits', 'waits');
  publisher.close();
  await expect.poll(() => got, { timeout: 30_000 }).toEqual(['waits']);
  expect(ensure.mock.calls.length).toBeGreaterThan(1);
  consumer.stop();
});

it('has one pull open at a time, also when those before were served whole', async () => {
  const stream = test.names.streams.ingest;
  const got: string[] = [];
  const consumer = new DurableConsumer(test.link, {
    ...{ stream, consumer: 'test', window: 1, expiresMs: 30_000 },
    ensure: () => ensureDurable(test.link, stream, 'test', { ack_policy: 'explicit' }),
    onDelivery: (delivery) => {
      got.push(new TextDecoder().decode(delivery.data));
      delivery.ack();
    },
  });
  const publisher = new DurablePublisher(test.link);
  const sent = Array.from({ length: 5 }, (_, i) => `m${i}`);
  for (const [i, text] of sent.entries()) {
    await publisher.publish(test.names.subject(subjects.ingest('acme')), text, text);
    await expect.poll(() => got.length).toBe(i + 1);
  }
  publisher.close();
  await test.link.nc.flush(); // the server has said that the last one is over, and has had what we answered to that
  const info = await jsApi<{ readonly num_waiting: number }>(test.link, `CONSUMER.INFO.${stream}.test`);
  expect(info).toMatchObject({ kind: 'ok', value: { num_waiting: 1 } });
  consumer.stop();
});

it('has an extension confirmed by who leases the message, and by nobody when the consumer is gone', async () => {
  const stream = test.names.streams.ingest;
  const subject = test.names.subject(subjects.ingest('acme'));
  const held: Delivery[] = [];
  const consumer = new DurableConsumer(test.link, {
    ...{ stream, consumer: 'test', window: 2, expiresMs: 30_000 },
    ensure: () => ensureDurable(test.link, stream, 'test', { ack_policy: 'explicit' }),
    onDelivery: (delivery) => held.push(delivery),
  });
  const publisher = new DurablePublisher(test.link);
  for (const text of ['a', 'b']) await publisher.publish(subject, text, text);
  publisher.close();
  await expect.poll(() => held.length).toBe(2);
  const [first, second] = held as [Delivery, Delivery];
  expect(await first.extendConfirmed()).toBe(true);
  first.ack();
  expect(await first.extendConfirmed(), 'what is settled is not asked about').toBe(false);
  expect(await jsApi(test.link, `CONSUMER.DELETE.${stream}.test`)).toMatchObject({ kind: 'ok' });
  expect(await second.extendConfirmed()).toBe(false);
  consumer.stop();
});
