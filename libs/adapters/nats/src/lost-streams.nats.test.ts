import type { InboxMessage } from '@belfry/ports';
import { subjects } from '@belfry/protocol';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { jsApi } from './api.ts';
import { DurablePublisher } from './durable-publisher.ts';
import { NatsInbox } from './inbox.ts';
import { IngestConsumer } from './ingest.ts';
import { ensureStreams, remakeStreams } from './streams.ts';
import { testInstallation, testNatsUrl, type TestInstallation } from './testing.ts';

const INGEST_SEQ = 5_000;
const SMALL = { inboxBytes: 1_000_000, ingestBytes: 1_000_000, rejectedBytes: 1_000_000 };

let test: TestInstallation;
beforeEach(async () => {
  test = await testInstallation(testNatsUrl());
  await ensureStreams(test.link, test.names, SMALL);
});
afterEach(() => test.dispose());

const lose = (stream: string): Promise<unknown> => jsApi(test.link, `STREAM.DELETE.${stream}`);
const remake = (inboxFirstSeq = 1): Promise<string[]> =>
  remakeStreams(test.link, test.names, { ...SMALL, ingestFirstSeq: INGEST_SEQ }, () => Promise.resolve(inboxFirstSeq));

it('leaves streams alone that are there', async () => {
  const settings = (): never => {
    throw new Error('nobody should ask');
  };
  expect(await remakeStreams(test.link, test.names, SMALL, settings)).toEqual([]);
});

it('makes others anew though nobody can say where the inbox is to begin', async () => {
  await Promise.all([lose(test.names.streams.inbox), lose(test.names.streams.ingest)]);
  const away = (): Promise<never> => Promise.reject(new Error('Postgres is away'));
  const again = (): Promise<string[]> => remakeStreams(test.link, test.names, SMALL, away);
  expect(await again()).toEqual([expect.stringContaining('The ingest stream was gone')]);
  await expect(again()).rejects.toThrow('Postgres is away');
  expect(await remake(7)).toEqual([expect.stringContaining('The inbox was gone')]);
});

it('makes an inbox anew where it is told: readings of the old one end, and the next find what comes', async () => {
  const inbox = new NatsInbox(test.link, { names: test.names, shards: 4 });
  await inbox.append([{ shard: 1, body: 'old' }]);
  const old = await inbox.read([1], 1, () => undefined);
  await lose(test.names.streams.inbox);
  await expect(old.done).rejects.toMatchObject({ code: 'gone' });
  expect(await remake(1_000)).toEqual([expect.stringContaining('The inbox was gone')]);
  expect(await remake(2_000)).toEqual([]);
  expect(await inbox.usage()).toMatchObject({ firstSeq: 1_000, lastSeq: 999 });
  const got: InboxMessage[] = [];
  const reading = await inbox.read([1], 2, (message) => void got.push(message));
  expect(await inbox.append([{ shard: 1, body: 'new' }])).toEqual({ kind: 'ok', value: [1_000] });
  await expect.poll(() => got.map(({ seq }) => seq)).toEqual([1_000]);
  await reading.stop();
  inbox.close();
});

it('makes ingest and the refusals anew, and those who use them go on', async () => {
  const publisher = new DurablePublisher(test.link);
  const got: string[] = [];
  const ingest = new IngestConsumer(test.link, {
    names: test.names,
    window: 10,
    onMessage: (message) => {
      got.push(`${new TextDecoder().decode(message.data)} ${message.streamSeq}`);
      message.ack();
    },
  });
  const publish = async (body: string): Promise<string> => {
    const subject = test.names.subject(subjects.ingest('acme'));
    return (await publisher.publish(subject, body, body)).kind;
  };
  await publish('old');
  await expect.poll(() => got).toEqual(['old 1']);
  await Promise.all([lose(test.names.streams.ingest), lose(test.names.streams.rejected)]);
  expect((await remake()).map((note) => note.split(' was gone')[0])).toEqual([
    'The ingest stream',
    'The stream of refused messages',
  ]);
  expect(await publish('new')).toBe('ok');
  await expect.poll(() => got).toEqual(['old 1', `new ${INGEST_SEQ}`]);
  ingest.stop();
  publisher.close();
});
