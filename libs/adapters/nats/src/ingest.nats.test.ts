import { subjects } from '@belfry/protocol';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { connectNats, type NatsLink } from './connection.ts';
import { DurablePublisher } from './durable-publisher.ts';
import { IngestConsumer, type IngestMessage } from './ingest.ts';
import { ensureStreams } from './streams.ts';
import { testInstallation, testNatsUrl, type TestInstallation } from './testing.ts';

const LEASE_MS = 300;
const SMALL = { inboxBytes: 1_000_000, ingestBytes: 1_000_000, rejectedBytes: 1_000_000 };

let test: TestInstallation;
let other: NatsLink;
beforeEach(async () => {
  test = await testInstallation(testNatsUrl());
  other = await connectNats(testNatsUrl(), { name: 'other' });
  await ensureStreams(test.link, test.names, SMALL);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await other.close();
  await test.dispose();
});

/** A gateway that takes one message at a time, and settles none. */
function gateway(link: NatsLink): { readonly got: IngestMessage[]; readonly consumer: IngestConsumer } {
  const got: IngestMessage[] = [];
  const onMessage = (message: IngestMessage): void => void got.push(message);
  const consumer = new IngestConsumer(link, { names: test.names, window: 1, leaseMs: LEASE_MS, onMessage });
  return { got, consumer };
}

async function publish(body: string): Promise<void> {
  const publisher = new DurablePublisher(test.link);
  await publisher.publish(test.names.subject(subjects.ingest('acme')), body, body);
  publisher.close();
}

it('is kept by a gateway that takes long: it says so again and again', async () => {
  const { got, consumer } = gateway(test.link);
  const said: string[] = [];
  const watch = other.nc.subscribe('$JS.ACK.>', {
    callback: (_error, message) => {
      if (message.subject.includes(test.names.streams.ingest)) said.push(message.string());
    },
  });
  await publish('slow');
  await expect.poll(() => said.length, { timeout: 20 * LEASE_MS }).toBeGreaterThan(4);
  expect(new Set(said)).toEqual(new Set(['+WPI']));
  got[0]?.ack();
  await expect.poll(() => said.at(-1)).toBe('+ACK');
  watch.unsubscribe();
  consumer.stop();
});

it('goes to another when the one that has it hears nothing of the server, though it may be heard', async () => {
  const deaf = gateway(other);
  await publish('held');
  await expect.poll(() => deaf.got.length).toBe(1);
  vi.spyOn(other.nc, 'flush').mockReturnValue(new Promise(() => undefined));
  const sound = gateway(test.link);
  await expect.poll(() => sound.got.map(({ deliveries }) => deliveries), { timeout: 20 * LEASE_MS }).toEqual([2]);
  sound.got[0]?.ack();
  deaf.consumer.stop();
  sound.consumer.stop();
});
