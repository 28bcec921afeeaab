import { randomBytes } from 'node:crypto';

import { LIMITS } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { packPayload, unpackPayload } from './payload.ts';

const roundTrip = (payload: string): string => {
  const packed = packPayload(payload);
  return typeof packed === 'string' ? unpackPayload(packed, null) : unpackPayload(null, packed);
};

describe('payloads', () => {
  it('stay as they are when they are short', () => {
    expect(packPayload('{"a":1}')).toBe('{"a":1}');
    expect(packPayload('x'.repeat(999))).toBe('x'.repeat(999));
  });

  it('shrink when they are long', () => {
    const payload = JSON.stringify(Array.from({ length: 60 }, (_, index) => ({ index, note: 'express delivery' })));
    expect((packPayload(payload) as Uint8Array).length).toBeLessThan(payload.length / 3);
  });

  it('stay as they are when packing makes them no shorter', () => {
    const payload = randomBytes(2_000).toString('base64');
    const packed = packPayload(payload);
    expect(packed.length).toBeLessThanOrEqual(payload.length);
    const dense = Array.from(randomBytes(3_000), (byte) => String.fromCodePoint(0x4e00 + byte * 80)).join('');
    expect(roundTrip(dense)).toBe(dense);
  });

  it.each([1_000, 1_024, 1_025, 4_096, 70_000, LIMITS.payloadBytes])('of %i characters come back whole', (length) => {
    for (const text of ['x', 'grüße 🙂', randomBytes(500).toString('hex')]) {
      const payload = text.repeat(Math.ceil(length / text.length)).slice(0, length);
      expect(roundTrip(JSON.stringify(payload))).toBe(JSON.stringify(payload));
    }
  });
});
