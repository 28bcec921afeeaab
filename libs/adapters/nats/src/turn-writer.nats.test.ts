import { expect, it } from 'vitest';

import { testInstallation, testNatsUrl } from './testing.ts';
import { TurnWriter } from './turn-writer.ts';

it('publishes texts of any characters and sizes, in order', async () => {
  const test = await testInstallation(testNatsUrl());
  try {
    const { nc } = test.link;
    const sent = ['', '{}', 'zwölf €🔔\r\n', 'x'.repeat(70_000), 'y'.repeat(60_000), 'z'.repeat(60_000), 'end'];
    const got: string[] = [];
    const complete = Promise.withResolvers<void>();
    nc.subscribe('turn-writer.*', {
      callback: (_error, message) => {
        got.push(`${message.subject} ${message.string()}`);
        if (got.length === 2 * sent.length) complete.resolve();
      },
    });
    await nc.flush();
    const writer = new TurnWriter(nc);
    for (const body of sent) {
      writer.publish('turn-writer.a', body);
      writer.publish('turn-writer.b', body);
    }
    await complete.promise;
    expect(got).toEqual(sent.flatMap((body) => [`turn-writer.a ${body}`, `turn-writer.b ${body}`]));
  } finally {
    await test.dispose();
  }
});
