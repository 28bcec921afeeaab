import { GOLDEN } from '@belfry/protocol/testing';
import { describe, expect, it } from 'vitest';

import { decodeBundle, encodeBundle } from './bundle.ts';
import { workRefOf } from './work-queue.ts';

describe('what stands in the streams since the first level', () => {
  it('are bundles, byte for byte', () => {
    const { shards, text } = GOLDEN.bundle;
    const parts = decodeBundle(Buffer.from(text)) ?? [];
    const bodies = parts.map(({ shard, body }) => ({ shard, body: Buffer.from(body).toString() }));
    const { gateway, scheduler } = GOLDEN.envelopes;
    expect(bodies).toEqual([
      { shard: shards[0], body: gateway[1]['a cancel'] },
      { shard: shards[1], body: scheduler['an ownership'] },
    ]);
    const lengths = bodies.map(({ body }) => Buffer.byteLength(body));
    expect(Buffer.from(encodeBundle(bodies, lengths)).toString()).toBe(text);
  });

  it('are work messages, which a takeover finds', () => {
    const [first, second] = JSON.parse(GOLDEN.work.parcel) as { execution: string }[];
    const subject = `belfry.work.acme.mail.0.${first?.execution}.1+1`;
    expect(workRefOf(subject, GOLDEN.work.parcel)?.attempts).toEqual([
      { execution: first?.execution, attempt: 1 },
      { execution: second?.execution, attempt: 1 },
    ]);
  });
});
