import { subjects } from '@belfry/protocol';
import type { InboxMessage } from '@belfry/ports';
import { expect, it } from 'vitest';

import { NatsInbox } from './inbox.ts';
import { ensureStreams } from './streams.ts';
import { testInstallation, testNatsUrl } from './testing.ts';

it('gives each shard of a reading what came as a bundle and is none, and goes on', async () => {
  const test = await testInstallation(testNatsUrl());
  try {
    const { link, names } = test;
    await ensureStreams(link, names, { inboxBytes: 1_000_000, ingestBytes: 1_000_000, rejectedBytes: 1_000_000 });
    const inbox = new NatsInbox(link, { names, shards: 8 });
    await link.nc.request(names.subject(subjects.inboxBundle), 'no bundle');
    await inbox.append([
      { shard: 1, body: 'one' },
      { shard: 2, body: 'two' },
    ]);
    const got: InboxMessage[] = [];
    const complete = Promise.withResolvers<void>();
    const reading = await inbox.read([1, 3], 1, (message) => {
      got.push(message);
      if (got.length === 3) complete.resolve();
    });
    await complete.promise;
    await reading.stop();
    const seen = got.map(({ shard, more, body }) => [shard, new TextDecoder().decode(body), more === true]);
    expect(seen).toEqual([
      [1, 'no bundle', true],
      [3, 'no bundle', false],
      [1, 'one', false],
    ]);
    expect(got.map(({ seq }) => seq - (got[0]?.seq ?? 0))).toEqual([0, 0, 1]);
  } finally {
    await test.dispose();
  }
});
