import { expect, it } from 'vitest';

import { HeaderBlock } from './header-block.ts';
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

it('carries headers and reply subjects', async () => {
  const test = await testInstallation(testNatsUrl());
  try {
    const { nc } = test.link;
    const got: string[] = [];
    const complete = Promise.withResolvers<void>();
    nc.subscribe('turn-writer.*', {
      callback: (_error, message) => {
        const header = message.headers?.get('A');
        got.push([message.subject, message.reply ?? '', header ?? '', message.string()].join('|'));
        if (got.length === 4) complete.resolve();
      },
    });
    await nc.flush();
    const writer = new TurnWriter(nc);
    const headers = new HeaderBlock().add('A', 'one').add('B', 2);
    writer.publish('turn-writer.a', 'ä', { headers });
    writer.publish('turn-writer.b', 'b', { headers, reply: 'answer.b' });
    writer.publish('turn-writer.c', new TextEncoder().encode('c'), { headers, reply: 'answer.c' });
    writer.publish('turn-writer.d', '', { reply: 'answer.d' });
    await complete.promise;
    expect(got).toEqual([
      'turn-writer.a||one|ä',
      'turn-writer.b|answer.b|one|b',
      'turn-writer.c|answer.c|one|c',
      'turn-writer.d|answer.d||',
    ]);
  } finally {
    await test.dispose();
  }
});
