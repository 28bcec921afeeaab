import { describe, expect, it } from 'vitest';

import { decodeBundle, encodeBundle } from './bundle.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (body: Uint8Array): string => new TextDecoder().decode(body);

describe('a bundle', () => {
  it('gives back what went into it, whatever the characters', () => {
    const messages = ['{"a":1}', '', 'zwölf €\n🔔', '}\n{'].map((body, shard) => ({ shard: shard * 85, body }));
    const lengths = messages.map(({ body }) => Buffer.byteLength(body));
    const parts = decodeBundle(encodeBundle(messages, lengths));
    expect(parts?.map(({ shard, body }) => ({ shard, body: text(body) }))).toEqual(messages);
  });

  it('is not read when it is anything else', () => {
    const good = '{"v":1,"parts":[3,2]}\nab';
    expect(decodeBundle(bytes(good))?.length).toBe(1);
    const others = [
      '',
      'null\n',
      '{"v":1,"g":"","r":[]}',
      '{"v":2,"parts":[3,2]}\nab',
      '{"v":1,"parts":[3]}\nab',
      '{"v":1,"parts":[3,-2]}\nab',
      '{"v":1,"parts":[3,"2"]}\nab',
      '{"v":1,"parts":{}}\nab',
      `${good}c`,
      good.slice(0, -1),
      '{"v":1,"parts":[3,2]\nab',
    ];
    for (const other of others) expect(decodeBundle(bytes(other)), other).toBeUndefined();
  });
});
