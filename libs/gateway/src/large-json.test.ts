import { describe, expect, it } from 'vitest';

import { parseJson, Refused } from './fields.ts';
import { parseInPieces } from './large-json.ts';

const encoder = new TextEncoder();
const FILLER = 'ä'.repeat(200);

function items(count: number, of: (n: number) => unknown = (n) => ({ n, filler: FILLER })): unknown[] {
  return Array.from({ length: count }, (_, n) => of(n));
}

function read(value: unknown, space?: number): unknown {
  return parseInPieces(encoder.encode(JSON.stringify(value, undefined, space)));
}

describe('a large request', () => {
  it('is read in pieces as it would be as a whole', () => {
    for (const count of [400, 1_000]) {
      expect(read(items(count))).toEqual(items(count));
      expect(read({ items: items(count), commandId: 'c' })).toEqual({ items: items(count), commandId: 'c' });
    }
  });

  it('is not cut when it is small, begins otherwise, or has no borders', () => {
    expect(read(items(10))).toBeUndefined();
    expect(read({ commandId: 'c', items: items(1_000) })).toBeUndefined();
    expect(read({ n: 1, filler: 'x'.repeat(200_000) })).toBeUndefined();
    expect(read(items(1_000), 1)).toEqual(items(1_000)); // one piece
  });

  it('is left to be read as a whole where a border stands inside of an item', () => {
    const nested = items(500, (n) => ({ n, list: items(40, (m) => ({ m })) }));
    expect(read(nested)).toBeUndefined();
    expect(parseJson(encoder.encode(JSON.stringify(nested)))).toEqual(nested);
    const quoted = items(1_000, (n) => `${n} {"a":{},{"b":{}},{"c":` + FILLER);
    expect(read(quoted)).toBeUndefined();
    expect(parseJson(encoder.encode(JSON.stringify({ items: quoted })))).toEqual({ items: quoted });
  });

  it('is refused as a whole when it is no JSON, wherever that is', () => {
    const text = JSON.stringify({ items: items(1_000) });
    const wrong = [
      text.slice(0, -1),
      text.replace('},{"n":700', '},,{"n":700'),
      text.replace('{"n":3,', '{"n":3,,'),
      text.replace('},{"n":700', '},\ufeff{"n":700'),
      text.replace(/},{/g, '},\ufeff{'),
      `${text}}`,
    ];
    for (const one of wrong) {
      expect(parseInPieces(encoder.encode(one))).toBeUndefined();
      expect(() => parseJson(encoder.encode(one))).toThrow(Refused);
    }
    const bytes = encoder.encode(text);
    bytes[150_001] = 0xff;
    expect(() => parseJson(bytes)).toThrow(Refused);
  });
});
