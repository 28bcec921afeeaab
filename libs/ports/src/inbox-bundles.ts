import { LIMITS } from '@belfry/protocol';

import type { InboxAppend } from './inbox.ts';

/**
 * Cuts an append into bundles, in order: neighbours that are stored as one message. A bundle holds a shard once, so that shard and
 * sequence name what a shard was given, and at most `LIMITS.bundleBytes` of bodies (one body always fits).
 */
export function bundlesOf(messages: readonly InboxAppend[], bytes: readonly number[]): InboxAppend[][] {
  const bundles: InboxAppend[][] = [];
  let shards = new Set<number>();
  let room = 0;
  for (const [at, message] of messages.entries()) {
    const size = bytes[at] as number;
    if (room < size || shards.has(message.shard)) {
      bundles.push([]);
      shards = new Set();
      room = Math.max(LIMITS.bundleBytes, size);
    }
    (bundles.at(-1) as InboxAppend[]).push(message);
    shards.add(message.shard);
    room -= size;
  }
  return bundles;
}

/** For each message of the append, the sequence of its bundle. `first` is the first bundle's. */
export function sequencesOf(bundles: readonly (readonly InboxAppend[])[], first: number): number[] {
  return bundles.flatMap((bundle, at) => bundle.map(() => first + at));
}
