import { LIMITS } from '@belfry/protocol';
import { describe, expect, it } from 'vitest';

import { bundlesOf, sequencesOf } from './inbox-bundles.ts';

function bundled(shards: readonly number[], bytes: readonly number[] = shards.map(() => 10)): number[][] {
  const messages = shards.map((shard) => ({ shard, body: '' }));
  return bundlesOf(messages, bytes).map((bundle) => bundle.map(({ shard }) => shard));
}

describe('bundles of an append', () => {
  it('hold neighbours, each shard once', () => {
    expect(bundled([])).toEqual([]);
    expect(bundled([7])).toEqual([[7]]);
    expect(bundled([1, 2, 3, 2, 1, 1])).toEqual([[1, 2, 3], [2, 1], [1]]);
  });

  it('hold no more bytes than a message takes, and at least one body', () => {
    const most = LIMITS.bundleBytes;
    expect(bundled([1, 2, 3], [most - 10, 10, 1])).toEqual([[1, 2], [3]]);
    expect(bundled([1, 2, 3], [most + 1, 1, most])).toEqual([[1], [2], [3]]);
  });

  it('give each message the sequence of its bundle', () => {
    const messages = [1, 2, 1, 3].map((shard) => ({ shard, body: '' }));
    expect(sequencesOf(bundlesOf(messages, [1, 1, 1, 1]), 40)).toEqual([40, 40, 41, 41]);
  });
});
